//! The operations, in each of which something may be thrown.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Poll, Waker};
use std::time::Duration;

use coro::sync::{OnceLock, Receiver, WaitGroup, oneshot};
use coro::{
    coroutine_local, defer, offload, scope, select, shield, sleep, spawn, spawn_after, timeout, yield_now,
};
use fastrand::Rng;

use crate::world::{PERMITS, Value, World};

/// What is thrown, so that no hook reports it.
struct Thrown;

const LONG: Duration = Duration::from_secs(1000);

coroutine_local! {
    static OWN: Cell<Option<Value>> = Cell::new(None);
}

/// A coroutine's life.
pub(crate) fn live(world: &World, seed: u64, depth: u32) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..random.u32(4..16) {
        let _value = Value::new(&world.count);
        world.count.note_operation();
        operate(world, &mut random, depth);
    }
}

/// In a timeout scope, or without.
fn perhaps_limited(random: &mut Rng, short: Duration, f: impl FnOnce()) {
    if random.bool() { drop(timeout(short, f)) } else { f() }
}

/// With something locked: gives others a turn, or panics.
fn hold(random: &mut Rng) {
    match random.u64(..16) {
        0 => resume_unwind(Box::new(Thrown)),
        1..8 => yield_now(),
        _ => {}
    }
}

fn operate(world: &World, random: &mut Rng, depth: u32) {
    let _value = Value::new(&world.count);
    let short = Duration::from_micros(random.u64(..100));
    match random.u64(..30) {
        0 => yield_now(),
        1 => sleep(short),
        2 => drop(timeout(short, || sleep(LONG))),
        3 => shield(|| {
            sleep(short);
            drop(timeout(short, || sleep(LONG)));
        }),
        4 => {
            let value = Value::new(&world.count);
            perhaps_limited(random, short, || drop(offload(move || value)));
        }
        5 => {
            let count = world.count.clone();
            count.deferred.one_more();
            defer(move || {
                yield_now();
                count.deferred.one_less();
            })
            .unwrap();
            OWN.with(|own| own.set(Some(Value::new(&world.count))));
        }
        6 => drop(catch_unwind(AssertUnwindSafe(|| sleep(short)))),
        7 => resume_unwind(Box::new(Thrown)),
        8 if depth > 0 => relatives_in_a_scope(world, random, depth),
        9 if depth > 0 => child(world, random, short, depth),
        10 => {
            let inner = world.clone();
            perhaps_limited(random, short, || {
                inner.pool.spawn(move || sleep(short));
            });
        }
        11..14 => locks(world, random, short),
        14 | 15 => permits(world, random, short),
        16 | 17 => tokens(world, random, short),
        18 => perhaps_limited(random, short, || world.event.wait()),
        19 => {
            world.event.wait_timeout(short);
        }
        20 => perhaps_limited(random, short, || {
            world.barrier.wait();
        }),
        21 => drop(world.barrier.wait_timeout(short)),
        22 => wait_group(world, random, short),
        23 => once(world, random, short),
        24 => values(world, random, short),
        25 | 26 => channels(world, random, short),
        27 => selection(world, random, short),
        28 => bytes(world, random, short),
        _ => future(world, random, short),
    }
}

fn relatives_in_a_scope(world: &World, random: &mut Rng, depth: u32) {
    let seeds = [random.u64(..), random.u64(..)];
    scope(|scope| {
        for seed in seeds {
            let handle = scope.spawn(move || live(world, seed, depth - 1));
            if seed.is_multiple_of(3) {
                handle.cancel().unwrap();
            }
            // Joined, so that a panic isn't the scope's.
            drop(handle.join());
        }
    });
}

fn child(world: &World, random: &mut Rng, short: Duration, depth: u32) {
    let (inner, seed) = (world.clone(), random.u64(..));
    let child = spawn(move || live(&inner, seed, depth - 1));
    match random.u64(..4) {
        0 => child.cancel().unwrap(),
        1 => drop(child.join_timeout(short)),
        _ => drop(child.join()),
    }
}

/// A panic poisons them, a cancel doesn't; both leave them unlocked.
fn locks(world: &World, random: &mut Rng, short: Duration) {
    let choice = random.u64(..6);
    let mut later = random.fork();
    let change = |mut value: coro::sync::MutexGuard<'_, u64>, random: &mut Rng| {
        let before = *value;
        world.locked.fetch_add(1, SeqCst);
        *value = before + 1;
        hold(random);
    };
    let write = |mut value: coro::sync::RwLockWriteGuard<'_, u64>, random: &mut Rng| {
        let before = *value;
        world.written.fetch_add(1, SeqCst);
        *value = before + 1;
        hold(random);
    };
    perhaps_limited(random, short, || match choice {
        0 => change(world.lock.lock().unwrap_or_else(PoisonError::into_inner), &mut later),
        1 => {
            if let Ok(guard) = world.lock.try_lock_for(short) {
                change(guard, &mut later);
            }
            world.lock.clear_poison();
        }
        2 => {
            let _guard = world.table.read().unwrap_or_else(PoisonError::into_inner);
            hold(&mut later);
        }
        3 => write(world.table.write().unwrap_or_else(PoisonError::into_inner), &mut later),
        4 => {
            let _guard = world.table.try_read_for(short);
            hold(&mut later);
        }
        _ => {
            if let Ok(guard) = world.table.try_write_for(short) {
                write(guard, &mut later);
            }
            world.table.clear_poison();
        }
    });
}

fn permits(world: &World, random: &mut Rng, short: Duration) {
    let many = 1 + random.usize(..PERMITS);
    let mut later = random.fork();
    perhaps_limited(random, short, || {
        if many == 1 {
            let _permit = world.semaphore.try_acquire_for(short);
            hold(&mut later);
        } else {
            let _permits = world.semaphore.acquire_many(many);
            hold(&mut later);
        }
    });
}

fn tokens(world: &World, random: &mut Rng, short: Duration) {
    if random.bool() {
        return world.give_token();
    }
    let is_timed = random.bool();
    perhaps_limited(random, short, || {
        let tokens = world.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        // By hand: `wait_while` would end with a poisoned lock.
        let mut tokens = tokens;
        while *tokens == 0 {
            if is_timed {
                let waited = world.given.wait_timeout(tokens, short);
                let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
                if result.timed_out() {
                    return;
                }
                tokens = guard;
            } else {
                tokens = world.given.wait(tokens).unwrap_or_else(PoisonError::into_inner);
            }
        }
        *tokens -= 1;
        world.count.tokens.one_less();
    });
}

fn wait_group(world: &World, random: &mut Rng, short: Duration) {
    let group = WaitGroup::new();
    for _ in 0..2 {
        let (member, value) = (group.clone(), Value::new(&world.count));
        let handle = world.group.spawn(move || {
            let _own = (member, value);
            sleep(short);
        });
        if random.u32(..3) == 0 {
            handle.cancel().unwrap();
        }
    }
    if random.bool() {
        group.wait_timeout(short);
    } else {
        perhaps_limited(random, short, || group.wait());
    }
}

fn once(world: &World, random: &mut Rng, short: Duration) {
    let lock = OnceLock::new();
    let seeds = [random.u64(..), random.u64(..), random.u64(..)];
    scope(|scope| {
        let handles = seeds.map(|seed| {
            let lock = &lock;
            let handle = scope.spawn(move || {
                lock.get_or_init(|| {
                    let value = Value::new(&world.count);
                    sleep(short);
                    hold(&mut Rng::with_seed(seed));
                    value
                });
            });
            if seed.is_multiple_of(3) {
                handle.cancel().unwrap();
            }
            handle
        });
        handles.into_iter().for_each(|handle| drop(handle.join()));
    });
}

fn values(world: &World, random: &mut Rng, short: Duration) {
    let (sender, receiver) = oneshot();
    let value = Value::new(&world.count);
    let late = spawn_after(short, move || drop(sender.send(value)));
    if random.u32(..3) == 0 {
        late.cancel().unwrap();
    }
    if random.bool() {
        drop(receiver.recv_timeout(short));
    } else {
        perhaps_limited(random, short, || drop(receiver.recv()));
    }
}

fn channels(world: &World, random: &mut Rng, short: Duration) {
    let (sender, receiver) = if random.bool() { &world.bounded } else { &world.unbounded };
    let value = || Value::new(&world.count);
    // Counted at once: nobody can be ended in between.
    let received = |is_ok: bool| {
        if is_ok {
            world.count.sent.one_less();
        }
    };
    let sent = |is_ok: bool| {
        if is_ok {
            world.count.sent.one_more();
        }
    };
    let choice = random.u64(..4);
    perhaps_limited(random, short, || match choice {
        0 => sent(sender.send(value()).is_ok()),
        1 => sent(sender.send_timeout(value(), short).is_ok()),
        2 => received(receiver.recv().is_ok()),
        _ => received(receiver.recv_timeout(short).is_ok()),
    });
}

fn selection(world: &World, random: &mut Rng, short: Duration) {
    let one_less = |receiver: &Receiver<Value>| {
        if receiver.try_recv().is_ok() {
            world.count.sent.one_less()
        }
    };
    perhaps_limited(random, short, || {
        select! {
            recv(world.bounded.1) -> value => {
                drop(value.unwrap());
                world.count.sent.one_less();
            }
            recv(world.unbounded.1) -> value => {
                drop(value.unwrap());
                world.count.sent.one_less();
            }
            send(world.bounded.0, Value::new(&world.count)) -> result => {
                result.unwrap();
                world.count.sent.one_more();
            }
            wait(world.event) => one_less(&world.bounded.1),
            wait(world.stream.1.readable()) => one_less(&world.unbounded.1),
            after(short) => {}
        }
    });
}

fn bytes(world: &World, random: &mut Rng, short: Duration) {
    let (writes, reads) = (&world.stream.0, &world.stream.1);
    let is_writing = random.bool();
    perhaps_limited(random, short, || {
        if is_writing {
            if (&mut &*writes).write(&[1]).is_ok() {
                world.count.bytes.one_more();
            }
        } else if (&mut &*reads).read(&mut [0]).is_ok() {
            world.count.bytes.one_less();
        }
    });
}

/// Wakes a future however its owner ends.
struct Wakes(Waker);

impl Drop for Wakes {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// A future that another coroutine wakes.
fn future(world: &World, random: &mut Rng, short: Duration) {
    let value = Value::new(&world.count);
    let mut has_asked = false;
    let woken = async move {
        let _value = value;
        poll_fn(|context| {
            if has_asked {
                return Poll::Ready(());
            }
            has_asked = true;
            let wakes = Wakes(context.waker().clone());
            world.group.spawn(move || {
                yield_now();
                drop(wakes);
            });
            Poll::Pending
        })
        .await;
    };
    perhaps_limited(random, short, || coro::wait(woken));
}
