//! Time limits around any code: each rule is a test.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coro::net::TcpListener;
use coro::sync::{Mutex, channel};
use coro::time::sleep_until;
use coro::{Elapsed, shield, sleep, spawn, timeout, yield_now};
use pretty_assertions::assert_eq;

use runtimes::everywhere;

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(1_000_000);

#[track_caller]
fn assert_elapsed<T>(result: Result<T, Elapsed>) {
    let error = result.err().expect("it can't have ended by itself");
    assert!(error.scope().is_some(), "{error}");
}

/// What waits in `wait` within a timeout is unwound, and drops what is on its stack.
#[track_caller]
fn assert_limited<S>(make: impl Fn() -> S + Copy, wait: impl Fn(&S) + Copy) {
    everywhere(move || {
        let value = Arc::new(());
        let (state, start) = (make(), Instant::now());
        let result = timeout(SHORT, || {
            let _on_stack = value.clone();
            wait(&state);
            unreachable!("nothing else ends this wait");
        });
        assert_elapsed::<()>(result);
        assert!(start.elapsed() >= SHORT);
        assert_eq!(Arc::strong_count(&value), 1);
        // Its time is over, and it is no more.
        sleep(SHORT);
    });
}

#[test]
fn timeout_ends_whatever_waits() {
    assert_limited(|| (), |()| sleep(LONG));
    assert_limited(
        || (),
        |()| loop {
            yield_now()
        },
    );
    assert_limited(|| (), |()| drop(spawn(|| sleep(LONG)).join()));
    assert_limited(|| channel::<()>(1), |(_sender, receiver)| assert!(receiver.recv().is_err()));
    assert_limited(|| TcpListener::bind("127.0.0.1:0").unwrap(), |listener| drop(listener.accept()));
    let locked = || {
        let lock = Arc::new(Mutex::new(()));
        std::mem::forget(lock.lock());
        lock
    };
    assert_limited(locked, |lock| drop(lock.lock()));
}

#[test]
fn what_is_in_time_has_its_result_and_what_never_waits_too() {
    everywhere(|| {
        assert_eq!(timeout(LONG, || 1).unwrap(), 1);
        assert_eq!(timeout(Duration::MAX, || sleep(SHORT)).unwrap(), ());
        assert_eq!(timeout(Duration::ZERO, || 2).unwrap(), 2);
        assert_elapsed(timeout(Duration::ZERO, yield_now));
        sleep(SHORT);
    });
}

#[test]
fn inner_scopes_pass_the_outer_ones_on() {
    everywhere(|| {
        let mut inner = None;
        let outer = timeout(SHORT, || {
            inner = Some(timeout(LONG, || timeout(LONG, || sleep(LONG))).map(|_| ()));
        });
        assert!(inner.is_none(), "the inner ones were unwound as a whole");
        assert_elapsed(outer);

        let outer = timeout(LONG, || {
            let first = timeout(SHORT, || sleep(LONG)).unwrap_err();
            let second = timeout(SHORT, || timeout(LONG, || sleep(LONG))).unwrap_err();
            assert!(first.scope() != second.scope());
            sleep(SHORT);
            "went on"
        });
        assert_eq!(outer.unwrap(), "went on");
    });
}

#[test]
fn swallowed_timeout_is_raised_again_at_the_next_wait() {
    everywhere(|| {
        let mut swallowed = 0;
        let result = timeout(SHORT, || {
            for _ in 0..3 {
                assert!(catch_unwind(|| sleep(LONG)).is_err());
                swallowed += 1;
            }
            sleep(LONG);
        });
        assert_elapsed(result);
        assert_eq!(swallowed, 3);
        sleep(SHORT);
    });
}

#[test]
fn shield_holds_back_the_timeouts_that_began_outside_and_no_others() {
    everywhere(|| {
        let mut finished = false;
        let result = timeout(SHORT, || {
            shield(|| {
                sleep(SHORT * 2);
                assert_elapsed(timeout(SHORT, || sleep(LONG)));
                assert_elapsed(timeout(SHORT, || {
                    shield(|| timeout(SHORT, || sleep(LONG)).unwrap_err()).scope().map(|_| sleep(LONG))
                }));
                finished = true;
            });
            sleep(LONG);
        });
        assert_elapsed(result);
        assert!(finished);
    });
}

#[test]
fn cancel_and_panics_go_through_a_timeout() {
    everywhere(|| {
        let (say, begun) = channel(1);
        let target = spawn(move || {
            timeout(LONG, || {
                say.send(()).unwrap();
                sleep(LONG);
            })
        });
        begun.recv().unwrap();
        target.cancel().unwrap();
        assert!(target.join().unwrap_err().is_cancelled());
        let caught = catch_unwind(AssertUnwindSafe(|| timeout(SHORT, || resume_unwind(Box::new(7_u8)))));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&7_u8));
        sleep(SHORT * 2);
    });
}

#[test]
fn timeout_poisons_no_lock_of_ours_and_excuses_no_later_panic() {
    everywhere(|| {
        let [innocent, guilty] = [(); 2].map(|()| Arc::new(Mutex::new(())));
        let locks = [innocent.clone(), guilty.clone()];
        let handle = spawn(move || {
            let elapsed = timeout(SHORT, || {
                let _guard = locks[0].lock().unwrap();
                sleep(LONG);
            });
            assert_elapsed(elapsed);
            let _guard = locks[1].lock().unwrap();
            // Not by the hook.
            resume_unwind(Box::new("a real one"));
        });
        assert!(handle.join().unwrap_err().is_panic());
        assert_eq!((innocent.is_poisoned(), guilty.is_poisoned()), (false, true));
    });
}

#[test]
fn deadline_of_an_operation_is_its_own_error_within_a_longer_scope() {
    everywhere(|| {
        let never = spawn(|| sleep(LONG));
        let result = timeout(LONG, || never.wait_timeout(SHORT));
        assert!(!result.unwrap().unwrap());
        let result = timeout(SHORT, || never.wait_timeout(LONG));
        assert_elapsed(result);
    });
}

#[test]
fn many_timeouts_at_once_end_each_its_own() {
    everywhere(|| {
        let handles: Vec<_> = (0..200_u64)
            .map(|n| {
                let (outer, inner) = (Duration::from_millis(1 + n % 5), Duration::from_millis(1 + n / 5 % 5));
                let ends = move || timeout(outer, || timeout(inner, || sleep(LONG)).is_err());
                (outer, inner, spawn(ends))
            })
            .collect();
        for (outer, inner, handle) in handles {
            let ended_by_inner = match handle.join().unwrap() {
                Ok(ended_by_inner) => {
                    assert!(ended_by_inner, "the sleep has ended, and no scope it");
                    true
                }
                Err(_) => false,
            };
            // The other way round both may have passed before anybody looked, on a busy machine.
            assert!(!(ended_by_inner && outer < inner), "{outer:?} outside of {inner:?}");
        }
    });
}

/// In one tick of the timers, as ends of sleeps and of scopes.
#[test]
fn ten_thousand_who_wait_for_one_instant_all_go_on_and_none_early() {
    everywhere(|| {
        let end = Instant::now() + Duration::from_millis(300);
        let wait = move |n: u32| {
            if n.is_multiple_of(2) {
                sleep_until(end);
            } else {
                let left = end.saturating_duration_since(Instant::now());
                assert_elapsed(timeout(left, || sleep(LONG)));
            }
            assert!(Instant::now() >= end);
        };
        let waiting: Vec<_> = (0..10_000).map(|n| spawn(move || wait(n))).collect();
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
    });
}

#[test]
fn outside_a_runtime_nothing_is_run() {
    let error = timeout::<()>(LONG, || unreachable!()).unwrap_err();
    assert!(error.scope().is_none());
    assert!(error.to_string().starts_with("coro::timeout was called outside a runtime"), "{error}");
}

/// Waits in its destructor, within a timeout.
struct WaitsInDrop;

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        sleep(SHORT);
        assert_eq!(timeout(Duration::ZERO, || sleep(SHORT)).unwrap(), ());
    }
}

#[test]
fn nothing_unwinds_in_a_destructor_that_runs_because_of_a_timeout() {
    everywhere(|| {
        assert_elapsed(timeout(SHORT, || {
            let _waits = WaitsInDrop;
            sleep(LONG);
        }));
    });
}
