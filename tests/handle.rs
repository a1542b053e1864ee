//! Coroutines that plain threads spawn into a runtime: they run there, on threads of its own, and none is lost when it ends.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::Duration;

use coro::sync::{Event, channel};
use coro::{Builder, CoroutineBuilder, Handle, Policy, spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::{Counted, everywhere, wait_until_parked};

const LONG: Duration = Duration::from_secs(1_000_000);

#[test]
fn thread_spawns_and_joins_while_all_else_waits() {
    everywhere(|| {
        let (handle, done) = (Handle::current(), Arc::new(Event::new()));
        let outside = {
            let done = done.clone();
            thread::spawn(move || {
                let own = thread::current().id();
                let handles: Vec<_> = (0..100)
                    .map(|n| {
                        handle
                            .spawn(move || {
                                yield_now();
                                assert_ne!(thread::current().id(), own, "it runs on a worker");
                                spawn(move || n).join().unwrap()
                            })
                            .unwrap()
                    })
                    .collect();
                let ids: HashSet<_> = handles.iter().map(|handle| handle.id()).collect();
                assert_eq!(ids.len(), 100);
                let sum: usize = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
                done.set();
                sum
            })
        };
        // Nobody of the runtime's is ready, and its workers sleep.
        done.wait();
        assert_eq!(outside.join().unwrap(), 4950);
        // All that came from outside are counted, and have ended: those who joined them may be faster.
        while coro::stats().unwrap().alive > 0 {
            yield_now();
        }
        assert_eq!(coro::stats().unwrap().spawned, 200);
    });
}

#[test]
fn each_of_many_in_turn_wakes_a_worker_that_sleeps() {
    everywhere(|| {
        let (handle, done) = (Handle::current(), Arc::new(Event::new()));
        let told = done.clone();
        let outside = thread::spawn(move || {
            (0..500).for_each(|n| assert_eq!(handle.spawn(move || n).unwrap().join().unwrap(), n));
            told.set();
        });
        done.wait();
        outside.join().unwrap();
    });
}

#[test]
fn one_from_outside_is_taken_by_whoever_is_not_busy() {
    Builder::new()
        .workers(2)
        .run(|| {
            let (handle, is_there) = (Handle::current(), Arc::new(AtomicBool::new(false)));
            let told = is_there.clone();
            let outside = thread::spawn(move || handle.spawn(move || told.store(true, SeqCst)).unwrap());
            // Main never gives way.
            while !is_there.load(SeqCst) {
                thread::yield_now();
            }
            outside.join().unwrap().join().unwrap();
        })
        .unwrap();
}

#[test]
fn after_the_end_it_is_an_error_that_says_so_and_nothing_is_kept() {
    let dropped = Arc::new(AtomicUsize::new(0));
    for round in 0..100 {
        let handle = coro::run(Handle::current).unwrap();
        let value = Counted(dropped.clone());
        let error = handle.spawn(move || drop(value)).unwrap_err().to_string();
        assert!(
            error.starts_with("Handle::spawn came too late: main of the runtime has returned"),
            "{error}"
        );
        assert_eq!(dropped.load(SeqCst), round + 1, "its values were dropped");
        // Another runtime, which has the same worker's place, is another one's.
        coro::run(|| {
            assert!(handle.spawn(|| ()).is_err());
            assert_eq!(coro::stats().unwrap().spawned, 0);
        })
        .unwrap();
    }
}

/// Threads spawn as long as they may, while main returns at some moment: each coroutine has run, or was dropped, and who
/// joins it is told.
#[test]
fn nobody_is_lost_when_main_returns_meanwhile() {
    for workers in [1, 2] {
        for round in 0..40 {
            let (dropped, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let threads = Builder::new().workers(workers).run(|| {
                let handle = Handle::current();
                let threads: Vec<_> = (0..3)
                    .map(|_| {
                        let (handle, dropped, ran) = (handle.clone(), dropped.clone(), ran.clone());
                        thread::spawn(move || {
                            let (mut refused, mut ended, mut cancelled) = (0, 0, 0);
                            while refused < 3 {
                                let (value, ran) = (Counted(dropped.clone()), ran.clone());
                                let spawned = handle.spawn(move || {
                                    let _value = value;
                                    ran.fetch_add(1, SeqCst);
                                    yield_now();
                                });
                                match spawned {
                                    Err(_) => refused += 1,
                                    Ok(one) => match one.join() {
                                        Ok(()) => ended += 1,
                                        Err(_) => cancelled += 1,
                                    },
                                }
                            }
                            (ended, cancelled, refused)
                        })
                    })
                    .collect();
                while ran.load(SeqCst) < round {
                    yield_now();
                }
                threads
            });
            let counts: Vec<(usize, usize, usize)> =
                threads.unwrap().into_iter().map(|thread| thread.join().unwrap()).collect();
            let (mut all, mut may_have_run) = (0, 0);
            for (ended, cancelled, refused) in counts {
                assert!(cancelled <= 1, "after that it is refused");
                all += ended + cancelled + refused;
                may_have_run += ended + cancelled;
            }
            assert_eq!(dropped.load(SeqCst), all);
            assert!(ran.load(SeqCst) >= round && ran.load(SeqCst) <= may_have_run);
        }
    }
}

#[test]
fn one_that_has_not_begun_is_dropped_at_the_end_and_who_joins_is_told() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let joins = coro::run(|| {
        let (handle, value) = (Handle::current(), Counted(dropped.clone()));
        let outside = thread::spawn(move || handle.spawn(move || drop(value)).unwrap());
        // Main gives nobody a turn.
        outside.join().unwrap()
    });
    let error = joins.unwrap().join().unwrap_err();
    assert!(error.is_cancelled() && dropped.load(SeqCst) == 1, "{error}");
}

#[test]
fn one_that_was_cancelled_before_it_began_is_not_run() {
    everywhere(|| {
        let (handle, has_run) = (Handle::current(), Arc::new(AtomicBool::new(false)));
        let (ran, dropped) = (has_run.clone(), Arc::new(AtomicUsize::new(0)));
        let (value, done) = (Counted(dropped.clone()), Arc::new(Event::new()));
        let told = done.clone();
        let outside = thread::spawn(move || {
            // Two in a row; what one is told of the other is none of it.
            let gate = handle.spawn(|| coro::sleep(LONG)).unwrap();
            let late = handle.spawn(move || {
                let _value = value;
                coro::sleep(LONG);
                ran.store(true, Relaxed);
            });
            let late = late.unwrap();
            late.cancel().unwrap();
            gate.cancel().unwrap();
            let ends = (gate.join(), late.join());
            told.set();
            ends
        });
        done.wait();
        let (gate, late) = outside.join().unwrap();
        assert!(gate.unwrap_err().is_cancelled() && late.unwrap_err().is_cancelled());
        assert!(!has_run.load(Relaxed));
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn name_and_stack_are_the_builders_and_the_place_is_the_callers() {
    everywhere(|| {
        let handle = Handle::current();
        let [begun, done] = [(); 2].map(|()| Arc::new(Event::new()));
        let (begins, told) = (begun.clone(), done.clone());
        let outside = thread::spawn(move || {
            let waits = move || {
                begins.set();
                told.wait();
            };
            let builder = || CoroutineBuilder::new().name("from outside").stack_size(1 << 20);
            let (line, spawned) = (line!(), builder().spawn_on(&handle, waits).unwrap());
            for (bad, why) in
                [(builder().stack_size(0), "a stack of 0 bytes"), (builder().name("\0"), "NUL byte")]
            {
                let said = bad.spawn_on(&handle, || ()).unwrap_err().to_string();
                assert!(said.contains(why), "{said}");
            }
            (line, spawned)
        });
        begun.wait();
        wait_until_parked("event", 1);
        let (line, spawned) = outside.join().unwrap();
        let dump = coro::dump().to_string();
        let it = dump.lines().find(|line| line.contains("from outside")).unwrap();
        assert!(it.contains(&format!("handle.rs:{line}:")) && it.contains("event"), "{it}");
        done.set();
        spawned.join().unwrap();
    });
}

#[test]
fn in_its_own_runtime_it_is_a_plain_spawn() {
    Builder::new()
        .policy(Policy::Backtrack)
        .run(|| assert!(Handle::current().spawn(|| ()).unwrap().is_finished(), "it runs at once"))
        .unwrap();
    assert!(Handle::try_current().unwrap_err().to_string().contains("outside a runtime"));
}

/// Under `Backtrack` a child's wait leads back to the one from outside who has made it, as to any creator.
#[test]
fn one_from_outside_has_its_children_run_at_once() {
    Builder::new()
        .policy(Policy::Backtrack)
        .run(|| {
            let (handle, done) = (Handle::current(), Arc::new(Event::new()));
            let told = done.clone();
            let outside = thread::spawn(move || {
                handle.spawn(move || {
                    let child = spawn(|| coro::sleep(Duration::from_millis(1)));
                    // The child waits: it is this one's turn, and not main's.
                    let was_first = !told.is_set();
                    told.set();
                    child.join().unwrap();
                    was_first
                })
            });
            done.wait();
            assert!(outside.join().unwrap().unwrap().join().unwrap());
        })
        .unwrap();
}

#[test]
fn coroutine_of_another_runtime_spawns_and_waits_for_it() {
    coro::run(|| {
        let (handle, done) = (Handle::current(), Arc::new(Event::new()));
        let told = done.clone();
        let other = thread::spawn(move || {
            coro::run(|| {
                let (sender, receiver) = channel(1);
                let waits = spawn(move || receiver.recv().unwrap());
                let there = handle.spawn(move || sender.send(7)).unwrap();
                assert_eq!(waits.join().unwrap(), 7);
                there.join().unwrap().unwrap();
                assert_eq!(coro::stats().unwrap().spawned, 1, "it is the other runtime's");
                told.set();
            })
        });
        done.wait();
        other.join().unwrap().unwrap();
    })
    .unwrap();
}
