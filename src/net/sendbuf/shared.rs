//! What a sender shares with io: the buffer, who waits until it has drained, and the attempts to send.
//!
//! *Locks:* the source's is taken before the buffer's, by the hook; who holds the buffer's asks the source for nothing that
//! takes its lock.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, sendmsg};

use super::super::chunks::{BATCH, Chunks};
use super::stream::{SendsBytes, Wire};
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::reactor::Ready;
use crate::reactor::source::{Direction, ReadyHook, Source};
use crate::registry::descriptors;
use crate::scheduler::park::{self, Wait, Woken};
use crate::sys::lock;

/// Watermarks unless set: bytes.
const LOW: usize = 16 * 1024;
const HIGH: usize = 64 * 1024;
/// How long the end waits for a peer who has not read everything, unless set.
const LINGER: Duration = Duration::from_secs(5);

/// The buffer has gone over a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// It has reached the high one: the next `send` waits.
    Above,
    /// It has drained to the low one: who waited goes on.
    Below,
}

/// See the module.
pub(super) struct Shared<S: SendsBytes> {
    pub(super) stream: S,
    pub(super) state: Mutex<State>,
    pub(super) callback: Mutex<Option<Callback>>,
}

pub(super) type Callback = Arc<dyn Fn(Crossing) + Send + Sync>;

pub(super) struct State {
    pub(super) chunks: Chunks,
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) linger: Duration,
    /// It was at the high watermark, and since then not at the low one.
    pub(super) is_above: bool,
    pub(super) crossings: [u64; 2],
    /// It went below, and the callback has not been told.
    is_below_untold: bool,
    /// The first error, by its number; nothing is sent after it.
    failed: Option<i32>,
    /// By `Level`.
    waiting: [Waiters; 2],
}

/// Until when one waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Low = 0,
    Empty = 1,
}

impl<S: SendsBytes> Shared<S> {
    /// With the usual watermarks, and nothing in it.
    pub(super) fn new(stream: S) -> Shared<S> {
        Shared {
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
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No code of the user's runs under the lock, so a panic under it left the state in order.
        lock::of(&self.state)
    }

    /// What readers are told.
    pub(super) fn tell(&self, state: &State) {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.stream.wire().fd);
        descriptors::buffer(fd, state.chunks.len(), state.low, state.high);
    }

    pub(super) fn check(&self, state: &State) -> io::Result<()> {
        let Some(number) = state.failed else { return Ok(()) };
        let error = io::Error::from_raw_os_error(number);
        if state.chunks.is_empty() {
            return Err(error);
        }
        let what = format!("{error}; {} buffered bytes were not sent", state.chunks.len());
        Err(io::Error::new(error.kind(), what))
    }

    /// Gives the kernel what it takes of bytes that nobody has to wait behind; the rest is to be buffered.
    pub(super) fn send_directly<'a>(&self, state: &mut State, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while !rest.is_empty()
            && let Some(count) = self.attempt(state, &[IoSlice::new(rest)])
        {
            rest = &rest[count..];
        }
        rest
    }

    /// Gives the kernel what it takes of the buffer. Appends whom that concerns.
    pub(super) fn drive(&self, state: &mut State, ready: &mut Vec<Ready>) {
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
    pub(super) fn settle(&self, state: &mut State, ready: &mut Vec<Ready>) {
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

    pub(super) fn wait(&self, level: Level, deadline: Option<u64>) -> io::Result<()> {
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
    pub(super) fn call_back_below(&self) {
        let untold = mem::take(&mut self.state().is_below_untold);
        if untold {
            self.call_back(Crossing::Below);
        }
    }

    pub(super) fn call_back(&self, crossing: Crossing) {
        let callback = lock::of(&self.callback).clone();
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

/// Those whom an attempt has found.
pub(super) fn wake(ready: Vec<Ready>) {
    for who in ready {
        if let Ready::Event(waiter) = who {
            park::wake(&waiter);
        }
    }
}
