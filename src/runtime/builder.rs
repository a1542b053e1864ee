//! How a runtime starts, runs main's function and ends.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::workers::Workers;
use super::{monitor, panic};
use crate::abi::layout::WORKER_COUNT;
use crate::debug::crash::{self, CrashReport, ThreadStack};
use crate::debug::quit;
use crate::error::{Error, Kind, Result};
use crate::scheduler::main::Settings;
use crate::scheduler::policy::Policy;
use crate::scheduler::{remote, worker};
use crate::stack::region;
use crate::sys::{clock, environment, fork, signal};

/// How long the others may take to end before they are named.
const GRACE: Duration = Duration::from_secs(5);
/// The status of a program whose main has panicked, as std has it.
const PANICKED: i32 = 101;

/// Starts a runtime on this thread, runs `main` as its main coroutine, and ends all other coroutines when `main`
/// has returned.
///
/// Those that have not ended by themselves are cancelled: unwound at the point where they wait, so that their
/// values are dropped; those that never ran are not run.
///
/// # Errors
/// If the runtime can't start: on a thread that runs one already, in a destructor during a panic, or when the
/// system refuses memory. Then `main` has not been called.
///
/// # Panics
/// When `main` does, after the others have ended.
///
/// ```
/// let sum = coro::run(|| {
///     let numbers: Vec<_> = (1..=3).map(|n| coro::spawn(move || n * n)).collect();
///     numbers.into_iter().map(|n| n.join().unwrap()).sum::<i32>()
/// })?;
/// assert_eq!(sum, 14);
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn run<T>(main: impl FnOnce() -> T) -> Result<T> {
    Builder::new().run(main)
}

/// A runtime to be started, with other than the usual settings.
///
/// ```
/// let answer = coro::Builder::new().policy(coro::Policy::Backtrack).run(|| {
///     let child = coro::spawn(|| 42); // has run when `spawn` returns
///     assert!(child.is_finished());
///     child.join().unwrap()
/// })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), coro::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a Builder starts nothing before its `run` is called"]
pub struct Builder {
    max_coroutines: Option<usize>,
    policy: Policy,
    workers: Option<usize>,
    trace: usize,
    grace: Option<Duration>,
    crash_report: CrashReport,
    crash_file: Option<Arc<OwnedFd>>,
    dump_on_quit: bool,
    is_silent_when_stuck: bool,
}

impl Builder {
    /// The usual settings: room for 1,000,000 coroutines (or for as many as the address space that the process
    /// may have holds), one worker, `Policy::Fair`, no trace.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// How many coroutines may be alive at a time. Their stacks take address space, 260 KiB each, not memory.
    ///
    /// A process has one region of stacks, laid out when its first runtime starts: other Builders have to ask
    /// for the same, or for nothing.
    pub fn max_coroutines(mut self, count: usize) -> Builder {
        self.max_coroutines = Some(count);
        self
    }

    /// In what order coroutines get their turns.
    pub fn policy(mut self, policy: Policy) -> Builder {
        self.policy = policy;
        self
    }

    /// On how many OS threads coroutines run: this one, and others that end with the runtime. One by default.
    ///
    /// A coroutine that has begun stays on its thread, so that it may rely on thread-locals and use what is not `Send`;
    /// one that has not goes to a thread which has nothing to do. Only [`Policy::Fair`] knows several.
    ///
    /// ```
    /// let sum = coro::Builder::new().workers(2).run(|| {
    ///     let parts: Vec<_> = (0..4_u64).map(|n| coro::spawn(move || (n * 100..(n + 1) * 100).sum::<u64>())).collect();
    ///     parts.into_iter().map(|part| part.join().unwrap()).sum::<u64>()
    /// })?;
    /// assert_eq!(sum, 79_800);
    /// # Ok::<(), coro::Error>(())
    /// ```
    pub fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// Keeps a record of the last `switches` switches of each worker, for [`take_trace`](crate::take_trace).
    pub fn trace(mut self, switches: usize) -> Builder {
        self.trace = switches;
        self
    }

    /// How long the other coroutines may take to end when main has returned, before those that have not are named on
    /// standard error: 5 s if it isn't set. They are waited for all the same, since they may use what would be gone: one
    /// that computes for ever, or swallows every cancel, keeps the runtime from ending.
    ///
    /// Time in which the process is stopped, by a debugger or by SIGSTOP, doesn't count, if it is half a second or more.
    ///
    /// [`run_program`](Builder::run_program) doesn't wait for them.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = Some(grace);
        self
    }

    /// How much is said on standard error when a coroutine's stack overflows, or a redzone is hit in another way. The
    /// process dies of SIGSEGV in any case.
    ///
    /// Whoever runs the program may have it otherwise: `CORO_CRASH=full`, `short` or `off` in its environment. All
    /// runtimes of a process share it; what the last one asked for holds.
    pub fn crash_report(mut self, report: CrashReport) -> Builder {
        self.crash_report = report;
        self
    }

    /// Writes crash reports to a file (or a pipe, or a socket), too. It is kept open for the rest of the process's life.
    /// `CORO_CRASH_FILE=PATH` in the environment does the same, and comes before it.
    pub fn crash_report_to(mut self, file: impl Into<OwnedFd>) -> Builder {
        self.crash_file = Some(Arc::new(file.into()));
        self
    }

    /// Writes a [dump](crate::dump) of all coroutines to standard error when SIGQUIT comes (Ctrl-\\ on a terminal), instead
    /// of ending the process. A worker that has nothing to do writes it at once; where coroutines that don't wait keep all
    /// workers from everything else, the monitor does, a third of a second later.
    pub fn dump_on_quit(mut self) -> Builder {
        self.dump_on_quit = true;
        self
    }

    /// Whether it is said on standard error, once, when nobody can go on: all coroutines wait, and none for I/O or time. By
    /// default it is, a second or two later, with who waits for whom in a circle. What a thread outside the runtime may
    /// still do can't be known; so while there are other threads only circles are told of.
    pub fn deadlock_notice(mut self, wanted: bool) -> Builder {
        self.is_silent_when_stuck = !wanted;
        self
    }

    /// Starts the runtime: see [`run`](crate::run).
    ///
    /// # Errors
    /// As [`run`](crate::run); and if `max_coroutines` is zero, more than the address space holds, or not what
    /// the process's region was laid out for; if `workers` is zero, more than 256, or more than one with
    /// [`Policy::Backtrack`]; or if the system refuses a thread.
    ///
    /// # Panics
    /// When `main` does, after the others have ended.
    #[track_caller]
    pub fn run<T>(self, main: impl FnOnce() -> T) -> Result<T> {
        let started = self.start(Location::caller())?;
        // Caught here, so that the others end while main isn't unwinding.
        let result = catch_unwind(AssertUnwindSafe(main));
        drop(started);
        Ok(result.unwrap_or_else(|payload| resume_unwind(payload)))
    }

    /// As [`run`](Builder::run), for a whole program: who has not ended when the [grace](Builder::grace) period is over is
    /// named and left behind, and the process exits with the status that `status` makes of what main returned (101 if main
    /// panicked). So a program ends, whatever hangs in it.
    ///
    /// A coroutine that computes on main's own worker is noticed by the monitor, and not with `CORO_MONITOR=off`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let result = coro::Builder::new().grace(Duration::from_secs(10)).run_program(
    ///     || coro::spawn(|| 7).join(),
    ///     |result| i32::from(result.is_err()),
    /// )?;
    /// assert_eq!(result.unwrap(), 7);
    /// # Ok::<(), coro::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Builder::run).
    ///
    /// # Panics
    /// As [`run`](Builder::run).
    #[track_caller]
    pub fn run_program<T>(self, main: impl FnOnce() -> T, status: impl FnOnce(&T) -> i32) -> Result<T> {
        self.run_with_status(main, |result| Some(status(result)))
    }

    /// The same if there is a status, and else as [`run`](Builder::run).
    #[track_caller]
    pub(crate) fn run_with_status<T>(
        self,
        main: impl FnOnce() -> T,
        status: impl FnOnce(&T) -> Option<i32>,
    ) -> Result<T> {
        let mut started = self.start(Location::caller())?;
        // As in `run`. The status belongs to it: it may be the program's own code that makes it.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let value = main();
            let status = status(&value);
            (value, status)
        }));
        if let Some(status) = result.as_ref().map_or(Some(PANICKED), |(_, status)| *status) {
            started.workers.exit_when_late(status);
        }
        drop(started);
        Ok(result.unwrap_or_else(|payload| resume_unwind(payload)).0)
    }

    /// What is the same whatever main returns.
    fn start(self, caller: &'static Location<'static>) -> Result<Started> {
        if fork::is_child() {
            return Err(Kind::Forked { tried: "coro::run" }.into());
        }
        if worker::current().is_some() {
            return Err(Kind::Nested.into());
        }
        // No coroutine could wait (see `park`), main couldn't end the others, and a panic would abort.
        if thread::panicking() {
            return Err(Kind::Unwinding { tried: "coro::run" }.into());
        }
        let count = self.workers.unwrap_or(1);
        if !(1..=WORKER_COUNT).contains(&count) {
            return Err(Kind::WorkerCount { asked: count, most: WORKER_COUNT }.into());
        }
        if count > 1 && self.policy == Policy::Backtrack {
            return Err(Kind::LonePolicy { asked: count }.into());
        }
        monitor::is_wanted()?;
        match environment::value("CORO_DEBUG_CLOCK") {
            None => {}
            Some(value) if value == "1" => clock::notice_stops(),
            Some(value) => {
                return Err(Kind::ClockSwitch { value: value.to_string_lossy().into_owned() }.into());
            }
        }
        let region = region::start(self.max_coroutines)?;
        signal::ignore_sigpipe().map_err(|source| Kind::System { tried: "ignoring SIGPIPE", source })?;
        let system = |tried| move |source| Error::from(Kind::System { tried, source });
        worker::watch_forks().map_err(system("having forks watched"))?;
        panic::install_hook();
        crash::prepare(self.crash_report, self.crash_file)?;
        if self.dump_on_quit {
            quit::prepare(remote::wake_any)?;
            // It answers when no worker does.
            monitor::start();
        }
        let stack = ThreadStack::enter();
        let settings = Settings {
            region,
            policy: self.policy,
            trace: self.trace,
            notices_deadlocks: !self.is_silent_when_stuck,
            grace: self.grace.unwrap_or(GRACE).as_nanos().try_into().unwrap_or(u64::MAX),
            caller,
        };
        Ok(Started { workers: Workers::start(count, settings)?, _stack: stack })
    }
}

/// A runtime that runs on this thread, and perhaps others, until it is dropped.
struct Started {
    workers: Workers,
    /// For its crashes: dropped when nobody runs any more.
    _stack: ThreadStack,
}
