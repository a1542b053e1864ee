//! The io coroutine: waits for events and timers, and wakes whom they concern.
//!
//! Polling runs here and not on the stack of whoever blocks: the event buffer is kilobytes. When io is reached
//! because nobody is ready, it blocks the thread; when it gets its regular turn, it only looks.

use std::sync::atomic::Ordering::Relaxed;

use super::park;
use super::remote;
use super::spin::sleep::spin;
use super::stuck;
use super::switch::{After, transfer};
use super::team::Sight;
use super::worker::Worker;
use crate::abi::state::flag;
use crate::coroutine::waiter::Waiters;
use crate::debug::{modules, quit};
use crate::reactor::Ready;
use crate::registry::transition;
use crate::stack::trim;
use crate::sys::clock;

/// Behind so many who are ready, those whom a look has woken don't go to the queue's end, but take turns with the first: a
/// hundred thousand who were just spawned don't keep those waiting for tens of milliseconds whose time has come.
const CROWD: usize = 1000;

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
        let is_idle = worker.has_nobody_ready() && !(worker.is_first() && trim::step(worker.region));
        if is_idle && spin(worker) {
            worker.empty_inbox();
        } else {
            poll(worker, if is_idle { Block::UntilSomethingIsThere } else { Block::Not }, &mut ready);
        }
        if let Some(seat) = &worker.seat {
            seat.find(worker);
        }
        // Who is ready now was mostly woken by the events just seen: control goes straight back to him.
        if let Some(next) = worker.next_ready() {
            transfer(worker, next, After::Rest);
        }
    }
    Waiters::new()
}

/// Whether a poll blocks the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Not,
    /// Until there is an event, or a woken coroutine.
    UntilWoken,
    /// Or else something that the worker can take from others.
    UntilSomethingIsThere,
}

/// What is done once a second, at io's permanent timer.
#[cold]
fn housekeeping(worker: &Worker) {
    // The region is everybody's: one of a runtime's workers sees to it.
    if worker.is_first() {
        trim::look(worker.region);
        // Here too, for a worker that never idles.
        trim::step(worker.region);
        modules::refresh();
        stuck::look(worker);
    }
}

/// Looks for events, and wakes whom they concern.
pub(super) fn poll(worker: &Worker, block: Block, ready: &mut Vec<Ready>) {
    let longest = if block == Block::Not { 0 } else { fall_asleep(worker, block) };
    let since = (longest > 0 && worker.spin.learns()).then(clock::now);
    if let Err(error) = worker.reactor.poll(longest, ready) {
        // There is no going on, and no coroutine to be told.
        let why = match error.raw_os_error() {
            Some(libc::EBADF | libc::EINVAL) => "; was a descriptor closed that isn't the program's own?",
            _ => "",
        };
        park::last_words(format_args!("coro can't wait for events: epoll failed: {error}{why}"));
    }
    if longest > 0 {
        remote::wake_up(worker.index);
    }
    if let Some(since) = since {
        worker.spin.learn(worker.clock().saturating_sub(since), worker.remote.has_somebody());
    }
    if quit::is_asked() {
        quit::answer();
    }
    worker.row.clock.store(worker.clock(), Relaxed);
    worker.row.polls.store(worker.row.polls.load(Relaxed) + 1, Relaxed);
    let beats = worker.reactor.beats();
    if beats != worker.row.heartbeats.load(Relaxed) {
        worker.row.heartbeats.store(beats, Relaxed);
        housekeeping(worker);
    }
    // A poll that blocks may come long after the last switch.
    let has_yielded = block == Block::Not && worker.left.get().1 == After::Requeue;
    let ahead = worker.queue.len();
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
    let woken = worker.queue.len() - ahead;
    if ahead > CROWD {
        worker.queue.weave(woken);
    } else if has_yielded {
        // Their time had come before he gave way.
        worker.queue.give_way(woken);
    }
    worker.rhythm.look_was_taken(worker.queue.len());
}

/// Before the thread blocks: for how long it may, at most. 0: there is something after all.
fn fall_asleep(worker: &Worker, block: Block) -> u64 {
    let mut longest = u64::MAX;
    let may_sleep = remote::fall_asleep(worker.index, || match &worker.seat {
        // Whoever asks wakes one that sleeps.
        _ if quit::is_asked() => true,
        // Whoever wakes it does so, too: see `park::unpark`.
        _ if block == Block::UntilWoken && transition::is_notified(&worker.running().state) => true,
        Some(seat) if block == Block::UntilSomethingIsThere => match seat.sight(worker) {
            Sight::Something => true,
            Sight::NotYet(left) => {
                longest = left;
                false
            }
            Sight::Nothing => false,
        },
        _ => false,
    });
    if may_sleep { longest } else { 0 }
}
