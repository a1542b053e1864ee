//! Cancels, panics and timeouts thrown at random into random operations, on two workers: nothing is lost, stuck or leaked,
//! and each destructor runs exactly once.
//!
//! 100,000 operations; `CORO_OPERATIONS` says otherwise (tests/long/thrown.sh).

use std::cell::Cell;
use std::env;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use coro::net::TcpStream;
use coro::sync::{Mutex, Receiver, Sender, channel};
use coro::{
    Builder, Group, coroutine_local, defer, offload, scope, shield, sleep, spawn, timeout, yield_now,
};
use pretty_assertions::assert_eq;

/// What is thrown, so that no hook reports it.
struct Thrown;

/// Made and dropped, of all values.
#[derive(Default)]
struct Count {
    made: AtomicU64,
    dropped: AtomicU64,
    deferred: AtomicU64,
    ran: AtomicU64,
}

struct Value(Arc<Count>, Cell<bool>);

impl Value {
    fn new(count: &Arc<Count>) -> Value {
        count.made.fetch_add(1, SeqCst);
        Value(count.clone(), Cell::new(false))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.1.replace(true), "dropped twice");
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

coroutine_local! {
    static OWN: Cell<Option<Value>> = Cell::new(None);
}

/// Marsaglia's xorshift.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What all share.
#[derive(Clone)]
struct World {
    count: Arc<Count>,
    lock: Arc<Mutex<u64>>,
    sender: Sender<Value>,
    receiver: Arc<Receiver<Value>>,
    group: Group,
}

/// One random operation, in which something may be thrown.
fn operate(world: &World, state: &mut u64, depth: u32) {
    let _value = Value::new(&world.count);
    let short = Duration::from_micros(next(state) % 100);
    match next(state) % 15 {
        0 | 1 => yield_now(),
        2 | 3 => sleep(short),
        4 => {
            // A panic poisons it, a cancel doesn't; both leave it unlocked.
            let mut guard = world.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *guard += 1;
            yield_now();
        }
        5 => drop(timeout(short, || world.sender.send(Value::new(&world.count)))),
        6 => drop(timeout(short, || world.receiver.recv())),
        7 => drop(timeout(short, || sleep(Duration::from_secs(1000)))),
        8 => shield(|| {
            sleep(short);
            drop(timeout(short, || sleep(Duration::from_secs(1000))));
        }),
        9 if depth > 0 => {
            let seeds = [next(state), next(state)];
            scope(|scope| {
                for seed in seeds {
                    let handle = scope.spawn(move || live(world.clone(), seed, depth - 1));
                    if seed.is_multiple_of(3) {
                        handle.cancel().unwrap();
                    }
                    // Joined, so that a panic isn't the scope's.
                    drop(handle.join());
                }
            });
        }
        10 if depth > 0 => {
            let (inner, seed) = (world.clone(), next(state));
            let child = spawn(move || live(inner, seed, depth - 1));
            match next(state) % 4 {
                0 => child.cancel().unwrap(),
                1 => drop(child.join_timeout(short)),
                _ => drop(child.join()),
            }
        }
        11 => {
            let value = Value::new(&world.count);
            drop(offload(move || value));
        }
        12 => {
            let count = world.count.clone();
            count.deferred.fetch_add(1, SeqCst);
            defer(move || {
                yield_now();
                count.ran.fetch_add(1, SeqCst);
            })
            .unwrap();
            OWN.with(|own| own.set(Some(Value::new(&world.count))));
        }
        13 => drop(catch_unwind(AssertUnwindSafe(|| sleep(short)))),
        _ => resume_unwind(Box::new(Thrown)),
    }
}

/// A coroutine's life.
fn live(world: World, seed: u64, depth: u32) {
    let mut state = seed | 1 << 63;
    (0..3).for_each(|_| {
        next(&mut state);
    });
    for _ in 0..4 + next(&mut state) % 12 {
        let _value = Value::new(&world.count);
        operate(&world, &mut state, depth);
    }
}

#[test]
fn nothing_is_lost_stuck_or_leaked_and_each_destructor_runs_exactly_once() {
    let wanted = env::var("CORO_OPERATIONS").map_or(100_000, |text| text.parse().unwrap());
    let seed = env::var("CORO_SEED").map_or(0x2545_f491_4f6c_dd1d, |text| text.parse().unwrap());
    let count = Arc::new(Count::default());
    Builder::new()
        .workers(2)
        .run(|| {
            let (sender, receiver) = channel(4);
            let world = World {
                count: count.clone(),
                lock: Arc::default(),
                sender,
                receiver: Arc::new(receiver),
                group: Group::new(),
            };
            let mut state: u64 = seed;
            let mut handles = Vec::new();
            while count.made.load(SeqCst) / 2 < wanted {
                let (inner, seed) = (world.clone(), next(&mut state));
                handles.push(world.group.spawn(move || live(inner, seed, 2)));
                if handles.len() == 50 {
                    let victim = next(&mut state) as usize % handles.len();
                    handles[victim].cancel().unwrap();
                    if next(&mut state).is_multiple_of(10) {
                        world.group.cancel().unwrap();
                    }
                    let first = handles.swap_remove(victim);
                    let _ = first.join();
                }
                if next(&mut state).is_multiple_of(8) {
                    yield_now();
                }
            }
            drop(handles);
            world.group.wait().unwrap();
            while coro::stats().unwrap().alive > 0 {
                sleep(Duration::from_millis(1));
            }
            assert!(world.lock.try_lock().is_ok() || world.lock.is_poisoned(), "somebody has left it locked");
        })
        .unwrap();
    // Jobs that were left behind end on their threads.
    while count.dropped.load(SeqCst) < count.made.load(SeqCst) {
        std::thread::yield_now();
    }
    let [made, dropped, deferred, ran] =
        [&count.made, &count.dropped, &count.deferred, &count.ran].map(|count| count.load(SeqCst));
    assert_eq!((made, deferred), (dropped, ran));
    println!("{made} values, {deferred} deferred functions");
}

#[test]
fn connections_whose_users_are_cancelled_at_random_carry_on() {
    Builder::new()
        .workers(2)
        .run(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut peer = listener.accept().unwrap().0;
            let stream = Arc::new(TcpStream::from_std(client).unwrap());
            for round in 0..2000_u32 {
                let reading = stream.clone();
                let reader = spawn(move || {
                    let mut byte = [0];
                    (&*reading).read(&mut byte).map(|count| (count, byte))
                });
                (0..round % 4).for_each(|_| yield_now());
                reader.cancel().unwrap();
                let got = reader.join();
                assert!(got.is_err(), "nothing was sent yet");
                // What is sent now is there for the next one.
                peer.write_all(&[round as u8]).unwrap();
                let mut byte = [0];
                (&*stream).read_exact(&mut byte).unwrap();
                assert_eq!(byte[0], round as u8);
            }
        })
        .unwrap();
}
