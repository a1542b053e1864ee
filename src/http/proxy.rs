//! The PROXY protocol, by which a proxy tells whom it speaks for, before the first request: version 1 as a line of text,
//! version 2 in binary. The specification is HAProxy's (proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;

/// What the front of the bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// No PROXY header.
    Other,
    /// Perhaps one: more is needed to tell.
    Part,
    /// One of so many bytes, and whom it names; nobody when the proxy speaks for itself.
    Whole(usize, Option<IpAddr>),
}

/// Looks at the front of `bytes`.
///
/// # Errors
///
/// What is wrong with what begins as a PROXY header.
pub(super) fn parse(bytes: &[u8]) -> Result<Front, &'static str> {
    const WORD: &[u8] = b"PROXY ";
    if bytes.is_empty() {
        Ok(Front::Other)
    } else if begins_alike(bytes, WORD) {
        if bytes.len() < WORD.len() { Ok(Front::Part) } else { line(bytes) }
    } else if begins_alike(bytes, &SIGNATURE) && bytes[0] == b'\r' {
        binary(bytes)
    } else {
        Ok(Front::Other)
    }
}

fn begins_alike(bytes: &[u8], start: &[u8]) -> bool {
    let length = bytes.len().min(start.len());
    bytes[..length] == start[..length]
}

fn line(bytes: &[u8]) -> Result<Front, &'static str> {
    const BAD: &str = "The PROXY line is not as version 1 of the protocol has it.";
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE { Ok(Front::Part) } else { Err(BAD) };
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| BAD)?.strip_suffix('\r').ok_or(BAD)?;
    let words: Vec<&str> = text.split(' ').collect();
    let source = match words[..] {
        [_, "UNKNOWN", ..] => None,
        [_, family @ ("TCP4" | "TCP6"), source, target, from, to] => {
            let read = |text: &str| {
                let address: IpAddr = text.parse().map_err(|_| BAD)?;
                if address.is_ipv4() == (family == "TCP4") { Ok(address) } else { Err(BAD) }
            };
            read(target)?;
            for port in [from, to] {
                port.parse::<u16>().map_err(|_| BAD)?;
            }
            Some(read(source)?)
        }
        _ => return Err(BAD),
    };
    Ok(Front::Whole(end + 1, source))
}

fn binary(bytes: &[u8]) -> Result<Front, &'static str> {
    const BAD: &str = "The PROXY header is not as version 2 of the protocol has it.";
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else { return Ok(Front::Part) };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > 4096 {
        return Err("The PROXY header is too long.");
    }
    let Some(addresses) = rest.get(..length) else { return Ok(Front::Part) };
    let source = match (head[12], head[13] >> 4) {
        // The proxy speaks for itself; or it is no Internet address.
        (0x20, _) | (0x21, 0 | 3) => None,
        (0x21, 1) => {
            let source = addresses.first_chunk::<12>().ok_or(BAD)?.first_chunk::<4>().ok_or(BAD)?;
            Some(Ipv4Addr::from(*source).into())
        }
        (0x21, 2) => {
            let source = addresses.first_chunk::<36>().ok_or(BAD)?.first_chunk::<16>().ok_or(BAD)?;
            Some(Ipv6Addr::from(*source).into())
        }
        _ => return Err(BAD),
    };
    Ok(Front::Whole(16 + length, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[test]
    fn both_versions_name_the_source_however_they_are_cut() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 2];
        let v6: Vec<u8> = (0..36).collect();
        for (header, source) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\r\n".to_vec(), Some("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 5 80\r\n".to_vec(), Some("2001:db8::1")),
            (b"PROXY UNKNOWN and whatever\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("192.0.2.1")),
            // Behind the addresses there may be more.
            (v2(0x21, 0x11, &[&v4[..], &[4, 0, 1, 9]].concat()), Some("192.0.2.1")),
            (v2(0x21, 0x21, &v6), Some("1:203:405:607:809:a0b:c0d:e0f")),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let source = source.map(|text| text.parse().unwrap());
            for cut in 1..header.len() {
                assert_eq!(parse(&header[..cut]), Ok(Front::Part), "{header:?} cut at {cut}");
            }
            let whole = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(parse(&whole), Ok(Front::Whole(header.len(), source)));
        }
    }

    #[test]
    fn requests_are_no_headers_and_bad_headers_are_refused() {
        for other in [&b""[..], b"GET /", b"PUT / HTTP/1.1", b"POST ", b"\r\n\r\nGET"] {
            assert_eq!(parse(other), Ok(Front::Other), "{other:?}");
        }
        for bad in [
            b"PROXY TCP4 x 10.0.0.1 5 80\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 5 80\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 2.2.2.2 5 99999\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 2.2.2.2 5 80\n".to_vec(),
            b"PROXY TCP4\r\n".to_vec(),
            [&b"PROXY "[..], &[b'x'; 200]].concat(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x20, 0x11, &[0; 5000]),
        ] {
            assert!(parse(&bad).is_err(), "{:?}", String::from_utf8_lossy(&bad));
        }
    }
}
