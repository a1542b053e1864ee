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
//! what was appended. (The hook is registered before anybody relies on it: adding to the epoll set reports what is ready.)
//!
//! *Locks:* the source's is taken before the buffer's, by the hook; who holds the buffer's asks the source for nothing that
//! takes its lock.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::mem;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, sendmsg};

use self::sealed::{Stream, Wire};
use super::chunks::{BATCH, Chunks};
use super::{TcpStream, UnixStream};
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::reactor::Ready;
use crate::reactor::source::{Direction, ReadyHook, Source};
use crate::registry::descriptors;
use crate::scheduler::park::{self, Wait, Woken};
use crate::scheduler::worker;
use crate::sys::clock;

/// Watermarks unless set: bytes.
const LOW: usize = 16 * 1024;
const HIGH: usize = 64 * 1024;
/// How long the end waits for a peer who has not read everything, unless set.
const LINGER: Duration = Duration::from_secs(5);

/// Bytes that were given to senders, and not sent in the end.
static UNSENT: AtomicU64 = AtomicU64::new(0);

/// What a [`BufferedSender`] can be made of: a [`TcpStream`], a [`UnixStream`], or an `Arc` of one, for who goes on reading
/// from it.
pub trait SendsBytes: Stream {}

impl SendsBytes for TcpStream {}
impl SendsBytes for UnixStream {}
impl<S: SendsBytes> SendsBytes for Arc<S> {}

mod sealed {
    use std::os::fd::BorrowedFd;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::reactor::source::Source;

    /// What the sender needs of a stream.
    #[derive(Debug)]
    pub struct Wire<'a> {
        pub(super) fd: BorrowedFd<'a>,
        pub(super) source: &'static Source,
        pub(super) timeout: Option<Duration>,
    }

    pub trait Stream: Send + Sync + 'static {
        fn wire(&self) -> Wire<'_>;
        /// Tells readers who is about to wait.
        fn note_wait(&self, user: u64);
    }

    impl<S: Stream> Stream for Arc<S> {
        fn wire(&self) -> Wire<'_> {
            (**self).wire()
        }

        fn note_wait(&self, user: u64) {
            (**self).note_wait(user);
        }
    }
}

macro_rules! wire {
    ($type:ident) => {
        impl Stream for $type {
            fn wire(&self) -> Wire<'_> {
                let timeout = self.write_timeout().unwrap_or(None);
                Wire { fd: std::os::fd::AsFd::as_fd(self), source: self.inner.source(), timeout }
            }

            fn note_wait(&self, user: u64) {
                self.inner.note_wait(user);
            }
        }
    };
}

wire!(TcpStream);
wire!(UnixStream);

/// The buffer has gone over a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// It has reached the high one: the next `send` waits.
    Above,
    /// It has drained to the low one: who waited goes on.
    Below,
}

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

struct Shared<S: SendsBytes> {
    stream: S,
    state: Mutex<State>,
    callback: Mutex<Option<Callback>>,
}

type Callback = Arc<dyn Fn(Crossing) + Send + Sync>;

struct State {
    chunks: Chunks,
    low: usize,
    high: usize,
    linger: Duration,
    /// It was at the high watermark, and since then not at the low one.
    is_above: bool,
    crossings: [u64; 2],
    /// It went below, and the callback has not been told.
    is_below_untold: bool,
    /// The first error, by its number; nothing is sent after it.
    failed: Option<i32>,
    /// By `Level`.
    waiting: [Waiters; 2],
}

/// Until when one waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Low = 0,
    Empty = 1,
}

impl<S: SendsBytes> BufferedSender<S> {
    /// A sender over a stream, with watermarks of 16 and 64 KiB. Nothing else should write to the stream as long as it lives.
    pub fn new(stream: S) -> BufferedSender<S> {
        let shared = Shared {
            stream,
            state: Mutex::new(State {
                chunks: Chunks::default(),
                low: LOW,
                high: HIGH,
                linger: LINGER,
                is_above: false,
                crossings: [0; 2],
                is_below_untold: false,
                failed: None,
                waiting: [Waiters::new(), Waiters::new()],
            }),
            callback: Mutex::new(None),
        };
        shared.tell(&shared.state());
        BufferedSender { attached: Some(Attached(Arc::new(shared))) }
    }

    /// Sets the watermarks, in bytes.
    ///
    /// # Panics
    /// If `low` is not below `high`.
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
        *self.shared().callback.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(told));
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
        source.hook(fd, &worker.reactor.poller, Arc::clone(self.shared()) as Arc<dyn ReadyHook>)
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

impl<S: SendsBytes> Shared<S> {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the user's runs under the lock, so a panic under it left the state in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What readers are told.
    fn tell(&self, state: &State) {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.stream.wire().fd);
        descriptors::buffer(fd, state.chunks.len(), state.low, state.high);
    }

    fn check(&self, state: &State) -> io::Result<()> {
        let Some(number) = state.failed else { return Ok(()) };
        let error = io::Error::from_raw_os_error(number);
        if state.chunks.is_empty() {
            return Err(error);
        }
        let what = format!("{error}; {} buffered bytes were not sent", state.chunks.len());
        Err(io::Error::new(error.kind(), what))
    }

    /// Gives the kernel what it takes of bytes that nobody has to wait behind; the rest is to be buffered.
    fn send_directly<'a>(&self, state: &mut State, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty()
            && let Some(count) = self.attempt(state, &[IoSlice::new(rest)])
        {
            rest = &rest[count..];
        }
        rest
    }

    /// Gives the kernel what it takes of the buffer. Appends whom that concerns.
    fn drive(&self, state: &mut State, ready: &mut Vec<Ready>) {
        let mut chunks = mem::take(&mut state.chunks);
        while !chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); BATCH];
            let count = chunks.front(&mut slices);
            let Some(count) = self.attempt(state, &slices[..count]) else { break };
            chunks.consume(count);
        }
        state.chunks = chunks;
        self.settle(state, ready);
    }

    /// One attempt after another, until one sends something; nothing when there is no room, or an error.
    fn attempt(&self, state: &mut State, slices: &[IoSlice<'_>]) -> Option<usize> {
        let Wire { fd, source, .. } = self.stream.wire();
        loop {
            let seen = source.seen();
            if seen.is_shut() {
                state.failed.get_or_insert(libc::ENOTCONN);
            }
            if state.failed.is_some() || !source.is_ready(Direction::Write) {
                return None;
            }
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(std::os::fd::AsRawFd::as_raw_fd(&fd), slices, &[], flags, None) {
                Ok(count) => return Some(count),
                Err(nix::Error::EINTR) => {}
                Err(nix::Error::EAGAIN) => source.drained(Direction::Write, seen),
                Err(error) => state.failed = Some(error as i32),
            }
        }
    }

    /// After the buffer, the marks or the stream have changed: who may go on.
    fn settle(&self, state: &mut State, ready: &mut Vec<Ready>) {
        let length = state.chunks.len();
        if state.is_above && length <= state.low {
            state.is_above = false;
            state.crossings[1] += 1;
            state.is_below_untold = true;
        }
        let is_over = state.failed.is_some();
        for (waiters, goes_on) in state.waiting.iter_mut().zip([!state.is_above, length == 0]) {
            if goes_on || is_over {
                ready.extend(std::iter::from_fn(|| waiters.pop()).map(Ready::Event));
            }
        }
        self.tell(state);
    }

    fn wait(&self, level: Level, deadline: Option<u64>) -> io::Result<()> {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.stream.wire().fd);
        let wait = Wait::open(WaitReason::Write, fd as u64)?;
        self.stream.note_wait(wait.worker().running().id());
        let waiter = wait.waiter();
        {
            let mut state = self.state();
            let must_wait = match level {
                Level::Low => state.is_above,
                Level::Empty => !state.chunks.is_empty(),
            };
            if !must_wait || state.failed.is_some() {
                return Ok(());
            }
            state.waiting[level as usize].push(waiter.clone());
        }
        let _enlisted = Enlisted { shared: self, level, waiter };
        match wait.park_until(deadline) {
            Woken::Event => Ok(()),
            Woken::Deadline => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the peer on descriptor {fd} did not take what is buffered in time"),
            )),
        }
    }

    /// Tells the callback of a way down that io has seen.
    fn call_back_below(&self) {
        let untold = mem::take(&mut self.state().is_below_untold);
        if untold {
            self.call_back(Crossing::Below);
        }
    }

    fn call_back(&self, crossing: Crossing) {
        let callback = self.callback.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(callback) = callback {
            callback(crossing);
        }
    }
}

impl<S: SendsBytes> ReadyHook for Shared<S> {
    fn on_event(&self, _: &Source, ready: &mut Vec<Ready>) {
        self.drive(&mut self.state(), ready);
    }
}

/// On the list of those who wait for a level; taken off however the wait ends.
struct Enlisted<'a, S: SendsBytes> {
    shared: &'a Shared<S>,
    level: Level,
    waiter: Waiter,
}

impl<S: SendsBytes> Drop for Enlisted<'_, S> {
    fn drop(&mut self) {
        self.shared.state().waiting[self.level as usize].remove(&self.waiter);
    }
}

fn wake(ready: Vec<Ready>) {
    for who in ready {
        if let Ready::Event(waiter) = who {
            park::wake(&waiter);
        }
    }
}
