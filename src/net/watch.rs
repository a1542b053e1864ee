//! Waiting for a file descriptor that is somebody else's: a C library's, a pipe, a signal's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use super::registered::Enlisted;
use crate::abi::objects::Role;
use crate::abi::wait::WaitReason;
use crate::reactor::source::{self, Direction, Source};
use crate::registry::descriptors;
use crate::scheduler::park::{Wait, Woken};
use crate::sys::clock;

/// Waits until a file descriptor can be read, or its other end was closed; for `timeout` at most. For C libraries that have
/// a socket of their own and want to be called when there is something.
///
/// One coroutine of a worker at a time may wait for a descriptor, and none for one that a type of [`net`](crate::net)
/// has. Each wait costs two system calls more than one of those types.
///
/// # Errors
/// `TimedOut`; outside a runtime; for a descriptor that can't be waited for (a plain file is always ready), or that is
/// waited for already.
///
/// ```
/// use std::io::{Read, Write};
///
/// coro::run(|| {
///     let (mut reader, mut writer) = std::io::pipe()?;
///     let reading = coro::spawn(move || {
///         coro::wait_readable(&reader, None)?;
///         let mut byte = [0];
///         reader.read_exact(&mut byte).map(|()| byte)
///     });
///     coro::yield_now();
///     writer.write_all(b"x")?;
///     assert_eq!(reading.join().unwrap()?, *b"x");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_readable(fd: &impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    watch(fd.as_fd(), Direction::Read, WaitReason::Read, timeout)
}

/// Waits until a file descriptor can be written: see [`wait_readable`].
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_writable(fd: &impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    watch(fd.as_fd(), Direction::Write, WaitReason::Write, timeout)
}

/// Watches a descriptor for the length of one wait.
pub(crate) fn watch(
    fd: BorrowedFd<'_>,
    direction: Direction,
    reason: WaitReason,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let deadline = timeout.map(clock::after);
    let number = fd.as_raw_fd();
    let mut watched = None;
    loop {
        let wait = Wait::open(reason, number as u64)?;
        let watched = watched.get_or_insert_with(|| Watched::new(fd));
        let enlisted = watched.source.enlist(fd, direction, wait.waiter(), &wait.worker().reactor.poller);
        if !enlisted.map_err(|error| cannot(fd, &error))? {
            return Ok(());
        }
        descriptors::open(number, Role::Other, || None, wait.worker().running().id());
        let enlisted = Enlisted { source: watched.source, direction, waiter: wait.waiter() };
        let record = wait.worker().running();
        let woken = wait.park_until(deadline);
        enlisted.leave(woken, record);
        if woken == Woken::Deadline {
            let limit = timeout.unwrap_or_default();
            let what = format!("{} on descriptor {number} did not happen within {limit:?}", reason.verb());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
    }
}

/// A descriptor that is watched for a while.
struct Watched<'a> {
    fd: BorrowedFd<'a>,
    source: &'static Source,
}

impl<'a> Watched<'a> {
    fn new(fd: BorrowedFd<'a>) -> Watched<'a> {
        let source = source::acquire();
        // It isn't known to be ready: the poller says so as soon as it watches it.
        for direction in [Direction::Read, Direction::Write] {
            source.drained(direction, source.seen());
        }
        Watched { fd, source }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        descriptors::close(self.fd.as_raw_fd());
        source::release(self.source, self.fd);
    }
}

fn cannot(fd: BorrowedFd<'_>, error: &io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => "; such a file is always ready, or can't be waited for",
        Some(libc::EEXIST) => "; somebody waits for it already, or a type of coro::net has it",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot wait for descriptor {}: {error}{why}", fd.as_raw_fd()))
}
