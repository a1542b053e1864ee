//! Coroutines that wait for what is done elsewhere: for work on another thread, and for a future.

use std::future::pending;
use std::io::Read as _;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;

static THREAD: AtomicU32 = AtomicU32::new(0);

fn main() {
    // SAFETY: changes nothing but who may attach to us.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    coro::run(|| {
        let offloading = coro::CoroutineBuilder::new().name("offloading").spawn(wait_for_work);
        let polling = coro::CoroutineBuilder::new().name("polling").spawn(|| coro::wait(pending::<()>()));
        while THREAD.load(Acquire) == 0 {
            coro::yield_now();
            thread::yield_now();
        }
        println!("parked");
        println!("{}", THREAD.load(Acquire));
        drop((offloading, polling));
        loop {
            coro::sleep(std::time::Duration::from_secs(3600));
        }
    })
    .expect("a runtime starts");
}

fn wait_for_work() {
    coro::offload(work); // line OFFLOAD
}

/// On a thread of its own, until the process is killed.
fn work() {
    let id = nix::unistd::gettid().as_raw() as u32;
    let (mut end, _kept) = std::io::pipe().expect("a pipe can be had");
    // Release: what the head says of this thread was stored before.
    THREAD.store(id, Release);
    let _ = end.read(&mut [0]);
}
