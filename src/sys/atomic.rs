//! Atomic words, the real ones or a model checker's.
//!
//! A protocol between threads (how a coroutine is woken, how a worker falls asleep) is written once, as functions
//! generic over [`Atomic`]. The runtime calls them with std's types; a test calls the same functions with loom's,
//! and so goes through every order in which the threads can take their steps, and through every value that the memory
//! model allows a load to give.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// An atomic word that holds a `T`.
pub(crate) trait Atomic<T> {
    fn load(&self, order: Ordering) -> T;
    fn store(&self, value: T, order: Ordering);
    fn compare_exchange(&self, from: T, to: T, success: Ordering, failure: Ordering) -> Result<T, T>;
    /// A fence of the same kind of memory.
    fn fence(order: Ordering);
}

impl Atomic<u64> for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    #[inline]
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.compare_exchange(from, to, success, failure)
    }
    #[inline]
    fn fence(order: Ordering) {
        fence(order);
    }
}
