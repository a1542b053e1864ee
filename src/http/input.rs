//! Input: what a peer has sent and nobody has consumed yet.
//! Requests and answers are parsed in place, out of this buffer; it grows only as bytes really
//! arrive, never because a peer announced a length.

use super::deadline::Deadline;
use crate::net::TcpStream;
use crate::sys::stream::receive;
use std::io;
use std::mem;

/// Room of a fresh buffer. Most heads fit.
const SMALL: usize = 4 * 1024;
/// Room that one read fills at most; what must be held longer may still grow beyond.
const LARGE: usize = 64 * 1024;

/// Buffers of `SMALL` bytes that nobody uses, on each thread: few are used at a time, since only a coroutine which has
/// received something, and not yet answered, has one. The next one finds it in the CPU's cache.
mod spare {
    use super::SMALL;
    use std::cell::RefCell;

    /// More are not kept.
    const MOST: usize = 64;

    thread_local! {
        static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    // Never inlined, both, so that no coroutine keeps the address of a thread's variable over a wait.

    #[inline(never)]
    pub(super) fn take() -> Option<Vec<u8>> {
        SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten()
    }

    /// Takes any buffer, and keeps those that are of the size.
    #[inline(never)]
    pub(super) fn give(room: Vec<u8>) {
        // A thread that ends has no spare ones any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if room.len() == SMALL && spare.len() < MOST {
                spare.push(room);
            }
        });
    }
}

/// Bytes received and not consumed: `room[start..end]`.
#[derive(Debug)]
pub(super) struct Input {
    room: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// An empty buffer; its memory is taken by the first [`fill`](Input::fill).
    pub(super) fn new() -> Input {
        Input { room: Vec::new(), start: 0, end: 0 }
    }

    /// What was received and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.room[self.start..self.end]
    }

    /// Forgets the first `count` of [`bytes`](Input::bytes).
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "consumed more than was received");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Receives once, and returns how many bytes came: 0 is the end of what the peer sends. A buffer that has no memory
    /// takes some when something has come, and not before.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the deadline passes first, and whatever the socket says.
    pub(super) fn fill(&mut self, stream: &TcpStream, deadline: &mut Deadline) -> io::Result<usize> {
        let count = deadline.read_by(stream, |stream| {
            self.make_room();
            let room = &mut self.room[self.end..];
            let size = room.len();
            let received = receive(stream, room);
            // Nothing was there: not kept over the wait, unless it was widened for what is to come.
            if received.is_err() && size == SMALL {
                self.shrink();
            }
            let count = received?;
            Ok((count, count < size))
        })?;
        self.end += count;
        Ok(count)
    }

    /// Gives the memory back, once nothing is left in it: before a wait that may be long.
    pub(super) fn shrink(&mut self) {
        if self.bytes().is_empty() {
            spare::give(mem::take(&mut self.room));
            (self.start, self.end) = (0, 0);
        }
    }

    /// Sees to it that a read has at least a quarter of the buffer to fill.
    fn make_room(&mut self) {
        if self.room.is_empty() {
            self.room = spare::take().unwrap_or_else(|| vec![0; SMALL]);
        }
        if self.room.len() - self.end >= self.room.len() / 4 {
            return;
        }
        if self.start > 0 {
            self.room.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // Doubling while more than half is held keeps the total copied within twice the size.
        if self.end > self.room.len() / 2 {
            self.room.resize(self.room.len() * 2, 0);
        }
    }

    /// Makes reads as large as they get, for a body that is consumed as it arrives.
    pub(super) fn widen(&mut self) {
        if self.room.len() < LARGE {
            self.room.resize(LARGE, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer as after receiving `bytes`.
    fn received(bytes: &[u8]) -> Input {
        let mut input = Input::new();
        for piece in bytes.chunks(1000) {
            input.make_room();
            input.room[input.end..][..piece.len()].copy_from_slice(piece);
            input.end += piece.len();
        }
        input
    }

    #[test]
    fn consumed_bytes_are_gone_and_the_rest_stays() {
        let mut input = received(b"first second");
        input.consume(6);
        assert_eq!(input.bytes(), b"second");
        input.consume(6);
        assert_eq!(input.bytes(), b"");
    }

    #[test]
    fn room_is_reused_before_it_grows() {
        let mut input = received(&[b'x'; 4000]);
        input.consume(3990);
        input.make_room();
        assert_eq!((input.bytes(), input.room.len()), (&[b'x'; 10][..], SMALL));
    }

    #[test]
    fn room_grows_with_what_is_held_and_shrinks_when_empty() {
        let bytes: Vec<u8> = (0..50_000).map(|i| i as u8).collect();
        let mut input = received(&bytes);
        assert_eq!(input.bytes(), bytes);
        assert!(input.room.len() <= 128 * 1024);
        input.shrink();
        assert_eq!(input.bytes().len(), 50_000, "what is held stays");
        input.consume(50_000);
        input.shrink();
        assert_eq!(input.room.len(), 0);
    }
}
