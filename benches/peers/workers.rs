//! Several workers: how a load that computes is spread over them, and how fair one is to many.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crate::report::{figure, milliseconds, percentile};

/// Loads of about a millisecond each.
const LOADS: u64 = 2000;

/// One of them, in ten parts, with something to do after each.
fn load(n: u64, mut after_each: impl FnMut()) -> u64 {
    let mut sum = n;
    for _ in 0..10 {
        (0..100_000).for_each(|i| sum = black_box(sum.wrapping_mul(31) ^ i));
        after_each();
    }
    sum
}

/// The loads as coroutines, with a yield now and then.
pub(crate) fn scale() {
    let start = Instant::now();
    let handles: Vec<_> = (0..LOADS).map(|n| coro::spawn(move || load(n, coro::yield_now))).collect();
    handles.into_iter().for_each(|handle| {
        black_box(handle.join().expect("it only computes"));
    });
    figure("scale_ms", milliseconds(start));
}

/// The same loads on so many bare threads: what two workers are compared with.
pub(crate) fn bare(threads: u64) {
    let start = Instant::now();
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            let mine = (thread..LOADS).step_by(threads as usize);
            thread::spawn(move || mine.map(|n| load(n, || ())).fold(0, u64::wrapping_add))
        })
        .collect();
    threads.into_iter().for_each(|thread| {
        black_box(thread.join().expect("it only computes"));
    });
    figure("bare_ms", milliseconds(start));
}

/// How long a greedy coroutine computes between two yields.
const SLICE: Duration = Duration::from_micros(100);
/// How long a light one computes at a time, and how long it then sleeps: 999 of them are a load of less than 30 %.
const SERVICE: Duration = Duration::from_micros(20);
const PAUSE: Duration = Duration::from_millis(80);

/// Open loop: 999 light coroutines beside one that yields every 100 µs. How late the light ones are.
pub(crate) fn fairness() {
    let is_over = Arc::new(AtomicBool::new(false));
    // All are there by then: those whose time came before would all be late together, again and again.
    let begin = Instant::now() + PAUSE;
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
                let mut late = Vec::new();
                // Not all at once.
                let mut due = begin + PAUSE * n / 999;
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
