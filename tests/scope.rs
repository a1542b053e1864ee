//! Coroutines that borrow from who spawns them: what std's scoped threads promise, and what cancel and timeouts add.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coro::sync::channel;
use coro::{Builder, CoroutineBuilder, defer, scope, shield, sleep, spawn, timeout, yield_now};
use pretty_assertions::assert_eq;

use runtimes::{Counted, everywhere};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(1_000_000);

#[test]
fn scope_lends_and_returns_when_all_have_ended() {
    everywhere(|| {
        let numbers: Vec<u64> = (0..100).collect();
        let mut sums = [0; 4];
        let last = scope(|scope| {
            for (part, sum) in numbers.chunks(25).zip(&mut sums) {
                scope.spawn(move || {
                    sleep(Duration::from_micros(200));
                    *sum = part.iter().sum();
                });
            }
            numbers.last()
        });
        assert_eq!((sums.iter().sum::<u64>(), last), (4950, Some(&99)));
    });
}

#[test]
fn handles_of_a_scope_give_values_that_borrow() {
    everywhere(|| {
        let words = ["one".to_owned(), "three".to_owned()];
        let longest = scope(|scope| {
            let handles: Vec<_> = words.iter().map(|word| scope.spawn(move || word.as_str())).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).max_by_key(|word| word.len())
        });
        assert_eq!(longest, Some("three"));
    });
}

#[test]
fn scoped_coroutines_may_spawn_siblings() {
    everywhere(|| {
        let count = AtomicU32::new(0);
        scope(|scope| {
            scope.spawn(|| {
                yield_now();
                scope.spawn(|| {
                    yield_now();
                    scope.spawn(|| count.fetch_add(1, SeqCst));
                    count.fetch_add(1, SeqCst)
                });
                count.fetch_add(1, SeqCst)
            });
        });
        assert_eq!(count.into_inner(), 3);
    });
}

#[test]
fn panic_of_the_body_goes_on_when_the_children_have_ended() {
    everywhere(|| {
        let ended = AtomicU32::new(0);
        let caught: Result<(), _> = catch_unwind(AssertUnwindSafe(|| {
            scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        sleep(SHORT);
                        ended.fetch_add(1, SeqCst)
                    });
                }
                resume_unwind(Box::new("the body's own"))
            })
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"the body's own"));
        assert_eq!(ended.into_inner(), 3);
    });
}

#[test]
fn panic_of_a_child_is_the_scopes_unless_it_was_joined() {
    everywhere(|| {
        let fails = || resume_unwind(Box::new("a child's own"));
        let caught = catch_unwind(|| {
            scope(|scope| {
                scope.spawn(fails);
            })
        });
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"a scoped coroutine panicked"));
        scope(|scope| assert!(scope.spawn(fails).join().unwrap_err().is_panic()));
        // To be cancelled is no panic.
        scope(|scope| scope.spawn(|| sleep(LONG)).cancel().unwrap());
        scope(|scope| {
            scope.spawn(|| sleep(LONG));
            scope.spawn(|| sleep(LONG));
            yield_now();
            scope.cancel().unwrap();
        });
    });
}

/// A coroutine in a scope, whose child waits with a borrowed value; `end` ends the coroutine.
fn assert_children_end_first(is_body_waiting: bool) {
    everywhere(move || {
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let own = order.clone();
        let (say, begun) = channel(1);
        let parent = spawn(move || {
            struct Says<'a>(&'a std::sync::Mutex<Vec<&'static str>>, &'static str);
            impl Drop for Says<'_> {
                fn drop(&mut self) {
                    self.0.lock().unwrap().push(self.1);
                }
            }
            let _parent = Says(&own, "parent");
            scope(|scope| {
                scope.spawn(|| {
                    let _child = Says(&own, "child");
                    say.send(()).unwrap();
                    let _late = Says(&own, "child's value");
                    // Not at once.
                    let _ = catch_unwind(|| sleep(LONG));
                    shield(|| sleep(SHORT));
                });
                if is_body_waiting {
                    sleep(LONG);
                }
            });
        });
        begun.recv().unwrap();
        parent.cancel().unwrap();
        assert!(parent.join().unwrap_err().is_cancelled());
        assert_eq!(*order.lock().unwrap(), ["child's value", "child", "parent"]);
    });
}

#[test]
fn cancelling_a_scopes_parent_cancels_the_children_and_still_waits_for_them() {
    assert_children_end_first(true);
    assert_children_end_first(false);
}

#[test]
fn timeout_around_a_scope_cancels_the_children_and_still_waits_for_them() {
    everywhere(|| {
        for is_body_waiting in [false, true] {
            // Who has not begun when the time is over never does: again, until all have.
            let mut begun = 0;
            while begun < 3 {
                let (begins, ends) = (AtomicU32::new(0), AtomicU32::new(0));
                let elapsed = timeout(SHORT, || {
                    scope(|scope| {
                        for _ in 0..3 {
                            scope.spawn(|| {
                                begins.fetch_add(1, SeqCst);
                                assert!(catch_unwind(|| sleep(LONG)).is_err());
                                shield(|| sleep(SHORT));
                                ends.fetch_add(1, SeqCst)
                            });
                        }
                        if is_body_waiting {
                            sleep(LONG);
                        }
                    })
                });
                assert!(elapsed.unwrap_err().scope().is_some());
                begun = begins.into_inner();
                assert_eq!(ends.into_inner(), begun);
            }
        }
    });
}

#[test]
fn who_is_spawned_when_the_scope_is_being_cancelled_is_cancelled_too() {
    everywhere(|| {
        let elapsed = timeout(SHORT, || {
            scope(|scope| {
                scope.spawn(|| {
                    assert!(catch_unwind(|| sleep(LONG)).is_err());
                    scope.spawn(|| sleep(LONG));
                });
            })
        });
        assert!(elapsed.is_err());
    });
}

#[test]
fn mains_end_ends_scopes_and_their_children() {
    everywhere(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let counted = dropped.clone();
        let inner = move || {
            let (say, begun) = channel(1);
            spawn(move || {
                let values = [0; 3].map(|_| Counted(counted.clone()));
                scope(|scope| {
                    for value in &values {
                        scope.spawn(move || {
                            let _borrowed = value;
                            sleep(LONG);
                        });
                    }
                    say.send(()).unwrap();
                });
            });
            begun.recv().unwrap();
        };
        std::thread::spawn(move || Builder::new().workers(2).run(inner).unwrap()).join().unwrap();
        assert_eq!(dropped.load(SeqCst), 3);
    });
}

#[test]
fn dropped_and_forgotten_handles_hold_nothing_up() {
    static FORGOTTEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    everywhere(|| {
        let value = "borrowed".to_owned();
        scope(|scope| {
            // Forgotten, and told to LeakSanitizer as what somebody still has.
            let forgotten = Box::into_raw(Box::new(scope.spawn(|| value.as_str())));
            FORGOTTEN.lock().unwrap().push(forgotten.expose_provenance());
            drop(scope.spawn(|| value.as_str()));
            let handle = scope.spawn(|| value.as_str());
            yield_now();
            scope.spawn(move || drop(handle));
        });
    });
}

#[test]
fn deferred_functions_of_the_children_have_run_when_the_scope_returns() {
    everywhere(|| {
        let done = Arc::new(AtomicU32::new(0));
        let count = done.clone();
        scope(|scope| {
            scope.spawn(move || {
                defer(move || {
                    sleep(SHORT);
                    count.fetch_add(1, SeqCst);
                })
                .unwrap();
            });
        });
        assert_eq!(done.load(SeqCst), 1);
    });
}

#[test]
fn failed_spawn_leaves_the_scope_as_it_was() {
    everywhere(|| {
        scope(|scope| {
            let refused = CoroutineBuilder::new().name("nul\0").spawn_scoped(scope, || ());
            assert!(refused.is_err());
        });
    });
    let outside = catch_unwind(|| {
        scope(|scope| {
            scope.spawn(|| ());
        })
    });
    assert!(outside.is_err());
}

/// Opens a scope in its destructor.
struct OpensAScope;

impl Drop for OpensAScope {
    fn drop(&mut self) {
        scope(|_| ());
    }
}

#[test]
fn empty_scope_in_a_destructor_during_a_panic_returns() {
    everywhere(|| {
        let failing: coro::JoinHandle<()> = spawn(|| {
            let _opens = OpensAScope;
            resume_unwind(Box::new(()))
        });
        assert!(failing.join().unwrap_err().is_panic());
    });
}
