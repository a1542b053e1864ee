//! epoll with timeouts in nanoseconds.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{epoll_event, timespec};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll as NixEpoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// Events that one wait can bring.
pub(crate) const BATCH: usize = 256;

/// One epoll set.
#[derive(Debug)]
pub(crate) struct Epoll {
    set: NixEpoll,
    /// Cleared when the kernel (or valgrind) doesn't know `epoll_pwait2`.
    has_nanoseconds: AtomicBool,
}

/// What is ready, and the number under which it was added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) data: u64,
    pub(crate) flags: EpollFlags,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        Ok(Epoll {
            set: NixEpoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            has_nanoseconds: AtomicBool::new(true),
        })
    }

    /// Watches `fd` for all there is, edge-triggered: one call in the fd's life.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, data: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLPRI
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        Ok(self.set.add(fd, EpollEvent::new(flags, data))?)
    }

    /// Watches `fd` for input only, as long as there is some.
    pub(crate) fn add_level(&self, fd: BorrowedFd<'_>, data: u64) -> io::Result<()> {
        Ok(self.set.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, data))?)
    }

    /// Stops watching `fd`.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.set.delete(fd)?)
    }

    /// Waits until something is ready, but at most `timeout` nanoseconds (`None`: for ever), and appends to
    /// `ready`. A signal ends the wait with nothing. The events' 3 KiB lie on the caller's stack.
    pub(crate) fn wait(&self, timeout: Option<u64>, ready: &mut Vec<Event>) -> io::Result<()> {
        let mut events = [const { MaybeUninit::uninit() }; BATCH];
        let count = match self.wait_raw(timeout, &mut events) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        // SAFETY: the kernel has filled in so many.
        let events = unsafe { slice::from_raw_parts(events.as_ptr().cast::<epoll_event>(), count) };
        ready.extend(events.iter().map(|event| Event {
            data: event.u64,
            flags: EpollFlags::from_bits_truncate(event.events as i32),
        }));
        Ok(())
    }

    /// Whether a wait would bring something at once.
    pub(crate) fn has_events(&self) -> bool {
        poll(&mut [PollFd::new(self.set.0.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)
            .is_ok_and(|count| count > 0)
    }

    fn wait_raw(
        &self,
        timeout: Option<u64>,
        events: &mut [MaybeUninit<epoll_event>; BATCH],
    ) -> io::Result<usize> {
        let fd = self.set.0.as_fd().as_raw_fd();
        if self.has_nanoseconds.load(Ordering::Relaxed) {
            let limit = timeout.map(|nanos| timespec {
                tv_sec: (nanos / 1_000_000_000) as libc::time_t,
                tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
            });
            let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: `events` has room for BATCH events, `limit` is null or lives across the call, and a null
            // signal mask leaves the thread's mask alone.
            let count = unsafe {
                libc::epoll_pwait2(fd, events.as_mut_ptr().cast(), BATCH as i32, limit, std::ptr::null())
            };
            if count >= 0 {
                return Ok(count as usize);
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ENOSYS) {
                return Err(error);
            }
            self.has_nanoseconds.store(false, Ordering::Relaxed);
        }
        // Up to the next millisecond: a timer may fire late, but never early.
        let millis = timeout.map_or(-1, |nanos| nanos.div_ceil(1_000_000).min(i32::MAX as u64) as i32);
        // SAFETY: `events` has room for BATCH events.
        let count = unsafe { libc::epoll_wait(fd, events.as_mut_ptr().cast(), BATCH as i32, millis) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}
