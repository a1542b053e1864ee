//! Blocking work on threads of its own, while the coroutine that wants its result is parked.
//!
//! - [`pool`]: the threads, which come when there is work and go when there has been none for a while

mod pool;

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use crate::abi::objects::JobHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList};
use crate::scheduler::worker;
use crate::sys::{lock, process};

/// Runs `f` on a thread of its own, and gives what it returns; meanwhile the others on this coroutine's thread run.
///
/// For what blocks a thread in the system or computes for long: files, name resolution, C libraries, compression. The
/// threads are the process's: they are started as they are needed, up to 256, and end when they have had nothing to do
/// for ten seconds. What comes when all are busy waits for its turn, in the order of its coming. Debuggers show which
/// thread works for whom: `offload at src/main.rs:12, on thread 4711`.
///
/// A coroutine that is cancelled meanwhile, or whose [`timeout`](crate::timeout) passes, goes on to unwind at once. Work that
/// has not begun is dropped then; what has begun can't be interrupted, and its result is dropped when it is there. Outside a runtime, and in a destructor that runs because of a panic, `f` runs right here, and
/// so it does where the system refuses the first thread.
///
/// As tokio's `spawn_blocking` and gevent's `threadpool.apply`.
///
/// # Panics
/// When `f` does, with its payload.
///
/// ```
/// coro::run(|| {
///     let size = coro::offload(|| std::fs::metadata("/etc/passwd").map(|file| file.len()));
///     assert!(size.unwrap() > 0);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn offload<T, F>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if worker::current().is_none() || thread::panicking() {
        return f();
    }
    let job = Arc::new(Job::new(f, Location::caller()));
    if pool::submit(job.clone()).is_err() {
        job.run();
    }
    let _left = Left(&job);
    job.wait()
}

/// Some work, from its being asked for until its result is taken.
struct Job<F, T> {
    /// What readers see; its address is the wait's object.
    head: JobHead,
    state: Mutex<State<F, T>>,
}

enum State<F, T> {
    Queued(F, Option<Waiter>),
    Running(Option<Waiter>),
    Done(thread::Result<T>),
    /// The result was taken, or is being put in.
    Empty,
}

impl<F, T> State<F, T> {
    /// Where who waits is kept; `None`: there is nothing to wait for any more.
    fn waiter(&mut self) -> Option<&mut Option<Waiter>> {
        match self {
            State::Queued(_, waiter) | State::Running(waiter) => Some(waiter),
            State::Done(_) | State::Empty => None,
        }
    }
}

impl<F: FnOnce() -> T, T> Job<F, T> {
    fn new(f: F, caller: &'static Location<'static>) -> Job<F, T> {
        Job { head: JobHead::new(caller), state: Mutex::new(State::Queued(f, None)) }
    }

    /// Waits for the result, and takes it.
    #[track_caller]
    fn wait(&self) -> T {
        loop {
            {
                let mut state = self.state();
                if let State::Done(_) = &*state
                    && let State::Done(result) = std::mem::replace(&mut *state, State::Empty)
                {
                    drop(state);
                    return result.unwrap_or_else(|payload| resume_unwind(payload));
                }
            }
            let object = (&raw const self.head).addr() as u64;
            if let Err(error) = park::block(WaitReason::Offload, object, self) {
                panic!("{error}");
            }
        }
    }

    // Nothing panics under the lock.
    fn state(&self) -> MutexGuard<'_, State<F, T>> {
        lock::of(&self.state)
    }
}

/// Who has asked for a job has its result, or unwinds and wants none.
struct Left<'a, F: FnOnce() -> T, T>(&'a Job<F, T>);

impl<F: FnOnce() -> T, T> Drop for Left<'_, F, T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if let State::Queued(..) = &*state {
            let unbegun = std::mem::replace(&mut *state, State::Empty);
            // It is the user's, whose destructor may do anything.
            drop(state);
            drop(unbegun);
        }
    }
}

/// What the pool's threads see of a job.
trait Work: Send + Sync {
    fn run(&self);
}

impl<F: FnOnce() -> T + Send, T: Send> Work for Job<F, T> {
    fn run(&self) {
        let f = {
            let mut state = self.state();
            match std::mem::replace(&mut *state, State::Empty) {
                State::Queued(f, waiter) => {
                    *state = State::Running(waiter);
                    f
                }
                other => {
                    *state = other;
                    return;
                }
            }
        };
        self.head.thread.store(process::thread_id(), Relaxed);
        let result = catch_unwind(AssertUnwindSafe(f));
        // Release: who sees that nobody works on it sees what was done.
        self.head.thread.store(0, Release);
        let waiter = {
            let mut state = self.state();
            let waiter = state.waiter().and_then(Option::take);
            *state = State::Done(result);
            waiter
        };
        if let Some(waiter) = waiter {
            park::wake(&waiter);
        }
    }
}

impl<F: FnOnce() -> T, T> WaitList for Job<F, T> {
    fn enlist(&self, new: Waiter) -> bool {
        // Under the lock under which the result is put in: either we see it, or it sees us.
        match self.state().waiter() {
            Some(waiter) => {
                *waiter = Some(new);
                true
            }
            None => false,
        }
    }

    fn delist(&self, _: &Waiter) -> bool {
        // There is only one who waits.
        self.state().waiter().and_then(Option::take).is_some()
    }
}

#[cfg(test)]
mod tests;
