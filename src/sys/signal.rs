//! Signals whose disposition the runtime sets.

use std::io;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Keeps the program's signal handlers from running on this thread.
pub(crate) fn block_all() {
    // It fails for unknown ways of changing the mask only.
    let _ = SigSet::all().thread_block();
}

/// Makes a write to a closed peer an `EPIPE` instead of the process's death. Rust's own start-up does so for
/// programs with a Rust `main`; a runtime inside a C program has to.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code; a handler which the program has set for SIGPIPE would be lost, and no
    // program can rely on one beside a network runtime.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}
