//! A service which gets slower and larger by the hour: coroutines which never end. Which, and who starts them?
//!
//! ```text
//! cargo run --example find_the_leak         it says how many coroutines there are: more and more
//! gdb -x gdb/coro.py -p $(pidof find_the_leak)
//! (gdb) coro group                          one stack has nearly all of them
//! (gdb) coro group spawn                    and one line has spawned them
//! (gdb) coro list -older 1s -sort age -limit 5
//! (gdb) coro why NUMBER                     what one waits for, and that nobody is going to send it
//! (gdb) coro select NUMBER
//! (gdb) up                                  into watch; its request:
//! (gdb) p request
//! ```
//!
//! The way out: the watchdog should wait for the end of its request with a deadline, or hold no `Sender` itself.

use std::time::Duration;

use coro::sync::{Receiver, channel};

fn main() -> coro::Result<()> {
    coro::run(|| {
        for request in 1.. {
            coro::CoroutineBuilder::new()
                .name(format!("request {request}"))
                .spawn(move || handle(request))?;
            coro::sleep(Duration::from_millis(2));
            if request % 500 == 0 {
                println!("{request} requests, {} coroutines", coro::stats().map_or(0, |stats| stats.alive));
            }
        }
        Ok(())
    })?
}

/// Answers a request, watched over by another coroutine.
#[inline(never)]
fn handle(request: u64) {
    let (done, ended) = channel::<()>(1);
    let also_done = done.clone(); // the bug: the watchdog holds a sender of the channel on which it waits
    coro::spawn(move || {
        watch(request, &ended);
        drop(also_done);
    });
    coro::sleep(Duration::from_millis(1));
    drop(done);
}

/// Waits until all senders of a request are gone.
#[inline(never)]
fn watch(request: u64, ended: &Receiver<()>) {
    while ended.recv().is_ok() {}
    println!("request {request} has ended"); // never
}
