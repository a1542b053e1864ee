//! RwLock, Semaphore, and the mutex's fairness.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use coro::sync::{Mutex, RwLock, Semaphore, TryLockError};
use coro::{Builder, spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::runtimes::wait_until_parked;
use crate::{LONG, join_all, under_both};

#[test]
fn many_read_and_one_writes() {
    under_both(|| {
        let lock = Arc::new(RwLock::new(0));
        let (reading, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..20)
            .map(|_| {
                let (lock, reading, most) = (lock.clone(), reading.clone(), most.clone());
                spawn(move || {
                    let value = lock.read().unwrap();
                    most.fetch_max(reading.fetch_add(1, Relaxed) + 1, Relaxed);
                    let before = *value;
                    yield_now();
                    assert_eq!(*value, before, "nobody writes while somebody reads");
                    reading.fetch_sub(1, Relaxed);
                })
            })
            .collect();
        let writers: Vec<_> = (0..20)
            .map(|_| {
                let (lock, reading) = (lock.clone(), reading.clone());
                spawn(move || {
                    let mut value = lock.write().unwrap();
                    let before = *value;
                    yield_now();
                    assert_eq!(reading.load(Relaxed), 0);
                    *value = before + 1;
                })
            })
            .collect();
        join_all(readers);
        join_all(writers);
        assert_eq!(*lock.read().unwrap(), 20);
    });
    let most = Arc::new(AtomicUsize::new(0));
    coro::run(|| {
        let lock = Arc::new(RwLock::new(()));
        let reading = Arc::new(AtomicUsize::new(0));
        join_all((0..5).map(|_| {
            let (lock, reading, most) = (lock.clone(), reading.clone(), most.clone());
            spawn(move || {
                let _guard = lock.read().unwrap();
                most.fetch_max(reading.fetch_add(1, Relaxed) + 1, Relaxed);
                yield_now();
                reading.fetch_sub(1, Relaxed);
            })
        }));
    })
    .unwrap();
    assert_eq!(most.load(Relaxed), 5, "all at a time");
}

#[test]
fn neither_readers_nor_writers_starve() {
    coro::run(|| {
        let lock = Arc::new(RwLock::new(Vec::new()));
        let first = lock.read().unwrap();
        let comes = |name: &'static str, writes: bool| {
            let lock = lock.clone();
            spawn(move || {
                if writes {
                    lock.write().unwrap().push(name);
                } else {
                    // Who reads notes it only when he has the lock to write: the order of reading is told by that.
                    let guard = lock.read().unwrap();
                    assert!(!guard.contains(&"late writer"), "{name} came before");
                    yield_now();
                }
            })
        };
        let all = [comes("writer", true), comes("reader", false), comes("late writer", true)];
        yield_now();
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)), "behind the writer");
        drop(first);
        join_all(all);
        assert_eq!(*lock.read().unwrap(), ["writer", "late writer"]);
    })
    .unwrap();
}

#[test]
fn rwlock_is_poisoned_by_who_panics_while_writing_alone() {
    under_both(|| {
        let lock = Arc::new(RwLock::new(1));
        let own = lock.clone();
        let reads = spawn(move || {
            let _guard = own.read().unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(reads.join().is_err() && !lock.is_poisoned());
        let own = lock.clone();
        let writes = spawn(move || {
            *own.write().unwrap() = 2;
            let _guard = own.write().unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(writes.join().is_err() && lock.is_poisoned());
        assert_eq!(*lock.read().unwrap_err().into_inner(), 2);
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        *lock.write().unwrap() += 1;
        assert_eq!(Arc::into_inner(lock).unwrap().into_inner().unwrap(), 3);
    });
}

#[test]
fn rwlock_shows_its_value_or_that_it_is_locked() {
    let mut lock = RwLock::new("text");
    assert_eq!(format!("{lock:?}"), r#"RwLock { data: "text", poisoned: false, .. }"#);
    let guard = lock.write().unwrap();
    assert_eq!(format!("{guard:?} {guard}"), r#""text" text"#);
    assert_eq!(format!("{lock:?}"), "RwLock { data: <locked>, poisoned: false, .. }");
    drop(guard);
    *lock.get_mut().unwrap() = "other";
    assert_eq!(*lock.try_read().unwrap(), "other");
}

#[test]
fn rwlock_works_between_threads_and_coroutines() {
    let lock = Arc::new(RwLock::new((0, 0)));
    let work = |lock: &RwLock<(u32, u32)>, pause: fn()| {
        for round in 0..200 {
            if round % 3 == 0 {
                let mut pair = lock.write().unwrap();
                pair.0 += 1;
                pause();
                pair.1 += 1;
            } else {
                let pair = lock.read().unwrap();
                assert_eq!(pair.0, pair.1);
                pause();
            }
        }
    };
    let threads = [(); 2].map(|()| {
        let lock = lock.clone();
        thread::spawn(move || work(&lock, thread::yield_now))
    });
    Builder::new()
        .workers(2)
        .run(|| {
            join_all((0..20).map(|_| {
                let lock = lock.clone();
                spawn(move || work(&lock, yield_now))
            }));
        })
        .unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*lock.read().unwrap(), (22 * 67, 22 * 67));
}

#[test]
fn semaphore_lets_so_many_in_and_who_wants_many_is_not_overtaken() {
    under_both(|| {
        let semaphore = Arc::new(Semaphore::new(3));
        let inside = Arc::new(AtomicUsize::new(0));
        join_all((0..30).map(|n| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            spawn(move || {
                let count = 1 + n % 3;
                let permit = semaphore.acquire_many(count);
                assert!(inside.fetch_add(count, Relaxed) + count <= 3);
                yield_now();
                inside.fetch_sub(count, Relaxed);
                drop(permit);
            })
        }));
        assert_eq!(semaphore.available_permits(), 3);
    });
    coro::run(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let one = semaphore.acquire();
        let all = semaphore.clone();
        let many = spawn(move || drop(all.acquire_many(2)));
        yield_now();
        assert!(semaphore.try_acquire().is_none(), "behind the one who wants two");
        drop(one);
        many.join().unwrap();
        semaphore.try_acquire_many(2).unwrap().forget();
        assert!(semaphore.try_acquire().is_none());
        semaphore.release(2);
        assert_eq!(format!("{semaphore:?}"), "Semaphore { available_permits: 2, .. }");
    })
    .unwrap();
}

/// On two workers, of which one locks again and again without a switch: the other's coroutine has the lock soon.
#[test]
fn nobody_waits_for_long_while_another_locks_again_and_again() {
    let waited = Builder::new().workers(2).run(|| {
        let lock = Arc::new(Mutex::new(()));
        let (begun, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let greedy = {
            let (lock, begun, over) = (lock.clone(), begun.clone(), over.clone());
            spawn(move || {
                let mut rounds = 0_u64;
                while over.load(Relaxed) == 0 {
                    let _guard = lock.lock().unwrap();
                    rounds += 1;
                    if rounds == 21 {
                        begun.store(1, Relaxed);
                    }
                }
                rounds
            })
        };
        // A thread: main's worker may be the greedy one's.
        let modest = thread::spawn(move || {
            while begun.load(Relaxed) == 0 {
                thread::yield_now();
            }
            let mut longest = Duration::ZERO;
            for _ in 0..20 {
                let start = Instant::now();
                drop(lock.lock().unwrap());
                longest = longest.max(start.elapsed());
            }
            over.store(1, Relaxed);
            longest
        });
        assert!(greedy.join().unwrap() > 20);
        modest.join().unwrap()
    });
    // How long it was depends on the machine; that it ends at all, though the greedy one never switches, doesn't.
    println!("the longest wait: {:?}", waited.unwrap());
}

#[test]
fn owned_permit_goes_to_another_coroutine_and_comes_back_with_it() {
    under_both(|| {
        let semaphore = Arc::new(Semaphore::new(3));
        let one = semaphore.clone().acquire_owned();
        let two = semaphore.clone().try_acquire_many_owned(2).unwrap();
        assert!(semaphore.clone().try_acquire_owned().is_none());
        assert!(semaphore.clone().try_acquire_owned_for(Duration::from_millis(1)).is_none());
        let waits = {
            let semaphore = semaphore.clone();
            spawn(move || semaphore.acquire_many_owned(2))
        };
        wait_until_parked("semaphore", 1);
        // Given back by a coroutine that panics.
        let fails = spawn(move || {
            let _two = two;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(fails.join().is_err());
        let back = waits.join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        // Forgotten ones don't come back, and keep no semaphore alive.
        back.forget();
        drop(one);
        assert_eq!((semaphore.available_permits(), Arc::strong_count(&semaphore)), (1, 1));
        drop(semaphore.try_acquire_owned_for(LONG).unwrap());
    });
}

#[test]
fn cancelled_wait_for_an_owned_permit_takes_none() {
    under_both(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let waits = {
            let semaphore = semaphore.clone();
            spawn(move || semaphore.acquire_owned())
        };
        wait_until_parked("semaphore", 1);
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is_cancelled());
        semaphore.release(1);
        assert_eq!((semaphore.available_permits(), Arc::strong_count(&semaphore)), (1, 1));
    });
}
