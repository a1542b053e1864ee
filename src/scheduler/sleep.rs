//! Who sleeps: how a worker falls asleep, and how somebody who has something for it wakes it.
//!
//! *No wake-up is lost:* who has something puts it where the worker looks, then looks whether the worker sleeps; the
//! worker says that it is going to sleep, then looks at all those places once more. A SeqCst fence stands between the
//! two steps of each, so one of them sees the other (Dekker): either the worker finds it and stays awake, or it is found
//! asleep and its bell is rung. The bell stays rung until the worker has been woken by it, so it may be rung before the
//! worker blocks.
//!
//! It is rung once for each sleep, by whoever clears the worker's bit: that costs a system call.
//!
//! Generic over the words, so that a model checker can run this very code.

use std::array;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};

use crate::abi::layout::WORKER_COUNT;
use crate::sys::atomic::Atomic;
use crate::sys::explore;

const WORDS: usize = WORKER_COUNT.div_ceil(64);

/// Some of the process's workers.
pub(crate) type Set = [u64; WORDS];

/// A bit for each worker of the process: it sleeps, and nobody has rung its bell yet.
#[derive(Debug)]
pub(crate) struct Sleepers<A = AtomicU64>([A; WORDS]);

impl Sleepers {
    pub(crate) const fn new() -> Sleepers {
        Sleepers([const { AtomicU64::new(0) }; WORDS])
    }
}

impl<A: Atomic<u64>> Sleepers<A> {
    /// To be asked by whoever has put something where the worker looks: whether he has to ring its bell.
    #[inline]
    pub(crate) fn is_to_be_woken(&self, worker: u32) -> bool {
        // Between putting and looking: see the module.
        A::fence(SeqCst);
        let (word, bit) = self.place(worker);
        word.load(Relaxed) & bit != 0 && clear(word, bit)
    }

    /// To be asked by whoever has put something where all of `workers` look: whose bell he has to ring, if all that are
    /// awake may be busy. The one for whom `rank` is least.
    #[inline]
    pub(crate) fn one_to_be_woken(&self, workers: &Set, rank: impl Fn(u32) -> u64) -> Option<u32> {
        // Between putting and looking: see the module.
        A::fence(SeqCst);
        loop {
            let asleep: Set = array::from_fn(|i| self.0[i].load(Relaxed) & workers[i]);
            if asleep == [0; WORDS] {
                return None;
            }
            let chosen = each(&asleep).min_by_key(|worker| rank(*worker))?;
            let (word, bit) = self.place(chosen);
            if clear(word, bit) {
                return Some(chosen);
            }
        }
    }

    /// Before the worker blocks: says that it is going to, and returns whether it may; it may not if `finds_something`,
    /// which looks at all places from which others may have been about to wake it.
    pub(crate) fn fall_asleep(&self, worker: u32, finds_something: impl FnOnce() -> bool) -> bool {
        let (word, bit) = self.place(worker);
        update(word, |asleep| asleep | bit);
        // Between saying and looking: see the module.
        A::fence(SeqCst);
        let may_sleep = explore::is_planted("sleeps without a second look") || !finds_something();
        if !may_sleep {
            self.wake_up(worker);
        }
        may_sleep
    }

    /// After the worker has blocked.
    pub(crate) fn wake_up(&self, worker: u32) {
        let (word, bit) = self.place(worker);
        // Mostly it was woken, and the waker has cleared the bit.
        if word.load(Relaxed) & bit != 0 {
            clear(word, bit);
        }
    }

    fn place(&self, worker: u32) -> (&A, u64) {
        (&self.0[worker as usize / 64], bit_of(worker))
    }
}

/// A worker, as a set.
pub(crate) fn only(worker: u32) -> Set {
    array::from_fn(|i| if worker as usize / 64 == i { bit_of(worker) } else { 0 })
}

fn bit_of(worker: u32) -> u64 {
    1 << (worker % 64)
}

/// The numbers of a set's workers.
fn each(set: &Set) -> impl Iterator<Item = u32> {
    set.iter().zip(0..).flat_map(|(word, i)| {
        let word = *word;
        (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| i * 64 + bit)
    })
}

/// Clears a bit; says whether it was set.
fn clear(word: &impl Atomic<u64>, bit: u64) -> bool {
    update(word, |asleep| asleep & !bit) & bit != 0
}

/// Changes a word; returns what it was before.
fn update(word: &impl Atomic<u64>, change: impl Fn(u64) -> u64) -> u64 {
    let mut seen = word.load(Relaxed);
    loop {
        // AcqRel: who wakes sees what the sleeper did, and the other way round; no more than tidiness asks for.
        match word.compare_exchange(seen, change(seen), AcqRel, Relaxed) {
            Ok(_) => return seen,
            Err(now) => seen = now,
        }
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_sleepers_is_woken_once() {
        let sleepers = Sleepers::new();
        for worker in [3, 70, 255] {
            assert!(sleepers.fall_asleep(worker, || false));
        }
        assert!(!sleepers.fall_asleep(9, || true), "it has found something");
        let all = [u64::MAX; WORDS];
        assert_eq!(sleepers.one_to_be_woken(&only(9), |_| 0), None);
        assert_eq!(sleepers.one_to_be_woken(&all, |worker| worker.abs_diff(69).into()), Some(70));
        assert_eq!(sleepers.one_to_be_woken(&all, |worker| worker.abs_diff(69).into()), Some(3));
        assert!(sleepers.is_to_be_woken(255) && !sleepers.is_to_be_woken(255));
        assert_eq!(sleepers.one_to_be_woken(&all, |_| 0), None);
    }
}
