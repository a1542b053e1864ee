//! Model checking: a scenario of two or three threads is run in every order that matters, by loom.
//!
//! Each model has a twin in which one thing is wrong, and which must fail: else the model would show nothing. Mostly
//! the twin runs the same code on a word that breaks a promise: [`Torn`], [`Unordered`], [`Unfenced`].

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{self, Relaxed};

use loom::sync::atomic::{AtomicU64, fence};

use super::atomic::Atomic;

/// Threads are interrupted so often in each run, at most: nearly all bugs need one or two (Musuvathi and Qadeer,
/// "Iterative Context Bounding", PLDI 2007). tests/long/models.sh asks for more.
const INTERRUPTIONS: usize = 2;

/// Runs the scenario in every order.
pub(crate) fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let asked = env::var("CORO_MODEL_INTERRUPTIONS").ok();
    builder.preemption_bound = Some(asked.map_or(INTERRUPTIONS, |count| {
        count.parse().unwrap_or_else(|error| panic!("CORO_MODEL_INTERRUPTIONS={count}: {error}"))
    }));
    builder.check(scenario);
}

/// Runs a scenario that has a bug: says with what words it fails.
///
/// # Panics
/// If no order shows the bug.
pub(crate) fn fails(scenario: impl Fn() + Send + Sync + 'static) -> String {
    let failed = catch_unwind(AssertUnwindSafe(|| check(scenario)));
    let payload = failed.expect_err("no order shows the planted bug");
    let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// What a modelled thread returned.
pub(crate) fn join<T>(thread: loom::thread::JoinHandle<T>) -> T {
    thread.join().expect("loom ends the model when one of its threads panics")
}

/// A word that can be made for a model.
pub(crate) trait Word: Atomic<u64> + Send + Sync + 'static {
    fn new(value: u64) -> Self;
}

/// loom's word. Besides, each access is noted as a store to a word that nobody reads: loom's search goes back to the
/// last access which an operation might have come before, and of loads it keeps only the last one, so that a thread's
/// own load hides another thread's from a compare-exchange that follows it. Stores it keeps in order.
pub(crate) struct Shared {
    word: AtomicU64,
    accesses: AtomicU64,
}

impl Shared {
    fn noted(&self) -> &AtomicU64 {
        self.accesses.store(0, Relaxed);
        &self.word
    }
}

impl Atomic<u64> for Shared {
    fn load(&self, order: Ordering) -> u64 {
        self.noted().load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.noted().store(value, order);
    }
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.noted().compare_exchange(from, to, success, failure)
    }
    fn fence(order: Ordering) {
        fence(order);
    }
    fn give_way(_: u32) {
        loom::thread::yield_now();
    }
}

impl Word for Shared {
    fn new(value: u64) -> Shared {
        Shared { word: AtomicU64::new(value), accesses: AtomicU64::new(0) }
    }
}

/// [`Shared`], whose SeqCst accesses are in one order with each other. loom takes them for AcqRel ones, but knows such fences:
/// with one before and after each, they are what they are called (Batty et al., "Mathematizing C++ Concurrency", POPL 2011).
pub(crate) struct Sequential(Shared);

/// An access between the fences that it asks for.
fn in_order<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let fenced = || {
        if order == Ordering::SeqCst {
            fence(order);
        }
    };
    fenced();
    let result = access();
    fenced();
    result
}

impl Atomic<u64> for Sequential {
    fn load(&self, order: Ordering) -> u64 {
        in_order(order, || self.0.load(order))
    }
    fn store(&self, value: u64, order: Ordering) {
        in_order(order, || self.0.store(value, order));
    }
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        in_order(success, || self.0.compare_exchange(from, to, success, failure))
    }
    fn fence(order: Ordering) {
        Shared::fence(order);
    }
    fn give_way(round: u32) {
        Shared::give_way(round);
    }
}

impl Word for Sequential {
    fn new(value: u64) -> Sequential {
        Sequential(Shared::new(value))
    }
}

macro_rules! broken_word {
    ($(#[$what:meta])* $name:ident: $($method:item)*) => {
        $(#[$what])*
        pub(crate) struct $name(Shared);

        impl Atomic<u64> for $name {
            $($method)*
        }

        impl Word for $name {
            fn new(value: u64) -> $name {
                $name(Shared::new(value))
            }
        }
    };
}

broken_word! {
    /// Its read-modify-writes are a load and a store.
    Torn:
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
    fn compare_exchange(&self, from: u64, to: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        let now = self.0.load(Ordering::Acquire);
        if now != from {
            return Err(now);
        }
        self.0.store(to, Ordering::Release);
        Ok(now)
    }
    fn fence(order: Ordering) {
        Shared::fence(order);
    }
    fn give_way(round: u32) {
        Shared::give_way(round);
    }
}

broken_word! {
    /// It orders nothing else.
    Unordered:
    fn load(&self, _: Ordering) -> u64 {
        self.0.load(Relaxed)
    }
    fn store(&self, value: u64, _: Ordering) {
        self.0.store(value, Relaxed);
    }
    fn compare_exchange(&self, from: u64, to: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange(from, to, Relaxed, Relaxed)
    }
    fn fence(order: Ordering) {
        Shared::fence(order);
    }
    fn give_way(round: u32) {
        Shared::give_way(round);
    }
}

broken_word! {
    /// Its fences do nothing.
    Unfenced:
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange(from, to, success, failure)
    }
    fn fence(_: Ordering) {}
    fn give_way(round: u32) {
        Shared::give_way(round);
    }
}
