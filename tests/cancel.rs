//! Ending coroutines from outside, and shields against it: each rule is a test.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::Duration;
use std::{env, thread};

use coro::net::{TcpListener, UnixStream};
use coro::sync::{Mutex, channel};
use coro::{
    Builder, JoinHandle, defer, join_all, select, shield, spawn, timeout, wait_any, wait_any_timeout,
    yield_now,
};
use pretty_assertions::assert_eq;

use runtimes::{Counted, assert_cancelled, everywhere};

const LONG: Duration = Duration::from_secs(1_000_000);

/// Spawns one that says when it has begun, and returns then.
fn begun<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (say, has_begun) = channel(1);
    let handle = spawn(move || {
        say.send(()).unwrap();
        body()
    });
    has_begun.recv().unwrap();
    handle
}

/// One that is cancelled in `wait` drops what is on its stack.
#[track_caller]
fn assert_unwound<S: Send + 'static>(make: impl Fn() -> S + Copy, wait: impl Fn(&S) + Copy + Send + 'static) {
    everywhere(move || {
        let value = Arc::new(());
        let (on_stack, state) = (value.clone(), make());
        let target = begun(move || {
            let _on_stack = on_stack;
            wait(&state);
            unreachable!("nothing else ends this wait");
        });
        (0..3).for_each(|_| yield_now());
        target.cancel().unwrap();
        assert_cancelled(target.join());
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn cancel_unwinds_at_whatever_waits() {
    assert_unwound(|| (), |()| coro::sleep(LONG));
    assert_unwound(
        || (),
        |()| loop {
            yield_now()
        },
    );
    assert_unwound(|| (), |()| drop(spawn(|| coro::sleep(LONG)).join()));
    assert_unwound(|| (), |()| drop(wait_any(&[spawn(|| coro::sleep(LONG)), spawn(|| coro::sleep(LONG))])));
    assert_unwound(|| channel::<()>(1), |(_sender, receiver)| assert!(receiver.recv().is_err()));
    assert_unwound(|| TcpListener::bind("127.0.0.1:0").unwrap(), |listener| drop(listener.accept()));
    let locked = || {
        let lock = Arc::new(Mutex::new(()));
        std::mem::forget(lock.lock());
        lock
    };
    assert_unwound(locked, |lock| drop(lock.lock()));
}

#[test]
fn cancel_meets_one_that_does_not_wait_at_its_next_wait() {
    everywhere(|| {
        let passed = Arc::new(AtomicU32::new(0));
        let (count, handles) = (passed.clone(), Arc::new(std::sync::Mutex::new(None::<JoinHandle<()>>)));
        let own = handles.clone();
        let (go, wait) = channel(1);
        let target = spawn(move || {
            wait.recv().unwrap();
            own.lock().unwrap().as_ref().unwrap().cancel().unwrap();
            count.fetch_add(1, Relaxed);
            yield_now();
            count.fetch_add(1, Relaxed);
        });
        *handles.lock().unwrap() = Some(target);
        go.send(()).unwrap();
        while !handles.lock().unwrap().as_ref().unwrap().is_finished() {
            yield_now();
        }
        assert_cancelled(handles.lock().unwrap().take().unwrap().join());
        assert_eq!(passed.load(Relaxed), 1);
    });
}

#[test]
fn one_that_never_ran_is_just_not_run_and_its_values_may_wait() {
    struct Waits(Arc<AtomicUsize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            coro::sleep(Duration::from_micros(1));
            self.0.fetch_add(1, Relaxed);
        }
    }
    coro::run(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Waits(dropped.clone());
        let target = spawn(move || {
            let _value = value;
            unreachable!("it was cancelled before its first turn");
        });
        target.cancel().unwrap();
        target.cancel().unwrap();
        assert_cancelled(target.join());
        assert_eq!(dropped.load(Relaxed), 1);
    })
    .unwrap();
}

#[test]
fn cancel_of_one_that_has_ended_touches_nobody_not_its_slots_next_tenant_either() {
    everywhere(|| {
        let ended: Vec<_> = (0..100).map(|n| spawn(move || n)).collect();
        ended.iter().for_each(|handle| handle.wait().unwrap());
        let (open, gate) = channel::<()>(1);
        let gate = Arc::new(gate);
        let tenants: Vec<_> = (0..100)
            .map(|n| {
                let gate = gate.clone();
                spawn(move || {
                    let _ = gate.recv();
                    n
                })
            })
            .collect();
        yield_now();
        for (n, handle) in ended.into_iter().enumerate() {
            handle.cancel().unwrap();
            assert_eq!(handle.join().unwrap(), n);
        }
        drop(open);
        for (n, tenant) in tenants.into_iter().enumerate() {
            assert_eq!(tenant.join().unwrap(), n);
        }
    });
}

#[test]
fn swallowed_cancel_is_raised_again_at_the_next_wait() {
    everywhere(|| {
        let swallowed = Arc::new(AtomicU32::new(0));
        let count = swallowed.clone();
        let target = begun(move || {
            for _ in 0..3 {
                assert!(catch_unwind(|| coro::sleep(LONG)).is_err());
                count.fetch_add(1, Relaxed);
            }
            coro::sleep(LONG);
        });
        target.cancel().unwrap();
        assert_cancelled(target.join());
        assert_eq!(swallowed.load(Relaxed), 3);
    });
}

#[test]
fn one_that_swallows_it_and_returns_has_a_result() {
    everywhere(|| {
        let target = begun(|| catch_unwind(|| coro::sleep(LONG)).is_err());
        target.cancel().unwrap();
        assert!(target.join().unwrap());
    });
}

#[test]
fn cancel_comes_from_a_plain_thread_and_from_another_runtime() {
    everywhere(|| {
        for from_runtime in [false, true] {
            let target = begun(|| coro::sleep(LONG));
            let cancel = move || {
                target.cancel().unwrap();
                target
            };
            let canceller =
                thread::spawn(move || if from_runtime { coro::run(cancel).unwrap() } else { cancel() });
            let target = canceller.join().unwrap();
            assert_cancelled(target.join());
        }
    });
}

#[test]
fn threads_that_cancel_who_parks_just_then_lose_no_cancel() {
    Builder::new()
        .workers(2)
        .run(|| {
            for _ in 0..3000 {
                let (say, has_begun) = std::sync::mpsc::channel();
                let target = spawn(move || {
                    say.send(()).unwrap();
                    coro::sleep(LONG);
                });
                let canceller = thread::spawn(move || {
                    has_begun.recv().unwrap();
                    target.cancel().unwrap();
                    target
                });
                while !canceller.is_finished() {
                    yield_now();
                }
                assert_cancelled(canceller.join().unwrap().join());
            }
        })
        .unwrap();
}

#[test]
fn shield_defers_a_cancel_to_its_end_and_shields_nest() {
    everywhere(|| {
        let passed = Arc::new(AtomicU32::new(0));
        let count = passed.clone();
        let (finish, wait) = channel(1);
        let target = begun(move || {
            shield(|| {
                shield(|| yield_now());
                yield_now();
                assert_eq!(wait.recv(), Ok(7));
                count.fetch_add(1, Relaxed);
            });
            count.fetch_add(10, Relaxed);
            yield_now();
            count.fetch_add(100, Relaxed);
        });
        target.cancel().unwrap();
        (0..5).for_each(|_| yield_now());
        assert!(!target.is_finished());
        finish.send(7).unwrap();
        assert_cancelled(target.join());
        assert_eq!(passed.load(Relaxed), 11);
    });
    assert_eq!(shield(|| 3), 3, "outside a runtime it only calls the function");
}

#[test]
fn one_that_was_cancelled_waits_in_a_shield_without_spinning() {
    coro::run(|| {
        let (finish, wait) = channel::<()>(1);
        let target = begun(move || shield(|| assert!(wait.recv().is_err())));
        target.cancel().unwrap();
        yield_now();
        let before = coro::stats().unwrap().switches;
        coro::sleep(Duration::from_millis(30));
        assert!(coro::stats().unwrap().switches - before < 50, "it woke itself over and over");
        drop(finish);
        target.wait().unwrap();
    })
    .unwrap();
}

#[test]
fn shield_that_ends_by_a_panic_is_at_its_end() {
    everywhere(|| {
        let target = begun(|| {
            let _ = catch_unwind(|| shield(|| resume_unwind(Box::new(()))));
            coro::sleep(LONG);
        });
        target.cancel().unwrap();
        assert_cancelled(target.join());
    });
}

#[test]
fn deferred_functions_of_a_cancelled_one_wait_to_their_ends() {
    everywhere(|| {
        let done = Arc::new(AtomicU32::new(0));
        let count = done.clone();
        let target = begun(move || {
            defer(move || {
                coro::sleep(Duration::from_micros(1));
                yield_now();
                count.fetch_add(1, Relaxed);
            })
            .unwrap();
            coro::sleep(LONG);
        });
        target.cancel().unwrap();
        assert_cancelled(target.join());
        assert_eq!(done.load(Relaxed), 1);
    });
}

#[test]
fn cancel_poisons_no_lock_of_ours_and_one_swallowed_excuses_no_later_panic() {
    everywhere(|| {
        let [innocent, guilty] = [(); 2].map(|()| Arc::new(Mutex::new(())));
        let locks = [innocent.clone(), guilty.clone()];
        let target = begun(move || {
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let _guard = locks[0].lock().unwrap();
                coro::sleep(LONG);
            }));
            let _guard = locks[1].lock().unwrap();
            panic!("a real one");
        });
        target.cancel().unwrap();
        assert!(target.join().unwrap_err().is_panic());
        assert_eq!((innocent.is_poisoned(), guilty.is_poisoned()), (false, true));
    });
}

#[test]
fn value_sent_to_a_cancelled_receiver_goes_to_the_next() {
    everywhere(|| {
        let (sender, receiver) = channel(1);
        let receiver = Arc::new(receiver);
        let [first, second] = [(); 2].map(|()| {
            let receiver = receiver.clone();
            begun(move || receiver.recv())
        });
        (0..3).for_each(|_| yield_now());
        sender.send(5).unwrap();
        let _ = first.cancel();
        match first.join() {
            Ok(got) => {
                assert_eq!(got, Ok(5));
                sender.send(6).unwrap();
                assert_eq!(second.join().unwrap(), Ok(6));
            }
            Err(error) => {
                assert!(error.is_cancelled());
                assert_eq!(second.join().unwrap(), Ok(5));
            }
        }
    });
}

#[test]
fn panic_hook_does_not_tell_of_a_cancel() {
    const CHILD: &str = "CORO_TEST_CHILD";
    const NAME: &str = "panic_hook_does_not_tell_of_a_cancel";
    if env::var_os(CHILD).is_some() {
        coro::run(|| {
            let target = begun(|| coro::sleep(LONG));
            target.cancel().unwrap();
            assert_cancelled(target.join());
            assert!(coro::timeout(Duration::ZERO, yield_now).is_err());
        })
        .unwrap();
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn join_timeout_gives_the_handle_back_and_wait_any_the_first() {
    everywhere(|| {
        let (finish, wait) = channel(1);
        let slow = spawn(move || wait.recv().unwrap());
        let slow = slow.join_timeout(Duration::from_millis(1)).unwrap_err();
        assert_eq!(wait_any_timeout(std::slice::from_ref(&slow), Duration::from_millis(1)).unwrap(), None);
        assert_eq!(wait_any::<()>(&[]).unwrap(), None);
        let mut both = vec![slow, spawn(|| 2)];
        assert_eq!(wait_any(&both).unwrap(), Some(1));
        assert_eq!(both.remove(1).join().unwrap(), 2);
        finish.send(1).unwrap();
        assert_eq!(wait_any(&both).unwrap(), Some(0));
        assert_eq!(both.remove(0).join_timeout(LONG).unwrap().unwrap(), 1);
        let all =
            join_all((0..10).map(|n| spawn(move || if n == 3 { resume_unwind(Box::new(n)) } else { n })));
        let all: Vec<_> = all.into_iter().map(|result| result.ok()).collect();
        assert_eq!(all, [0, 1, 2, -1, 4, 5, 6, 7, 8, 9].map(|n| (n >= 0).then_some(n)));
    });
}

#[test]
fn plain_threads_wait_for_one_of_several_with_a_timeout() {
    let (hand_over, handles) = std::sync::mpsc::channel();
    let (seen, wait) = channel::<()>(1);
    let waiting = thread::spawn(move || {
        let handles: Vec<JoinHandle<u32>> = handles.recv().unwrap();
        assert_eq!(wait_any_timeout(&handles, Duration::from_millis(1)).unwrap(), None);
        drop(seen);
        wait_any(&handles).unwrap().unwrap()
    });
    coro::run(move || {
        let quick = spawn(move || u32::from(wait.recv().is_err()));
        let slow = spawn(|| {
            coro::sleep(LONG);
            0
        });
        hand_over.send(vec![slow, quick]).unwrap();
        while !waiting.is_finished() {
            yield_now();
        }
        assert_eq!(waiting.join().unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn destructors_run_exactly_once_however_often_it_is_cancelled() {
    everywhere(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..200)
            .map(|n| {
                let value = Counted(dropped.clone());
                spawn(move || {
                    let _value = value;
                    (0..n % 7).for_each(|_| yield_now());
                    if n % 2 == 0 {
                        coro::sleep(LONG);
                    }
                })
            })
            .collect();
        (0..3).for_each(|_| yield_now());
        for _ in 0..3 {
            handles.iter().for_each(|handle| handle.cancel().unwrap());
        }
        join_all(handles);
        assert_eq!(dropped.load(SeqCst), 200);
    });
}

/// Reads or receives as fast as it can, and is ended in between: the next one goes on behind the last that it got.
#[test]
fn who_is_ended_between_operations_that_never_wait_has_lost_nothing_that_it_took() {
    const ALL: usize = 1000;
    type Take = Box<dyn Fn() -> u8 + Send + Sync>;
    let sources: [fn() -> Take; 2] = [
        || {
            let (reads, mut writes) = UnixStream::pair().unwrap();
            let all: Vec<u8> = (0..ALL).map(|number| number as u8).collect();
            writes.write_all(&all).unwrap();
            Box::new(move || {
                // Open, so that there is no end.
                let (_open, mut byte) = (&writes, [0]);
                (&reads).read_exact(&mut byte).unwrap();
                byte[0]
            })
        },
        || {
            let (sender, receiver) = channel(ALL);
            (0..ALL).for_each(|number| sender.send(number as u8).unwrap());
            Box::new(move || select! { recv(receiver) -> value => value.unwrap() })
        },
    ];
    for source in sources {
        for is_cancelled in [true, false] {
            coro::run(|| {
                let (take, taken) = (Arc::new(source()), Arc::new(AtomicU32::new(0)));
                let user = {
                    let (take, taken) = (take.clone(), taken.clone());
                    spawn(move || {
                        let limit = if is_cancelled { LONG } else { Duration::ZERO };
                        let outcome = timeout(limit, || {
                            loop {
                                assert_eq!(taken.load(Relaxed) as u8, take());
                                taken.fetch_add(1, Relaxed);
                            }
                        });
                        outcome.map(|never: std::convert::Infallible| never)
                    })
                };
                // It goes on until it gives way to others.
                yield_now();
                if is_cancelled {
                    user.cancel().unwrap();
                }
                let outcome = user.join();
                assert!(!matches!(outcome, Err(ref error) if error.is_panic()));
                let count = taken.load(Relaxed);
                assert!((count as usize) < ALL, "it was not ended in between");
                assert_eq!(take(), count as u8, "what it took last is lost");
            })
            .unwrap();
        }
    }
}
