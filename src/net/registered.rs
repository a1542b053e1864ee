//! A non-blocking file descriptor with its source; and the one loop of all operations on it: try, arm, park, try
//! again.

use std::io;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::timeout::Patience;
use super::told::{self, Told};
use crate::abi::record::Record;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::coroutine::{cancel, current};
use crate::reactor::Ready;
use crate::reactor::source::{self, Direction, Source};
use crate::registry::descriptors::{self, Address};
use crate::scheduler::park::{self, Wait, Woken};
use crate::scheduler::worker;
use crate::sys::clock;

/// Something with a file descriptor that doesn't block, and who waits for it.
#[derive(Debug)]
pub(super) struct Registered<T: Told> {
    inner: ManuallyDrop<T>,
    source: &'static Source,
}

/// One kind of operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) direction: Direction,
    pub(super) reason: WaitReason,
    /// How long it may wait in all.
    pub(super) timeout: Option<Duration>,
}

impl Operation {
    /// The same, for as long as a patience lasts, of which the operation's own error tells.
    pub(super) fn within(self, patience: &Patience) -> Operation {
        Operation { timeout: Some(patience.length), ..self }
    }
}

impl<T: Told> Registered<T> {
    /// Takes a file descriptor that is in non-blocking mode. Its address is asked for, unless it is known.
    pub(super) fn new(inner: T, address: Option<Address>) -> Registered<T> {
        let user = current::running().map_or(0, |record| record.id());
        let ask = || address.or_else(|| inner.ask_address());
        descriptors::open(inner.as_fd().as_raw_fd(), T::ROLE, ask, user);
        Registered { inner: ManuallyDrop::new(inner), source: source::acquire() }
    }

    /// The file descriptor's owner, no longer watched.
    pub(super) fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        descriptors::close(this.inner.as_fd().as_raw_fd());
        source::release(this.source, this.inner.as_fd());
        // SAFETY: `this` is never dropped, nor used again.
        unsafe { ManuallyDrop::take(&mut this.inner) }
    }

    /// Tries `attempt` until it gives something else than `WouldBlock`, and waits in between.
    ///
    /// # Errors
    /// `TimedOut` when the operation's timeout has passed; what the attempt fails with; outside a runtime, where
    /// it would have to wait.
    pub(super) fn run<R>(
        &self,
        operation: Operation,
        attempt: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.run_sized(operation, attempt, |_| false)
    }

    /// As `run`; `is_short` says of a result that it was less than there was room for, so that nothing is left.
    #[inline(always)]
    pub(super) fn run_sized<R>(
        &self,
        operation: Operation,
        attempt: impl FnMut(&T) -> io::Result<R>,
        is_short: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let mut deadline = None;
        let deadline = || *deadline.get_or_insert_with(|| operation.timeout.map(clock::after));
        self.run_until(operation, deadline, attempt, is_short)
    }

    /// As `run_sized`; until when it may wait says `deadline`, which is asked before each wait.
    ///
    /// Inlined, since each operation has its own: left to the compiler it depends on the rest of the crate, and a read or a
    /// write takes up to twenty instructions more.
    #[inline(always)]
    pub(super) fn run_until<R>(
        &self,
        operation: Operation,
        mut deadline: impl FnMut() -> Option<u64>,
        mut attempt: impl FnMut(&T) -> io::Result<R>,
        is_short: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let direction = operation.direction;
        park::spend();
        loop {
            let seen = self.source.seen();
            if seen.is_shut() {
                return Err(self.is_closed(operation));
            }
            // Outside a runtime nobody reports events, and the last attempt's failure says nothing of this one.
            if self.source.is_ready(direction) || worker::current().is_none() {
                match attempt(&self.inner) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.source.drained(direction, seen)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                    Ok(result) => {
                        if is_short(&result) {
                            self.source.short(direction, seen);
                        }
                        return Ok(result);
                    }
                }
            }
            self.wait(operation, deadline())?;
        }
    }

    /// What a read is to give that got `count` bytes: an end which the own `close` has made, amid the attempt, is the error that it
    /// is for everybody else.
    pub(super) fn unless_closed(&self, operation: Operation, count: usize, room: usize) -> io::Result<usize> {
        if count == 0 && room > 0 && self.has_been_closed() {
            return Err(self.is_closed(operation));
        }
        Ok(count)
    }

    /// Says that the next attempt would be in vain: a connection that was just begun.
    pub(super) fn expect_nothing_yet(&self, direction: Direction) {
        self.source.drained(direction, self.source.seen());
    }

    /// One attempt, which doesn't wait.
    pub(super) fn attempt<R>(
        &self,
        operation: Operation,
        mut attempt: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            if self.has_been_closed() {
                return Err(self.is_closed(operation));
            }
            match attempt(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Waits until a time, for what the kernel doesn't tell of.
    pub(super) fn pause(&self, operation: Operation, until: u64) -> io::Result<()> {
        let wait = Wait::open(operation.reason, self.inner.as_fd().as_raw_fd() as u64)?;
        self.note_wait(wait.worker().running().id());
        wait.park_until(Some(until));
        Ok(())
    }

    /// The error of an operation that took too long.
    pub(super) fn timed_out(&self, operation: Operation) -> io::Error {
        let (tried, fd) = (operation.reason.verb(), self.inner.as_fd().as_raw_fd());
        // Of a connection that was not made the kernel knows no peer; who makes it says whose it was to be.
        let whose = self.inner.ask_address().and_then(|address| told::words(T::ROLE, &address));
        let whose = whose.unwrap_or_default();
        let limit = operation.timeout.map_or_else(|| "in time".into(), |limit| format!("within {limit:?}"));
        let what = format!("{tried} on descriptor {fd}{whose} did not happen {limit}");
        io::Error::new(io::ErrorKind::TimedOut, what)
    }

    /// Whether epoll has told of an end, the peer's or the own, or of an error.
    pub(super) fn may_be_over(&self) -> bool {
        self.source.seen().is_closed()
    }

    /// Tells readers who is about to wait.
    pub(super) fn note_wait(&self, user: u64) {
        descriptors::wait(self.inner.as_fd().as_raw_fd(), T::ROLE, || self.inner.ask_address(), user);
    }

    /// Waits until an attempt may succeed.
    pub(super) fn wait(&self, operation: Operation, deadline: Option<u64>) -> io::Result<()> {
        let Operation { direction, reason, .. } = operation;
        let fd = self.inner.as_fd();
        let wait = Wait::open(reason, fd.as_raw_fd() as u64)?;
        let record = wait.worker().running();
        self.note_wait(record.id());
        let poller = &wait.worker().reactor.poller;
        if !self.source.enlist(fd, direction, wait.waiter(), poller)? {
            return Ok(());
        }
        let enlisted = Enlisted { source: self.source, direction, waiter: wait.waiter() };
        let woken = wait.park_until(deadline);
        enlisted.leave(woken, record);
        match woken {
            Woken::Event => Ok(()),
            Woken::Deadline => Err(self.timed_out(operation)),
        }
    }

    /// Ends the use of the descriptor by all who share it. It stays open until its owner is dropped: so its number can't
    /// be another one's while somebody is about to use it.
    pub(super) fn close(&self) {
        self.closer().close();
        // Its peer is told now. Of a listener that ends listening; a datagram socket without a peer has nobody to tell.
        let _ = nix::sys::socket::shutdown(self.inner.as_fd().as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    /// Whether [`Registered::close`] was called.
    pub(super) fn has_been_closed(&self) -> bool {
        self.source.seen().is_shut()
    }

    /// By which somebody else may end its use, who neither owns nor borrows it.
    pub(super) fn closer(&self) -> Closer {
        Closer { source: self.source, generation: self.source.generation() }
    }

    /// The source, for a hook.
    pub(super) fn source(&self) -> &'static Source {
        self.source
    }

    #[cold]
    fn is_closed(&self, operation: Operation) -> io::Error {
        let (tried, fd) = (operation.reason.verb(), self.inner.as_fd().as_raw_fd());
        io::Error::new(
            io::ErrorKind::NotConnected,
            format!("{tried} on descriptor {fd} is not possible: the socket was closed by who shares it"),
        )
    }
}

impl<T: Told> Deref for Registered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Told> Drop for Registered<T> {
    fn drop(&mut self) {
        // Before the close: the number may be another one's at once.
        descriptors::close(self.inner.as_fd().as_raw_fd());
        // Before the close: see `source::release`.
        source::release(self.source, self.inner.as_fd());
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
    }
}

/// Ends the use of a socket by who has it; nothing when that has been dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closer {
    source: &'static Source,
    generation: u64,
}

impl Closer {
    /// Who waits on the socket, or uses it from now on, gets an error.
    pub(crate) fn close(self) {
        let mut ready = Vec::new();
        self.source.shut(self.generation, &mut ready);
        for who in ready {
            if let Ready::Event(waiter) = who {
                park::wake(&waiter);
            }
        }
    }
}

/// On a source's list; taken off however the wait ends.
pub(super) struct Enlisted {
    pub(super) source: &'static Source,
    pub(super) direction: Direction,
    pub(super) waiter: Waiter,
}

impl Enlisted {
    /// The coroutine's wait has ended. If nothing but an event can have ended it, that has taken it off.
    pub(super) fn leave(self, woken: Woken, record: &Record) {
        if woken == Woken::Event && !cancel::may_end_waits(record) {
            mem::forget(self);
        }
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        self.source.delist(self.direction, &self.waiter);
    }
}
