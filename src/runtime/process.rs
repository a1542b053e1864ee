//! Child processes whose end a coroutine can wait for.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{self, Command, ExitStatus};
use std::time::Duration;

use crate::abi::wait::WaitReason;
use crate::net::telltale::Telltale;
use crate::sync::select::{Sealed, Token, Told, Waitable};

/// A child process; as `std::process::Child`. Its pipes ([`as_std_mut`](Child::as_std_mut)) block: read them in
/// [`offload`](crate::offload), or after [`wait_readable`](crate::wait_readable).
///
/// Dropping it neither ends the process nor waits for it. In [`select!`](crate::select) it is waited for beside other
/// things: `wait(child) => child.wait()?`; its standard input is left open meanwhile, which a child may be reading to its end.
///
/// # Panics
/// `select!` does, with this, outside a runtime: nobody would report there that the process has ended.
///
/// ```
/// coro::run(|| {
///     let mut child = coro::process::spawn(std::process::Command::new("sh").args(["-c", "exit 3"]))?;
///     assert_eq!(child.wait()?.code(), Some(3));
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Child {
    inner: process::Child,
    /// Readable when the process has ended.
    pidfd: Telltale<OwnedFd>,
}

/// Starts a child process. That itself may block for a moment, as std's does.
///
/// # Errors
/// As `std::process::Command::spawn`; and where the system has no pidfds (before Linux 5.3), or the process can have no more
/// descriptors: then the child, which nobody could wait for, is ended.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut inner = command.spawn()?;
    match pidfd(&inner) {
        Ok(pidfd) => Ok(Child { inner, pidfd }),
        Err(error) => {
            // Both fail for one that has been waited for only.
            let _ = inner.kill();
            let _ = inner.wait();
            Err(error)
        }
    }
}

/// A descriptor of a child that was not waited for.
fn pidfd(child: &process::Child) -> io::Result<Telltale<OwnedFd>> {
    // SAFETY: the call has no memory effects. The number is still the child's, since nobody has waited for it.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        let what = format!("cannot get a descriptor of child process {}: {error}", child.id());
        return Err(io::Error::new(error.kind(), what));
    }
    // SAFETY: it was made just now, and nobody else has it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Ok(Telltale::new(pidfd, WaitReason::Process))
}

impl Child {
    /// One that std has started, and that was not waited for.
    ///
    /// # Errors
    /// Where the system has no pidfds (before Linux 5.3), or the process can have no more descriptors. The child runs on
    /// then, as one whose `std::process::Child` was dropped.
    pub fn from_std(child: process::Child) -> io::Result<Child> {
        Ok(Child { pidfd: pidfd(&child)?, inner: child })
    }

    /// Waits until the process has ended; closes its standard input first, as std does. May be called again.
    ///
    /// # Errors
    /// What the system says; outside a runtime, where it would have to wait.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.inner.stdin.take());
        self.wait_for(None)
    }

    /// As [`wait`](Child::wait), for so long at most; leaves standard input open.
    ///
    /// # Errors
    /// `TimedOut`; else as [`wait`](Child::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        self.wait_for(Some(timeout))
    }

    fn wait_for(&mut self, timeout: Option<Duration>) -> io::Result<ExitStatus> {
        let Child { inner, pidfd } = self;
        pidfd.wait(timeout, || inner.try_wait()).map_err(|error| {
            let id = inner.id();
            let what = match (error.kind(), timeout) {
                (io::ErrorKind::TimedOut, Some(timeout)) => {
                    format!("child process {id} did not end within {timeout:?}")
                }
                _ => {
                    let fd = pidfd.fd().as_raw_fd();
                    format!("waiting for child process {id} (descriptor {fd}): {error}")
                }
            };
            io::Error::new(error.kind(), what)
        })
    }

    /// Ends the process by SIGKILL.
    ///
    /// # Errors
    /// What the system says. One that has ended already is no error.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// What std has of it: its pipes above all.
    pub fn as_std_mut(&mut self) -> &mut process::Child {
        &mut self.inner
    }

    /// The same child as std's.
    pub fn into_std(self) -> process::Child {
        self.inner
    }
}

impl Sealed for Child {}

/// Ready when the process has ended; `wait` gives its status then.
impl Waitable for Child {
    fn is_ready(&self) -> bool {
        // It stays readable when its status was taken.
        self.pidfd.is_ready(|| self.pidfd.is_readable())
    }
    fn enlist(&self, who: &Token) -> bool {
        self.pidfd.enlist(who)
    }
    fn delist(&self, who: &Token) -> bool {
        self.pidfd.delist(who)
    }
    fn told(&self) -> Told {
        self.pidfd.told()
    }
}
