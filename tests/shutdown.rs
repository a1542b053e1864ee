//! main's return ends the rest: who waits is unwound so that its values are dropped, who never ran is not run, and
//! nobody else is harmed by it.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, JoinHandle, Policy, defer, spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::assert_cancelled;

const LONG: Duration = Duration::from_secs(1_000_000);

/// Runs `main` under both policies.
fn under_both(main: impl Fn(Policy)) {
    for policy in [Policy::Fair, Policy::Backtrack] {
        main(policy);
    }
}

fn run<T>(policy: Policy, main: impl FnOnce() -> T) -> T {
    Builder::new().policy(policy).run(main).unwrap()
}

/// Counts its clones: one is left when all coroutines have dropped theirs.
fn witness() -> Arc<()> {
    Arc::new(())
}

/// A coroutine that waits in `wait` for ever with a value on its stack; main returns when it waits.
#[track_caller]
fn assert_dropped_when_main_returns<S: Send + 'static>(
    make: impl Fn() -> S,
    wait: impl Fn(&S) + Copy + Send + 'static,
) {
    under_both(|policy| {
        let value = witness();
        let on_stack = value.clone();
        let state = make();
        let handle = run(policy, move || {
            let handle = spawn(move || {
                let _on_stack = on_stack;
                wait(&state);
                unreachable!("nothing ends this wait");
            });
            yield_now();
            yield_now();
            assert!(!handle.is_finished());
            handle
        });
        assert_eq!(Arc::strong_count(&value), 1, "under {policy:?}");
        assert_cancelled(handle.join());
    });
}

#[test]
fn sleeper_is_unwound() {
    assert_dropped_when_main_returns(|| (), |()| coro::sleep(LONG));
    assert_dropped_when_main_returns(|| (), |()| coro::sleep(Duration::MAX));
}

#[test]
fn joiner_is_unwound() {
    assert_dropped_when_main_returns(|| (), |()| spawn(|| coro::sleep(LONG)).join().unwrap());
}

#[test]
fn who_waits_for_a_mutex_is_unwound() {
    let locked = || {
        let lock = Arc::new(Mutex::new(()));
        std::mem::forget(lock.lock());
        lock
    };
    assert_dropped_when_main_returns(locked, |lock| drop(lock.lock()));
}

#[test]
fn receiver_and_sender_are_unwound() {
    assert_dropped_when_main_returns(|| channel::<()>(1), |(_sender, receiver)| receiver.recv().unwrap());
    assert_dropped_when_main_returns(
        || channel(1),
        |(sender, _receiver)| (0..2).for_each(|n| sender.send(n).unwrap()),
    );
}

#[test]
fn acceptor_is_unwound() {
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    assert_dropped_when_main_returns(listener, |listener| drop(listener.accept()));
}

#[test]
fn reader_is_unwound() {
    let connection = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (TcpStream::from_std(client).unwrap(), listener)
    };
    assert_dropped_when_main_returns(connection, |(client, _)| {
        let _ = { client }.read(&mut [0]);
    });
}

#[test]
fn one_who_is_ready_is_unwound_where_it_yielded() {
    under_both(|policy| {
        let value = witness();
        let on_stack = value.clone();
        run(policy, || {
            spawn(move || {
                let _on_stack = on_stack;
                loop {
                    yield_now();
                }
            });
            yield_now();
        });
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn one_who_never_ran_is_dropped_without_running() {
    let value = witness();
    let captured = value.clone();
    let handle = coro::run(|| {
        spawn(move || {
            let _captured = captured;
            unreachable!("main never waits");
        })
    });
    assert_eq!(Arc::strong_count(&value), 1);
    assert_cancelled(handle.unwrap().join());
}

/// Runs a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn values_of_one_who_never_ran_may_wait_in_their_destructors() {
    let value = witness();
    let waits: [fn(); 2] = [yield_now, || coro::sleep(Duration::from_millis(1))];
    for wait in waits {
        let captured = value.clone();
        coro::run(|| {
            let captured = OnDrop(move || {
                wait();
                assert!(Arc::strong_count(&captured) > 1);
            });
            let never_ran = spawn(move || {
                let _captured = captured;
                unreachable!("main never waits");
            });
            drop(never_ran);
            spawn(|| unreachable!("nor does this one run while the other's destructor waits"));
        })
        .unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

fn spawn_refused() -> coro::Error {
    coro::CoroutineBuilder::new().spawn(|| ()).unwrap_err()
}

#[test]
fn nothing_is_spawned_when_main_has_returned() {
    under_both(|policy| {
        let (sender, told) = std::sync::mpsc::channel();
        run(policy, || {
            spawn(move || {
                let _asks = OnDrop(move || sender.send(spawn_refused().to_string()).unwrap());
                coro::sleep(LONG);
            });
            yield_now();
        });
        assert!(told.recv().unwrap().contains("the runtime is ending: main has returned"));
    });
}

#[test]
fn swallowed_cancel_is_met_again_at_the_next_wait() {
    under_both(|policy| {
        let (sender, told) = std::sync::mpsc::channel();
        let handle = run(policy, || {
            let handle = spawn(move || {
                for swallowed in 1..=3 {
                    assert!(catch_unwind(|| coro::sleep(LONG)).is_err());
                    sender.send(swallowed).unwrap();
                }
                coro::sleep(LONG);
                sender.send(0).unwrap();
            });
            yield_now();
            handle
        });
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_cancelled(handle.join());
    });
}

#[test]
fn deferred_functions_that_wait_finish() {
    under_both(|policy| {
        let (sender, told) = std::sync::mpsc::channel();
        run(policy, || {
            let (rest, last) = channel::<u32>(1);
            spawn(move || {
                let late = sender.clone();
                defer(move || late.send(last.recv().unwrap()).unwrap()).unwrap();
                defer(move || {
                    coro::sleep(Duration::from_millis(1));
                    sender.send(1).unwrap();
                })
                .unwrap();
                coro::sleep(LONG);
            });
            spawn(move || {
                defer(move || rest.send(2).unwrap()).unwrap();
                coro::sleep(LONG);
            });
            yield_now();
        });
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn deferred_functions_of_main_run_before_the_others_end() {
    under_both(|policy| {
        let value = witness();
        let on_stack = value.clone();
        let (sender, told) = std::sync::mpsc::channel();
        run(policy, || {
            spawn(move || {
                let _on_stack = on_stack;
                coro::sleep(LONG);
            });
            yield_now();
            let seen = value.clone();
            defer(move || sender.send(Arc::strong_count(&seen)).unwrap()).unwrap();
        });
        assert_eq!((told.recv(), Arc::strong_count(&value)), (Ok(3), 1));
    });
}

#[test]
fn panic_of_main_goes_on_when_the_others_have_ended() {
    under_both(|policy| {
        let value = witness();
        let on_stack = value.clone();
        let result = catch_unwind(AssertUnwindSafe(|| {
            run(policy, || {
                spawn(move || {
                    let _on_stack = on_stack;
                    coro::sleep(LONG);
                });
                yield_now();
                resume_unwind(Box::new("main's own"));
            })
        }));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"main's own"));
        assert_eq!(Arc::strong_count(&value), 1);
        run(policy, || ());
    });
}

#[test]
fn cancel_poisons_no_lock_and_a_panic_of_a_deferred_function_does() {
    under_both(|policy| {
        let [cancelled, panicked] = [(); 2].map(|()| Arc::new(Mutex::new(())));
        let locks = (cancelled.clone(), panicked.clone());
        run(policy, || {
            spawn(move || {
                let _guard = locks.0.lock().unwrap();
                defer(move || {
                    let _guard = locks.1.lock().unwrap();
                    resume_unwind(Box::new("a real panic"));
                })
                .unwrap();
                coro::sleep(LONG);
            });
            yield_now();
        });
        assert_eq!((cancelled.is_poisoned(), panicked.is_poisoned()), (false, true));
    });
}

#[test]
fn handles_of_all_that_ended_can_still_be_joined() {
    under_both(|policy| {
        let (done, cancelled) = run(policy, || {
            let done = spawn(|| "value");
            let cancelled = spawn(|| coro::sleep(LONG));
            yield_now();
            (done, cancelled)
        });
        assert!(done.is_finished() && cancelled.is_finished());
        assert_eq!(done.join().unwrap(), "value");
        assert_cancelled(cancelled.join());
    });
}

#[test]
fn thousands_that_wait_for_each_other_all_end() {
    under_both(|policy| {
        let value = witness();
        let (_first_sender, handles): (_, Vec<JoinHandle<()>>) = run(policy, || {
            let (sender, first) = channel::<()>(1);
            let mut receiver = first;
            let handles = (0..2000)
                .map(|_| {
                    let (next, behind) = channel(1);
                    let before = std::mem::replace(&mut receiver, behind);
                    let on_stack = value.clone();
                    spawn(move || {
                        let _on_stack = on_stack;
                        before.iter().for_each(|()| next.send(()).unwrap());
                        unreachable!("the first sender outlives them");
                    })
                })
                .collect();
            yield_now();
            (sender, handles)
        });
        assert_eq!(Arc::strong_count(&value), 1);
        // The one behind a cancelled one finds its sender gone, if it isn't unwound before: both are an end.
        assert!(handles.into_iter().all(|handle| handle.join().is_err()));
    });
}
