//! Waits with a timeout: they end in time, take nothing with them, and lose nothing that comes in the same moment.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coro::sync::{
    Barrier, Condvar, Event, Mutex, RecvTimeoutError, RwLock, Semaphore, SendTimeoutError, TryLockError,
    WaitGroup, channel, oneshot,
};
use coro::{spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::{LONG, under_both};

const SHORT: Duration = Duration::from_millis(2);

/// Runs `wait` in a coroutine, and on a plain thread: it lasts at least as long as it was to.
fn each_lasts(wait: impl Fn(Duration)) {
    let check = || {
        let start = Instant::now();
        wait(SHORT);
        assert!(start.elapsed() >= SHORT);
        wait(Duration::ZERO);
    };
    under_both(check);
    check();
}

#[test]
fn what_doesnt_happen_in_time_is_told() {
    let (mutex, rwlock, semaphore, event) =
        (Mutex::new(()), RwLock::new(()), Semaphore::new(0), Event::new());
    let (_held, _written) = (mutex.lock().unwrap(), rwlock.write().unwrap());
    each_lasts(|timeout| assert!(matches!(mutex.try_lock_for(timeout), Err(TryLockError::WouldBlock))));
    each_lasts(|timeout| assert!(matches!(rwlock.try_read_for(timeout), Err(TryLockError::WouldBlock))));
    each_lasts(|timeout| assert!(matches!(rwlock.try_write_for(timeout), Err(TryLockError::WouldBlock))));
    each_lasts(|timeout| assert!(semaphore.try_acquire_for(timeout).is_none()));
    each_lasts(|timeout| assert!(!event.wait_timeout(timeout)));
    let (sender, receiver) = channel(1);
    each_lasts(|timeout| assert_eq!(receiver.recv_timeout(timeout), Err(RecvTimeoutError::Timeout)));
    sender.send(1).unwrap();
    each_lasts(|timeout| assert_eq!(sender.send_timeout(2, timeout), Err(SendTimeoutError::Timeout(2))));
    let (_sender, receiver) = oneshot::<u8>();
    each_lasts(|timeout| assert_eq!(receiver.recv_timeout(timeout), Err(RecvTimeoutError::Timeout)));
    let barrier = Barrier::new(2);
    each_lasts(|timeout| assert!(barrier.wait_timeout(timeout).is_none()));
    let group = WaitGroup::new();
    each_lasts(|timeout| assert!(!group.clone().wait_timeout(timeout)));
    let (guarded, changed) = (Mutex::new(5), Condvar::new());
    each_lasts(|timeout| {
        let (guard, result) = changed.wait_timeout_while(guarded.lock().unwrap(), timeout, |_| true).unwrap();
        assert!(*guard == 5 && result.timed_out());
        drop(guard);
        assert!(changed.wait_timeout(guarded.lock().unwrap(), timeout).unwrap().1.timed_out());
    });
}

#[test]
fn what_happens_in_time_ends_the_wait() {
    under_both(|| {
        let event = Arc::new(Event::new());
        let semaphore = Arc::new(Semaphore::new(0));
        let (sender, receiver) = channel(1);
        let waits = {
            let (event, semaphore, receiver) = (event.clone(), semaphore.clone(), receiver.clone());
            spawn(move || {
                assert!(event.wait_timeout(LONG));
                assert!(semaphore.try_acquire_for(LONG).is_some());
                receiver.recv_timeout(LONG)
            })
        };
        yield_now();
        event.set();
        yield_now();
        semaphore.release(1);
        yield_now();
        sender.send_timeout(3, LONG).unwrap();
        assert_eq!(waits.join().unwrap(), Ok(3));
        assert!(waits_for(&spawn(|| ()), LONG));
        drop(receiver);
        assert_eq!(sender.send_timeout(4, LONG), Err(SendTimeoutError::Disconnected(4)));
    });
}

fn waits_for(handle: &coro::JoinHandle<()>, timeout: Duration) -> bool {
    handle.wait_timeout(timeout).unwrap()
}

#[test]
fn join_in_time_or_not() {
    under_both(|| {
        let never = spawn(|| coro::sleep(LONG));
        assert!(!waits_for(&never, SHORT) && !never.is_finished());
        let thread =
            thread::scope(|scope| scope.spawn(|| never.wait_timeout(SHORT).unwrap()).join().unwrap());
        assert!(!thread);
    });
}

/// Who has given up doesn't stand in the way of those behind it.
#[test]
fn who_gives_up_is_passed_over() {
    under_both(|| {
        let (lock, rwlock, semaphore) =
            (Arc::new(Mutex::new(())), Arc::new(RwLock::new(())), Arc::new(Semaphore::new(1)));
        let held = lock.lock().unwrap();
        let read = rwlock.read().unwrap();
        let permit = semaphore.acquire();
        let gives_up = {
            let (lock, rwlock) = (lock.clone(), rwlock.clone());
            spawn(move || {
                assert!(lock.try_lock_for(SHORT).is_err());
                assert!(rwlock.try_write_for(SHORT).is_err());
            })
        };
        let wants = {
            let (lock, rwlock, semaphore) = (lock.clone(), rwlock.clone(), semaphore.clone());
            spawn(move || {
                let _read = rwlock.read().unwrap();
                let _permit = semaphore.acquire();
                let _held = lock.lock().unwrap();
            })
        };
        gives_up.join().unwrap();
        drop((held, permit));
        wants.join().unwrap();
        drop(read);
        assert!(lock.try_lock().is_ok() && rwlock.try_write().is_ok() && semaphore.try_acquire().is_some());
    });
}

/// A barrier from which somebody has left waits for another one.
#[test]
fn who_leaves_a_barrier_has_not_come() {
    under_both(|| {
        let barrier = Arc::new(Barrier::new(2));
        assert!(barrier.wait_timeout(SHORT).is_none());
        let other = barrier.clone();
        let waits = spawn(move || other.wait().is_leader());
        yield_now();
        assert!(!waits.is_finished() && barrier.wait().is_leader());
        assert!(!waits.join().unwrap());
    });
}
