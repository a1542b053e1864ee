//! What std's own tests and pages promise of threads, their handles, and waits with a timeout: the same of coroutines, under
//! both policies and on two workers.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use coro::sync::{
    Barrier, Condvar, Mutex, RecvError, RecvTimeoutError, TryLockError, TryRecvError, TrySendError, channel,
    unbounded,
};
use coro::{CoroutineBuilder, current, scope, sleep, spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::everywhere;

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(1_000_000);

// thread::spawn, JoinHandle

#[test]
fn join_gives_the_value_and_the_names_are_as_given() {
    everywhere(|| {
        assert_eq!(spawn(|| "value".to_owned()).join().unwrap(), "value");
        let named = CoroutineBuilder::new()
            .name("ada lovelace")
            .spawn(|| current().unwrap().name().map(str::to_owned))
            .unwrap();
        assert_eq!(named.join().unwrap().as_deref(), Some("ada lovelace"));
        assert!(CoroutineBuilder::new().name("Hello, \0!").spawn(|| ()).is_err());
    });
}

#[test]
fn panics_come_with_their_payloads_of_any_type() {
    everywhere(|| {
        type Payload = Box<dyn Any + Send>;
        struct Juju;
        let fails = |f: fn()| spawn(f).join().unwrap_err().try_into_panic().unwrap();
        assert_eq!(fails(|| panic_any("static")).downcast_ref(), Some(&"static"));
        assert_eq!(fails(|| panic_any("owned".to_owned())).downcast_ref(), Some(&"owned".to_owned()));
        assert!(fails(|| resume_unwind(Box::new(Juju))).is::<Juju>());
        // A box in a box is what is in it.
        let boxed = fails(|| panic_any(Box::new(413_u16) as Payload));
        assert_eq!(boxed.downcast::<Payload>().unwrap().downcast_ref(), Some(&413_u16));
    });
}

#[test]
fn finished_is_said_when_a_join_would_not_wait() {
    everywhere(|| {
        let (go, wait) = channel(1);
        let handle = spawn(move || wait.recv().unwrap());
        yield_now();
        assert!(!handle.is_finished());
        go.send(7).unwrap();
        while !handle.is_finished() {
            yield_now();
        }
        assert_eq!(handle.join().unwrap(), 7);
    });
}

#[test]
fn detached_ones_go_on_and_their_children_outlive_them() {
    everywhere(|| {
        let (say, said) = channel(1);
        drop(spawn(move || {
            spawn(move || {
                yield_now();
                say.send("grandchild").unwrap();
            });
        }));
        assert_eq!(said.recv(), Ok("grandchild"));
    });
}

#[test]
fn closures_and_results_that_nobody_takes_are_dropped_once() {
    everywhere(|| {
        let value = Arc::new(());
        let (in_closure, in_result) = (value.clone(), value.clone());
        let handle = spawn(move || {
            let _own = in_closure;
            in_result
        });
        assert_eq!(Arc::strong_count(&handle.join().unwrap()), 2);
        let in_result = value.clone();
        let handle = spawn(move || in_result);
        while !handle.is_finished() {
            yield_now();
        }
        drop(handle);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

// thread::scope

#[test]
fn scoped_results_are_dropped_before_the_scope_returns() {
    everywhere(|| {
        /// A result that takes its time to be dropped, as in std's test of the same.
        struct Slow<'a>(&'a AtomicU32);
        impl Drop for Slow<'_> {
            fn drop(&mut self) {
                sleep(SHORT);
                self.0.fetch_add(1, SeqCst);
            }
        }
        let dropped = AtomicU32::new(0);
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| Slow(&dropped));
            }
        });
        assert_eq!(dropped.load(SeqCst), 3);
    });
}

#[test]
fn scopes_nest_and_borrow_mutably_one_after_another() {
    everywhere(|| {
        let (mut numbers, mut sum) = (vec![1, 2, 3], 0);
        scope(|outer| {
            outer.spawn(|| numbers.push(4));
            outer.spawn(|| {
                scope(|inner| {
                    inner.spawn(|| sum += 2);
                });
                sum *= 10;
            });
        });
        numbers.push(5);
        assert_eq!((numbers.len(), sum), (5, 20));
    });
}

#[test]
fn scoped_handles_finish_and_tell_of_panics_with_their_payloads() {
    everywhere(|| {
        scope(|scope| {
            let handle = scope.spawn(|| resume_unwind(Box::new(1_u8)));
            while !handle.is_finished() {
                yield_now();
            }
            let error: coro::JoinError = handle.join().map(|never: ()| never).unwrap_err();
            assert_eq!(error.try_into_panic().unwrap().downcast_ref(), Some(&1_u8));
        });
    });
}

#[test]
fn panic_of_the_scopes_body_counts_before_those_of_its_children() {
    everywhere(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|scope| {
                scope.spawn(|| resume_unwind(Box::new("a child's")));
                resume_unwind(Box::new("the body's"))
            })
        }));
        let payload: Box<dyn Any + Send> = caught.map(|never: ()| never).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"the body's"));
    });
}

// Timeouts

#[test]
fn nothing_times_out_before_its_time() {
    everywhere(|| {
        let (_sender, receiver) = unbounded::<()>();
        let (lock, condvar) = (Mutex::new(()), Condvar::new());
        let held = lock.lock().unwrap();
        let never = spawn(|| sleep(LONG));
        let waits: [(&str, &dyn Fn()); 5] = [
            ("sleep", &|| sleep(SHORT)),
            ("receive", &|| assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout))),
            ("lock", &|| assert!(matches!(lock.try_lock_for(SHORT), Err(TryLockError::WouldBlock)))),
            ("join", &|| assert!(!never.wait_timeout(SHORT).unwrap())),
            ("notification", &|| {
                let other = Mutex::new(());
                let (_guard, result) = condvar.wait_timeout(other.lock().unwrap(), SHORT).unwrap();
                assert!(result.timed_out());
            }),
        ];
        for (what, wait) in waits {
            let start = Instant::now();
            wait();
            assert!(start.elapsed() >= SHORT, "{what} took {:?}", start.elapsed());
        }
        drop(held);
    });
}

#[test]
fn timeouts_of_no_time_and_of_all_time_are_possible() {
    everywhere(|| {
        let (sender, receiver) = channel(1);
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1), "what is there is received");
        spawn(move || sender.send(2).unwrap());
        assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(2));
        assert_eq!(receiver.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Disconnected));
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let (guard, result) = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::ZERO).unwrap();
        assert!(result.timed_out() && !*guard);
        drop(guard);
        let other = pair.clone();
        spawn(move || {
            *other.0.lock().unwrap() = true;
            other.1.notify_all();
        });
        let waited = pair.1.wait_timeout_while(pair.0.lock().unwrap(), Duration::MAX, |ready| !*ready);
        let (guard, result) = waited.unwrap();
        assert!(*guard && !result.timed_out());
    });
}

#[test]
fn wait_timeout_while_looks_at_the_condition_first_and_last() {
    everywhere(|| {
        let (lock, condvar) = (Mutex::new(0), Condvar::new());
        // std's: a condition that doesn't hold is no wait, whatever the time.
        let (_, result) =
            condvar.wait_timeout_while(lock.lock().unwrap(), Duration::ZERO, |_| false).unwrap();
        assert!(!result.timed_out());
        let looks = AtomicU32::new(0);
        let look = |_: &mut i32| {
            looks.fetch_add(1, SeqCst);
            true
        };
        let (guard, result) = condvar.wait_timeout_while(lock.lock().unwrap(), SHORT, look).unwrap();
        assert!(result.timed_out() && looks.load(SeqCst) >= 2);
        assert!(lock.try_lock().is_err(), "it is locked again");
        drop(guard);
    });
}

#[test]
fn receive_with_a_timeout_gets_each_of_many_values() {
    everywhere(|| {
        let (sender, receiver) = unbounded();
        for number in 0..100 {
            let sender = sender.clone();
            spawn(move || {
                sleep(Duration::from_micros(number * 20));
                sender.send(number).unwrap();
            });
        }
        drop(sender);
        let mut got = Vec::new();
        loop {
            match receiver.recv_timeout(Duration::from_micros(100)) {
                Ok(number) => got.push(number),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        got.sort_unstable();
        assert!(got.into_iter().eq(0..100));
    });
}

// Channels, barriers, parking

#[test]
fn ends_of_a_channel_say_which_error_it_is() {
    everywhere(|| {
        let (sender, receiver) = channel(1);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        drop(sender);
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        let (sender, receiver) = channel(1);
        drop(receiver);
        assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
        assert_eq!(sender.send(4).unwrap_err().0, 4);
    });
}

#[test]
fn receiver_that_waits_is_told_when_the_last_sender_panics() {
    everywhere(|| {
        let (sender, receiver) = channel::<()>(1);
        let failing = spawn(move || {
            let _sender = sender;
            yield_now();
            resume_unwind(Box::new(()))
        });
        assert_eq!(receiver.recv(), Err(RecvError));
        assert!(failing.join().map(|never: ()| never).unwrap_err().is_panic());
    });
}

#[test]
fn barrier_has_one_leader_among_coroutines_and_threads() {
    everywhere(|| {
        let barrier = Arc::new(Barrier::new(4));
        let arrive = |barrier: Arc<Barrier>| move || barrier.wait().is_leader();
        let threads = [0; 2].map(|_| thread::spawn(arrive(barrier.clone())));
        let other = spawn(arrive(barrier.clone()));
        let mut leaders = u32::from(barrier.wait().is_leader()) + u32::from(other.join().unwrap());
        leaders += threads.into_iter().map(|thread| u32::from(thread.join().unwrap())).sum::<u32>();
        assert_eq!(leaders, 1);
    });
}

/// std's `unpark` before `park`: what happens before a wait is not missed.
#[test]
fn token_that_comes_before_the_wait_is_kept() {
    everywhere(|| {
        let (unpark, park) = channel(1);
        unpark.send(()).unwrap();
        assert!(unpark.try_send(()).is_err(), "one is kept, and not two");
        assert_eq!(spawn(move || park.recv()).join().unwrap(), Ok(()));
    });
}
