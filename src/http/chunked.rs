//! The chunked transfer coding (RFC 9112, section 7.1), both ways, over byte slices.
//! The decoder is told what has arrived and says what to do with it; it holds no bytes itself.

use std::io::Write;

/// A size line may carry extensions, and trailers may follow the last chunk; a peer that sends
/// more of either than this is refused.
const OVERHEAD_LIMIT: usize = 8 * 1024;

const BAD_SIZE: &str = "a chunk's size line does not begin with a hexadecimal number";

/// Appends `data` as one chunk. Empty data appends nothing: an empty chunk would end the body.
pub(super) fn encode(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        begin(out, data.len() as u64);
        out.extend_from_slice(data);
        out.extend_from_slice(LINE_END);
    }
}

/// Appends what a chunk of `length` bytes begins with; [`LINE_END`] follows the bytes.
pub(super) fn begin(out: &mut Vec<u8>, length: u64) {
    write!(out, "{length:x}\r\n").expect("a Vec takes all");
}

/// What ends a chunk.
pub(super) const LINE_END: &[u8] = b"\r\n";

/// What ends a chunked body.
pub(super) const END: &[u8] = b"0\r\n\r\n";

/// Where in a chunked body the next byte lies.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    trailers: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// What the next bytes are. The counts are for consuming.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Not decidable yet: receive more.
    More,
    /// The first this many bytes are framing.
    Framing(usize),
    /// The first this many bytes belong to the body.
    Data(usize),
    /// The first this many bytes end the body.
    End(usize),
}

impl Decoder {
    /// Decides about the front of `bytes`.
    ///
    /// # Errors
    ///
    /// What is wrong with them, if they are no chunked coding; the body can't be read on.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Piece, &'static str> {
        match self.state {
            // The parser takes an empty line for 0, which would end the body.
            State::Size if bytes.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => Err(BAD_SIZE),
            State::Size => match httparse::parse_chunk_size(bytes) {
                Err(_) => Err(BAD_SIZE),
                Ok(httparse::Status::Partial) if bytes.len() > OVERHEAD_LIMIT => {
                    Err("a chunk's size line does not end")
                }
                Ok(httparse::Status::Partial) => Ok(Piece::More),
                Ok(httparse::Status::Complete((length, size))) => {
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                    Ok(Piece::Framing(length))
                }
            },
            State::Data(_) if bytes.is_empty() => Ok(Piece::More),
            State::Data(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let left = left - count as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                Ok(Piece::Data(count))
            }
            State::DataEnd => match bytes {
                [] | [b'\r'] => Ok(Piece::More),
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Piece::Framing(2))
                }
                _ => Err("a chunk is longer than its size line says"),
            },
            State::Trailers => self.trailer(bytes),
        }
    }

    fn trailer(&mut self, bytes: &[u8]) -> Result<Piece, &'static str> {
        let line = bytes.iter().position(|&byte| byte == b'\n').map(|at| &bytes[..=at]);
        if self.trailers + line.unwrap_or(bytes).len() > OVERHEAD_LIMIT {
            return Err("the trailers after the last chunk don't end");
        }
        match line {
            None => Ok(Piece::More),
            Some(end @ (b"\n" | b"\r\n")) => Ok(Piece::End(end.len())),
            Some(line) => {
                self.trailers += line.len();
                Ok(Piece::Framing(line.len()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `bytes` given in pieces of `step`; returns the body and what was left over.
    fn decode(bytes: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let (mut decoder, mut body) = (Decoder::default(), Vec::new());
        let (mut start, mut end) = (0, 0);
        loop {
            match decoder.next(&bytes[start..end])? {
                Piece::More if end == bytes.len() => return Err("truncated"),
                Piece::More => end = (end + step).min(bytes.len()),
                Piece::Framing(count) => start += count,
                Piece::Data(count) => {
                    body.extend_from_slice(&bytes[start..start + count]);
                    start += count;
                }
                Piece::End(count) => return Ok((body, bytes[start + count..].to_vec())),
            }
        }
    }

    #[test]
    fn what_is_encoded_decodes_however_it_is_cut() {
        let mut coded = Vec::new();
        for data in [&b"first"[..], b"", b"second, longer than nine"] {
            encode(&mut coded, data);
        }
        coded.extend_from_slice(END);
        for step in 1..=coded.len() {
            let (body, rest) = decode(&coded, step).unwrap();
            assert_eq!((&body[..], &rest[..]), (&b"firstsecond, longer than nine"[..], &b""[..]));
        }
    }

    #[test]
    fn extensions_and_trailers_are_skipped_and_the_next_message_stays() {
        let coded = b"3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1 200 OK";
        assert_eq!(decode(coded, 7).unwrap(), (b"abc".to_vec(), b"HTTP/1.1 200 OK".to_vec()));
    }

    #[test]
    fn bad_framing_is_refused() {
        for (coded, problem) in [
            (&b"xyz\r\n"[..], "hexadecimal"),
            (b"\r\n", "hexadecimal"),
            (b"-1\r\nabc\r\n", "hexadecimal"),
            (b"11111111111111111\r\n", "hexadecimal"),
            (b"2\r\nabc\r\n", "longer than its size line"),
            (b"5\r\nabc", "truncated"),
            (b"3\r\nabc\r\n", "truncated"),
        ] {
            let error = decode(coded, 4).unwrap_err();
            assert!(error.contains(problem), "{coded:?}: {error}");
        }
    }

    #[test]
    fn endless_framing_is_refused() {
        let size_line = [&b"3;"[..], &[b'x'; 20_000]].concat();
        assert!(decode(&size_line, 1000).unwrap_err().contains("size line does not end"));
        let trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(5000)].concat();
        assert!(decode(&trailers, 1000).unwrap_err().contains("don't end"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_the_same_however_they_are_cut(
            coded in "([0-9a-f]{1,2}(;x)?\r\n[ -~]{0,20}(\r\n)?){0,4}(0\r\n\r\n)?",
            step in 1usize..50,
        ) {
            assert_eq!(decode(coded.as_bytes(), step), decode(coded.as_bytes(), usize::MAX / 2));
        }
    }
}
