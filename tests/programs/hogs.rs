//! Coroutines that keep their workers from others, and some that don't: `hogs WORKERS HOW`. HOW: `user` or `main` computes
//! until the program is killed, and `lone` does beside main alone, which sleeps; `often` computes for as long in all, but
//! switches; `alone` computes with nobody waiting, `joined` with main waiting for its end; these three end by themselves after
//! a second of computing. `handled` computes in a program that handles SIGURG, until standard input is closed, and says how
//! often that came. What is said of them goes to stderr, and there, by another thread, what comes on standard input: whoever
//! reads it after something that he has written knows what was said before.

use std::collections::HashSet;
use std::env;
use std::ffi::c_int;
use std::hint::black_box;
use std::io::{self, BufRead as _};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use coro::{Builder, CoroutineBuilder, sleep, spawn, yield_now};

const LONG: Duration = Duration::from_secs(1_000_000);

/// Standard input is closed.
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, workers, how] = &arguments[..] else {
        panic!("usage: hogs WORKERS user|main|lone|often|alone|joined|handled")
    };
    let workers = workers.parse().expect("WORKERS is a number");
    thread::spawn(repeat);
    Builder::new().workers(workers).run(|| scene(workers, how)).expect("the runtime starts");
}

fn repeat() {
    for line in io::stdin().lock().lines() {
        eprintln!("{}", line.expect("it can be read"));
    }
    IS_OVER.store(true, Relaxed);
}

fn scene(workers: usize, how: &str) {
    if how == "alone" {
        let other = spawn(|| ());
        other.join().expect("it does nothing");
        return compute_for(Duration::from_secs(1));
    }
    if how == "joined" {
        let hog = spawn(|| compute_for(Duration::from_secs(1)));
        return hog.join().expect("it only computes");
    }
    if how == "lone" {
        let _hog = CoroutineBuilder::new().name("hog").spawn(|| compute_for(LONG));
        return sleep(Duration::from_millis(1));
    }
    // Some on each worker.
    let threads = Arc::new(Mutex::new(HashSet::new()));
    while threads.lock().expect("nobody panics").len() < workers {
        let threads = threads.clone();
        spawn(move || {
            threads.lock().expect("nobody panics").insert(thread::current().id());
            sleep(LONG);
        });
        sleep(Duration::from_millis(1));
    }
    match how {
        "main" => compute_for(LONG),
        "handled" => {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            extern "C" fn count(_: c_int) {
                COUNT.fetch_add(1, Relaxed);
            }
            // SAFETY: the handler stores to an atomic.
            unsafe { libc::signal(libc::SIGURG, count as *const () as usize) };
            while !IS_OVER.load(Relaxed) {
                compute_for(Duration::from_millis(1));
            }
            println!("{} times", COUNT.load(Relaxed));
        }
        "often" => {
            for _ in 0..100 {
                compute_for(Duration::from_millis(10));
                yield_now();
            }
        }
        _ => {
            let hog = CoroutineBuilder::new().name("hog").spawn(|| compute_for(LONG)); // line HOG
            hog.expect("it starts").join().expect("it is killed first");
        }
    }
}

#[inline(never)]
fn compute_for(duration: Duration) {
    let start = Instant::now(); // line COMPUTES
    while start.elapsed() < duration {
        (0..1000).for_each(|n| {
            black_box(n);
        });
    }
    black_box(start); // line COMPUTED
}
