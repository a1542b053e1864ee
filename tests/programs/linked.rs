//! A program that is linked in another way than usual: `linked parked`, whose coroutines wait to be looked at, or
//! `linked overflow`.

use std::env;
use std::hint::black_box;
use std::time::Duration;

use coro::{CoroutineBuilder, sleep, spawn};

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    // SAFETY: a limit is no threat to memory.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
    let mode = env::args().nth(1).unwrap_or_default();
    coro::run(|| {
        let waiting = CoroutineBuilder::new().name("waiting").spawn(|| wait_here(black_box(7))).unwrap();
        let value = coro::offload(|| 2) + spawn(|| 40).join().unwrap();
        assert_eq!(value, 42);
        match mode.as_str() {
            "parked" => println!("parked"),
            "overflow" => {
                println!("started");
                let deep = CoroutineBuilder::new().name("deep").spawn(|| println!("{}", deeper(0)));
                deep.unwrap().join().unwrap();
            }
            _ => panic!("{mode}?"),
        }
        waiting.join().unwrap();
    })
    .unwrap();
}

#[inline(never)]
fn wait_here(value: u64) {
    sleep(Duration::MAX);
    black_box(value);
}

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 40]);
    if black_box(depth) == u64::MAX { 0 } else { deeper(depth + 1) + frame[3] }
}
