//! Replies: how a handler answers.
//! A handler gets a [`Reply`] and must give back a [`Sent`], which only sending makes; so it
//! answers exactly once, or fails and the connection ends.

use super::chunked;
use super::date::DateCache;
use super::head::{self, Context, Head, Length, Status};
use super::output::Output;
use super::request::{Method, Refusal, Request, Version};
use crate::net::TcpStream;
use std::fs::File;
use std::io;

/// What all answers of a server have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) dates: DateCache,
    /// Whether to say `Expires` at all.
    pub(super) expires: bool,
    pub(super) headers: Vec<u8>,
}

/// The right to answer one request.
#[must_use = "a request wants an answer"]
#[derive(Debug)]
pub struct Reply<'c> {
    stream: &'c TcpStream,
    output: &'c mut Output,
    common: &'c Common,
    version: Version,
    keep_alive: bool,
    /// Nothing may follow the head: of a HEAD, or by the status.
    head_only: bool,
    expires: bool,
}

/// The proof that a request was answered.
#[derive(Debug)]
pub struct Sent {
    pub(super) keep_alive: bool,
}

impl<'c> Reply<'c> {
    /// The reply to `request`, which leaves by `output`.
    pub(super) fn to(
        request: &Request<'_>,
        stream: &'c TcpStream,
        output: &'c mut Output,
        common: &'c Common,
    ) -> Reply<'c> {
        Reply {
            stream,
            output,
            common,
            version: request.version(),
            keep_alive: request.keep_alive(),
            head_only: request.method() == Method::Head,
            expires: common.expires && request.query().is_none(),
        }
    }

    /// The reply to what could not be taken for a request.
    pub(super) fn refuse(
        refusal: Refusal,
        stream: &'c TcpStream,
        output: &'c mut Output,
        common: &'c Common,
    ) -> io::Result<Sent> {
        let reply = Reply {
            stream,
            output,
            common,
            version: refusal.version,
            keep_alive: false,
            head_only: refusal.head_only,
            expires: false,
        };
        match refusal.status {
            Status::NOT_ALLOWED => reply.not_allowed(Method::ALL, refusal.why),
            status => reply.page(status, refusal.why),
        }
    }

    /// Answers with a body that is there as a whole. After 400, 405 and 413 the connection closes.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn send(mut self, head: &Head<'_>, body: &[u8]) -> io::Result<Sent> {
        self.keep_alive &= !head.status.closes();
        let length = if head.status.is_bodiless() { Length::UntilClose } else { Length::Known(body.len()) };
        self.write_head(head, length);
        if !self.head_only && !head.status.is_bodiless() {
            self.output.pending().extend_from_slice(body);
        }
        self.finish()
    }

    /// As [`page`](Reply::page), with headers beside it.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn page_with(self, status: Status, headers: &[(&str, &str)], description: &str) -> io::Result<Sent> {
        let page = head::status_page(status, description);
        self.send(&Head::new(status, "text/html").headers(headers), page.as_bytes())
    }

    /// Answers with a small HTML page: the status's reason as heading, `description` below it.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn page(self, status: Status, description: &str) -> io::Result<Sent> {
        let page = head::status_page(status, description);
        self.send(&Head::new(status, "text/html"), page.as_bytes())
    }

    /// Answers 405, with the methods that are allowed (as in `GET, HEAD`) and a page.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn not_allowed(self, allow: &str, description: &str) -> io::Result<Sent> {
        let page = head::status_page(Status::NOT_ALLOWED, description);
        let headers = [("Allow", allow)];
        self.send(&Head::new(Status::NOT_ALLOWED, "text/html").headers(&headers), page.as_bytes())
    }

    /// Answers with a body whose length is not known yet. A 1.0 client gets it without chunks,
    /// up to the connection's end.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn chunked(mut self, head: &Head<'_>) -> io::Result<ChunkedBody<'c>> {
        let chunks = self.version == Version::Http11;
        self.head_only |= head.status.is_bodiless();
        self.keep_alive &= chunks;
        self.write_head(head, if chunks { Length::Chunked } else { Length::UntilClose });
        Ok(ChunkedBody { reply: self, chunks, left: None })
    }

    /// Answers with a body of so many bytes that are not there as a whole. As many have to be written (of the answer to a
    /// HEAD none need be): a piece that would be too much is refused, and a body that ends too early is an error and ends
    /// the connection. Else the client would take the next answer for a part of this one, or a part of this one for the next.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    ///
    /// ```
    /// use coro::http::{Head, Server, Status};
    ///
    /// let server = Server::new(|_, reply| {
    ///     let mut body = reply.sized(&Head::new(Status::OK, "text/plain"), 10)?;
    ///     body.write(b"01234")?;
    ///     body.write(b"56789")?;
    ///     body.finish()
    /// });
    /// # drop(server);
    /// ```
    pub fn sized(mut self, head: &Head<'_>, length: usize) -> io::Result<ChunkedBody<'c>> {
        self.head_only |= head.status.is_bodiless();
        self.write_head(head, Length::Known(length));
        Ok(ChunkedBody { reply: self, chunks: false, left: Some(length as u64) })
    }

    /// Answers with a stream of events, which says nothing of its length. `stays_open`: the connection is left as the
    /// client wants it (who reads events knows where one ends); else the body ends with the connection.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn events(mut self, head: &Head<'_>, stays_open: bool) -> io::Result<ChunkedBody<'c>> {
        self.keep_alive &= stays_open;
        self.head_only |= head.status.is_bodiless();
        self.write_head(head, Length::UntilClose);
        Ok(ChunkedBody { reply: self, chunks: false, left: None })
    }

    /// Sends the answers to earlier, pipelined requests that still wait for company. A handler
    /// that is about to wait calls it, so that they don't wait as well.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn flush_earlier(&mut self) -> io::Result<()> {
        self.output.flush(self.stream)
    }

    fn write_head(&mut self, head: &Head<'_>, length: Length) {
        let (version, keep_alive) = (self.version, self.keep_alive);
        let common = &self.common.headers[..];
        self.common.dates.with(|date_line, expires| {
            let expires = self.expires.then_some(expires);
            let context = Context { version, keep_alive, date_line, expires, length, common };
            head::write_head(self.output.pending(), head, &context);
        });
    }

    fn finish(self) -> io::Result<Sent> {
        if self.keep_alive {
            self.output.expect_more(self.stream);
        }
        self.output.flush_if_large(self.stream)?;
        Ok(Sent { keep_alive: self.keep_alive })
    }
}

/// The body of an answer, given piece by piece.
#[must_use = "a body wants an end: call `finish`"]
#[derive(Debug)]
pub struct ChunkedBody<'c> {
    reply: Reply<'c>,
    chunks: bool,
    /// What is missing of the length that was announced.
    left: Option<u64>,
}

impl ChunkedBody<'_> {
    /// Appends a piece, which becomes one chunk. Small pieces are gathered; see
    /// [`flush`](ChunkedBody::flush).
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on. `InvalidInput`, and nothing of it is sent, if it is more than is missing of the
    /// [announced length](Reply::sized).
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.left = self.left_after(piece.len() as u64)?;
        let output = &mut *self.reply.output;
        match (self.reply.head_only, self.chunks) {
            (true, _) => {}
            (false, true) => chunked::encode(output.pending(), piece),
            (false, false) => output.pending().extend_from_slice(piece),
        }
        output.flush_if_large(self.reply.stream)
    }

    /// Appends a part of a file, which the kernel sends by itself where it can (sendfile(2)): see
    /// [`TcpStream::send_file`]. What was gathered is sent before it.
    ///
    /// # Errors
    ///
    /// What the connection says, or the file: `UnexpectedEof` if it has no such part. Pass it on: what was announced can't be
    /// had any more, and the connection has to end. `InvalidInput` as [`write`](ChunkedBody::write).
    pub fn write_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let left = self.left_after(length)?;
        let output = &mut *self.reply.output;
        if self.reply.head_only || length == 0 {
            return Ok(());
        }
        if !self.chunks {
            output.send_file(self.reply.stream, file, offset, length)?;
            // Only now: a part that could not be sent is still missing at the end.
            self.left = left;
            return Ok(());
        }
        chunked::begin(output.pending(), length);
        output.send_file(self.reply.stream, file, offset, length)?;
        output.pending().extend_from_slice(chunked::LINE_END);
        Ok(())
    }

    /// What is missing when `length` bytes more have been written.
    fn left_after(&self, length: u64) -> io::Result<Option<u64>> {
        let Some(left) = self.left else { return Ok(None) };
        match left.checked_sub(length) {
            None => Err(misses(&format!(
                "{length} bytes more are too many, where {left} are missing of the announced length"
            ))),
            rest => Ok(rest),
        }
    }

    /// Sends what was gathered, so that the client sees it now.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.reply.output.flush(self.reply.stream)
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// What the connection says; pass it on. `InvalidInput` if some of the [announced length](Reply::sized) is missing: what
    /// there is has been sent, and the connection has to end.
    pub fn finish(mut self) -> io::Result<Sent> {
        if let Some(left @ 1..) = self.left
            && !self.reply.head_only
        {
            self.flush()?;
            return Err(misses(&format!("{left} bytes of the announced length are missing at its end")));
        }
        if self.chunks && !self.reply.head_only {
            self.reply.output.pending().extend_from_slice(chunked::END);
        }
        self.reply.finish()
    }
}

/// The error of a body that is not as long as was announced.
fn misses(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the answer's body misses its length: {how}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Head, Request, Server, Status};
    use super::*;
    use crate::net::TcpListener;
    use pretty_assertions::assert_eq;
    use std::fs;
    use std::io::{Read, Write};

    /// What two requests for `path`, sent at once, are answered with after the first one's head.
    fn answers_to(method: &str, path: &str) -> String {
        fn answer(request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
            if request.path() == "/chunks" {
                let mut body = reply.chunked(&Head::new(Status::NOT_MODIFIED, "text/plain"))?;
                body.write(b"012345")?;
                return body.finish();
            }
            let status = if request.path() == "/known" { Status::NOT_MODIFIED } else { Status::OK };
            let mut body = reply.sized(&Head::new(status, "text/plain"), 6)?;
            match request.path() {
                "/known" => body.write(b"012345")?,
                "/whole" => body.write(b"012345")?,
                "/little" => body.write(b"01234")?,
                "/much" => body.write(b"0123456")?,
                "/refused" => {
                    body.write(b"0123")?;
                    assert_eq!(body.write(b"456").unwrap_err().kind(), io::ErrorKind::InvalidInput);
                    body.write(b"45")?;
                }
                "/file" => body.write_file(&fs::File::open("/proc/self/exe")?, 0, 6)?,
                "/much_of_a_file" => body.write_file(&fs::File::open("/proc/self/exe")?, 0, 7)?,
                "/no_such_part" => {
                    let error = body.write_file(&fs::File::open("/dev/null")?, 0, 6).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                }
                _ => {}
            }
            body.finish()
        }
        let text = crate::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            let server = crate::spawn(move || Server::new(answer).run(&listener));
            let mut peer = TcpStream::connect(address)?;
            peer.write_all(format!("{method} {path} HTTP/1.1\r\n\r\n").repeat(2).as_bytes())?;
            peer.shutdown(std::net::Shutdown::Write)?;
            let mut text = Vec::new();
            peer.read_to_end(&mut text)?;
            server.cancel().expect("this program unwinds");
            Ok::<_, io::Error>(String::from_utf8_lossy(&text).into_owned())
        });
        let text = text.unwrap().unwrap();
        let text = text.replace("HTTP/1.1 304 Not modified\r\n", "HTTP/1.1 200 OK\r\n");
        let bodies = text.split("HTTP/1.1 200 OK\r\n").skip(1);
        bodies.map(|answer| answer.split_once("\r\n\r\n").expect("a head").1).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn body_is_as_long_as_was_announced_or_the_connection_ends() {
        assert_eq!(answers_to("GET", "/whole"), "012345|012345");
        assert_eq!(answers_to("GET", "/little"), "01234", "a short one is the last");
        assert_eq!(answers_to("GET", "/much"), "", "nothing beyond the length is sent");
        assert_eq!(answers_to("GET", "/refused"), "012345|012345", "who makes up for it may go on");
        assert_eq!(answers_to("GET", "/file").len(), 13);
        assert_eq!(answers_to("GET", "/much_of_a_file"), "");
        assert_eq!(answers_to("GET", "/no_such_part"), "", "what the file didn't have is missing");
        for path in ["/whole", "/file", "/nothing"] {
            assert_eq!(answers_to("HEAD", path), "|", "the answer to a HEAD has no body");
        }
        for path in ["/known", "/chunks"] {
            assert_eq!(answers_to("GET", path), "|", "a 304 has no body");
        }
    }
}
