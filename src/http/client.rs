//! The client: one connection, requests on it, each answer read to its end.
//! What comes from the server is as little trusted as what comes to ours: bounded and timed.

use super::chunked::{Decoder, Piece};
use super::deadline::{self, Deadline};
use super::input::Input;
use super::output::Output;
use super::request;
use super::response::{self, Answer, Framing};
use crate::net::TcpStream;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A body longer than this is not read on, unless the caller allows it: a server may never end.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    host: String,
    input: Input,
    body_limit: u64,
}

/// Why a request got no whole answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The request could not be sent.
    Send(io::Error),
    /// The answer could not be received.
    Receive(io::Error),
    /// Time ran out, after so many bytes of the body.
    TimedOut(u64),
    /// The server closed without sending anything. On a connection that was kept alive this is
    /// usual: it may have closed before the request arrived.
    Closed,
    /// The server closed before the answer's end.
    Truncated,
    /// What the server sent is not HTTP.
    Malformed(&'static str),
    /// The body is longer than this limit, in bytes.
    TooLarge(u64),
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeError::Send(error) => write!(f, "could not send the request: {error}"),
            ExchangeError::Receive(error) => write!(f, "could not receive the answer: {error}"),
            ExchangeError::TimedOut(0) => f.write_str("no answer came in time"),
            ExchangeError::TimedOut(_) => f.write_str("the answer did not end in time"),
            ExchangeError::Closed => f.write_str("the server closed without an answer"),
            ExchangeError::Truncated => f.write_str("the server closed amid the answer"),
            ExchangeError::Malformed(problem) => write!(f, "the answer is not HTTP: {problem}"),
            ExchangeError::TooLarge(limit) => {
                write!(f, "the answer is longer than {limit} bytes")
            }
        }
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExchangeError::Send(error) | ExchangeError::Receive(error) => Some(error),
            _ => None,
        }
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// What the system says, and `TimedOut`.
    pub fn connect(address: &SocketAddr, patience: Duration) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(address, patience)?;
        Ok(Client { stream, host: address.to_string(), input: Input::new(), body_limit: BODY_LIMIT })
    }

    /// Reads bodies of up to that many bytes; 64 MiB unless set.
    pub fn set_body_limit(&mut self, bytes: u64) {
        self.body_limit = bytes;
    }

    /// Sends a GET for `target` and gives the answer's body, piece by piece, to `body`.
    ///
    /// With `keep_alive` the server is asked to leave the connection open; whether it does is in
    /// the answer. All must be done within `patience`.
    ///
    /// # Errors
    ///
    /// Why there is no whole answer. The connection is then of no more use. A target that can't stand in a request
    /// line (empty, or with a space or a line end in it) is not sent: `Send`, of the kind `InvalidInput`.
    pub fn get(
        &mut self,
        target: &str,
        keep_alive: bool,
        patience: Duration,
        body: impl FnMut(&[u8]),
    ) -> Result<Answer, ExchangeError> {
        check_target(target).map_err(ExchangeError::Send)?;
        let mut deadline = Deadline::within(patience);
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n", self.host);
        let mut output = Output::new(patience);
        output.pending().extend_from_slice(request.as_bytes());
        output.flush(&self.stream).map_err(|error| match deadline::timed_out(&error) {
            true => ExchangeError::TimedOut(0),
            false => ExchangeError::Send(error),
        })?;
        let mut answer = self.receive_head(&mut deadline)?;
        match self.receive_body(&mut answer, &mut deadline, body) {
            Ok(()) => Ok(answer),
            Err(ExchangeError::TimedOut(_)) => Err(ExchangeError::TimedOut(answer.length)),
            Err(error) => Err(error),
        }
    }

    /// Waits until the server closes, so that it is the one which keeps the port in TIME_WAIT;
    /// `false` if it doesn't within `patience`.
    pub fn wait_for_close(mut self, patience: Duration) -> bool {
        let mut deadline = Deadline::within(patience);
        loop {
            self.input.consume(self.input.bytes().len());
            match self.input.fill(&self.stream, &mut deadline) {
                Ok(0) => return true,
                Ok(_) => {}
                // A reset is an end as well.
                Err(error) => return !deadline::timed_out(&error),
            }
        }
    }

    /// Receives the answer's head; interim answers (1xx) before it are skipped.
    fn receive_head(&mut self, deadline: &mut Deadline) -> Result<Answer, ExchangeError> {
        let (mut parsed, mut seen) = (0, 0);
        loop {
            if seen == 0 || request::worth_parsing(self.input.bytes(), parsed, seen) {
                parsed = self.input.bytes().len();
                match response::parse(self.input.bytes(), false).map_err(ExchangeError::Malformed)? {
                    Some((Answer { status: 101, .. }, _)) => {
                        return Err(ExchangeError::Malformed("it switches the protocol unasked"));
                    }
                    Some((answer, head)) => {
                        self.input.consume(head);
                        if answer.status >= 200 {
                            return Ok(answer);
                        }
                        (parsed, seen) = (0, 0);
                        continue;
                    }
                    None => {}
                }
            }
            seen = self.input.bytes().len();
            if self.fill(deadline)? == 0 {
                return Err(match self.input.bytes() {
                    [] => ExchangeError::Closed,
                    _ => ExchangeError::Truncated,
                });
            }
        }
    }

    /// Receives the body, counting it in `answer.length`.
    fn receive_body(
        &mut self,
        answer: &mut Answer,
        deadline: &mut Deadline,
        mut body: impl FnMut(&[u8]),
    ) -> Result<(), ExchangeError> {
        let mut decoder = Decoder::default();
        loop {
            let bytes = self.input.bytes();
            let piece = match answer.framing {
                Framing::Empty => return Ok(()),
                Framing::Length(total) if answer.length == total => return Ok(()),
                Framing::Length(total) => {
                    let left = usize::try_from(total - answer.length).unwrap_or(usize::MAX);
                    Piece::Data(left.min(bytes.len()))
                }
                Framing::UntilClose => Piece::Data(bytes.len()),
                Framing::Chunked => decoder.next(bytes).map_err(ExchangeError::Malformed)?,
            };
            match piece {
                Piece::Framing(count) => self.input.consume(count),
                Piece::End(count) => {
                    self.input.consume(count);
                    return Ok(());
                }
                Piece::Data(count) if count > 0 => {
                    body(&bytes[..count]);
                    self.input.consume(count);
                    answer.length += count as u64;
                    if answer.length > self.body_limit {
                        return Err(ExchangeError::TooLarge(self.body_limit));
                    }
                }
                Piece::More | Piece::Data(_) => {
                    if answer.length > 16 * 1024 {
                        self.input.widen();
                    }
                    match (self.fill(deadline)?, answer.framing) {
                        (0, Framing::UntilClose) => return Ok(()),
                        (0, _) => return Err(ExchangeError::Truncated),
                        _ => {}
                    }
                }
            }
        }
    }

    fn fill(&mut self, deadline: &mut Deadline) -> Result<usize, ExchangeError> {
        self.input.fill(&self.stream, deadline).map_err(|error| {
            if deadline::timed_out(&error) {
                ExchangeError::TimedOut(0)
            } else {
                ExchangeError::Receive(error)
            }
        })
    }
}

/// A line end in the target would let whoever chose it send headers, or requests, of his own.
fn check_target(target: &str) -> io::Result<()> {
    if !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let problem = format!(
        "the target {target:?} can't stand in a request: it is empty, or has other bytes than visible ASCII; write \
         them as %xx"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn target_that_would_break_the_request_line_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_secs(60);
        for target in ["", "/a b", "/a\r\nHost: b", "/a HTTP/1.1\n\nGET /", "/ä", "/\0"] {
            let result = crate::run(|| {
                Client::connect(&address, patience).unwrap().get(target, false, patience, |_| {})
            });
            let error = result.unwrap().unwrap_err();
            let is_invalid =
                matches!(&error, ExchangeError::Send(error) if error.kind() == io::ErrorKind::InvalidInput);
            assert!(is_invalid, "{target:?}: {error}");
            assert!(error.to_string().contains("can't stand in a request"), "{error}");
            let mut received = Vec::new();
            io::Read::read_to_end(&mut listener.accept().unwrap().0, &mut received).unwrap();
            assert_eq!(received, b"", "{target:?}");
        }
    }
}
