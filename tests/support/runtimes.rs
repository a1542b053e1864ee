//! What tests of coroutines share: the kinds of runtime in which a rule holds, and who is counted, cancelled or waited for.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use coro::{Builder, JoinError, Policy, yield_now};

/// Runs `main` under both policies.
pub(crate) fn under_both(main: impl Fn()) {
    for policy in [Policy::Fair, Policy::Backtrack] {
        Builder::new().policy(policy).run(&main).unwrap();
    }
}

/// Runs `main` under both policies, and on two workers.
pub(crate) fn everywhere(main: impl Fn() + Copy) {
    under_both(main);
    Builder::new().workers(2).run(main).unwrap();
}

/// Counts how often it is dropped.
pub(crate) struct Counted(pub(crate) Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[track_caller]
pub(crate) fn assert_cancelled<T>(result: Result<T, JoinError>) {
    let error = result.err().expect("it can't have ended by itself");
    assert!(error.is_cancelled() && !error.is_panic(), "{error}");
}

/// Waits until so many coroutines are parked for `reason`.
pub(crate) fn wait_until_parked(reason: &str, count: usize) {
    while coro::stats().unwrap().parked().all(|parked| parked != (reason, count)) {
        yield_now();
    }
}
