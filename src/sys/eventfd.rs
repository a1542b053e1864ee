//! An eventfd: by which another thread ends a worker's wait in epoll. A write costs 140 ns.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::explore;

/// A counter that is readable when it isn't zero.
#[derive(Debug)]
pub(crate) struct Eventfd(EventFd);

impl Eventfd {
    pub(crate) fn new() -> io::Result<Eventfd> {
        Ok(Eventfd(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
    }

    /// Makes it readable. The one failure of a valid eventfd, a full counter, means that it is readable.
    pub(crate) fn notify(&self) {
        let _ = self.0.write(1);
        explore::something_happened();
    }

    /// Makes it unreadable again. Not readable is no failure.
    pub(crate) fn clear(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
