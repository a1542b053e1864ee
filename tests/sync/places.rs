//! Two sides of something, between coroutines of one worker or of two, and with plain threads.

use std::thread;

use coro::{Builder, Policy, spawn};

/// What a side does.
pub(crate) type Task = Box<dyn FnOnce() + Send>;
/// Has a task done beside the caller; what it returns waits for its end.
pub(crate) type Begin = fn(Task) -> Box<dyn FnOnce()>;

pub(crate) fn as_coroutine(task: Task) -> Box<dyn FnOnce()> {
    let handle = spawn(task);
    Box::new(|| handle.join().unwrap())
}

pub(crate) fn as_thread(task: Task) -> Box<dyn FnOnce()> {
    let handle = thread::spawn(task);
    Box::new(|| handle.join().unwrap())
}

/// Between coroutines of one worker and of two, a coroutine and a thread, and two threads.
pub(crate) fn everywhere(test: fn(Begin)) {
    for policy in [Policy::Fair, Policy::Backtrack] {
        Builder::new().policy(policy).run(|| test(as_coroutine)).unwrap();
    }
    Builder::new().workers(2).run(|| test(as_coroutine)).unwrap();
    coro::run(|| test(as_thread)).unwrap();
    test(as_thread);
}

macro_rules! begin {
    ($begin:ident, $task:expr) => {
        $begin(Box::new($task))
    };
}

pub(crate) use begin;
