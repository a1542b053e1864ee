//! Answers as they arrive at a client: the head from bytes to a verdict on how long the body is.
//! Any server's: 1.0 or 1.1, with a length, in chunks, or up to the connection's end.

use super::request::{self, ConnectionWish, Version};

/// Bytes of an answer's head at most.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;
/// Header lines of an answer at most.
pub(super) const MAX_HEADERS: usize = 128;

/// How an answer shows where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body follows, whatever the headers say: HEAD, 204, 304.
    Empty,
    /// As many bytes as `Content-Length` says.
    Length(u64),
    /// Chunks, the last of them empty.
    Chunked,
    /// All until the server closes. A cut connection can't be told from the end.
    UntilClose,
}

/// What came back for a request. The body went where the caller wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The version that the server answered in.
    pub version: Version,
    /// How the body's end was found.
    pub framing: Framing,
    /// Bytes of the body, without its framing.
    pub length: u64,
    /// Whether the connection takes another request.
    pub keep_alive: bool,
}

/// Parses the answer's head at the front of `bytes`; gives the answer, with a length of 0 so far,
/// and the number of bytes of its head. Nothing when the head's end is not there yet.
///
/// # Errors
///
/// What is wrong with the head.
pub(super) fn parse(bytes: &[u8], to_head: bool) -> Result<Option<(Answer, usize)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) if head <= HEAD_LIMIT => head,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_LIMIT => return Ok(None),
        Ok(_) => return Err("its head is larger than 64 KiB"),
        Err(httparse::Error::TooManyHeaders) => return Err("its head has more than 128 headers"),
        Err(httparse::Error::Version) => return Err("it does not begin with HTTP/1.0 or HTTP/1.1"),
        Err(httparse::Error::Status) => return Err("its status is not a number of three digits"),
        Err(_) => return Err("its head has a byte that it must not have"),
    };
    let status = parsed.code.unwrap_or(0);
    let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let (framing, wish) = read_framing(parsed.headers, status, to_head)?;
    let keep_alive = framing != Framing::UntilClose && wish.keeps_alive(version);
    Ok(Some((Answer { status, version, framing, length: 0, keep_alive }, head)))
}

/// RFC 9112, section 6.3, in its order.
fn read_framing(
    headers: &[httparse::Header<'_>],
    status: u16,
    to_head: bool,
) -> Result<(Framing, ConnectionWish), &'static str> {
    let (mut length, mut coding, mut wish) = (None, None, ConnectionWish::default());
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value =
                request::parse_length(header.value).ok_or("its Content-Length is not a number")? as u64;
            if length.is_some_and(|other| other != value) {
                return Err("it has two different Content-Lengths");
            }
            length = Some(value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            coding = Some(header.value);
        } else if header.name.eq_ignore_ascii_case("connection") {
            wish.read(header.value);
        }
    }
    let framing = if to_head || matches!(status, 100..=199 | 204 | 304) {
        Framing::Empty
    } else if let Some(coding) = coding {
        let last = coding.rsplit(|&byte| byte == b',').next().unwrap_or(coding).trim_ascii();
        if last.eq_ignore_ascii_case(b"chunked") { Framing::Chunked } else { Framing::UntilClose }
    } else {
        length.map_or(Framing::UntilClose, Framing::Length)
    };
    Ok((framing, wish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn framing(head: &str) -> (Framing, bool) {
        let (answer, length) = parse(head.as_bytes(), false).unwrap().expect("a whole head");
        assert_eq!(length, head.len());
        (answer.framing, answer.keep_alive)
    }

    #[test]
    fn the_framing_follows_the_headers() {
        for (headers, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", (Framing::Length(5), true)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", (Framing::Length(5), false)),
            ("HTTP/1.0 200\r\nConnection: keep-alive\r\nContent-length:0\r\n", (Framing::Length(0), true)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", (Framing::Chunked, true)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n", (Framing::Chunked, true)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                (Framing::Chunked, true),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", (Framing::UntilClose, false)),
            ("HTTP/1.1 200 OK\r\n", (Framing::UntilClose, false)),
            ("HTTP/1.1 204 No Content\r\nConnection: close\r\n", (Framing::Empty, false)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n", (Framing::Empty, true)),
        ] {
            assert_eq!(framing(&format!("{headers}\r\n")), expected, "{headers}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body_whatever_it_says() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
        assert_eq!(parse(head, true).unwrap().unwrap().0.framing, Framing::Empty);
    }

    #[test]
    fn part_of_a_head_is_no_verdict() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head[..end], false), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn a_bad_head_is_named() {
        for (head, problem) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.0 or"),
            ("HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.0 or"),
            ("HTTP/1.1 two OK\r\n\r\n", "three digits"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not a number"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two different"),
            (&format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(70_000)), "64 KiB"),
            (&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(129)), "128 headers"),
        ] {
            let error = parse(head.as_bytes(), false).unwrap_err();
            assert!(error.contains(problem), "{error} for {:.40}", head);
        }
    }
}
