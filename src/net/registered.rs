//! A non-blocking file descriptor with its source; and the one loop of all operations on it: try, arm, park, try
//! again.

use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::abi::objects::Role;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::Waiter;
use crate::reactor::source::{self, Direction, Source};
use crate::registry::descriptors;
use crate::scheduler::park::{self, Wait, Woken};
use crate::scheduler::worker;
use crate::sys::clock;

/// What a debugger is told of a socket.
pub(super) trait Told: AsFd {
    const ROLE: Role;
    /// The address that goes with the role, from the kernel.
    fn ask_address(&self) -> Option<SocketAddr>;
}

impl Told for TcpListener {
    const ROLE: Role = Role::Listener;
    fn ask_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

impl Told for TcpStream {
    const ROLE: Role = Role::Stream;
    fn ask_address(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }
}

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

impl<T: Told> Registered<T> {
    /// Takes a file descriptor that is in non-blocking mode. Its address is asked for, unless it is known.
    pub(super) fn new(inner: T, address: Option<SocketAddr>) -> Registered<T> {
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
    pub(super) fn run_sized<R>(
        &self,
        operation: Operation,
        mut attempt: impl FnMut(&T) -> io::Result<R>,
        is_short: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let Operation { direction, timeout, .. } = operation;
        let mut deadline = None;
        loop {
            let seen = self.source.seen();
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
                        park::spend();
                        return Ok(result);
                    }
                }
            }
            if deadline.is_none() {
                deadline = timeout.map(clock::after);
            }
            self.wait(operation, deadline)?;
        }
    }

    /// Says that the next attempt would be in vain: a connection that was just begun.
    pub(super) fn expect_nothing_yet(&self, direction: Direction) {
        self.source.drained(direction, self.source.seen());
    }

    /// Waits until an attempt may succeed.
    pub(super) fn wait(&self, operation: Operation, deadline: Option<u64>) -> io::Result<()> {
        let Operation { direction, reason, .. } = operation;
        let fd = self.inner.as_fd();
        let wait = Wait::open(reason, fd.as_raw_fd() as u64)?;
        let user = wait.worker().running().id();
        descriptors::wait(fd.as_raw_fd(), T::ROLE, || self.inner.ask_address(), user);
        let poller = &wait.worker().reactor.poller;
        if !self.source.enlist(fd, direction, wait.waiter(), poller)? {
            return Ok(());
        }
        let _enlisted = Enlisted { source: self.source, direction, waiter: wait.waiter() };
        match wait.park_until(deadline) {
            Woken::Event => Ok(()),
            Woken::Deadline => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} on descriptor {} did not happen in time", reason.verb(), fd.as_raw_fd()),
            )),
        }
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

/// On a source's list; taken off however the wait ends.
pub(super) struct Enlisted {
    pub(super) source: &'static Source,
    pub(super) direction: Direction,
    pub(super) waiter: Waiter,
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        self.source.delist(self.direction, &self.waiter);
    }
}

/// A timeout that can be set while others use the socket: nanoseconds, 0 = none.
#[derive(Debug, Default)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    pub(super) fn get(&self) -> Option<Duration> {
        let nanos = self.0.load(Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// As std's setters: zero is an error, more than 584 years are never.
    pub(super) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a timeout of zero; None means for ever",
            ));
        }
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(0));
        self.0.store(nanos, Relaxed);
        Ok(())
    }
}
