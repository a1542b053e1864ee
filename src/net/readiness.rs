//! Sockets among other things that are waited for: what `select!` waits for when it is to read, write or accept.
//!
//! A source's bit says only that an attempt *may* succeed, and that it would be in vain only as of io's last look. A wait for
//! readiness makes no attempt, so the kernel is asked (one `poll`, which doesn't wait): who is told that there is something
//! does not wait for it then.

use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::registered::Registered;
use super::told::Told;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::error::Error;
use crate::reactor::source::{Direction, Source};
use crate::scheduler::worker;
use crate::sync::select::{self, Sealed, Token, Waitable};

/// One direction of a socket, to be waited for in [`select!`](crate::select): by `readable` and `writable` of the socket.
///
/// It is ready when an operation of that direction would not wait: there is something, or the end, or an error. It takes
/// nothing; where several coroutines share the socket, another one may be faster.
///
/// # Panics
/// `select!` does, with one of these, outside a runtime: nobody would report there what the socket does.
///
/// ```
/// use std::io::{Read, Write};
/// use coro::net::UnixStream;
///
/// coro::run(|| {
///     let (mut here, mut there) = UnixStream::pair()?;
///     let (stop, stopped) = coro::sync::channel::<()>(1);
///     coro::spawn(move || there.write_all(b"x").map(|()| there));
///     let got = coro::select! {
///         wait(here.readable()) => here.read(&mut [0; 10])?,
///         recv(stopped) -> _ => 0,
///     };
///     assert_eq!(got, 1);
///     # drop(stop);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Readiness<'a> {
    socket: &'a dyn Watched,
    direction: Direction,
    reason: WaitReason,
    /// It can't be watched: the operation itself will say why.
    is_refused: Cell<bool>,
}

/// A socket of any kind.
trait Watched {
    fn source(&self) -> &'static Source;
    fn fd(&self) -> BorrowedFd<'_>;
    fn note_wait(&self, user: u64);
}

impl<T: Told> Watched for Registered<T> {
    fn source(&self) -> &'static Source {
        Registered::source(self)
    }
    fn fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }
    fn note_wait(&self, user: u64) {
        Registered::note_wait(self, user);
    }
}

impl<'a> Readiness<'a> {
    pub(super) fn new<T: Told>(
        socket: &'a Registered<T>,
        direction: Direction,
        reason: WaitReason,
    ) -> Readiness<'a> {
        Readiness { socket, direction, reason, is_refused: Cell::new(false) }
    }

    fn has_something(&self) -> bool {
        let wanted = match self.direction {
            Direction::Read => PollFlags::POLLIN,
            Direction::Write => PollFlags::POLLOUT,
        };
        // An error of poll's own is one that the operation will meet, too.
        poll(&mut [PollFd::new(self.socket.fd(), wanted)], PollTimeout::ZERO) != Ok(0)
    }
}

impl Sealed for Readiness<'_> {}

impl Waitable for Readiness<'_> {
    fn is_ready(&self) -> bool {
        if worker::current().is_none() {
            let error: Error = current::outside("waiting for a socket in `select!`").into();
            panic!("{error}");
        }
        let source = self.socket.source();
        let seen = source.seen();
        if seen.is_shut() || self.is_refused.get() {
            return true;
        }
        let has_something = self.has_something();
        if !has_something {
            source.drained(self.direction, seen);
        }
        has_something
    }

    fn enlist(&self, who: &Token) -> bool {
        // `is_ready` is asked first.
        let Some(worker) = worker::current() else { return false };
        self.socket.note_wait(worker.running().id());
        let poller = &worker.reactor.poller;
        let enlisted = self.socket.source().enlist(self.socket.fd(), self.direction, who.0.clone(), poller);
        enlisted.unwrap_or_else(|_| {
            self.is_refused.set(true);
            false
        })
    }

    fn delist(&self, who: &Token) -> bool {
        // An event tells all who wait, so nothing is to be passed on.
        self.socket.source().delist(self.direction, &who.0);
        true
    }

    fn told(&self) -> select::Told {
        select::Told::new(self.reason, self.socket.fd().as_raw_fd() as u64)
    }
}

impl fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("descriptor", &self.socket.fd().as_raw_fd())
            .field("direction", &self.direction)
            .finish()
    }
}
