//! What a debugger is to see: coroutines whose functions have locals of known values, in several kinds of
//! process. `seen parked|fork|threads|steps|panics [WORKERS]`.
//!
//! With four workers (there may be one or four) the four coroutines have one each.
//!
//! parked: waits for ever, in coroutines of several kinds. fork: then forks, and both wait. threads:
//! besides, a thread that computes. steps: two coroutines take turns in one function, two thousand times; with four workers
//! four, each with one of its own worker that gives way to it.
//! panics: some coroutines end, and one panics.
//!
//! Prints `parked` when it is where it is to be looked at; the fork, then, its child's number.

#[path = "../support/events.rs"]
mod events;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{env, io, thread};

use coro::net::TcpStream;
use coro::sync::{Mutex, channel};
use coro::{Builder, CoroutineBuilder, JoinHandle};

use events::waits_for_events;

const FOR_EVER: Duration = Duration::MAX;

/// How many coroutines have come to where they wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// Whether the mutex has its owner.
static IS_HELD: AtomicBool = AtomicBool::new(false);

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let mode = env::args().nth(1).unwrap_or_default();
    let workers = env::args().nth(2).map_or(1, |count| count.parse().expect("WORKERS is a number"));
    let builder = Builder::new().max_coroutines(64).workers(workers);
    match mode.as_str() {
        "parked" => builder.run(|| park_all(say_parked)),
        "fork" => builder.run(|| {
            park_all(|| {
                say_parked();
                fork();
            });
        }),
        "threads" => builder.run(|| park_all(|| _ = thread::spawn(compute))),
        "steps" if workers > 1 => builder.run(take_turns_on_each),
        "steps" => builder.run(take_turns),
        "panics" => builder.run(end_in_all_ways),
        _ => panic!("usage: seen parked|fork|threads|steps|panics [WORKERS]"),
    }
    .unwrap();
}

fn park_all(then: impl FnOnce()) {
    let (stream, _peer) = connection();
    let mutex = Arc::new(Mutex::new(17_u64));
    let wanted = mutex.clone();
    let (sender, receiver) = channel::<u64>(4);
    sender.send(5).unwrap();
    let drained = channel::<u64>(1).1;

    let reader = spawn_spread("reader", move || read_request(&stream, 21));
    let owner = spawn_spread("owner", move || hold(&mutex, 1000));
    let locker = spawn_spread("locker", move || {
        while !IS_HELD.load(Ordering::Acquire) {
            coro::yield_now();
        }
        want(&wanted, 2000)
    });
    let joiner = spawn_spread("joiner", move || join_one(owner, 3000));
    while WAITING.load(Ordering::Relaxed) < 4 || how_many_wait() < 4 {
        coro::yield_now();
    }
    then();
    see_all(&reader, &locker, &joiner, &sender, &receiver, &drained);
}

fn say_parked() {
    println!("parked");
}

/// Of the four.
fn how_many_wait() -> usize {
    let stats = coro::stats().unwrap();
    stats.parked().filter(|(reason, _)| *reason != "shutdown").map(|(_, count)| count).sum()
}

/// One of four: where there are four workers, it holds its thread until each of them has one.
fn spawn_spread<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    static MEET: Barrier = Barrier::new(4);
    spawn(name, move || {
        if coro::stats().unwrap().workers > 1 {
            MEET.wait();
        }
        f()
    })
}

/// Where main waits, with a local of each kind that the debugger shows in a way of its own.
#[inline(never)]
fn see_all(
    reader: &JoinHandle<u64>,
    locker: &JoinHandle<u64>,
    joiner: &JoinHandle<u64>,
    sender: &coro::sync::Sender<u64>,
    receiver: &coro::sync::Receiver<u64>,
    drained: &coro::sync::Receiver<u64>,
) {
    let id = reader.id();
    coro::sleep(FOR_EVER);
    black_box((id, reader, locker, joiner, sender, receiver, drained));
}

#[inline(never)]
fn read_request(stream: &TcpStream, number: u64) -> u64 {
    let secret = black_box(number * 2);
    let name = black_box("request");
    let bytes = black_box([1_u8, 2, 3, 4]);
    let got = wait_for_bytes(stream, secret + 1);
    // All of them live on beyond the wait.
    black_box(secret) + black_box(name).len() as u64 + u64::from(black_box(bytes)[0]) + got
}

#[inline(never)]
fn wait_for_bytes(mut stream: &TcpStream, wanted: u64) -> u64 {
    let room = black_box(wanted + 100);
    let got = waiting(|| stream.read(&mut [0])).unwrap() as u64;
    got + black_box(room)
}

#[inline(never)]
fn hold(mutex: &Mutex<u64>, since: u64) -> u64 {
    let held = black_box(since + 1);
    let guard = mutex.lock().unwrap();
    IS_HELD.store(true, Ordering::Release);
    waiting(|| coro::sleep(FOR_EVER));
    *guard + black_box(held)
}

#[inline(never)]
fn want(mutex: &Mutex<u64>, since: u64) -> u64 {
    let wanted = black_box(since + 2);
    let value = *waiting(|| mutex.lock()).unwrap();
    value + black_box(wanted)
}

#[inline(never)]
fn join_one(one: JoinHandle<u64>, since: u64) -> u64 {
    let joined = black_box(since + 3);
    waiting(|| one.join()).unwrap() + black_box(joined)
}

/// Waits by `f`. With one worker no other coroutine runs between the count and the wait, so main sees who waits.
fn waiting<T>(f: impl FnOnce() -> T) -> T {
    WAITING.fetch_add(1, Ordering::Relaxed);
    f()
}

fn spawn<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    CoroutineBuilder::new().name(name).spawn(f).unwrap()
}

/// A connection on which nothing comes.
fn connection() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (TcpStream::from_std(listener.accept().unwrap().0).unwrap(), peer)
}

/// The child has a copy of all coroutines, and runs none of them. It dies with its parent.
fn fork() {
    // SAFETY: the child calls nothing but `prctl` and `pause`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: changes nothing but what becomes of this process, and who may attach to it, too.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
        }
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    println!("{child}");
    io::stdout().flush().unwrap();
}

/// Says that all wait, when main does as well, and computes.
fn compute() {
    while !waits_for_events(Path::new("/proc/self")).unwrap() {
        thread::yield_now();
    }
    say_parked();
    let mut number = 1_u64;
    loop {
        number = black_box(number.wrapping_mul(3));
    }
}

// Steps.

fn take_turns() {
    let one = spawn("one", || turns(1));
    let two = spawn("two", || turns(2));
    println!("parked");
    black_box((one.join().is_ok(), two.join().is_ok()));
}

/// Each on a worker, beside one that only gives way.
fn take_turns_on_each() {
    let runners = ["one", "two", "three", "four"].into_iter().zip(1..).map(|(name, number)| {
        spawn_spread(name, move || {
            let is_over = Arc::new(AtomicBool::new(false));
            let over = is_over.clone();
            let other = coro::spawn_local(move || {
                while !over.load(Ordering::Relaxed) {
                    coro::yield_now();
                }
            });
            let rounds = turns(number);
            is_over.store(true, Ordering::Relaxed);
            other.join().unwrap();
            rounds
        })
    });
    println!("parked");
    for runner in runners.collect::<Vec<_>>() {
        runner.join().unwrap();
    }
}

#[inline(never)]
fn turns(who: u64) -> u64 {
    let mut round = black_box(0);
    while round < 2000 {
        round += 1; // line FIRST
        let before = twice(round, who); // line SECOND
        coro::yield_now(); // line THIRD
        black_box(before + who); // line FOURTH
        if round % 1000 == 999 && who == 1 {
            coro::sleep(Duration::from_millis(1));
        }
    }
    round
}

#[inline(never)]
fn twice(round: u64, who: u64) -> u64 {
    let doubled = black_box(round * 2); // line TWICE
    coro::yield_now(); // line YIELD
    doubled + black_box(who) // line DOUBLED
}

// Ends.

fn end_in_all_ways() {
    let ends = spawn("ends", || black_box(last_words(5) + countdown(4)));
    ends.join().unwrap();
    let panics = spawn("panics", || {
        coro::yield_now();
        panic!("on purpose");
    });
    let error: Result<(), _> = panics.join();
    assert!(error.is_err());
    println!("parked");
}

#[inline(never)]
fn last_words(n: u64) -> u64 {
    let words = black_box(n + 1); // line WORDS
    coro::yield_now();
    words
} // line LAST

#[inline(never)]
fn countdown(n: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    let rest = countdown(black_box(n - 1)); // line DEEPER
    coro::yield_now();
    rest + 1 // line BACK
}
