//! Ending a coroutine from outside: its next wait unwinds it, so that every value on its stack is dropped.
//!
//! The flag stands in the record; the scheduler looks at it before and after each wait. The payload is private,
//! and the unwinding does not call the panic hook. Code that swallows it with `catch_unwind` meets it again at
//! the next wait.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering::Relaxed;

use super::current::running;
use super::extra;
use crate::abi::record::{Record, request};

/// What unwinds a cancelled coroutine.
pub(crate) struct Cancelled;

/// Asks a coroutine to end at its next wait.
pub(crate) fn request(record: &Record) {
    record.requests.fetch_or(request::CANCEL, Relaxed);
}

/// Whether a coroutine was asked to end.
#[inline]
pub(crate) fn is_requested(record: &Record) -> bool {
    record.requests.load(Relaxed) & request::CANCEL != 0
}

/// Unwinds the running coroutine if that was asked of it, and it isn't shielded, nor unwinding already.
#[inline]
pub(crate) fn check(record: &Record) {
    if is_requested(record) {
        unwind_unless_shielded(record);
    }
}

#[cold]
fn unwind_unless_shielded(record: &Record) {
    let shielded = extra::get(record).is_some_and(|extra| extra.shields.get() > 0);
    if !shielded && !std::thread::panicking() {
        record.requests.fetch_or(request::UNWINDING, Relaxed);
        resume_unwind(Box::new(Cancelled));
    }
}

/// Whether what unwinds the running coroutine is a cancel, and not a panic: locks are not poisoned by it.
pub(crate) fn is_unwinding() -> bool {
    running().is_some_and(|record| record.requests.load(Relaxed) & request::UNWINDING != 0)
}

/// The coroutine's function has ended: what unwinds from here on is a panic of a deferred function or a local.
pub(super) fn finish(record: &Record) {
    if record.requests.load(Relaxed) & request::UNWINDING != 0 {
        record.requests.fetch_and(!request::UNWINDING, Relaxed);
    }
}

/// Runs `f` with cancel held back.
pub(super) fn shield(record: &Record, f: impl FnOnce()) {
    let shields = &extra::get_or_make(record).shields;
    shields.set(shields.get() + 1);
    f();
    shields.set(shields.get() - 1);
}
