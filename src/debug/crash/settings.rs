//! Whether and how crashes are told: what a Builder or `CORO_CRASH` says, where a handler finds it.

use std::cell::UnsafeCell;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU32};
use std::sync::{Arc, OnceLock};
use std::{fs, io};

use super::report::Manner;
use crate::error::{Error, Kind};
use crate::sys::environment;
use crate::sys::signal::AlternateStack;

/// The environment variable that decides, whatever the program says.
const SWITCH: &str = "CORO_CRASH";
/// The one that says in which file reports are kept.
const FILE_SWITCH: &str = "CORO_CRASH_FILE";

/// How much is said when a coroutine's stack overflows, or a redzone is hit in another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrashReport {
    /// Nothing; the process dies of SIGSEGV as without a runtime.
    Off,
    /// What happened, to whom, why, and what to do.
    Short,
    /// The same, with the backtrace, the biggest frames, and how the other coroutines are.
    #[default]
    Full,
}

static LEVEL: AtomicU32 = AtomicU32::new(CrashReport::Full as u32);
/// Whether the environment says that a terminal shows more than ASCII.
static IS_UTF8: AtomicU32 = AtomicU32::new(0);
/// Where reports go besides.
static ALSO: AtomicI32 = AtomicI32::new(-1);

/// Settles how crashes are told from now on; says whether they are at all. The environment decides before the program.
pub(super) fn settle(asked: CrashReport, also: Option<Arc<OwnedFd>>) -> Result<CrashReport, Error> {
    let level = match environment::value(SWITCH) {
        None => asked,
        Some(value) if value == "off" => CrashReport::Off,
        Some(value) if value == "short" => CrashReport::Short,
        Some(value) if value == "full" => CrashReport::Full,
        Some(value) => {
            return Err(Kind::CrashSwitch { value: value.to_string_lossy().into_owned() }.into());
        }
    };
    LEVEL.store(level as u32, Relaxed);
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| environment::value(name));
    let locale = locale.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    IS_UTF8.store(u32::from(locale.contains("utf-8") || locale.contains("utf8")), Relaxed);
    keep(also, level)?;
    Ok(level)
}

/// Keeps the file for reports open.
fn keep(also: Option<Arc<OwnedFd>>, level: CrashReport) -> Result<(), Error> {
    // Opened once a process, and never closed: a crash may come at any time.
    static FILE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(also) = also {
        ALSO.store(also.as_raw_fd(), Relaxed);
        // An earlier one may be in use by a crash right now.
        std::mem::forget(also);
    }
    if let Some(path) = environment::value(FILE_SWITCH).filter(|_| level != CrashReport::Off)
        && FILE.get().is_none()
    {
        let opened = fs::OpenOptions::new().append(true).create(true).open(&path);
        let file = opened.map_err(|source: io::Error| Kind::CrashFile {
            path: path.to_string_lossy().into_owned(),
            source,
        })?;
        ALSO.store(file.as_raw_fd(), Relaxed);
        let _ = FILE.set(file.into());
    }
    Ok(())
}

/// Whether nothing is to be said.
pub(super) fn is_off() -> bool {
    LEVEL.load(Relaxed) == CrashReport::Off as u32
}

/// How a crash is told. For the handler.
pub(super) fn manner() -> Manner {
    // SAFETY: it asks about a descriptor, which may be closed.
    let is_terminal = unsafe { libc::isatty(libc::STDERR_FILENO) } == 1;
    Manner {
        is_short: LEVEL.load(Relaxed) == CrashReport::Short as u32,
        is_unicode: is_terminal && IS_UTF8.load(Relaxed) != 0,
        targets: [libc::STDERR_FILENO, ALSO.load(Relaxed)],
    }
}

/// The alternate stack of the thread that reports, as it was before.
struct Before(UnsafeCell<AlternateStack>);

// SAFETY: only the one reporter uses it.
unsafe impl Sync for Before {}

static BEFORE: Before = Before(UnsafeCell::new(AlternateStack(None)));

/// For the reporter only.
pub(super) fn keep_alternate_stack(stack: AlternateStack) {
    // SAFETY: there is one reporter at a time.
    unsafe { *BEFORE.0.get() = stack };
}

/// For the reporter only.
pub(super) fn take_alternate_stack() -> AlternateStack {
    // SAFETY: there is one reporter at a time.
    unsafe { *BEFORE.0.get() }
}
