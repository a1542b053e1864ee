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

use crate::next;
use crate::world::{PERMITS, Value, World};

/// What is thrown, so that no hook reports it.
struct Thrown;

const LONG: Duration = Duration::from_secs(1000);

coroutine_local! {
    static OWN: Cell<Option<Value>> = Cell::new(None);
}

/// A coroutine's life.
pub(crate) fn live(world: &World, seed: u64, depth: u32) {
    let mut state = seed | 1 << 63;
    (0..3).for_each(|_| {
        next(&mut state);
    });
    for _ in 0..4 + next(&mut state) % 12 {
        let _value = Value::new(&world.count);
        world.count.note_operation();
        operate(world, &mut state, depth);
    }
}

/// In a timeout scope, or without.
fn perhaps_limited(state: &mut u64, short: Duration, f: impl FnOnce()) {
    if next(state).is_multiple_of(2) { drop(timeout(short, f)) } else { f() }
}

/// With something locked: gives others a turn, or panics.
fn hold(state: &mut u64) {
    match next(state) % 16 {
        0 => resume_unwind(Box::new(Thrown)),
        1..8 => yield_now(),
        _ => {}
    }
}

fn operate(world: &World, state: &mut u64, depth: u32) {
    let _value = Value::new(&world.count);
    let short = Duration::from_micros(next(state) % 100);
    match next(state) % 30 {
        0 => yield_now(),
        1 => sleep(short),
        2 => drop(timeout(short, || sleep(LONG))),
        3 => shield(|| {
            sleep(short);
            drop(timeout(short, || sleep(LONG)));
        }),
        4 => {
            let value = Value::new(&world.count);
            perhaps_limited(state, short, || drop(offload(move || value)));
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
        8 if depth > 0 => relatives_in_a_scope(world, state, depth),
        9 if depth > 0 => child(world, state, short, depth),
        10 => {
            let inner = world.clone();
            perhaps_limited(state, short, || {
                inner.pool.spawn(move || sleep(short));
            });
        }
        11..14 => locks(world, state, short),
        14 | 15 => permits(world, state, short),
        16 | 17 => tokens(world, state, short),
        18 => perhaps_limited(state, short, || world.event.wait()),
        19 => {
            world.event.wait_timeout(short);
        }
        20 => perhaps_limited(state, short, || {
            world.barrier.wait();
        }),
        21 => drop(world.barrier.wait_timeout(short)),
        22 => wait_group(world, state, short),
        23 => once(world, state, short),
        24 => values(world, state, short),
        25 | 26 => channels(world, state, short),
        27 => selection(world, state, short),
        28 => bytes(world, state, short),
        _ => future(world, state, short),
    }
}

fn relatives_in_a_scope(world: &World, state: &mut u64, depth: u32) {
    let seeds = [next(state), next(state)];
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

fn child(world: &World, state: &mut u64, short: Duration, depth: u32) {
    let (inner, seed) = (world.clone(), next(state));
    let child = spawn(move || live(&inner, seed, depth - 1));
    match next(state) % 4 {
        0 => child.cancel().unwrap(),
        1 => drop(child.join_timeout(short)),
        _ => drop(child.join()),
    }
}

/// A panic poisons them, a cancel doesn't; both leave them unlocked.
fn locks(world: &World, state: &mut u64, short: Duration) {
    let choice = next(state) % 6;
    let mut later = *state;
    let change = |mut value: coro::sync::MutexGuard<'_, u64>, state: &mut u64| {
        let before = *value;
        world.locked.fetch_add(1, SeqCst);
        *value = before + 1;
        hold(state);
    };
    let write = |mut value: coro::sync::RwLockWriteGuard<'_, u64>, state: &mut u64| {
        let before = *value;
        world.written.fetch_add(1, SeqCst);
        *value = before + 1;
        hold(state);
    };
    perhaps_limited(state, short, || match choice {
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

fn permits(world: &World, state: &mut u64, short: Duration) {
    let many = 1 + next(state) as usize % PERMITS;
    let mut later = *state;
    perhaps_limited(state, short, || {
        if many == 1 {
            let _permit = world.semaphore.try_acquire_for(short);
            hold(&mut later);
        } else {
            let _permits = world.semaphore.acquire_many(many);
            hold(&mut later);
        }
    });
}

fn tokens(world: &World, state: &mut u64, short: Duration) {
    if next(state).is_multiple_of(2) {
        return world.give_token();
    }
    let is_timed = next(state).is_multiple_of(2);
    perhaps_limited(state, short, || {
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

fn wait_group(world: &World, state: &mut u64, short: Duration) {
    let group = WaitGroup::new();
    for _ in 0..2 {
        let (member, value) = (group.clone(), Value::new(&world.count));
        let handle = world.group.spawn(move || {
            let _own = (member, value);
            sleep(short);
        });
        if next(state).is_multiple_of(3) {
            handle.cancel().unwrap();
        }
    }
    if next(state).is_multiple_of(2) {
        group.wait_timeout(short);
    } else {
        perhaps_limited(state, short, || group.wait());
    }
}

fn once(world: &World, state: &mut u64, short: Duration) {
    let lock = OnceLock::new();
    let seeds = [next(state), next(state), next(state)];
    scope(|scope| {
        let handles = seeds.map(|seed| {
            let lock = &lock;
            let handle = scope.spawn(move || {
                lock.get_or_init(|| {
                    let value = Value::new(&world.count);
                    sleep(short);
                    hold(&mut { seed });
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

fn values(world: &World, state: &mut u64, short: Duration) {
    let (sender, receiver) = oneshot();
    let value = Value::new(&world.count);
    let late = spawn_after(short, move || drop(sender.send(value)));
    if next(state).is_multiple_of(3) {
        late.cancel().unwrap();
    }
    if next(state).is_multiple_of(2) {
        drop(receiver.recv_timeout(short));
    } else {
        perhaps_limited(state, short, || drop(receiver.recv()));
    }
}

fn channels(world: &World, state: &mut u64, short: Duration) {
    let (sender, receiver) = if next(state).is_multiple_of(2) { &world.bounded } else { &world.unbounded };
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
    let choice = next(state) % 4;
    perhaps_limited(state, short, || match choice {
        0 => sent(sender.send(value()).is_ok()),
        1 => sent(sender.send_timeout(value(), short).is_ok()),
        2 => received(receiver.recv().is_ok()),
        _ => received(receiver.recv_timeout(short).is_ok()),
    });
}

fn selection(world: &World, state: &mut u64, short: Duration) {
    let one_less = |receiver: &Receiver<Value>| {
        if receiver.try_recv().is_ok() {
            world.count.sent.one_less()
        }
    };
    perhaps_limited(state, short, || {
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

fn bytes(world: &World, state: &mut u64, short: Duration) {
    let (writes, reads) = (&world.stream.0, &world.stream.1);
    let is_writing = next(state).is_multiple_of(2);
    perhaps_limited(state, short, || {
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
fn future(world: &World, state: &mut u64, short: Duration) {
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
    perhaps_limited(state, short, || coro::wait(woken));
}
