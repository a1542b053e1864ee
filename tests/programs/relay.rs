//! Coroutines which give way to each other again and again, on several threads: what stepping is tested on.
//! `relay THREADS COROUTINES ROUNDS [workers]`; it prints `done` in the end. Each thread has a runtime of its own; or they
//! are the workers of one.
//!
//! The first thread's run in `race`, the others' in `elsewhere`: LLDB 19 loses a step now and then when two threads come to the
//! same internal breakpoint at once.

use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Barrier};
use std::{env, thread};

use coro::{Builder, CoroutineBuilder, JoinHandle};

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let words: Vec<String> = env::args().skip(1).collect();
    let numbers: Vec<u64> = words.iter().take(3).map(|word| word.parse().expect("a number")).collect();
    let [threads, coroutines, rounds] = numbers[..] else {
        panic!("usage: relay THREADS COROUTINES ROUNDS [workers]")
    };
    if words.last().is_some_and(|word| word == "workers") {
        run_on_workers(threads, coroutines, rounds);
        return println!("done");
    }
    let runtimes: Vec<_> =
        (0..threads).map(|thread| thread::spawn(move || run(thread, coroutines, rounds))).collect();
    for runtime in runtimes {
        runtime.join().expect("no runtime panics");
    }
    println!("done");
}

fn run(thread: u64, coroutines: u64, rounds: u64) {
    coro::run(|| {
        let runner = |me| CoroutineBuilder::new().name(format!("runner {me}"));
        let start = |me| runner(me).spawn(move || take_turns(thread, me, rounds)).expect("there is room");
        join_all((0..coroutines).map(|number| start(100 * thread + number)).collect());
    })
    .expect("the runtime starts");
}

fn run_on_workers(workers: u64, coroutines: u64, rounds: u64) {
    let meet = Arc::new(Barrier::new(workers as usize));
    let on_worker = |worker| {
        let meet = meet.clone();
        coro::spawn(move || {
            // One on each: they hold their threads until all are there.
            meet.wait();
            let runner = |me| CoroutineBuilder::new().name(format!("runner-{me}"));
            let start = |me| {
                let run = move || {
                    begin_in_order(worker, coroutines);
                    take_turns(worker, me, rounds);
                };
                runner(me).spawn_local(run).expect("there is room")
            };
            join_all((0..coroutines).map(|number| start(100 * worker + number)).collect());
        })
    };
    let main = || join_all((0..workers).map(on_worker).collect());
    Builder::new().workers(workers as usize).run(main).expect("the runtime starts");
}

fn join_all(runners: Vec<JoinHandle<()>>) {
    runners.into_iter().for_each(|runner| runner.join().expect("no runner panics"));
}

/// How many of the first worker's have begun; and whether the one that others are to be looked at from has come by.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static HAS_COME: AtomicBool = AtomicBool::new(false);

/// The first worker's but one have given way in `race` when the others begin, and don't go on before one of these has come to
/// its line: the last one holds their thread.
fn begin_in_order(worker: u64, coroutines: u64) {
    if worker == 0 && BEGUN.fetch_add(1, Relaxed) + 1 == coroutines {
        while !HAS_COME.load(Relaxed) {
            thread::yield_now();
        }
    }
    while worker > 0 && BEGUN.load(Relaxed) < coroutines {
        coro::yield_now();
    }
}

fn take_turns(thread: u64, me: u64, rounds: u64) {
    if thread == 0 { race(me, rounds) } else { elsewhere(me, rounds) }
}

/// Three lines to step over; in the middle one all others run.
#[inline(never)]
fn race(me: u64, rounds: u64) {
    for round in 0..rounds {
        let before = black_box(1000 * me + round); // line BEFORE
        coro::yield_now(); // line YIELD
        let after = black_box(1000 * me + round); // line AFTER
        assert_eq!(before, after); // line SAME
    }
}

#[inline(never)]
fn elsewhere(me: u64, rounds: u64) {
    for round in 0..rounds {
        if me == 100 && round == 5 {
            HAS_COME.store(true, Relaxed); // line ONE
        }
        black_box(me + round);
        coro::yield_now();
    }
}
