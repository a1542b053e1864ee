//! What the protocols of this module stand on: a lock, lists of those who wait, and waking.
//!
//! They are generic over it, so that a model checker can run the very code. The runtime's ground is a `std::sync::Mutex`,
//! whose waiters are coroutines and threads.

use std::mem;
use std::sync::Mutex;

use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park;
use crate::sys::lock;

/// Those who wait, in the order of their coming.
pub(super) trait List: Default {
    type Who: Clone + PartialEq;

    fn push(&mut self, who: Self::Who);
    /// Takes the one who has waited longest.
    fn pop(&mut self) -> Option<Self::Who>;
    /// Takes one off; says whether it was still there.
    fn remove(&mut self, who: &Self::Who) -> bool;
    fn is_empty(&self) -> bool;
}

/// See the module.
pub(super) trait Ground {
    type List: List;

    /// Locks, looks, and unlocks. `look` may neither panic nor wait.
    fn with<R>(&self, look: impl FnOnce(&mut Self::List) -> R) -> R;
    /// Says whether it still waited.
    fn wake(&self, who: &<Self::List as List>::Who) -> bool;
}

/// Wakes the first who still waits.
pub(super) fn wake_one(ground: &impl Ground) {
    while let Some(next) = ground.with(List::pop)
        && !ground.wake(&next)
    {}
}

/// Wakes all who wait, after `change`, which is done under the lock.
pub(super) fn wake_all(ground: &impl Ground, change: impl FnOnce()) {
    let mut all = ground.with(|list| {
        change();
        mem::take(list)
    });
    while let Some(next) = all.pop() {
        ground.wake(&next);
    }
}

/// Puts one on the list if `must_wait`, which is asked under the lock; says whether it is there.
pub(super) fn enlist<G: Ground>(
    ground: &G,
    who: <G::List as List>::Who,
    must_wait: impl FnOnce() -> bool,
) -> bool {
    ground.with(|list| {
        // Under the lock, as a change is: either we see it, or it sees us.
        let waits = must_wait();
        if waits {
            list.push(who);
        }
        waits
    })
}

/// Takes one off the list; says whether it was still there.
pub(super) fn delist<G: Ground>(ground: &G, who: &<G::List as List>::Who) -> bool {
    ground.with(|list| list.remove(who))
}

impl List for Waiters {
    type Who = Waiter;

    #[inline(always)]
    fn push(&mut self, who: Waiter) {
        self.push(who);
    }
    #[inline(always)]
    fn pop(&mut self) -> Option<Waiter> {
        self.pop()
    }
    fn remove(&mut self, who: &Waiter) -> bool {
        self.remove(who)
    }
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Ground for Mutex<Waiters> {
    type List = Waiters;

    fn with<R>(&self, look: impl FnOnce(&mut Waiters) -> R) -> R {
        // No code of the user's runs under the lock.
        look(&mut lock::of(self))
    }
    fn wake(&self, who: &Waiter) -> bool {
        park::wake(who)
    }
}
