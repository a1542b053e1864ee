//! Deadlines: how long a peer may take in all.
//! A socket's timeout counts anew with every read, so a peer that drips one byte a second never
//! meets it; a deadline holds for all reads, or writes, of one thing together.

use crate::net::{Part, Patience, TcpStream};
use std::fs::File;
use std::io;
use std::time::Duration;

/// Until when waiting for a peer is worth it. It is fixed by the first wait: an answer that is
/// there in time, as most are, costs no look at the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Patience);

impl Deadline {
    /// The deadline that lies `patience` after the first wait's beginning.
    pub(super) fn within(patience: Duration) -> Deadline {
        Deadline(Patience::new(patience))
    }

    /// Receives once, by `attempt`: how many bytes came, and whether there was room for more. It
    /// is called when something may be there, and not before.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the deadline passes first, and whatever the socket says.
    pub(super) fn read_by(
        &mut self,
        stream: &TcpStream,
        attempt: impl FnMut(&std::net::TcpStream) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        self.check()?;
        stream.read_by(&mut self.0, attempt)
    }

    /// Sends what the socket takes at once; at least a byte.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the deadline passes first, and whatever the socket says.
    pub(super) fn write(&mut self, stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        match stream.write_within(&mut self.0, bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        }
    }

    /// Sends a part of a file, as a whole.
    ///
    /// # Errors
    ///
    /// As [`write`](Deadline::write); `UnexpectedEof` when the file has become shorter meanwhile.
    pub(super) fn send_file(
        &mut self,
        stream: &TcpStream,
        file: &File,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        let mut sent = 0;
        while sent < length {
            self.check()?;
            let part = Part { file, offset: offset + sent, length: length - sent };
            sent += match stream.send_file_within(&mut self.0, part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            };
        }
        Ok(())
    }

    /// Fails once it has passed, also for a peer that always has a little more.
    fn check(&self) -> io::Result<()> {
        if self.0.is_over() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

/// Whether an error says that time ran out. std's blocking sockets say `WouldBlock` for it.
pub(super) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TcpListener;
    use std::io::{Read, Write};

    #[test]
    fn a_peer_that_drips_meets_the_deadline_and_one_that_was_in_time_does_not() {
        crate::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let mut peer = TcpStream::connect(listener.local_addr()?)?;
            let (stream, _) = listener.accept()?;
            let receive = |deadline: &mut Deadline| {
                deadline.read_by(&stream, |mut stream| Ok((stream.read(&mut [0])?, false)))
            };
            peer.write_all(b"ab")?;
            let mut deadline = Deadline::within(Duration::from_nanos(1));
            assert_eq!(receive(&mut deadline)?, 1, "it was there");
            assert_eq!(receive(&mut deadline)?, 1, "nobody has waited yet");
            assert!(timed_out(&receive(&mut deadline).unwrap_err()));
            peer.write_all(b"c")?;
            assert!(timed_out(&receive(&mut deadline).unwrap_err()), "however much is there now");
            let mut deadline = Deadline::within(Duration::MAX);
            assert_eq!(receive(&mut deadline)?, 1);
            let late = crate::spawn(move || peer.write_all(b"d"));
            assert_eq!(receive(&mut deadline)?, 1, "beyond the clock is far away");
            late.join().expect("it only writes")
        })
        .unwrap()
        .unwrap();
    }
}
