//! A shared library that has a runtime of its own: tests/programs/host.rs loads it twice, under two names.

use std::ffi::{CStr, c_char};
use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use coro::{Builder, CoroutineBuilder};

/// Starts a thread with a runtime, in which one coroutine of that name waits for ever; returns when it does.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn start(name: *const c_char) {
    // SAFETY: the caller's.
    let name = unsafe { CStr::from_ptr(name) }.to_str().expect("the host gives ASCII").to_owned();
    let (waits, ready) = mpsc::channel();
    thread::spawn(move || {
        let run = || {
            let number = name.len() as u64;
            let sleeper = CoroutineBuilder::new().name(name).spawn(move || sleep_in_library(number, &waits));
            sleeper.map(|sleeper| black_box(sleeper.join().is_ok()))
        };
        Builder::new().max_coroutines(8).run(run)
    });
    ready.recv().expect("the coroutine comes to its sleep");
}

#[inline(never)]
fn sleep_in_library(number: u64, waits: &mpsc::Sender<()>) {
    let seen = black_box(number * 100);
    waits.send(()).expect("the starter waits");
    coro::sleep(Duration::MAX);
    black_box(seen);
}
