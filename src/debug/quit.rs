//! A dump of all coroutines when SIGQUIT comes (Ctrl-\), as the JVM and Go have it; for programs that ask for it.
//!
//! A handler may do next to nothing, so it only leaves a note, which io sees at its next heartbeat: within a second, if
//! the worker isn't kept busy by one coroutine that doesn't wait.

use std::ffi::c_int;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use super::overview;
use crate::error::{Error, Kind};
use crate::sys::signal;

static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// From now on SIGQUIT asks for a dump instead of ending the process.
pub(crate) fn prepare() -> Result<(), Error> {
    extern "C" fn note(_: c_int) {
        IS_ASKED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the handler stores to an atomic.
    unsafe { signal::handle(libc::SIGQUIT, note) }
        .map_err(|source| Kind::System { tried: "handling SIGQUIT", source }.into())
}

/// Writes the dump if it was asked for. At a worker's heartbeat.
pub(crate) fn answer() {
    if IS_ASKED.swap(false, Ordering::Relaxed) {
        // Not `eprint!`, which panics when nobody reads it.
        let _ = io::stderr().write_all(format!("SIGQUIT: all coroutines\n{}", overview::dump()).as_bytes());
    }
}
