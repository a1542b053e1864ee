//! The bare switch, without a scheduler: between two stacks, and round robin over a thousand.

use std::time::Instant;

use coro::bench::RawCoroutine;

use crate::report::{figure, nanoseconds_per};

const ROUND_TRIPS: usize = 20_000_000;

/// `n` round trips, for who counts instructions; by default all the cases.
pub(crate) fn switch(n: usize) {
    let count = if n == 0 { ROUND_TRIPS } else { n };
    for (row, inexact) in [("switch_ns", false), ("switch_sticky_ns", true)] {
        let coroutine = RawCoroutine::new(inexact).expect("there are stacks");
        let start = Instant::now();
        for _ in 0..count {
            coroutine.resume();
        }
        figure(row, nanoseconds_per(start, count));
        assert_eq!(coroutine.resumed(), count);
        if n != 0 {
            return;
        }
    }
    let coroutines: Vec<_> = (0..1000).map(|_| RawCoroutine::new(false).expect("there are stacks")).collect();
    let rounds = 5000;
    let start = Instant::now();
    for _ in 0..rounds {
        for coroutine in &coroutines {
            coroutine.resume();
        }
    }
    figure("switch1k_ns", nanoseconds_per(start, rounds * coroutines.len()));
}
