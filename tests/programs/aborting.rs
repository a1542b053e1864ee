//! Runtimes in a program with `panic = "abort"`, where nothing can be unwound: what is left at main's end stays as it is,
//! with its values, and never runs again, though later runtimes have the same worker. tests/panic_abort.rs builds it so.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use coro::sync::channel;
use coro::{Handle, sleep, spawn, yield_now};

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn main() {
    if cfg!(panic = "unwind") {
        eprintln!("this is about programs that can't unwind: build it with panic = \"abort\"");
        std::process::exit(2);
    }
    let [parked, fresh, ran] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    for _ in 0..3 {
        coro::run(|| {
            let value = Counted(parked.clone());
            spawn(move || {
                let _value = value;
                sleep(Duration::MAX);
            });
            // Woken by another thread just before the end: ready, and in nobody's queue yet.
            let (sender, receiver) = channel(1);
            let ran = ran.clone();
            spawn(move || {
                let _ = receiver.recv();
                ran.fetch_add(1, Relaxed);
            });
            yield_now();
            let value = Counted(fresh.clone());
            spawn(move || drop(value));
            // And one from outside, which nobody has adopted yet.
            let (value, handle) = (Counted(fresh.clone()), Handle::current());
            let outside = move || {
                sender.send(()).unwrap();
                handle.spawn(move || drop(value)).unwrap();
            };
            thread::spawn(outside).join().unwrap();
        })
        .unwrap();
        // The next runtime lives on the same worker.
        let sum: i32 = coro::run(|| (0..10).map(|n| spawn(move || n).join().unwrap()).sum()).unwrap();
        assert_eq!(sum, 45);
        coro::run(|| sleep(Duration::from_millis(1))).unwrap();
    }
    // Nothing can be ended early; and a scope waits.
    coro::run(|| {
        let waiting = spawn(|| sleep(Duration::from_millis(1)));
        let said = [
            waiting.cancel().map_err(|error| error.to_string()),
            coro::timeout(Duration::ZERO, || unreachable!()).map_err(|error| error.to_string()),
            coro::Group::new().cancel().map_err(|error| error.to_string()),
            coro::Pool::new(1).cancel().map_err(|error| error.to_string()),
            coro::scope(|scope| scope.cancel()).map_err(|error| error.to_string()),
        ];
        for (said, tried) in said.into_iter().zip([
            "JoinHandle::cancel",
            "coro::timeout",
            "Group::cancel",
            "Pool::cancel",
            "Scope::cancel",
        ]) {
            let said = said.unwrap_err();
            assert!(said.starts_with(tried) && said.contains("panic = \"abort\""), "{said}");
        }
        waiting.join().unwrap();
        let mut count = 0;
        coro::scope(|scope| {
            scope.spawn(|| {
                sleep(Duration::from_millis(1));
                count += 1;
            });
        });
        assert_eq!((count, coro::stats().unwrap().leaked), (1, 6));
    })
    .unwrap();
    let [parked, fresh, ran] = [parked, fresh, ran].map(|count| count.load(Relaxed));
    println!(
        "dropped: {parked} values of parked ones, {fresh} of those that never ran; {ran} went on after the end"
    );
}
