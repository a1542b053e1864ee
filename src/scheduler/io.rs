//! The io coroutine: waits for events and timers, and wakes whom they concern.
//!
//! Polling runs here and not on the stack of whoever blocks: the event buffer is kilobytes. When io is reached
//! because nobody is ready, it blocks the thread; when it gets its regular turn, it only looks.

use std::sync::atomic::Ordering::Relaxed;

use super::park;
use super::switch::{After, transfer};
use super::worker::Worker;
use crate::abi::state::flag;
use crate::coroutine::waiter::Waiters;
use crate::debug::{modules, quit};
use crate::reactor::Ready;
use crate::stack::trim;

/// The io coroutine's loop.
pub(super) fn io_loop(worker: &Worker) -> Waiters {
    let mut ready = Vec::new();
    if let Some(main) = worker.lender() {
        // Its first turn only shows that it is there.
        transfer(worker, main, After::Rest);
    }
    while !worker.is_stopping.get() {
        #[cfg(test)]
        if let Some(probe) = worker.io_probe.take() {
            probe();
        }
        // Who has nothing else to do tidies up, and looks for events in between.
        let is_idle = worker.queue.is_empty() && !trim::step(worker.region);
        poll(worker, is_idle, &mut ready);
        // Who is ready now was mostly woken by the events just seen: control goes straight back to him.
        if let Some(next) = worker.queue.pop() {
            transfer(worker, next, After::Rest);
        }
    }
    Waiters::new()
}

/// What is done once a second, at io's permanent timer.
#[cold]
fn housekeeping(worker: &Worker) {
    trim::look(worker.region);
    // Here too, for a worker that never idles.
    trim::step(worker.region);
    modules::refresh();
    quit::answer();
}

/// Looks for events, and wakes whom they concern; with `wait`, blocks the thread until there are some.
pub(super) fn poll(worker: &Worker, wait: bool, ready: &mut Vec<Ready>) {
    let wait = wait && worker.remote.fall_asleep();
    if let Err(error) = worker.reactor.poll(wait, ready) {
        // There is no going on, and no coroutine to be told.
        let why = match error.raw_os_error() {
            Some(libc::EBADF | libc::EINVAL) => "; was a descriptor closed that isn't the program's own?",
            _ => "",
        };
        park::last_words(format_args!("coro can't wait for events: epoll failed: {error}{why}"));
    }
    worker.remote.wake_up();
    worker.row.clock.store(worker.clock(), Relaxed);
    worker.row.polls.store(worker.row.polls.load(Relaxed) + 1, Relaxed);
    let beats = worker.reactor.beats();
    if beats != worker.row.heartbeats.load(Relaxed) {
        worker.row.heartbeats.store(beats, Relaxed);
        housekeeping(worker);
    }
    for who in ready.drain(..) {
        match who {
            Ready::Event(waiter) => {
                park::wake(&waiter);
            }
            Ready::Deadline(token) => {
                park::unpark(token, flag::TIMED_OUT);
            }
        }
    }
    worker.empty_inbox();
}
