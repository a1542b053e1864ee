//! A descriptor of the runtime's own that tells of something else by being readable: of a signal, of a process's end.
//!
//! It is watched from the first wait on, as a socket is, and not anew for each: so it can be one of several things that
//! are waited for, also by several. What it tells of is not in it: who waits looks there, and the descriptor is never read.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::registered::{Operation, Registered};
use super::told::Told;
use crate::abi::objects::Role;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::error::Error;
use crate::reactor::source::Direction;
use crate::registry::descriptors::Address;
use crate::scheduler::{park, worker};
use crate::sync::select::{self, Token};

/// See the module.
#[derive(Debug)]
pub(crate) struct Telltale<T: Told> {
    registered: Registered<T>,
    reason: WaitReason,
    /// It could not be watched: the operation itself will say why. Told once, since the next attempt may succeed.
    is_refused: AtomicBool,
}

impl<T: Told> Telltale<T> {
    pub(crate) fn new(inner: T, reason: WaitReason) -> Telltale<T> {
        Telltale { registered: Registered::new(inner, None), reason, is_refused: AtomicBool::new(false) }
    }

    /// Looks until there is something, and waits in between. What is there is taken at once, whether the descriptor has told of
    /// it yet or not: so who found it there in `select!` doesn't wait for it.
    ///
    /// # Errors
    /// `TimedOut`; what the look fails with; outside a runtime, where it would have to wait.
    pub(crate) fn wait<R>(
        &self,
        timeout: Option<Duration>,
        mut look: impl FnMut() -> io::Result<Option<R>>,
    ) -> io::Result<R> {
        park::spend();
        if let Some(found) = look()? {
            return Ok(found);
        }
        if let Some(worker) = worker::current() {
            self.registered.source().leave_others(self.fd(), &worker.reactor.poller);
        }
        let operation = Operation { direction: Direction::Read, reason: self.reason, timeout };
        self.registered.run(operation, |_| look()?.ok_or_else(|| io::ErrorKind::WouldBlock.into()))
    }

    /// Of an arm of `select!`: whether there is something, which `look` says.
    pub(crate) fn is_ready(&self, look: impl FnOnce() -> bool) -> bool {
        if worker::current().is_none() {
            // Nobody would report there what the descriptor tells.
            let error: Error = current::outside(self.reason.verb()).into();
            panic!("in `select!`: {error}");
        }
        let source = self.registered.source();
        // Before the look: what is told of after it is another tick.
        let seen = source.seen();
        let is_there = self.is_refused.swap(false, Relaxed) || look();
        if !is_there {
            source.drained(Direction::Read, seen);
        }
        is_there
    }

    pub(crate) fn enlist(&self, who: &Token) -> bool {
        // `is_ready` is asked first.
        let Some(worker) = worker::current() else { return false };
        self.registered.note_wait(worker.running().id());
        let (source, poller) = (self.registered.source(), &worker.reactor.poller);
        source.leave_others(self.fd(), poller);
        let enlisted = source.enlist(self.fd(), Direction::Read, who.0.clone(), poller);
        enlisted.unwrap_or_else(|_| {
            self.is_refused.store(true, Relaxed);
            false
        })
    }

    pub(crate) fn delist(&self, who: &Token) -> bool {
        // An event tells all who wait, so nothing is to be passed on.
        self.registered.source().delist(Direction::Read, &who.0);
        true
    }

    pub(crate) fn told(&self) -> select::Told {
        select::Told::new(self.reason, self.fd().as_raw_fd() as u64)
    }

    /// Whether the descriptor is readable now.
    pub(crate) fn is_readable(&self) -> bool {
        // An error of poll's own is one that the operation will meet, too.
        poll(&mut [PollFd::new(self.fd(), PollFlags::POLLIN)], PollTimeout::ZERO) != Ok(0)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.registered.as_fd()
    }
}

macro_rules! told_as_other {
    ($($type:ty),*) => {
        $(impl Told for $type {
            const ROLE: Role = Role::Other;
            fn ask_address(&self) -> Option<Address> {
                None
            }
        })*
    };
}

told_as_other!(OwnedFd, BorrowedFd<'static>);

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::scheduler::park::Wait;

    #[test]
    fn refusal_to_be_watched_is_told_once() {
        crate::run(|| {
            // A file is what epoll doesn't watch.
            let file = OwnedFd::from(File::open("/proc/self/exe").unwrap());
            let telltale = Telltale::new(file, WaitReason::Signal);
            for _ in 0..2 {
                assert!(!telltale.is_ready(|| false));
                let wait = Wait::open(WaitReason::Select, 0).unwrap();
                assert!(!telltale.enlist(&Token(wait.waiter(), None)), "it can't be watched");
                drop(wait);
                assert!(telltale.is_ready(|| false), "the operation is to say why");
            }
            assert!(!telltale.is_ready(|| false), "another one may be let in");
            assert!(telltale.wait::<()>(None, || Ok(None)).is_err());
        })
        .unwrap();
    }
}
