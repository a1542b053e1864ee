//! Channels and a mutex.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use coro::sync::{Mutex, channel};

use crate::report::{figure, nanoseconds_per};

/// Two coroutines send a number to and fro; with several workers on two of them.
pub(crate) fn pingpong(workers: usize) {
    let count = 1_000_000;
    let (to_other, others) = channel::<usize>(1);
    let (to_us, ours) = channel::<usize>(1);
    let has_begun = Arc::new(AtomicBool::new(false));
    let other = coro::spawn({
        let has_begun = has_begun.clone();
        move || {
            has_begun.store(true, Relaxed);
            for _ in 0..count {
                let number = others.recv().expect("we send");
                to_us.send(number + 1).expect("we receive");
            }
        }
    });
    // Where it begins is where it stays: while we keep this worker, that is another one.
    while workers > 1 && !has_begun.load(Relaxed) {
        hint::spin_loop();
    }
    let start = Instant::now();
    let mut number = 0;
    for _ in 0..count {
        to_other.send(number).expect("the other receives");
        number = ours.recv().expect("the other sends");
    }
    other.join().expect("it only answers");
    assert_eq!(number, count);
    figure(&format!("pingpong{workers}_ns"), nanoseconds_per(start, 2 * count));
}

/// A thousand coroutines in a ring hand a number on.
pub(crate) fn ring(workers: usize) {
    let (members, hops) = (1000, 1_000_000);
    let (first, mut last) = channel::<usize>(1);
    let start = Instant::now();
    for _ in 0..members - 1 {
        let (next, receiver) = channel::<usize>(1);
        let own = std::mem::replace(&mut last, receiver);
        coro::spawn(move || {
            while let Ok(number) = own.recv() {
                if next.send(number + 1).is_err() {
                    break;
                }
            }
        });
    }
    let mut number = 0;
    while number < hops {
        first.send(number + 1).expect("the ring is closed");
        number = last.recv().expect("the ring is closed");
    }
    figure(&format!("ring{workers}_ns"), nanoseconds_per(start, number));
}

/// Locks and unlocks a mutex that nobody else wants; and the same with std's, in turns.
pub(crate) fn lock() {
    fn per_lock(lock_and_count: impl Fn()) -> f64 {
        let (start, count) = (Instant::now(), 2_000_000);
        (0..count).for_each(|_| lock_and_count());
        nanoseconds_per(start, count)
    }
    let (own, std) = (Mutex::new(0_u64), std::sync::Mutex::new(0_u64));
    let (mut of_own, mut of_std) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        of_own.push(per_lock(|| *hint::black_box(&own).lock().expect("nobody panics") += 1));
        of_std.push(per_lock(|| *hint::black_box(&std).lock().expect("nobody panics") += 1));
    }
    for (row, mut all) in [("lock_ns", of_own), ("lock_std_ns", of_std)] {
        all.sort_unstable_by(f64::total_cmp);
        figure(row, all[all.len() / 2]);
    }
}

/// A thousand coroutines lock one mutex, without and with a yield while they have it.
pub(crate) fn mutex(workers: usize) {
    for (row, rounds, yields) in [("mutex", 1000, false), ("mutexy", 100, true)] {
        let (lockers, total) = (1000, Arc::new(Mutex::new(0)));
        let start = Instant::now();
        let handles: Vec<_> = (0..lockers)
            .map(|_| {
                let total = total.clone();
                coro::spawn(move || {
                    for _ in 0..rounds {
                        let mut total = total.lock().expect("nobody panics");
                        *total += 1;
                        if yields {
                            coro::yield_now();
                        }
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().expect("it only counts"));
        figure(&format!("{row}{workers}_ns"), nanoseconds_per(start, lockers * rounds));
        assert_eq!(*total.lock().expect("nobody panics"), lockers * rounds);
    }
}
