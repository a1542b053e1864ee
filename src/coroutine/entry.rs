//! What a coroutine runs from its first instruction to its last, but for the switch.

use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

use super::join::TaskHalf;
use super::waiter::Waiters;
use super::{cancel, defer, extra, local};
use crate::abi::record::Record;
use crate::arch;
use crate::sys::unwind;

/// Puts into a record what its coroutine is to do.
#[inline]
pub(crate) fn put_task(record: &Record, task: TaskHalf) {
    for (place, word) in record.task.iter().zip(task.into_words()) {
        place.store(word, Relaxed);
    }
}

/// Takes out what a coroutine is to do: there until it starts, or is found to be never going to. To be called by
/// its worker only (so no read-modify-write is needed).
#[inline]
pub(crate) fn take_task(record: &Record) -> Option<TaskHalf> {
    let words = [&record.task[0], &record.task[1]].map(|word| word.load(Relaxed));
    if words[0].is_null() {
        return None;
    }
    record.task[0].store(ptr::null_mut(), Relaxed);
    // SAFETY: not null, so they are the words that `put_task` stored, and this is the first who finds them.
    Some(unsafe { TaskHalf::from_words(words) })
}

/// Runs the coroutine whose record it is, on its stack; returns whom its end wakes.
#[inline]
pub(crate) fn run(record: &Record) -> Waiters {
    let Some(task) = take_task(record) else { return Waiters::new() };
    if cancel::is_requested(record) {
        // Somebody has cancelled it before its first turn. Shielded, because its values' destructors may wait.
        cancel::shield(record, || task.abandon());
    } else {
        task.run();
    }
    cancel::finish(record);
    wind_up(record);
    let (waiters, packet) = task.complete();
    if let Some(packet) = packet {
        // The result of a detached coroutine is dropped here. A panic in its destructor has been reported by the
        // hook.
        unwind::contain(|| drop(packet));
        // What that destructor has deferred: later there is only the scheduler left to drop it.
        wind_up(record);
    }
    if let Some(extra) = extra::get(record) {
        drop(extra.kept.take());
    }
    // No code of the user's runs on this stack any more.
    arch::exited(ptr::from_ref(record).cast());
    waiters
}

/// Ends what a coroutine that never ran was to do; returns whom that wakes.
pub(crate) fn abandon(task: TaskHalf) -> Waiters {
    task.abandon();
    let (waiters, packet) = task.complete();
    unwind::contain(|| drop(packet));
    waiters
}

/// Runs what the running coroutine has deferred, then drops its locals; shielded, so that both may wait.
pub(crate) fn wind_up(record: &Record) {
    if extra::get(record).is_some() {
        cancel::shield(record, || {
            let extra = extra::get_or_make(record);
            defer::run_all(extra);
            local::drop_all(extra);
            // What the locals' destructors have deferred.
            defer::run_all(extra);
        });
    }
}
