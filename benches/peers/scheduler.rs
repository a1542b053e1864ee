//! Yielding, spawning, and many that are parked.

use std::env;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::report::{Memory, figure, label, milliseconds, nanoseconds_per};

/// `count` coroutines which yield, 4,000,000 times in all (`YN` in the environment: so many).
pub(crate) fn yields(count: usize) {
    let total = env::var("YN").map_or(4_000_000, |n| n.parse().expect("YN is a number"));
    let start = Instant::now();
    let handles: Vec<_> = (0..count)
        .map(|_| {
            coro::spawn(move || {
                for _ in 0..total / count {
                    coro::yield_now();
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().expect("it only yields"));
    figure(if count == 2 { "yield_ns" } else { "yield1k_ns" }, nanoseconds_per(start, total));
}

pub(crate) fn spawn() {
    let count = 1_000_000;
    let start = Instant::now();
    for _ in 0..count {
        coro::spawn(|| ()).join().expect("it does nothing");
    }
    figure("spawn_seq_ns", nanoseconds_per(start, count));
    let (batches, size) = (10, 10_000);
    let start = Instant::now();
    for _ in 0..batches {
        let handles: Vec<_> = (0..size).map(|_| coro::spawn(|| ())).collect();
        handles.into_iter().for_each(|handle| handle.join().expect("it does nothing"));
    }
    figure("spawn_batch_ns", nanoseconds_per(start, batches * size));
}

/// `count` coroutines, each parked on a stack of its own; then all are woken and joined.
pub(crate) fn memory(count: usize) {
    let label = label(count);
    let mut handles = Vec::with_capacity(count);
    let parked = Arc::new(AtomicUsize::new(0));
    let (open, opened) = coro::sync::channel::<()>(1);
    // Its end is what they wait for.
    let gate = Arc::new(coro::spawn(move || {
        let _ = opened.recv();
    }));
    let before = Memory::now();
    let start = Instant::now();
    for _ in 0..count {
        let (gate, parked) = (gate.clone(), parked.clone());
        let waiter = coro::CoroutineBuilder::new().spawn(move || {
            parked.fetch_add(1, Relaxed);
            gate.wait().expect("the gate is no panic");
        });
        match waiter {
            Ok(handle) => handles.push(handle),
            Err(error) => {
                println!("F mem{label} at {}: {error}", handles.len());
                return;
            }
        }
    }
    while parked.load(Relaxed) < count {
        coro::yield_now();
    }
    let created = milliseconds(start);
    let after = Memory::now();
    let each = |difference: f64| difference / count as f64;
    figure(&format!("mem{label}_rss_B"), each(after.resident - before.resident));
    figure(&format!("mem{label}_pte_B"), each(after.tables - before.tables));
    figure(&format!("mem{label}_create_ms"), created);
    let start = Instant::now();
    open.send(()).expect("the gate waits");
    handles.into_iter().for_each(|handle| handle.join().expect("it only waits"));
    figure(&format!("mem{label}_wake_ms"), milliseconds(start));
}
