//! The threads that do what is offloaded.
//!
//! *No job is left lying:* under one lock the queue's length is held against the number of threads that wait. A job that
//! comes when as many are queued already as threads wait gets a new thread; where the system refuses one, or there are
//! as many as there may be, the next that has done its work takes it. Only when there is no thread at all is it refused.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Work;
use crate::sys::{lock, unwind};

/// More threads than this don't make what blocks in the system any faster.
const MOST_THREADS: usize = 256;
/// How long a thread without work stays.
const PATIENCE: Duration = Duration::from_secs(10);

struct Pool {
    state: Mutex<State>,
    comes: Condvar,
}

struct State {
    queue: VecDeque<Arc<dyn Work>>,
    /// Threads, and how many of them wait for work.
    threads: usize,
    waiting: usize,
    /// For their names.
    started: usize,
}

static POOL: Pool = Pool {
    state: Mutex::new(State { queue: VecDeque::new(), threads: 0, waiting: 0, started: 0 }),
    comes: Condvar::new(),
};

/// Queues a job; an error: there is no thread that would ever do it, and none can be had.
pub(super) fn submit(job: Arc<dyn Work>) -> io::Result<()> {
    let mut state = POOL.state();
    state.queue.push_back(job);
    if state.queue.len() > state.waiting
        && state.threads < MOST_THREADS
        && let Err(error) = start(&mut state)
        && state.threads == 0
    {
        // Nobody else can have taken it: the lock was held.
        state.queue.pop_back();
        return Err(error);
    }
    drop(state);
    POOL.comes.notify_one();
    Ok(())
}

fn start(state: &mut State) -> io::Result<()> {
    let name = format!("coro-offload-{}", state.started + 1);
    thread::Builder::new().name(name).spawn(work)?;
    state.started += 1;
    state.threads += 1;
    Ok(())
}

/// A thread's life.
fn work() {
    let mut state = POOL.state();
    loop {
        if let Some(job) = state.queue.pop_front() {
            drop(state);
            job.run();
            // With the last reference goes perhaps a result that nobody wants any more, whose destructor may do anything.
            unwind::contain(|| drop(job));
            state = POOL.state();
            continue;
        }
        state.waiting += 1;
        let (now, wait) = POOL.comes.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        state = now;
        state.waiting -= 1;
        if wait.timed_out() && state.queue.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}

impl Pool {
    // Nothing panics under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        lock::of(&self.state)
    }
}
