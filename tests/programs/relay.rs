//! Coroutines which give way to each other again and again, on several threads: what stepping is tested on.
//! `relay THREADS COROUTINES ROUNDS`; it prints `done` in the end.
//!
//! The first thread's run in `race`, the others' in `elsewhere`: LLDB 19 loses a step now and then when two threads come to the
//! same internal breakpoint at once.

use std::hint::black_box;
use std::{env, thread};

use coro::CoroutineBuilder;

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let numbers: Vec<u64> = env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let [threads, coroutines, rounds] = numbers[..] else { panic!("usage: relay THREADS COROUTINES ROUNDS") };
    let runtimes: Vec<_> =
        (0..threads).map(|thread| thread::spawn(move || run(thread, coroutines, rounds))).collect();
    for runtime in runtimes {
        runtime.join().expect("no runtime panics");
    }
    println!("done");
}

fn run(thread: u64, coroutines: u64, rounds: u64) {
    coro::run(|| {
        let runners = (0..coroutines).map(|number| {
            let me = 100 * thread + number;
            let runner = CoroutineBuilder::new().name(format!("runner {me}"));
            runner
                .spawn(move || if thread == 0 { race(me, rounds) } else { elsewhere(me, rounds) })
                .expect("there is room")
        });
        for runner in runners.collect::<Vec<_>>() {
            runner.join().expect("no runner panics");
        }
    })
    .expect("the runtime starts");
}

/// Three lines to step over; in the middle one all others run.
#[inline(never)]
fn race(me: u64, rounds: u64) {
    for round in 0..rounds {
        let before = black_box(1000 * me + round); // line BEFORE
        coro::yield_now(); // line YIELD
        let after = black_box(1000 * me + round); // line AFTER
        assert_eq!(before, after);
    }
}

#[inline(never)]
fn elsewhere(me: u64, rounds: u64) {
    for round in 0..rounds {
        black_box(me + round);
        coro::yield_now();
    }
}
