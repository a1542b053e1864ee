//! Output: answers that are formatted and not sent yet.
//! Everything that can leave together leaves in one send: the head with its body, and the
//! answers to requests that came pipelined.

use super::deadline::Deadline;
use crate::net::TcpStream;
use std::fs::File;
use std::io;
use std::time::Duration;

/// Beyond this, waiting for more costs memory and saves no more system calls.
const ENOUGH: usize = 64 * 1024;

/// Formatted bytes, in the order in which they are to leave.
#[derive(Debug)]
pub(super) struct Output {
    pending: Vec<u8>,
    /// How long the peer may take to accept one flush.
    patience: Duration,
    nodelay: bool,
}

impl Output {
    pub(super) fn new(patience: Duration) -> Output {
        Output { pending: Vec::new(), patience, nodelay: false }
    }

    /// Where to format the next answer.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Sends what is pending if it is much, otherwise leaves it for later company.
    pub(super) fn flush_if_large(&mut self, stream: &TcpStream) -> io::Result<()> {
        if self.pending.len() >= ENOUGH { self.flush(stream) } else { Ok(()) }
    }

    /// Sends all that is pending.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the peer does not take it in time, however slowly it takes a part; and
    /// whatever the socket says.
    pub(super) fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut deadline = Deadline::within(self.patience);
        let mut rest = &self.pending[..];
        while !rest.is_empty() {
            rest = &rest[deadline.write(stream, rest)?..];
        }
        // Not kept: an idle connection holds nothing, and the allocator has the next one's at hand.
        self.pending = Vec::new();
        Ok(())
    }

    /// Sends all that is pending, and behind it a part of a file.
    ///
    /// # Errors
    ///
    /// As [`flush`](Output::flush), for each [`ENOUGH`] of it; `UnexpectedEof` if the file has no such part.
    pub(super) fn send_file(
        &mut self,
        stream: &TcpStream,
        file: &File,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        self.flush(stream)?;
        let mut sent = 0;
        while sent < length {
            let count = (length - sent).min(ENOUGH as u64);
            Deadline::within(self.patience).send_file(stream, file, offset + sent, count)?;
            sent += count;
        }
        Ok(())
    }

    /// Turns Nagle's algorithm off, once: for connections that stay open, where the last piece
    /// of an answer would else wait for the peer's delayed acknowledgement.
    pub(super) fn expect_more(&mut self, stream: &TcpStream) {
        if !self.nodelay {
            self.nodelay = true;
            // Only speed hangs on it: a socket that refuses works all the same.
            let _ = stream.set_nodelay(true);
        }
    }
}
