//! A runtime that ends while its coroutines wait: what they were given goes to others, and nothing is poisoned.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use coro::sync::{Barrier, Condvar, Event, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup, channel};
use coro::{Builder, Policy, spawn, yield_now};

use crate::{LONG, under_both};

/// main returns just after `give` has woken a coroutine that does `wait`: it is cancelled before it runs. A thread that does
/// `then` meanwhile must get what it was given.
fn passes_on<S: Send + Sync + 'static>(
    shared: impl Fn() -> S,
    wait: impl Fn(&S) + Copy + Send + 'static,
    give: impl Fn(&S),
    then: impl Fn(&S) + Copy + Send + 'static,
) {
    for policy in [Policy::Fair, Policy::Backtrack] {
        for _ in 0..20 {
            let shared = Arc::new(shared());
            let thread = Builder::new().policy(policy).run(|| {
                let first = shared.clone();
                spawn(move || wait(&first));
                yield_now();
                let thread = begin({
                    let second = shared.clone();
                    move || then(&second)
                });
                give(&shared);
                thread
            });
            thread.unwrap().join().unwrap();
        }
    }
}

/// A thread that has begun.
fn begin(f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let (begun, begins) = mpsc::channel();
    let thread = thread::spawn(move || {
        begun.send(()).unwrap();
        f();
    });
    begins.recv().unwrap();
    thread
}

#[test]
fn permits_are_given_back() {
    let wait = |semaphore: &Semaphore| {
        let _permit = semaphore.acquire();
        coro::sleep(LONG);
    };
    passes_on(
        || Semaphore::new(0),
        wait,
        |semaphore| semaphore.release(1),
        |semaphore| drop(semaphore.acquire()),
    );
}

#[test]
fn notification_is_passed_on() {
    type Pair = (Mutex<bool>, Condvar);
    let wait = |pair: &Pair| {
        let mut ready = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap();
        *ready = false;
        drop(ready);
        coro::sleep(LONG);
    };
    let give = |pair: &Pair| {
        *pair.0.lock().unwrap() = true;
        pair.1.notify_one();
    };
    let then = |pair: &Pair| drop(pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap());
    passes_on(|| (Mutex::new(false), Condvar::new()), wait, give, then);
}

/// One was notified, and is cancelled, or its timeout passes, while it waits for the lock: another one hears of it.
#[test]
fn notification_is_passed_on_by_one_that_does_not_get_the_lock_again() {
    under_both(|| {
        for is_cancelled in [true, false] {
            let pair = Arc::new((Mutex::new(()), Condvar::new()));
            let wait = |limit| {
                let pair = pair.clone();
                spawn(move || {
                    coro::timeout(limit, || drop(pair.1.wait(pair.0.lock().unwrap()).unwrap())).is_ok()
                })
            };
            let first = wait(if is_cancelled { LONG } else { Duration::from_millis(5) });
            yield_now();
            let second = wait(LONG);
            yield_now();
            let held = pair.0.lock().unwrap();
            pair.1.notify_one();
            // The first one waits for the lock now.
            yield_now();
            if is_cancelled {
                first.cancel().unwrap();
            }
            assert!(!first.join().unwrap_or(false), "nobody gives it the lock");
            drop(held);
            (0..5).for_each(|_| yield_now());
            assert!(second.is_finished(), "nobody was told");
            assert!(second.join().unwrap());
        }
    });
}

/// The wait was granted before the cancel: it ends well, and the next one unwinds.
#[test]
fn value_that_a_select_was_given_is_its_own() {
    let (sender, receiver) = channel(1);
    let (other, others) = channel::<u8>(1);
    let (done, was_done) = mpsc::channel();
    for _ in 0..50 {
        let (own, others, done) = (receiver.clone(), others.clone(), done.clone());
        coro::run(|| {
            spawn(move || {
                coro::select! {
                    recv(own) -> value => done.send(value).unwrap(),
                    recv(others) -> _ => (),
                }
                coro::sleep(LONG);
                panic!("it is cancelled");
            });
            yield_now();
            sender.send(1).unwrap();
        })
        .unwrap();
        assert_eq!(was_done.try_recv(), Ok(Ok(1)));
        assert!(receiver.try_recv().is_err());
    }
    drop(other);
}

#[test]
fn locks_are_unlocked_and_not_poisoned() {
    for policy in [Policy::Fair, Policy::Backtrack] {
        let (rwlock, mutex) = (Arc::new(RwLock::new(())), Arc::new(Mutex::new(())));
        let (once, lock) = (Arc::new(Once::new()), Arc::new(OnceLock::new()));
        Builder::new()
            .policy(policy)
            .run(|| {
                let (rwlock, mutex, once, lock) = (rwlock.clone(), mutex.clone(), once.clone(), lock.clone());
                let (writes, wants) = (rwlock.clone(), rwlock.clone());
                spawn(move || {
                    let _written = writes.write().unwrap();
                    coro::sleep(LONG);
                });
                yield_now();
                spawn(move || drop(wants.read().unwrap()));
                spawn(move || {
                    let _held = mutex.lock().unwrap();
                    coro::sleep(LONG);
                });
                spawn(move || once.call_once(|| coro::sleep(LONG)));
                let other = lock.clone();
                spawn(move || {
                    lock.get_or_init(|| {
                        coro::sleep(LONG);
                        1
                    });
                });
                spawn(move || *other.get_or_init(|| 2));
                (0..3).for_each(|_| yield_now());
            })
            .unwrap();
        assert!(rwlock.try_write().is_ok() && mutex.try_lock().is_ok());
        once.call_once(|| ());
        assert!(*lock.get_or_init(|| 3) > 1);
    }
}

#[test]
fn who_waited_for_others_has_left() {
    let (barrier, event, group) = (Arc::new(Barrier::new(2)), Arc::new(Event::new()), WaitGroup::new());
    coro::run(|| {
        let (barrier, event, group) = (barrier.clone(), event.clone(), group.clone());
        spawn(move || barrier.wait());
        spawn(move || event.wait());
        spawn(move || group.wait());
        yield_now();
    })
    .unwrap();
    let other = barrier.clone();
    let thread = begin(move || {
        other.wait();
    });
    barrier.wait();
    thread.join().unwrap();
    event.set();
    group.wait();
}
