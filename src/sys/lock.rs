//! A lock for what takes a few instructions: it is given back by a plain store.
//!
//! A mutex that lets waiters sleep has to look, when it is unlocked, whether one does, and that is a second
//! read-modify-write, 5 ns of the 20 that a look at a channel takes. Here nobody sleeps in the kernel until he is woken: who
//! finds it taken spins, then gives way, then sleeps for a moment and looks again (as folly's `MicroSpinLock` does). So it is for
//! what can neither wait, nor panic, nor run a user's code; and a thread that is interrupted meanwhile costs others a moment.
//!
//! The protocol is generic over the word, so that a model checker can run this very code.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::atomic::Atomic;
use super::explore;

const FREE: u64 = 0;
const TAKEN: u64 = 1;

/// See the module.
pub(crate) struct Lock<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used by one thread at a time: see `Guard`.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock { word: AtomicU32::new(FREE as u32), value: UnsafeCell::new(value) }
    }

    #[inline(always)]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        acquire(&self.word);
        Guard(self)
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

/// Has the lock.
pub(crate) struct Guard<'a, T>(&'a Lock<T>);

// SAFETY: a shared guard gives a shared value.
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: whoever has the guard has the lock, and so the value.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and this is the one reference to the guard.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        release(&self.0.word);
    }
}

/// Locks a mutex whose value is right at every moment, so that a panic of one who had it is no reason not to use it.
#[inline]
pub(crate) fn of<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    explore::give_way_while(|| matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes it.
#[inline(always)]
fn acquire<A: Atomic<u64>>(word: &A) {
    // Acquire: pairs with `release`, what the last one did is seen.
    if word.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_err() {
        acquire_contended(word);
    }
}

#[cold]
#[inline(never)]
fn acquire_contended<A: Atomic<u64>>(word: &A) {
    for round in 0.. {
        // A look first: it leaves the cache line with the one who has it.
        if word.load(Relaxed) == FREE && word.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok() {
            return;
        }
        A::give_way(round);
    }
}

/// Gives it back.
#[inline(always)]
fn release(word: &impl Atomic<u64>) {
    // Release: pairs with `acquire`. A store: nobody else changes the word meanwhile.
    word.store(FREE, Release);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let lock = Arc::new(Lock::new([0_u64; 2]));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for _ in 0..10_000 {
                        let mut both = lock.lock();
                        assert_eq!(both[0], both[1]);
                        both[0] += 1;
                        both[1] += 1;
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*lock.lock(), [40_000; 2]);
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models {
    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::*;
    use crate::sys::model::{self, Shared, Torn, Unordered, Word};

    /// A word and what it guards: loom sees to it that one thread at a time has that, and sees what the last one did.
    struct Guarded<A> {
        word: A,
        value: UnsafeCell<u32>,
    }

    // SAFETY: loom looks after the cell.
    unsafe impl<A: Sync> Sync for Guarded<A> {}

    fn two_take_turns<A: Word>() {
        let guarded = std::sync::Arc::new(Guarded { word: A::new(FREE), value: UnsafeCell::new(0) });
        let add = |guarded: &Guarded<A>| {
            acquire(&guarded.word);
            // SAFETY: see above.
            guarded.value.with_mut(|value| unsafe { *value += 1 });
            release(&guarded.word);
        };
        let other = {
            let guarded = guarded.clone();
            thread::spawn(move || add(&guarded))
        };
        add(&guarded);
        model::join(other);
        // SAFETY: see above.
        assert_eq!(guarded.value.with(|value| unsafe { *value }), 2);
    }

    #[test]
    fn one_has_it_at_a_time_and_sees_what_the_last_one_did() {
        model::check(two_take_turns::<Shared>);
    }

    #[test]
    fn torn_or_unordered_words_are_found() {
        model::fails(two_take_turns::<Torn>);
        model::fails(two_take_turns::<Unordered>);
    }
}
