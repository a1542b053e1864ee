//! What the project follows of itself, by criterion: `cargo bench --features bench`, and the same again after a
//! change, in one go on a quiet machine; criterion compares with the run before.
//!
//! Nothing here says how the runtime stands beside others: see benches/peers.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coro::bench::RawCoroutine;
use coro::sync::{Mutex, channel};
use criterion::{Criterion, criterion_group, criterion_main};

/// Times `n` operations within a runtime of their own, its start and end not included.
fn in_runtime(criterion: &mut Criterion, name: &str, operations: fn(u64)) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|n| {
            coro::run(|| {
                let start = Instant::now();
                operations(n);
                start.elapsed()
            })
            .expect("a runtime starts")
        });
    });
}

fn switch(criterion: &mut Criterion) {
    for (name, inexact) in [("switch, round trip", false), ("switch, sticky flags differ", true)] {
        let coroutine = RawCoroutine::new(inexact).expect("there are stacks");
        criterion.bench_function(name, |bencher| bencher.iter(|| coroutine.resume()));
    }
    let many: Vec<_> = (0..1000).map(|_| RawCoroutine::new(false).expect("there are stacks")).collect();
    let mut next = many.iter().cycle();
    criterion.bench_function("switch, round robin over 1,000", |bencher| {
        bencher.iter(|| next.next().expect("it goes round").resume());
    });
}

fn scheduler(criterion: &mut Criterion) {
    fn yields(among: u64, n: u64) {
        let handles: Vec<_> =
            (0..among).map(|_| coro::spawn(move || (0..n / among).for_each(|_| coro::yield_now()))).collect();
        handles.into_iter().for_each(|handle| handle.join().expect("it only yields"));
    }
    in_runtime(criterion, "yield among 2", |n| yields(2, n));
    in_runtime(criterion, "yield among 1,000", |n| yields(1000, n));
    in_runtime(criterion, "spawn and join", |n| {
        (0..n).for_each(|_| coro::spawn(|| ()).join().expect("it does nothing"));
    });
    in_runtime(criterion, "spawn and join, 1,000 alive", |n| {
        for _ in 0..n.div_ceil(1000) {
            let handles: Vec<_> = (0..1000).map(|_| coro::spawn(|| ())).collect();
            handles.into_iter().for_each(|handle| handle.join().expect("it does nothing"));
        }
    });
    criterion.bench_function("start and end of a runtime", |bencher| {
        bencher.iter(|| coro::run(|| ()).expect("a runtime starts"));
    });
}

fn waiting(criterion: &mut Criterion) {
    in_runtime(criterion, "channel, to and fro", |n| {
        let (to, other) = channel(1);
        let (back, ours) = channel(1);
        let echo =
            coro::spawn(move || other.iter().for_each(|value: u64| back.send(value).expect("we receive")));
        for value in 0..n {
            to.send(value).expect("it receives");
            black_box(ours.recv().expect("it sends"));
        }
        drop(to);
        echo.join().expect("it only sends");
    });
    in_runtime(criterion, "mutex, uncontended", |n| {
        let mutex = Mutex::new(0);
        (0..n).for_each(|_| *mutex.lock().expect("nobody panics") += 1);
    });
    in_runtime(criterion, "mutex, held over a yield among 100", |n| {
        let mutex = Arc::new(Mutex::new(0));
        let handles: Vec<_> = (0..100)
            .map(|_| {
                let mutex = mutex.clone();
                coro::spawn(move || {
                    for _ in 0..n.div_ceil(100) {
                        let mut count = mutex.lock().expect("nobody panics");
                        *count += 1;
                        coro::yield_now();
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().expect("nobody panics"));
    });
    in_runtime(criterion, "sleep of a microsecond among 1,000", |n| {
        let handles: Vec<_> = (0..1000)
            .map(|_| {
                coro::spawn(move || (0..n.div_ceil(1000)).for_each(|_| coro::sleep(Duration::from_micros(1))))
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().expect("it only sleeps"));
    });
}

criterion_group!(benches, switch, scheduler, waiting);
criterion_main!(benches);
