//! One coroutine for each way to wait for what ends or begins elsewhere, and for each way to be ended, to be seen by
//! debuggers (tests/lifetimes.rs has their words). `lifetimes [circle|dropped]`.
//!
//! When all of them wait, one is cancelled that has not begun, and one more comes to a group; main stays on its thread, so
//! that neither begins. Prints `parked` then.
//!
//! circle: two of a scope's three members want the lock that the coroutine has which waits for the scope: nobody can go on.
//! dropped: a destructor waits while a panic unwinds, which ends the process.

use std::future::pending;
use std::io::Read as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;
use std::{env, hint, thread};

use coro::sync::{Event, Mutex, Receiver, channel};
use coro::{CoroutineBuilder, Group, JoinHandle, Pool};

const HOUR: Duration = Duration::from_secs(3600);

/// Whether the offloaded work has begun.
static WORKS: AtomicBool = AtomicBool::new(false);

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let mode = env::args().nth(1).unwrap_or_default();
    let body = match mode.as_str() {
        "" => wait_in_all_ways,
        "circle" => wait_in_a_circle,
        "dropped" => wait_in_a_destructor,
        _ => panic!("usage: lifetimes [circle|dropped]"),
    };
    coro::Builder::new().max_coroutines(64).run(body).unwrap();
}

fn wait_in_all_ways() {
    let group = Group::new(); // line GROUP
    let grown = group.clone();
    let pool = Pool::new(2); // line POOL
    let mapping = Pool::new(2); // line MAPPING
    let (end, kept) = std::io::pipe().expect("a pipe can be had");
    let (child_input, child_kept) = std::io::pipe().expect("a pipe can be had");
    let [one, other] = [channel::<u8>(1), channel::<u8>(1)];
    for _ in 0..2 {
        group.spawn(|| coro::sleep(Duration::MAX)); // line MEMBER
        pool.spawn(|| coro::sleep(Duration::MAX));
    }
    let mut all = vec![
        spawn("of-scope", wait_for_a_scope),
        spawn("of-group", move || group.wait().unwrap()),
        spawn("of-pool", move || drop(pool.spawn(|| ()))),
        spawn("mapping", move || map(&mapping)),
        spawn("offloading", || coro::offload(work)), // line OFFLOAD
        spawn("polling", || coro::wait(pending::<()>())),
        spawn("signalled", || drop(coro::signal::listen(&[libc::SIGUSR1]).unwrap().wait())),
        spawn("parent", move || {
            // It ends when this process does, and with it the other end of its input.
            let mut child = coro::process::spawn(Command::new("cat").stdin(child_input)).unwrap();
            child.wait().unwrap();
        }),
        spawn("piped", move || coro::wait_readable(&end, None).unwrap()),
        spawn("timed", wait_in_two_timeouts),
        spawn("selecting", move || select(&one.1, &other.1)),
    ];
    let shielded = spawn("shielded", || coro::shield(|| coro::sleep(Duration::MAX)));
    // Beside these: the scope's member, the group's, the pool's, and those of who maps.
    let count = all.len() + 1 + 1 + 2 + 2 + 2;
    while coro::stats().unwrap().parked().map(|(_, count)| count).sum::<usize>() < count
        || !WORKS.load(Acquire)
    {
        coro::yield_now();
        thread::yield_now();
    }
    shielded.cancel().unwrap();
    // It looks around, and sleeps on.
    coro::yield_now();
    let fresh = spawn("fresh", || unreachable!("it is not run"));
    fresh.cancel().unwrap();
    grown.spawn(|| ());
    all.extend([shielded, fresh]);
    println!("parked");
    loop {
        thread::park();
        hint::black_box((&all, &kept, &child_kept, &one.0, &other.0));
    }
}

fn wait_for_a_scope() {
    let text = "lent".to_owned();
    coro::scope(|scope| lend(scope, &text)); // line SCOPE
}

fn map(pool: &Pool) {
    let results = pool.map(0..3, |_| coro::sleep(Duration::MAX)); // line MAP
    hint::black_box(results);
}

fn lend<'scope>(scope: &'scope coro::Scope<'scope, '_>, text: &'scope str) {
    let sleep = move || {
        coro::sleep(Duration::MAX);
        hint::black_box(text);
    };
    drop(CoroutineBuilder::new().name("member").spawn_scoped(scope, sleep));
}

fn wait_in_two_timeouts() {
    let outer = coro::timeout(2 * HOUR, || coro::timeout(HOUR, || coro::sleep(Duration::MAX)));
    drop(hint::black_box(outer));
}

fn select(one: &Receiver<u8>, other: &Receiver<u8>) {
    let got = coro::select! {
        recv(one) -> got => got.unwrap(),
        recv(other) -> got => got.unwrap(),
    };
    hint::black_box(got);
}

/// On a thread of its own, until the process is killed.
fn work() {
    let (mut end, _kept) = std::io::pipe().expect("a pipe can be had");
    WORKS.store(true, Release);
    let _ = end.read(&mut [0]);
}

fn wait_in_a_circle() {
    let lock = Arc::new(Mutex::new(0));
    let keeper = spawn("keeper", move || {
        let held = lock.lock().unwrap();
        coro::scope(|scope| want(scope, &lock)); // line CIRCLE
        drop(held);
    });
    keeper.join().unwrap();
}

fn want<'scope>(scope: &'scope coro::Scope<'scope, '_>, lock: &'scope Mutex<u64>) {
    // It is in nobody's way.
    drop(CoroutineBuilder::new().name("idle").spawn_scoped(scope, || Event::new().wait()));
    for name in ["ann", "bob"] {
        drop(CoroutineBuilder::new().name(name).spawn_scoped(scope, move || *lock.lock().unwrap() += 1));
    }
}

/// Its destructor wants a lock.
struct Wants(Arc<Mutex<u64>>);

impl Drop for Wants {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += 1; // line DROPPED
    }
}

fn wait_in_a_destructor() {
    let lock = Arc::new(Mutex::new(0));
    let (holds, joined) = (lock.clone(), spawn("idle", || coro::sleep(Duration::MAX)));
    let holder = spawn("holder", move || {
        let held = holds.lock().unwrap();
        joined.join().unwrap();
        drop(held);
    });
    coro::yield_now();
    let panics = spawn("panics", move || {
        let _wants = Wants(lock);
        panic!("on purpose");
    });
    drop(panics.join());
    holder.join().unwrap();
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    CoroutineBuilder::new().name(name).spawn(f).unwrap()
}
