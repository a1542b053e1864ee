//! What a coroutine runs from its first instruction to its last, but for the switch.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::join::Task;
use super::waiter::Waiters;
use super::{cancel, defer, extra, local};
use crate::abi::record::Record;

/// Puts into a record what its coroutine is to do.
pub(crate) fn put_task(record: &Record, task: Arc<dyn Task>) {
    // SAFETY: a fat pointer to a trait object is two words; they are only ever put together again, below.
    let words: [*mut (); 2] = unsafe { mem::transmute(Arc::into_raw(task)) };
    for (place, word) in record.task.iter().zip(words) {
        place.store(word, Relaxed);
    }
}

/// Takes out what a coroutine is to do: there until it starts, or is found to be never going to.
pub(crate) fn take_task(record: &Record) -> Option<Arc<dyn Task>> {
    let words = [&record.task[0], &record.task[1]].map(|word| word.swap(ptr::null_mut(), Relaxed));
    if words[0].is_null() {
        return None;
    }
    // SAFETY: not null: the words of an `Arc::into_raw` in `put_task`, taken out once.
    Some(unsafe { Arc::from_raw(mem::transmute::<[*mut (); 2], *const dyn Task>(words)) })
}

/// Runs the coroutine whose record it is, on its stack; returns whom its end wakes.
pub(crate) fn run(record: &Record) -> Waiters {
    let Some(task) = take_task(record) else { return Waiters::new() };
    task.run();
    cancel::finish(record);
    wind_up(record);
    let waiters = task.completion().complete();
    // The result of a detached coroutine is dropped here. A panic in its destructor has been reported by the
    // hook.
    isolate(|| drop(task));
    // What that destructor has deferred: later there is only the scheduler left to drop it.
    wind_up(record);
    waiters
}

/// Ends what a coroutine that never ran was to do; returns whom that wakes.
pub(crate) fn abandon(task: &dyn Task) -> Waiters {
    task.abandon();
    task.completion().complete()
}

/// Runs what the running coroutine has deferred, then drops its locals; shielded, so that both may wait.
pub(crate) fn wind_up(record: &Record) {
    if extra::get(record).is_some() {
        cancel::shield(record, || {
            let extra = extra::get_or_make(record);
            defer::run_all(extra, isolate);
            local::drop_all(extra, |value| isolate(|| drop(value)));
            // What the locals' destructors have deferred.
            defer::run_all(extra, isolate);
        });
    }
}

/// Keeps a panic from spreading: the hook has reported it.
fn isolate(f: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(f));
}
