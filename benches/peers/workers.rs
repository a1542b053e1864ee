//! Several workers: how a load that computes is spread over them, and how fair one is to many.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::report::{figure, milliseconds, percentile};

/// 2,000 coroutines that compute for about a millisecond each, with a yield now and then.
pub(crate) fn scale() {
    let start = Instant::now();
    let handles: Vec<_> = (0..2000_u64)
        .map(|n| {
            coro::spawn(move || {
                let mut sum = n;
                for _ in 0..10 {
                    (0..100_000).for_each(|i| sum = black_box(sum.wrapping_mul(31) ^ i));
                    coro::yield_now();
                }
                sum
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| {
        black_box(handle.join().expect("it only computes"));
    });
    figure("scale_ms", milliseconds(start));
}

/// How long a greedy coroutine computes between two yields.
const SLICE: Duration = Duration::from_micros(100);
/// How long a light one computes at a time, and how long it then sleeps: 999 of them are a load of less than 30 %.
const SERVICE: Duration = Duration::from_micros(20);
const PAUSE: Duration = Duration::from_millis(80);

/// Open loop: 999 light coroutines beside one that yields every 100 µs. How late the light ones are.
pub(crate) fn fairness() {
    let is_over = Arc::new(AtomicBool::new(false));
    let greedy = coro::spawn({
        let is_over = is_over.clone();
        move || {
            while !is_over.load(Relaxed) {
                compute(SLICE);
                coro::yield_now();
            }
        }
    });
    let light: Vec<_> = (0..999_u32)
        .map(|n| {
            coro::spawn(move || {
                // Not all at once.
                coro::sleep(PAUSE * n / 999);
                let mut late = Vec::new();
                let mut due = Instant::now();
                for _ in 0..40 {
                    due += PAUSE;
                    coro::time::sleep_until(due);
                    late.push(due.elapsed().as_nanos() as u64);
                    compute(SERVICE);
                }
                late
            })
        })
        .collect();
    let mut late: Vec<u64> =
        light.into_iter().flat_map(|one| one.join().expect("it only computes")).collect();
    is_over.store(true, Relaxed);
    greedy.join().expect("it only computes");
    late.sort_unstable();
    for (row, p) in [("fair_late_p50_us", 0.5), ("fair_late_p99_us", 0.99), ("fair_late_p999_us", 0.999)] {
        figure(row, percentile(&late, p) / 1e3);
    }
}

fn compute(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        black_box(());
    }
}
