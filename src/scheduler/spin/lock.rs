//! Before a coroutine waits for a lock. A lock is mostly held for some nanoseconds, by one who runs on another worker; to wait
//! for it costs two switches, and whoever unlocks a wake-up. So who finds it taken looks again a few times, with pauses in which it
//! leaves the lock's cache line to the other one, which takes and leaves the lock a hundred times meanwhile at the price of
//! nobody's being there (as Go's mutex does). In vain where the lock is held over waits: that is learnt.

use std::cell::Cell;
use std::hint;

use super::Luck;
use crate::scheduler::worker;
use crate::sys::clock;

/// Looks before the taker gives up, and pauses before each: some ten microseconds in all.
const LOOKS: u32 = 16;
const PAUSES: u32 = 30;
/// Unlockings of much wanted locks between two looks at those who wait, at most, and the time that shall pass between them (in
/// nanoseconds), if the locks are not held for longer.
const UNSEEN_UNLOCKS: u32 = 32;
const UNSEEN_WAITING: u64 = 20_000;

/// What a worker has learnt of locks.
#[derive(Debug)]
pub(in crate::scheduler) struct Spin {
    has_cpu: bool,
    luck: Luck,
    /// Unlockings until the next look at those who wait, from one to the next, and when the last one was.
    unlocks: Cell<u32>,
    between: Cell<u32>,
    looked: Cell<u64>,
}

impl Spin {
    /// `has_cpu`: [`have_cpus`](super::have_cpus).
    pub(in crate::scheduler) fn new(has_cpu: bool) -> Spin {
        Spin {
            has_cpu,
            luck: Luck::new(),
            unlocks: Cell::new(0),
            between: Cell::new(1),
            looked: Cell::new(0),
        }
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

    /// See [`spin`].
    fn spin(&self, mut try_lock: impl FnMut() -> Look) -> bool {
        if !self.has_cpu {
            return false;
        }
        if !self.luck.is_worth_it() {
            self.luck.let_pass();
            return false;
        }
        let seen = (0..LOOKS).map(|_| {
            (0..PAUSES).for_each(|_| hint::spin_loop());
            try_lock()
        });
        let has_lock = seen.into_iter().find(|look| *look != Look::Held) == Some(Look::Locked);
        self.luck.end(has_lock);
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
pub(crate) fn spin(try_lock: impl FnMut() -> Look) -> bool {
    worker::current().is_some_and(|worker| worker.lock_spin.spin(try_lock))
}

/// Whether somebody who unlocks shall look for those who wait, though one of them was woken already. Each time where
/// that one can't run meanwhile; else now and then.
pub(crate) fn is_to_look() -> bool {
    match worker::current() {
        Some(worker) if worker.lock_spin.has_cpu => worker.lock_spin.is_to_look(clock::now),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_tried_for_a_moment_and_not_again_for_long_where_that_is_in_vain() {
        let worker = Spin::new(true);
        let looks = Cell::new(0);
        let take = |last| {
            looks.set(0);
            worker.spin(|| {
                looks.set(looks.get() + 1);
                if looks.get() == 3 { last } else { Look::Held }
            })
        };
        assert!(take(Look::Locked) && looks.get() == 3);
        assert!(!take(Look::Awaited) && looks.get() == 3, "others wait for it");
        assert!(!take(Look::Locked) && looks.get() == 0, "one occasion is let pass");
        assert!(!take(Look::Held) && looks.get() == LOOKS, "in vain");
        assert!((0..2).all(|_| !take(Look::Locked)), "then two are");
        assert!(take(Look::Locked) && take(Look::Locked));
        assert!(!Spin::new(false).spin(|| unreachable!("there is no CPU for it")));
    }

    #[test]
    fn who_waits_is_looked_for_at_each_long_turn_and_among_32_short_ones() {
        let (spin, time) = (Spin::new(true), Cell::new(1));
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
