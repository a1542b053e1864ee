//! `BufferedSender`: a stream with a send buffer that has watermarks.
//!
//! ```text
//!   send ──> append ──> try ──────────────> kernel        below high: returns at once
//!     │         │                             ^
//!     │         └── at high: the next send    │
//!     │             parks until low           │
//!     └────────────────────────────── io: the socket's hook, as it becomes writable
//! ```
//!
//! *No stall:* who appends tries to send, under the buffer's lock, until the source says that the kernel has no room. That
//! is said only where no event has come since the attempt; each later event runs the hook, which takes the lock, and finds
//! what was appended. An event that came before there was a hook has left its bit: who sets the hook tries once more after
//! that.
//!
//! | file | has |
//! |---|---|
//! | `stream` | what a sender needs of a stream |
//! | `shared` | the buffer, which the sender and io share |
//! | this one | the sender: what its owner calls |

mod shared;
mod stream;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use self::shared::{Level, Shared, wake};
use self::stream::Wire;
use crate::reactor::source::{Direction, ReadyHook};
use crate::registry::descriptors;
use crate::scheduler::{park, worker};
use crate::sys::{clock, lock};

pub use self::shared::Crossing;
pub use self::stream::SendsBytes;

/// Bytes that were given to senders, and not sent in the end.
static UNSENT: AtomicU64 = AtomicU64::new(0);

/// A stream whose writes don't wait for the peer: they are buffered, up to a *high watermark*.
///
/// [`send`](BufferedSender::send) appends and returns at once. When the buffer has reached the high watermark, the next one
/// waits until it has drained to the *low* one. io sends what is buffered as the peer takes it. So a peer that never reads
/// costs the high watermark and one message at most, and who sends is slowed down to what the peer takes, but not
/// woken for each byte of it.
///
/// ```
/// use coro::net::{BufferedSender, UnixStream};
/// use std::io::Read;
///
/// coro::run(|| {
///     let (stream, mut peer) = UnixStream::pair()?;
///     let sender = BufferedSender::new(stream);
///     sender.set_watermarks(64 * 1024, 256 * 1024);
///     // Nobody reads; nevertheless it returns at once.
///     sender.send(&[7; 250_000])?;
///     let reader = coro::spawn(move || {
///         let mut bytes = Vec::new();
///         peer.read_to_end(&mut bytes).map(|_| bytes.len())
///     });
///     sender.close()?; // waits until all is sent
///     assert_eq!(reader.join().unwrap()?, 250_000);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In a debugger, the record of one who waits tells the level: `write fd 9 -> 127.0.0.1:4711, 256.0 KiB buffered, above high
/// watermark`.
pub struct BufferedSender<S: SendsBytes> {
    /// Taken by `close`.
    attached: Option<Attached<S>>,
}

/// Why not all was sent: see [`BufferedSender::close`].
#[derive(Debug)]
pub struct Unsent {
    bytes: usize,
    cause: io::Error,
}

impl Unsent {
    /// How many bytes the kernel did not take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} buffered bytes were not sent: {}", self.bytes, self.cause)
    }
}

impl std::error::Error for Unsent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl From<Unsent> for io::Error {
    fn from(unsent: Unsent) -> io::Error {
        io::Error::new(unsent.cause.kind(), unsent)
    }
}

/// The sender's part of the stream; when it is dropped, io has nothing to do with it any more.
struct Attached<S: SendsBytes>(Arc<Shared<S>>);

impl<S: SendsBytes> BufferedSender<S> {
    /// A sender over a stream, with watermarks of 16 and 64 KiB. Nothing else should write to the stream as long as it lives.
    pub fn new(stream: S) -> BufferedSender<S> {
        let shared = Shared::new(stream);
        shared.tell(&shared.state());
        BufferedSender { attached: Some(Attached(Arc::new(shared))) }
    }

    /// Sets the watermarks, in bytes.
    ///
    /// # Panics
    /// If `low` is not below `high`.
    #[track_caller]
    pub fn set_watermarks(&self, low: usize, high: usize) {
        assert!(
            low < high,
            "BufferedSender::set_watermarks: the low one ({low}) has to be below the high one ({high})"
        );
        let shared = self.shared();
        let mut ready = Vec::new();
        let mut state = shared.state();
        (state.low, state.high) = (low, high);
        shared.settle(&mut state, &mut ready);
        drop(state);
        wake(ready);
    }

    /// How long the end (`close`, or dropping it) waits for the peer to take what is buffered; 5 seconds unless set.
    pub fn set_linger(&self, linger: Duration) {
        self.shared().state().linger = linger;
    }

    /// Calls `told` at each crossing of a watermark. It runs in who sends: on the way down that is the coroutine that goes
    /// on, or the next one to send or flush.
    pub fn on_crossing(&self, told: impl Fn(Crossing) + Send + Sync + 'static) {
        *lock::of(&self.shared().callback) = Some(Arc::new(told));
    }

    /// How often the buffer has reached the high watermark, and how often it has drained to the low one after that.
    pub fn crossings(&self) -> (u64, u64) {
        let [above, below] = self.shared().state().crossings;
        (above, below)
    }

    /// Bytes that are buffered.
    pub fn buffered(&self) -> usize {
        self.shared().state().chunks.len()
    }

    /// The stream; to be read from.
    pub fn get_ref(&self) -> &S {
        &self.shared().stream
    }

    /// Sends all of `bytes` sooner or later; waits while the buffer is above its high watermark.
    ///
    /// # Errors
    /// `TimedOut` when it has waited for as long as the stream's write timeout says; of `bytes` nothing was taken then. What
    /// went wrong with the stream, now or when something earlier was sent: what is buffered will not be sent any more.
    /// Outside a runtime.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        worker::of_user("BufferedSender::send")?;
        park::spend();
        let shared = self.shared();
        let mut deadline = None;
        loop {
            shared.call_back_below();
            let mut ready = Vec::new();
            let mut state = shared.state();
            shared.check(&state)?;
            if state.is_above {
                drop(state);
                deadline = deadline.or_else(|| shared.stream.wire().timeout.map(clock::after));
                shared.wait(Level::Low, deadline)?;
                continue;
            }
            let rest = if state.chunks.is_empty() { shared.send_directly(&mut state, bytes) } else { bytes };
            state.chunks.append(rest);
            shared.drive(&mut state, &mut ready);
            let goes_above = !state.is_above && state.chunks.len() >= state.high;
            if goes_above {
                state.is_above = true;
                state.crossings[0] += 1;
            }
            let (is_waiting, failed) = (!state.chunks.is_empty(), shared.check(&state));
            drop(state);
            wake(ready);
            failed?;
            if is_waiting {
                self.hook()?;
            }
            if goes_above {
                shared.call_back(Crossing::Above);
            }
            return Ok(());
        }
    }

    /// Waits until the kernel has taken everything.
    ///
    /// # Errors
    /// As [`send`](BufferedSender::send).
    pub fn flush(&self) -> io::Result<()> {
        let deadline = self.shared().stream.wire().timeout.map(clock::after);
        self.flush_until(deadline)
    }

    fn flush_until(&self, deadline: Option<u64>) -> io::Result<()> {
        let shared = self.shared();
        loop {
            shared.call_back_below();
            let state = shared.state();
            shared.check(&state)?;
            let is_empty = state.chunks.is_empty();
            drop(state);
            if is_empty {
                return Ok(());
            }
            // By a runtime that has ended meanwhile, or none yet.
            self.hook()?;
            shared.wait(Level::Empty, deadline)?;
        }
    }

    /// Waits, for as long as `set_linger` says, until the kernel has taken everything, and gives the stream back. Dropping
    /// the sender does the same, but nobody learns what was lost, except from [`unsent`](BufferedSender::unsent).
    ///
    /// # Errors
    /// If not everything was sent: how many bytes were not. The stream is closed.
    pub fn close(mut self) -> Result<S, Unsent> {
        let linger = self.shared().state().linger;
        let flushed = self.flush_until(Some(clock::after(linger)));
        let attached = self.attached.take().expect("only this takes it");
        let shared = Arc::clone(&attached.0);
        let bytes = shared.state().chunks.len();
        drop(attached);
        match flushed {
            Err(cause) if bytes > 0 => Err(Unsent { bytes, cause }),
            _ => Ok(Arc::into_inner(shared).expect("io has let go of it").stream),
        }
    }

    /// How many bytes were given to senders of this process and then not sent, because the peer did not take them within
    /// the linger time, or something went wrong.
    pub fn unsent() -> u64 {
        UNSENT.load(Relaxed)
    }

    fn shared(&self) -> &Arc<Shared<S>> {
        &self.attached.as_ref().expect("there until `close`").0
    }

    /// Has io send what is buffered.
    fn hook(&self) -> io::Result<()> {
        let worker = worker::of_user("BufferedSender::flush")?;
        let Wire { fd, source, .. } = self.shared().stream.wire();
        source.hook(fd, &worker.reactor.poller, Arc::clone(self.shared()) as Arc<dyn ReadyHook>)?;
        // The kernel may have made room while there was no hook, where somebody else has the descriptor watched already.
        if source.is_ready(Direction::Write) {
            let mut ready = Vec::new();
            self.shared().drive(&mut self.shared().state(), &mut ready);
            wake(ready);
        }
        Ok(())
    }
}

impl<S: SendsBytes> Write for &BufferedSender<S> {
    /// As `send`: all of it is taken.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        BufferedSender::flush(self)
    }
}

impl<S: SendsBytes> Write for BufferedSender<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        BufferedSender::flush(self)
    }
}

impl<S: SendsBytes> Drop for BufferedSender<S> {
    fn drop(&mut self) {
        // While it unwinds, a wait would keep all of the thread's coroutines from running: what the kernel has no room
        // for now is lost, and counted.
        if self.attached.is_some() && !thread::panicking() && self.buffered() > 0 {
            let linger = self.shared().state().linger;
            let _ = self.flush_until(Some(clock::after(linger)));
        }
    }
}

impl<S: SendsBytes> Drop for Attached<S> {
    fn drop(&mut self) {
        let Wire { fd, source, .. } = self.0.stream.wire();
        source.unhook();
        let state = self.0.state();
        UNSENT.fetch_add(state.chunks.len() as u64, Relaxed);
        descriptors::buffer(std::os::fd::AsRawFd::as_raw_fd(&fd), 0, 0, 0);
    }
}

impl<S: SendsBytes> fmt::Debug for BufferedSender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedSender").field("buffered", &self.buffered()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::stream::Stream as _;
    use super::*;
    use crate::net::UnixStream;

    /// As on another worker, which has the stream watched: it tells of the room while the sender has no hook yet.
    #[test]
    fn room_that_came_before_the_hook_is_used() {
        crate::run(|| {
            let (stream, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
            peer.set_nonblocking(true).unwrap();
            let sender = BufferedSender::new(UnixStream::from_std(stream).unwrap());
            let shared = sender.shared();
            let source = shared.stream.wire().source;
            // Watched, by one who reads.
            let watching = Arc::clone(shared);
            let reader = crate::spawn(move || (&mut &watching.stream).read(&mut [0; 1]).unwrap());
            crate::yield_now();
            let appended = [7; 1 << 20];
            {
                let mut state = shared.state();
                state.chunks.append(&appended);
                shared.drive(&mut state, &mut Vec::new());
                assert!(!state.chunks.is_empty() && !source.is_ready(Direction::Write));
            }
            let mut count = 0;
            // How much there was. Then io looks for events.
            let mut take_some = || {
                let taken = peer.read(&mut [0; 1 << 16]).unwrap_or(0);
                count += taken;
                crate::sleep(Duration::from_micros(100));
                (taken, count)
            };
            // To the last byte, so that no later event tells of more room.
            while take_some().0 > 0 || !source.is_ready(Direction::Write) {}
            sender.hook().unwrap();
            while take_some().1 < appended.len() {}
            peer.write_all(&[1]).unwrap();
            assert_eq!((reader.join().unwrap(), sender.buffered()), (1, 0));
        })
        .unwrap();
    }
}
