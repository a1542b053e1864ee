//! A debugger at work for a command, which a signal ends: the process that it looks at must not stay stopped.
//!
//! It is in a process group of its own, so that Ctrl-C is ours: GDB may loop for ever when it is interrupted while it attaches.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{self, Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::debugger::{Debugger, Kind};
use crate::problem::Problem;
use crate::target::Target;

/// The debugger's process.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    /// The process that it looks at, if that was not stopped before.
    going: Option<Pid>,
    work: Arc<Mutex<Work>>,
}

/// What a signal finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Going,
    Interrupted,
    /// The debugger has ended, and its number may be another process's.
    Done,
}

/// How it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this status; 1 if a signal of somebody else's has ended it.
    With(i32),
    /// By us, who were told to.
    Interrupted,
}

impl Running {
    /// Starts it. From now on the signals by which a user ends a program end the debugger first.
    pub(crate) fn start(
        debugger: &Debugger,
        target: &Target,
        mut command: Command,
    ) -> Result<Running, Problem> {
        let name = debugger.path.display().to_string();
        let going = going(target);
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|error| Problem(format!("{name} does not start: {error}")))?;
        // Not before: the debugger would inherit it. Threads do, and so these signals are the one's that waits for them.
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        // Ctrl-Z, too, has to wait: the debugger would be left with an answer that nobody takes.
        let blocked = held() | signals;
        blocked.thread_block().map_err(|error| Problem(format!("can't wait for signals: {error}")))?;
        let work = Arc::new(Mutex::new(Work::Going));
        let running = Running { child, name, going, work: work.clone() };
        let (pid, kind) = (running.pid(), debugger.kind);
        thread::spawn(move || {
            while signals.wait().is_ok() {
                let mut work = locked(&work);
                if *work == Work::Done {
                    // Who reads the answer may take their time.
                    process::exit(1);
                }
                *work = Work::Interrupted;
                interrupt(pid, kind);
            }
        });
        Ok(running)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits until it has ended.
    pub(crate) fn end(&mut self) -> Result<Ended, Problem> {
        // Until `work` says that nobody is to be interrupted any more, it keeps its number.
        while waitid(Id::Pid(self.pid()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let mut work = locked(&self.work);
        let status = self
            .child
            .wait()
            .map_err(|error| Problem(format!("{} can't be waited for: {error}", self.name)))?;
        let is_interrupted = *work == Work::Interrupted;
        *work = Work::Done;
        let _ = held().thread_unblock();
        if let (Some(_), Some(process)) = (status.signal(), self.going) {
            // Who attaches sends a SIGSTOP, which is still on its way, or has stopped the process, when the debugger dies: this
            // takes it back, wherever it is.
            let _ = kill(process, Signal::SIGCONT);
        }
        let is_ours = is_interrupted && (status.signal().is_some() || !status.success());
        Ok(if is_ours { Ended::Interrupted } else { Ended::With(status.code().unwrap_or(1)) })
    }
}

/// The signal that waits until the debugger has ended.
fn held() -> SigSet {
    SigSet::from(Signal::SIGTSTP)
}

fn locked(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process of a target, if it isn't stopped.
fn going(target: &Target) -> Option<Pid> {
    let Target::Process(pid) = target else { return None };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    (state != 'T').then(|| Pid::from_raw(pid.cast_signed()))
}

/// Has a debugger end, so that what it looks at goes on.
fn interrupt(debugger: Pid, kind: Kind) {
    match kind {
        // The kernel lets the process go, in which GDB has no breakpoints while it stands still. With GDB goes a child by which
        // it tries out what it can do.
        Kind::Gdb => _ = killpg(debugger, Signal::SIGKILL),
        // LLDB has one there, of which the process would die some day. Its script ends when it sees that we have.
        Kind::Lldb => {
            eprintln!("coro: interrupted; LLDB lets the process go in a moment");
            process::exit(1);
        }
    }
}
