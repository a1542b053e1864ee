//! A deadlock of three locks among twenty coroutines: `deadlocked circle|channel|quiet|thread`.
//!
//! circle: three have a lock each and want the next one's. channel: one of the three waits for a value instead, whose last
//! sender has the first lock. quiet: as circle, without the notice. thread: nobody waits for another one but for a thread
//! outside the runtime, which may still act.

use std::sync::Arc;
use std::thread;
use std::{env, hint};

use coro::sync::{Mutex, Sender, channel};
use coro::{Builder, CoroutineBuilder, JoinHandle};

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let mode = env::args().nth(1).unwrap_or_default();
    Builder::new().max_coroutines(64).deadlock_notice(mode != "quiet").run(|| deadlock(&mode)).unwrap();
}

fn deadlock(mode: &str) {
    let locks: [_; 3] = std::array::from_fn(|_| Arc::new(Mutex::new(0)));
    let (sender, receiver) = channel::<u8>(1);
    if mode == "thread" {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let kept = sender.clone();
        thread::spawn(move || {
            let _ = told.recv();
            drop(kept);
        });
        println!("parked");
        hint::black_box((receiver.recv().is_ok(), tell, sender));
        return;
    }
    let hold = |name: &str, own: usize, wanted: usize, sender: Option<Sender<u8>>| {
        let (own, wanted) = (locks[own].clone(), locks[wanted].clone());
        spawn(name, move || {
            if let Some(sender) = &sender {
                sender.send(0).unwrap();
            }
            let first = own.lock().unwrap();
            coro::yield_now();
            let second = wanted.lock().unwrap();
            *first + *second
        })
    };
    let mut all = vec![];
    if mode == "channel" {
        all.push(hold("ann", 0, 1, Some(sender)));
        all.push(hold("bob", 1, 2, None));
        let third = locks[2].clone();
        all.push(spawn("cid", move || {
            let held = third.lock().unwrap();
            receiver.recv().unwrap();
            receiver.recv().unwrap();
            *held
        }));
    } else {
        all.push(hold("ann", 0, 1, None));
        all.push(hold("bob", 1, 2, None));
        all.push(hold("cid", 2, 0, None));
    }
    // Those behind: none of them is in the circle.
    for n in 3..20 {
        let wanted = locks[n % 3].clone();
        all.push(spawn("behind", move || *wanted.lock().unwrap()));
    }
    println!("parked");
    all.into_iter().for_each(|one| drop(one.join()));
}

fn spawn(name: &str, f: impl FnOnce() -> i32 + Send + 'static) -> JoinHandle<i32> {
    CoroutineBuilder::new().name(name).spawn(f).unwrap()
}
