//! The error of everything in this crate that is not an `io::Error`.
//!
//! An [`Error`] is opaque; what it says is the interface: what was tried, on what, what the system
//! answered, and what to do about it. The kinds are private, so that a sentence can become better
//! without breaking anybody.

use std::{fmt, io};

/// What went wrong in the runtime itself, as a sentence that says what to do.
///
/// ```
/// let error = coro::CoroutineBuilder::new().stack_size(0).spawn(|| ()).unwrap_err();
/// assert!(error.to_string().contains("a stack of 0 bytes"));
/// ```
pub struct Error(Box<Kind>);

/// The result of what can fail in the runtime.
pub type Result<T> = std::result::Result<T, Error>;

/// What happened, with everything that the sentence needs.
pub(crate) enum Kind {
    /// A Builder asked for no coroutines at all, or for more than addresses exist.
    Capacity { asked: usize, most: usize },
    /// A Builder asked for what the region, laid out by an earlier runtime, does not have.
    Geometry { asked: usize, fixed: usize },
    /// The region could not be mapped.
    Region { length: usize, capacity: usize, source: io::Error },
    /// `CORO_REDZONE` says something that is no redzone method.
    RedzoneSwitch { value: String },
    /// `CORO_MONITOR` says something that is no switch.
    MonitorSwitch { value: String },
    /// `CORO_DEBUG_CLOCK` says something that is no switch.
    ClockSwitch { value: String },
    /// `CORO_CRASH` says something that is no kind of report.
    CrashSwitch { value: String },
    /// The file for crash reports could not be opened.
    CrashFile { path: String, source: io::Error },
    /// A redzone could not be placed.
    Redzone { slot: u32, address: usize, length: usize, source: io::Error },
    /// The mprotect fallback would run the process into `vm.max_map_count`.
    MapCount { redzones: usize, max_map_count: usize },
    /// All slots of a class are in use.
    Slots { class: &'static str, count: usize },
    /// A stack size of zero, or larger than the largest class.
    StackSize { asked: usize, largest: usize },
    /// A name with a NUL byte.
    Name { name: String },
    /// A runtime was started on a thread which has one.
    Nested,
    /// All worker entries of the process are in use.
    Workers { most: usize },
    /// A Builder asked for no workers at all, or for more than a process can have.
    WorkerCount { asked: usize, most: usize },
    /// A Builder asked for several workers with a policy that is for one.
    LonePolicy { asked: usize },
    /// An operation which only a coroutine can do, outside one.
    Outside { tried: &'static str },
    /// The same in a child process by `fork`, which has the runtime's memory, but not its threads.
    Forked { tried: &'static str },
    /// io and switch may not spawn, nor wait.
    Service { tried: &'static str, service: &'static str },
    /// main has returned: the runtime is ending its coroutines.
    ShuttingDown,
    /// The same, of a runtime which the caller isn't in, and that may have ended by now.
    Over { tried: &'static str },
    /// A wait in a destructor during a panic, which could not be done without switching.
    Unwinding { tried: &'static str },
    /// A coroutine can't be ended from outside, or by time: the program doesn't unwind.
    Unsupported { tried: &'static str },
    /// A system call which the runtime needs to start or to go on failed.
    System { tried: &'static str, source: io::Error },
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error(Box::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Capacity { asked: 0, .. } => {
                write!(
                    f,
                    "a runtime for 0 coroutines was asked for; set Builder::max_coroutines to at least 1"
                )
            }
            Kind::Capacity { asked, most } => write!(
                f,
                "a runtime for {asked} coroutines was asked for, but the address space holds the stacks of at most \
                 {most}; lower Builder::max_coroutines"
            ),
            Kind::Geometry { asked, fixed } => write!(
                f,
                "a runtime for {asked} coroutines was asked for, but the process's one stack region was laid out for \
                 {fixed} when its first runtime started; give every Builder the same max_coroutines, or set it only \
                 in the first"
            ),
            Kind::Region { length, capacity, source } => write!(
                f,
                "could not map the stack region ({} MiB of address space for {capacity} coroutines): {source} \
                 (raise `ulimit -v` or vm.overcommit_memory's limit, or lower Builder::max_coroutines)",
                length >> 20
            ),
            Kind::RedzoneSwitch { value } => write!(
                f,
                "the environment has CORO_REDZONE={value:?}, which is no redzone method; use `guard`, `mprotect`, or \
                 unset it"
            ),
            Kind::MonitorSwitch { value } => write!(
                f,
                "the environment has CORO_MONITOR={value:?}; use `off` for no thread that looks for coroutines which \
                 compute for long, or unset it"
            ),
            Kind::ClockSwitch { value } => write!(
                f,
                "the environment has CORO_DEBUG_CLOCK={value:?}; use `1` for a clock that stands still while a debugger has \
                 the process stopped, or unset it"
            ),
            Kind::CrashSwitch { value } => write!(
                f,
                "the environment has CORO_CRASH={value:?}, which is no kind of report; use `full`, `short`, `off`, or \
                 unset it"
            ),
            Kind::CrashFile { path, source } => write!(
                f,
                "could not open {path:?}, the file for crash reports: {source}; name another one in CORO_CRASH_FILE, \
                 or unset it"
            ),
            Kind::Redzone { slot, address, length, source } => write!(
                f,
                "could not place the redzone of slot {slot} ({} KiB at {address:#x}): {source}; is the process short \
                 of memory, or of mappings (vm.max_map_count)? Lower Builder::max_coroutines or the number of \
                 coroutines alive",
                length >> 10
            ),
            Kind::MapCount { redzones, max_map_count } => write!(
                f,
                "no redzone for one more stack: {redzones} stacks are guarded by mprotect, each takes two of the \
                 process's mappings, and vm.max_map_count is {max_map_count}; raise it (sysctl vm.max_map_count=...), \
                 run on Linux 6.13 or later (guard pages need no mapping), or keep fewer coroutines alive"
            ),
            Kind::Slots { class, count } => write!(
                f,
                "all {count} stacks of class `{class}` are in use; wait for coroutines to end, or raise \
                 Builder::max_coroutines"
            ),
            Kind::StackSize { asked, largest } => write!(
                f,
                "a stack of {asked} bytes was asked for; sizes from 1 to {largest} bytes are possible (a stack is \
                 fixed, but costs only the pages which are touched)"
            ),
            Kind::Name { name } => {
                write!(
                    f,
                    "the coroutine name {name:?} has a NUL byte, which no debugger could show; leave it out"
                )
            }
            Kind::Nested => write!(
                f,
                "a runtime was started inside a runtime: this thread runs one already; call coro::spawn instead, or \
                 start the other one on a thread of its own"
            ),
            Kind::Workers { most } => {
                write!(
                    f,
                    "{most} workers run in this process, which is the most; let another runtime end first"
                )
            }
            Kind::WorkerCount { asked, most } => write!(
                f,
                "a runtime with {asked} workers was asked for; Builder::workers takes 1 to {most}, a thread each"
            ),
            Kind::LonePolicy { asked } => write!(
                f,
                "Policy::Backtrack was asked for with {asked} workers: control that always comes back to main can't \
                 be on several threads; leave out Builder::workers, or use Policy::Fair"
            ),
            Kind::Outside { tried } => write!(
                f,
                "{tried} was called outside a runtime, where no coroutine could wait; call it within coro::run(|| ...)"
            ),
            Kind::Forked { tried } => write!(
                f,
                "{tried} was called in a child process made by fork: the runtime is its parent's, whose threads and events are \
                 not here; call exec or _exit in the child, or fork before the first coro::run"
            ),
            Kind::Service { tried, service } => write!(
                f,
                "{tried} was called on the {service} coroutine, which schedules the others: only main and user \
                 coroutines may spawn or wait"
            ),
            Kind::ShuttingDown => write!(
                f,
                "the runtime is ending: main has returned, so that nothing new may be spawned or waited for; join \
                 what is needed before main returns"
            ),
            Kind::Over { tried } => write!(
                f,
                "{tried} came too late: main of the runtime has returned, so that nothing new may be spawned there; let \
                 main wait for those who may still spawn, or take this as their sign to end"
            ),
            Kind::Unwinding { tried } => write!(
                f,
                "{tried} would have to wait inside a destructor which runs because of a panic; a coroutine never \
                 switches while it unwinds"
            ),
            Kind::Unsupported { tried } => write!(
                f,
                "{tried} ends what it ends by unwinding, and this program is built with panic = \"abort\"; build it with \
                 panic = \"unwind\", or use channels and the timeouts of single operations"
            ),
            Kind::System { tried, source } => {
                write!(f, "{tried} failed: {source}")?;
                match source.raw_os_error() {
                    Some(libc::EMFILE) => {
                        f.write_str("; raise the limit of open files (`ulimit -n`), or close some")
                    }
                    Some(libc::ENFILE) => {
                        f.write_str("; the whole system has too many open files (fs.file-max)")
                    }
                    // A redzone says so of memory that is locked.
                    Some(libc::EAGAIN) if tried.contains("thread") => {
                        f.write_str("; there are as many threads as may be (`ulimit -u`, or the control group's pids.max)")
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The sentence: it is what a `main` that returns an error prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Kind::Region { source, .. }
            | Kind::CrashFile { source, .. }
            | Kind::Redzone { source, .. }
            | Kind::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// The nearest `io::ErrorKind`, for callers which pass it on as an [`io::Error`].
    fn io_kind(&self) -> io::ErrorKind {
        match &*self.0 {
            Kind::Region { source, .. }
            | Kind::CrashFile { source, .. }
            | Kind::Redzone { source, .. }
            | Kind::System { source, .. } => source.kind(),
            Kind::MapCount { .. } | Kind::Slots { .. } | Kind::Workers { .. } => io::ErrorKind::OutOfMemory,
            Kind::Capacity { .. }
            | Kind::Geometry { .. }
            | Kind::RedzoneSwitch { .. }
            | Kind::MonitorSwitch { .. }
            | Kind::WorkerCount { .. }
            | Kind::LonePolicy { .. }
            | Kind::CrashSwitch { .. }
            | Kind::ClockSwitch { .. }
            | Kind::StackSize { .. }
            | Kind::Name { .. } => io::ErrorKind::InvalidInput,
            Kind::Unsupported { .. } => io::ErrorKind::Unsupported,
            // Not `Interrupted`: std's read_exact and write_all would try again for ever.
            Kind::ShuttingDown
            | Kind::Over { .. }
            | Kind::Nested
            | Kind::Outside { .. }
            | Kind::Forked { .. }
            | Kind::Service { .. }
            | Kind::Unwinding { .. } => io::ErrorKind::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.io_kind(), error)
    }
}
