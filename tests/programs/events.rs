//! Spawns, ends and a panic, to be seen by breakpoints at the addresses of the table `events`.
//!
//! Prints `ready` in its runtime, when the tables are there, and goes on when a line comes.

use std::io;

use coro::{CoroutineBuilder, JoinHandle, defer};

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    coro::Builder::new().max_coroutines(64).run(live).unwrap();
}

fn live() {
    println!("ready");
    io::stdin().read_line(&mut String::new()).unwrap();
    let returns = spawn("returns", || {
        defer(|| drop(spawn("deferred", || ()))).unwrap();
    });
    returns.join().unwrap();
    spawn("panics", || panic!("on purpose")).join().unwrap_err();
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    CoroutineBuilder::new().name(name).spawn(f).unwrap()
}
