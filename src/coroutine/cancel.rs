//! Ending a coroutine from outside, or a part of it by time: its next wait unwinds, so that every value on its stack is
//! dropped.
//!
//! The flags stand in the record; the scheduler looks at them before and after each wait. The payloads are private,
//! and the unwinding does not call the panic hook. Code that swallows it with `catch_unwind` meets it again at
//! the next wait.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;

use super::current::running;
use super::extra;
use super::timeout::{self, TimedOut};
use crate::abi::record::{Record, request};
use crate::sys::atomic::Atomic;

/// What unwinds a cancelled coroutine.
pub(crate) struct Cancelled;

/// One coroutine, for whoever may want it to end; a value, which may outlive it, and does nothing then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) record: &'static Record,
    pub(crate) id: u64,
}

impl Target {
    /// The coroutine that a record is of now. To be called by its worker, or its creator before it is queued.
    #[inline]
    pub(crate) fn of(record: &'static Record) -> Target {
        Target { record, id: record.id() }
    }

    /// Asks it to end at its next wait; says whether it is the first to do so. It has to be woken then.
    pub(crate) fn request(self) -> bool {
        ask(&self.record.requests, self.id)
    }
}

/// Asks the coroutine with this id to end, in its word of requests; says whether nobody has before.
pub(crate) fn ask(requests: &impl Atomic<u64>, id: u64) -> bool {
    let mut seen = requests.load(Relaxed);
    // The slot's next tenant has another id.
    while seen >> request::BITS == id && seen & request::CANCEL == 0 {
        // SeqCst: see `scheduler::cancel`.
        match requests.compare_exchange(seen, seen | request::CANCEL, SeqCst, Relaxed) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// Whether the slot is still its own: it may have ended, but no other has come.
pub(crate) fn is_there(requests: &impl Atomic<u64>, id: u64) -> bool {
    requests.load(SeqCst) >> request::BITS == id
}

#[inline]
fn has(record: &Record, bits: u64) -> bool {
    record.requests.load(Relaxed) & bits != 0
}

/// Sets bits, and clears others, in the running coroutine's word of requests.
pub(crate) fn note(requests: &impl Atomic<u64>, set: u64, clear: u64) {
    let mut seen = requests.load(Relaxed);
    while (seen | set) & !clear != seen {
        // A read-modify-write, because somebody may cancel it at the same time.
        match requests.compare_exchange(seen, (seen | set) & !clear, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Whether a coroutine was asked to end.
#[inline]
pub(crate) fn is_requested(record: &Record) -> bool {
    has(record, request::CANCEL)
}

/// Whether a wait of the running coroutine may have been ended by a cancel or a timeout scope, and not by what it was
/// for.
#[inline]
pub(crate) fn may_end_waits(record: &Record) -> bool {
    has(record, request::CANCEL | request::TIMEOUT)
}

/// Whether a coroutine that doesn't run was asked to end, and doesn't hold that back.
#[inline]
pub(crate) fn is_due(requests: &impl Atomic<u64>) -> bool {
    // SeqCst: see `scheduler::cancel`.
    requests.load(SeqCst) & (request::CANCEL | request::SHIELD) == request::CANCEL
}

/// Unwinds the running coroutine if that was asked of it, or a timeout has passed, and it isn't shielded, nor unwinding
/// already.
#[inline]
pub(crate) fn check(record: &Record) {
    if has(record, request::CANCEL | request::TIMEOUT) {
        unwind_if_due(record);
    }
}

#[cold]
#[inline(never)]
fn unwind_if_due(record: &Record) {
    if thread::panicking() {
        return;
    }
    let extra = extra::get(record);
    let shields = extra.map_or(0, |extra| extra.head.shields.load(Relaxed));
    if shields == 0 && is_requested(record) {
        note(&record.requests, request::UNWINDING, 0);
        resume_unwind(Box::new(Cancelled));
    }
    if let Some(scope) = extra.and_then(timeout::passed) {
        note(&record.requests, request::UNWINDING, 0);
        resume_unwind(Box::new(TimedOut(scope)));
    }
}

/// Whether what unwinds the running coroutine is a cancel or a timeout, and not a panic: locks are not poisoned by it.
pub(crate) fn is_unwinding() -> bool {
    running().is_some_and(|record| has(record, request::UNWINDING))
}

/// No cancel and no timeout unwinds any more: it has arrived where it was to, or there is a panic.
pub(crate) fn finish(record: &Record) {
    note(&record.requests, 0, request::UNWINDING);
}

/// Runs `f` with cancel held back, and with the timeouts that have begun outside.
pub(crate) fn shield<R>(record: &Record, f: impl FnOnce() -> R) -> R {
    struct Lowered<'a>(&'a Record);
    impl Drop for Lowered<'_> {
        fn drop(&mut self) {
            let shields = &extra::get_or_make(self.0).head.shields;
            let left = shields.load(Relaxed) - 1;
            shields.store(left, Relaxed);
            if left == 0 {
                note(&self.0.requests, 0, request::SHIELD);
            }
        }
    }
    let shields = &extra::get_or_make(record).head.shields;
    shields.store(shields.load(Relaxed) + 1, Relaxed);
    note(&record.requests, request::SHIELD, 0);
    let _lowered = Lowered(record);
    f()
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    #[test]
    fn request_is_made_once_and_never_of_the_slots_next_tenant() {
        // SAFETY: all zero is a record that never had a tenant.
        static RECORD: Record = unsafe { MaybeUninit::zeroed().assume_init() };
        let record = &RECORD;
        record.requests.store(request::nothing(5) | request::SHIELD, Relaxed);
        let target = Target { record, id: 5 };
        assert!(target.request() && !target.request());
        assert_eq!(record.requests.load(Relaxed), request::nothing(5) | request::SHIELD | request::CANCEL);
        assert!(is_requested(record) && !is_due(&record.requests));
        record.requests.store(request::nothing(6), Relaxed);
        assert!(!target.request() && !is_requested(record));
    }
}
