//! A dump of all coroutines when SIGQUIT comes (Ctrl-\), as the JVM and Go have it; for programs that ask for it.
//!
//! A handler may do next to nothing, so it leaves a note, and wakes a worker that sleeps. Whoever sees the note first
//! answers: a worker, when it looks for events; or the monitor, when none has, because coroutines that don't wait keep
//! them all.

use std::ffi::c_int;
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::overview;
use crate::error::{Error, Kind};
use crate::sys::errno::Errno;
use crate::sys::signal;

static IS_ASKED: AtomicBool = AtomicBool::new(false);
/// Wakes a worker that sleeps.
static WAKE: OnceLock<fn()> = OnceLock::new();

/// From now on SIGQUIT asks for a dump instead of ending the process. `wake` wakes a worker that sleeps; it neither
/// allocates nor locks.
pub(crate) fn prepare(wake: fn()) -> Result<(), Error> {
    WAKE.get_or_init(|| wake);
    // SAFETY: the handler stores to an atomic, and calls what may be called in a handler.
    unsafe { signal::handle(libc::SIGQUIT, note) }
        .map_err(|source| Kind::System { tried: "handling SIGQUIT", source }.into())
}

extern "C" fn note(_: c_int) {
    let errno = Errno::of_this_thread();
    let before = errno.get();
    IS_ASKED.store(true, SeqCst);
    if let Some(wake) = WAKE.get() {
        wake();
    }
    errno.set(before);
}

/// Whether a dump was asked for, and nobody has answered yet.
#[inline]
pub(crate) fn is_asked() -> bool {
    IS_ASKED.load(Relaxed)
}

/// Writes the dump, unless another one does.
#[cold]
pub(crate) fn answer() {
    if IS_ASKED.swap(false, SeqCst) {
        // Not `eprint!`, which panics when nobody reads it.
        let _ = io::stderr().write_all(format!("SIGQUIT: all coroutines\n{}", overview::dump()).as_bytes());
    }
}
