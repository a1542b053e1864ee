//! Atomic words, the real ones or a model checker's.
//!
//! A protocol between threads (how a coroutine is woken, how a worker falls asleep) is written once, as functions
//! generic over [`Atomic`]. The runtime calls them with std's types; a test calls the same functions with loom's,
//! and so goes through every order in which the threads can take their steps, and through every value that the memory
//! model allows a load to give.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;
use std::{hint, thread};

use super::explore;

/// An atomic word that holds a `T`.
pub(crate) trait Atomic<T> {
    fn load(&self, order: Ordering) -> T;
    fn store(&self, value: T, order: Ordering);
    fn compare_exchange(&self, from: T, to: T, success: Ordering, failure: Ordering) -> Result<T, T>;
    /// A fence of the same kind of memory.
    fn fence(order: Ordering);
    /// To be called in each round, counted from 0, of a loop that waits for another thread's step.
    fn give_way(round: u32);
}

impl Atomic<u64> for AtomicU64 {
    #[inline]
    #[cfg_attr(test, track_caller)]
    fn load(&self, order: Ordering) -> u64 {
        explore::point();
        self.load(order)
    }
    #[inline]
    #[cfg_attr(test, track_caller)]
    fn store(&self, value: u64, order: Ordering) {
        explore::point();
        self.store(value, order);
    }
    #[inline]
    #[cfg_attr(test, track_caller)]
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        explore::point();
        if explore::is_planted("torn") {
            let now = Self::load(self, Ordering::Acquire);
            explore::point();
            return if now == from { Ok(Self::swap(self, to, success)) } else { Err(now) };
        }
        self.compare_exchange(from, to, success, failure)
    }
    #[inline]
    fn fence(order: Ordering) {
        fence(order);
    }
    fn give_way(round: u32) {
        give_way(round);
    }
}

/// A word of the debug ABI that is a half one; its values are small.
impl Atomic<u64> for AtomicU32 {
    #[inline]
    #[cfg_attr(test, track_caller)]
    fn load(&self, order: Ordering) -> u64 {
        explore::point();
        self.load(order).into()
    }
    #[inline]
    #[cfg_attr(test, track_caller)]
    fn store(&self, value: u64, order: Ordering) {
        explore::point();
        self.store(value as u32, order);
    }
    #[inline]
    #[cfg_attr(test, track_caller)]
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        explore::point();
        self.compare_exchange(from as u32, to as u32, success, failure).map(u64::from).map_err(u64::from)
    }
    #[inline]
    fn fence(order: Ordering) {
        fence(order);
    }
    fn give_way(round: u32) {
        give_way(round);
    }
}

/// The other thread is mostly about to take its step; but it may have lost its CPU before, and not get it back from a thread of
/// higher priority that only gives way.
#[cold]
fn give_way(round: u32) {
    if explore::give_way() {
        return;
    }
    match round {
        0..50 => hint::spin_loop(),
        50..100 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(50)),
    }
}
