//! Blocking code on threads of its own, while the coroutine is parked.
//!
//! One pool for the process: a thread is started when a job finds none idle, up to [`MOST`], and ends when it has had
//! nothing to do for [`IDLE`]. A job owns what it uses (`'static`), so a coroutine that is cancelled leaves it behind: it is
//! not begun then, or goes on, and its result is dropped on its thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::abi::objects::OffloadHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList};
use crate::sys::{process, signal};

/// Threads at a time.
const MOST: usize = 64;
/// How long a thread waits for a job.
const IDLE: Duration = Duration::from_secs(5);

/// Runs `f`, which may block, on another thread, while this coroutine waits; gives what it returns. For files, name
/// resolution, and libraries that block.
///
/// The threads are the runtime's, up to 64 of them, which come and go as they are needed. A coroutine that is cancelled
/// while it waits, or whose [`timeout`](crate::timeout) passes, doesn't wait for `f`: if that has begun it goes on, and what
/// it returns is dropped. Outside a runtime `f` is simply called.
///
/// # Panics
/// When `f` does: with the same payload. If there is no thread to be had and none is at work already, `f` runs here, and
/// blocks.
///
/// ```
/// coro::run(|| {
///     let here = std::thread::current().id();
///     let there = coro::offload(|| std::thread::current().id());
///     assert_ne!(here, there);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn offload<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if current::running().is_none() {
        return f();
    }
    let job = Arc::new(Job {
        head: OffloadHead::new(Location::caller()),
        state: Mutex::new(State { stage: Stage::Queued(f), waiter: None }),
    });
    if !POOL.submit(Arc::clone(&job) as Arc<dyn Work>) {
        job.work();
    }
    let left = Left(&job);
    let object = (&raw const job.head).expose_provenance() as u64;
    let result = loop {
        if let Some(result) = job.take_result() {
            break result;
        }
        if let Err(error) = park::block(WaitReason::Offload, object, &*job) {
            park::abort_unwinding_wait(&error.to_string());
        }
    };
    drop(left);
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// A function that is to run, runs, or has run on another thread. The head is first: readers find it at the job's address.
#[repr(C)]
struct Job<F, T> {
    head: OffloadHead,
    state: Mutex<State<F, T>>,
}

struct State<F, T> {
    stage: Stage<F, T>,
    waiter: Option<Waiter>,
}

enum Stage<F, T> {
    Queued(F),
    Running,
    Done(thread::Result<T>),
    /// The result was taken; or nobody wants it.
    Over,
}

impl<F, T> Job<F, T> {
    fn lock(&self) -> MutexGuard<'_, State<F, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_result(&self) -> Option<thread::Result<T>> {
        let stage = &mut self.lock().stage;
        if !matches!(stage, Stage::Done(_)) {
            return None;
        }
        match std::mem::replace(stage, Stage::Over) {
            Stage::Done(result) => Some(result),
            _ => unreachable!("looked at just now"),
        }
    }
}

/// The coroutine goes on, or unwinds: nobody waits for the job any more.
struct Left<'a, F, T>(&'a Job<F, T>);

impl<F, T> Drop for Left<'_, F, T> {
    fn drop(&mut self) {
        // Dropped out of the lock, since they are the user's.
        let _left = std::mem::replace(&mut self.0.lock().stage, Stage::Over);
    }
}

/// What a thread of the pool does.
trait Work: Send + Sync {
    fn work(&self);
}

impl<F, T> Work for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn work(&self) {
        let mut state = self.lock();
        let stage = std::mem::replace(&mut state.stage, Stage::Running);
        let Stage::Queued(f) = stage else {
            state.stage = stage;
            return;
        };
        drop(state);
        self.head.thread.store(process::thread_id(), Relaxed);
        // Unwind safety: who waits is told of the panic.
        let result = catch_unwind(AssertUnwindSafe(f));
        let mut state = self.lock();
        if matches!(state.stage, Stage::Over) {
            // Nobody waits. Dropped out of the lock; a panic in its destructor has been reported by the hook.
            drop(state);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(result)));
            return;
        }
        state.stage = Stage::Done(result);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            park::wake(&waiter);
        }
    }
}

impl<F, T> WaitList for Job<F, T> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut state = self.lock();
        let must_wait = !matches!(state.stage, Stage::Done(_));
        if must_wait {
            state.waiter = Some(waiter);
        }
        must_wait
    }

    fn delist(&self, _: &Waiter) -> bool {
        self.lock().waiter.take().is_some()
    }
}

/// The pool's threads, and what they have to do.
struct Pool {
    queue: Mutex<Queue>,
    comes: Condvar,
}

struct Queue {
    jobs: VecDeque<Arc<dyn Work>>,
    threads: usize,
    idle: usize,
}

static POOL: Pool =
    Pool { queue: Mutex::new(Queue { jobs: VecDeque::new(), threads: 0, idle: 0 }), comes: Condvar::new() };

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job over; `false`: there is no thread for it, and none can be had.
    fn submit(&'static self, job: Arc<dyn Work>) -> bool {
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() {
            self.comes.notify_one();
            return true;
        }
        if queue.threads == MOST {
            return true;
        }
        queue.threads += 1;
        drop(queue);
        let started = thread::Builder::new().name("coro-offload".into()).spawn(|| self.serve());
        if started.is_ok() {
            return true;
        }
        let mut queue = self.lock();
        queue.threads -= 1;
        // Another thread will come to it; or it is the last one queued, by us or by somebody who failed likewise.
        queue.threads > 0 || queue.jobs.pop_back().is_none()
    }

    /// A thread's life.
    fn serve(&self) {
        signal::block_all();
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job.work();
                drop(job);
                queue = self.lock();
                continue;
            }
            queue.idle += 1;
            let (back, waited) = self.comes.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}
