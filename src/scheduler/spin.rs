//! A short wait with eyes open, for what another worker is about to do: before a worker sleeps, and before a coroutine
//! waits for a lock.
//!
//! To sleep and to be woken costs 5 µs (two system calls, and a CPU that comes out of idleness), in a virtual machine 25; an
//! answer from another worker may take a tenth of a microsecond. So where the last wait was short, the worker looks at its inbox for a while first. That
//! is worth nothing where the other one has no CPU at the moment: each spin in vain makes it let twice as many short waits
//! pass before it tries again, and one that finds somebody makes up for all of them. A worker that has been asleep for long, and
//! one of a process that has no CPU for each of its workers, never spins.
//!
//! A lock is mostly held for some nanoseconds, by one who runs on another worker; to wait for it costs two switches, and
//! whoever unlocks a wake-up. So who finds it taken looks again a few times, with pauses in which it leaves the lock's cache
//! line to the other one, which takes and leaves the lock a hundred times meanwhile at the price of nobody's being there (as
//! Go's mutex does). In vain where the lock is held over waits: that is learnt in the same way.

use std::cell::Cell;
use std::hint;
use std::thread;

use super::worker::{self, Worker};
use crate::sys::clock;

/// How long one spin lasts (in nanoseconds): long enough for another worker to be woken, and to answer.
const LONG: u64 = 50_000;
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;
/// A sleep that was this short (in nanoseconds), waking included, might have been better spent with eyes open.
const SHORT: u64 = 100_000;
/// Short waits that are let pass without a spin, at most.
const MOST: u32 = 4096;
/// The reactor is looked at after this time (in nanoseconds), however many answers come without it.
const UNSEEN: u64 = 100_000;

/// Looks at a lock before its taker gives up, and pauses before each: some ten microseconds in all.
const LOCK_LOOKS: u32 = 16;
const LOCK_PAUSES: u32 = 30;
/// Unlockings of much wanted locks between two looks at those who wait, at most, and the time that shall pass between them (in
/// nanoseconds), if the locks are not held for longer.
const UNSEEN_UNLOCKS: u32 = 32;
const UNSEEN_WAITING: u64 = 20_000;

/// What spins of one kind have been worth.
#[derive(Debug)]
struct Luck {
    /// Occasions still to be let pass, and to be let pass after the next spin in vain.
    pass: Cell<u32>,
    penalty: Cell<u32>,
}

impl Luck {
    fn new() -> Luck {
        Luck { pass: Cell::new(0), penalty: Cell::new(1) }
    }

    fn is_worth_it(&self) -> bool {
        self.pass.get() == 0
    }

    fn let_pass(&self) {
        self.pass.set(self.pass.get().saturating_sub(1));
    }

    fn end(&self, has_found: bool) {
        if has_found {
            self.penalty.set(1);
        } else {
            self.pass.set(self.penalty.get());
            self.penalty.set((2 * self.penalty.get()).min(MOST));
        }
    }
}

/// What a worker has learnt of its waits.
#[derive(Debug)]
pub(super) struct Spin {
    has_cpu: bool,
    /// The last wait was short, and for another worker's sending.
    was_short: Cell<bool>,
    sleeps: Luck,
    locks: Luck,
    /// Unlockings until the next look at those who wait, from one to the next, and when the last one was.
    unlocks: Cell<u32>,
    between: Cell<u32>,
    looked: Cell<u64>,
}

impl Spin {
    /// For one of so many workers.
    pub(super) fn new(workers: usize) -> Spin {
        Spin::with(workers > 1 && thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= workers))
    }

    fn with(has_cpu: bool) -> Spin {
        Spin {
            has_cpu,
            was_short: Cell::new(false),
            sleeps: Luck::new(),
            locks: Luck::new(),
            unlocks: Cell::new(0),
            between: Cell::new(1),
            looked: Cell::new(0),
        }
    }

    /// Whether it is to be told of sleeps.
    pub(super) fn learns(&self) -> bool {
        self.has_cpu
    }

    /// To be told of each sleep: how long it was, and whether somebody was sent meanwhile.
    pub(super) fn learn(&self, slept: u64, was_sent_somebody: bool) {
        let is_short = self.has_cpu && was_sent_somebody && slept < SHORT;
        self.was_short.set(is_short);
        if is_short {
            self.sleeps.let_pass();
        }
    }

    fn is_worth_it(&self) -> bool {
        self.was_short.get() && self.sleeps.is_worth_it()
    }

    fn end(&self, has_found: bool) {
        self.sleeps.end(has_found);
    }

    /// See [`is_to_look`].
    fn is_to_look(&self, clock: impl FnOnce() -> u64) -> bool {
        let left = self.unlocks.get().saturating_sub(1);
        self.unlocks.set(left);
        if left > 0 {
            return false;
        }
        // As many as fit into the time, if they go on like this.
        let took = clock() - self.looked.get();
        let between = u64::from(self.between.get()) * UNSEEN_WAITING / took.max(1);
        self.between.set(between.clamp(1, u64::from(UNSEEN_UNLOCKS)) as u32);
        self.unlocks.set(self.between.get());
        self.looked.set(self.looked.get() + took);
        true
    }

    /// See [`for_lock`].
    fn for_lock(&self, mut try_lock: impl FnMut() -> Look) -> bool {
        if !self.has_cpu {
            return false;
        }
        if !self.locks.is_worth_it() {
            self.locks.let_pass();
            return false;
        }
        let seen = (0..LOCK_LOOKS).map(|_| {
            (0..LOCK_PAUSES).for_each(|_| hint::spin_loop());
            try_lock()
        });
        let has_lock = seen.into_iter().find(|look| *look != Look::Held) == Some(Look::Locked);
        self.locks.end(has_lock);
        has_lock
    }
}

/// What one look at a lock was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is ours.
    Locked,
    Held,
    /// It is held, and others have lain down already to wait for it: it will hardly be ours soon.
    Awaited,
}

/// Tries to lock for a moment, if that may be worth it; says whether it did. On a thread without a worker it doesn't.
pub(crate) fn for_lock(try_lock: impl FnMut() -> Look) -> bool {
    worker::current().is_some_and(|worker| worker.spin.for_lock(try_lock))
}

/// Waits for a moment, if that may be worth it; says whether somebody was sent. The reactor is not looked at: so it doesn't
/// wait if the last look was some time ago.
pub(super) fn spin(worker: &Worker) -> bool {
    if !worker.spin.is_worth_it() {
        return false;
    }
    let began = clock::now();
    if began.saturating_sub(worker.clock()) > UNSEEN {
        return false;
    }
    let look = |_| {
        hint::spin_loop();
        worker.remote.has_somebody()
    };
    let mut has_found = (0..LOOKS).any(look);
    while !has_found && clock::now().saturating_sub(began) < LONG {
        has_found = (0..LOOKS).any(look);
    }
    worker.spin.end(has_found);
    has_found
}

/// Whether somebody who unlocks shall look for those who wait, though one of them was woken already. Each time where
/// that one can't run meanwhile; else now and then.
pub(crate) fn is_to_look() -> bool {
    match worker::current() {
        Some(worker) if worker.spin.has_cpu => worker.spin.is_to_look(clock::now),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_after_a_short_wait_that_somebody_else_has_ended() {
        let spin = Spin::with(true);
        assert!(!spin.is_worth_it());
        for (slept, was_sent_somebody) in [(SHORT, true), (SHORT - 1, false)] {
            spin.learn(slept, was_sent_somebody);
            assert!(!spin.is_worth_it(), "{slept}");
        }
        spin.learn(SHORT - 1, true);
        assert!(spin.is_worth_it());
        spin.learn(SHORT, true);
        assert!(!spin.is_worth_it(), "the last one counts");
        let crowded = Spin::with(false);
        crowded.learn(1, true);
        assert!(!crowded.is_worth_it());
        assert!(!Spin::new(1).has_cpu && !Spin::new(100_000).has_cpu);
    }

    #[test]
    fn spins_in_vain_get_rarer_and_one_that_finds_somebody_makes_up_for_them() {
        let spin = Spin::with(true);
        let waits_until_worth_it = || {
            (1..).find(|_| {
                spin.learn(1, true);
                spin.is_worth_it()
            })
        };
        assert_eq!(waits_until_worth_it(), Some(1));
        let vain: Vec<u32> = (0..14)
            .map(|_| {
                spin.end(false);
                waits_until_worth_it().unwrap()
            })
            .collect();
        assert_eq!(vain[..5], [1, 2, 4, 8, 16]);
        assert_eq!(vain[12..], [MOST, MOST]);
        spin.end(true);
        assert_eq!(waits_until_worth_it(), Some(1));
        spin.end(false);
        assert_eq!(waits_until_worth_it(), Some(1));
    }

    #[test]
    fn lock_is_tried_for_a_moment_and_not_again_for_long_where_that_is_in_vain() {
        let spin = Spin::with(true);
        let looks = Cell::new(0);
        let take = |last| {
            looks.set(0);
            spin.for_lock(|| {
                looks.set(looks.get() + 1);
                if looks.get() == 3 { last } else { Look::Held }
            })
        };
        assert!(take(Look::Locked) && looks.get() == 3);
        assert!(!take(Look::Awaited) && looks.get() == 3, "others wait for it");
        assert!(!take(Look::Locked) && looks.get() == 0, "one occasion is let pass");
        assert!(!take(Look::Held) && looks.get() == LOCK_LOOKS, "in vain");
        assert!((0..2).all(|_| !take(Look::Locked)), "then two are");
        assert!(take(Look::Locked) && take(Look::Locked));
        assert!(!Spin::with(false).for_lock(|| unreachable!("there is no CPU for it")));
    }

    #[test]
    fn who_waits_is_looked_for_at_each_long_turn_and_among_32_short_ones() {
        let (spin, time) = (Spin::with(true), Cell::new(1));
        let looks = |turn: u64, turns: u32| {
            let look = |_: &u32| {
                time.set(time.get() + turn);
                spin.is_to_look(|| time.get())
            };
            (0..turns).filter(look).count()
        };
        looks(10, 1000);
        assert_eq!(looks(10, 3200), 100);
        // It has to learn it first.
        looks(20_000, UNSEEN_UNLOCKS);
        assert_eq!(looks(20_000, 100), 100);
        looks(1_000, 100);
        assert_eq!(looks(1_000, 2000), 100, "each 20 µs");
    }
}
