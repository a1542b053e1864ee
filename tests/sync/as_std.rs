//! Timeouts of condition variables and channels, as std's: its tests (library/std/tests/sync/{condvar,mpsc}.rs) carried
//! over, mostly under their names.

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coro::sync::{
    Condvar, Mutex, OnceLock, Receiver, RecvTimeoutError, RwLock, Sender, TryRecvError, channel, unbounded,
};
use pretty_assertions::assert_eq;

use crate::LONG;
use crate::places::{Begin, begin, everywhere};

const SHORT: Duration = Duration::from_millis(1);

/// A panic may go through them.
#[test]
fn unwind_safety_is_as_stds() {
    fn both<T: UnwindSafe + RefUnwindSafe>() {}
    both::<Mutex<Cell<u8>>>();
    both::<RwLock<Cell<u8>>>();
    both::<OnceLock<u8>>();
    both::<Condvar>();
    both::<Sender<Cell<u8>>>();
    both::<Receiver<Cell<u8>>>();
    both::<coro::JoinHandle<Cell<u8>>>();
    let lock = Arc::new(Mutex::new(1));
    let fails = || {
        let _held = lock.lock().unwrap();
        std::panic::resume_unwind(Box::new(()))
    };
    assert!(std::panic::catch_unwind(fails).is_err());
    assert!(lock.is_poisoned());
}

#[test]
fn ends_of_a_channel_say_what_is_in_it() {
    everywhere(|begin| {
        let (sender, receiver) = channel(2);
        assert_eq!((sender.capacity(), receiver.len(), sender.is_empty()), (Some(2), 0, true));
        let sent = begin!(begin, {
            let sender = sender.clone();
            move || (0..3).for_each(|n| sender.send(n).unwrap())
        });
        assert_eq!(receiver.recv(), Ok(0));
        sent();
        assert_eq!((sender.len(), receiver.is_empty()), (2, false));
        receiver.try_iter().for_each(drop);
        assert!(receiver.is_empty());
        assert_eq!((unbounded::<u8>().0.capacity(), channel::<u8>(0).1.capacity()), (None, Some(0)));
    });
}

/// A value with a lock, and a sign of its changes.
type Pair<T> = Arc<(Mutex<T>, Condvar)>;

fn pair<T: Default>() -> Pair<T> {
    Arc::default()
}

/// Sets it from elsewhere, and says so.
fn sets(begin: Begin, pair: &Pair<bool>) -> Box<dyn FnOnce()> {
    let pair = pair.clone();
    begin!(begin, move || {
        *pair.0.lock().unwrap() = true;
        pair.1.notify_one();
    })
}

#[test]
fn smoke() {
    let condvar = Condvar::new();
    condvar.notify_one();
    condvar.notify_all();
}

#[test]
fn notify_one() {
    everywhere(|begin| {
        let pair = pair::<bool>();
        let guard = pair.0.lock().unwrap();
        // It can't be told before this one waits: the lock is given back then.
        let told = sets(begin, &pair);
        let mut guard = pair.1.wait(guard).unwrap();
        while !*guard {
            guard = pair.1.wait(guard).unwrap();
        }
        drop(guard);
        told();
    });
}

#[test]
fn notify_all() {
    const N: usize = 10;
    everywhere(|begin| {
        let waiting = pair::<usize>();
        let (sender, receiver) = unbounded();
        let ends: Vec<_> = (0..N)
            .map(|_| {
                let (waiting, sender) = (waiting.clone(), sender.clone());
                begin!(begin, move || {
                    let (lock, condvar) = &*waiting;
                    let mut count = lock.lock().unwrap();
                    *count += 1;
                    if *count == N {
                        sender.send(()).unwrap();
                    }
                    while *count != 0 {
                        count = condvar.wait(count).unwrap();
                    }
                })
            })
            .collect();
        assert_eq!(receiver.recv(), Ok(()), "all have come");
        let mut count = waiting.0.lock().unwrap();
        assert_eq!(*count, N);
        *count = 0;
        waiting.1.notify_all();
        drop(count);
        ends.into_iter().for_each(|end| end());
    });
}

#[test]
fn wait_while() {
    everywhere(|begin| {
        let pair = pair::<bool>();
        let told = sets(begin, &pair);
        let guard = pair.1.wait_while(pair.0.lock().unwrap(), |is_set| !*is_set).unwrap();
        assert!(*guard);
        drop(guard);
        told();
    });
}

#[test]
fn wait_timeout_wait() {
    everywhere(|_| {
        let pair = pair::<bool>();
        let start = Instant::now();
        // Nobody notifies; std allows a wait to end by itself.
        let mut guard = pair.0.lock().unwrap();
        loop {
            let (again, result) = pair.1.wait_timeout(guard, SHORT).unwrap();
            if result.timed_out() {
                break;
            }
            guard = again;
        }
        assert!(start.elapsed() >= SHORT);
    });
}

#[test]
fn wait_timeout_while_wait() {
    everywhere(|_| {
        let pair = pair::<bool>();
        let (guard, result) =
            pair.1.wait_timeout_while(pair.0.lock().unwrap(), SHORT, |is_set| !*is_set).unwrap();
        assert!(result.timed_out() && !*guard);
    });
}

#[test]
fn wait_timeout_while_instant_satisfy() {
    everywhere(|_| {
        let pair = pair::<bool>();
        let (_, result) =
            pair.1.wait_timeout_while(pair.0.lock().unwrap(), Duration::ZERO, |_| false).unwrap();
        assert!(!result.timed_out());
    });
}

#[test]
fn wait_timeout_while_wake() {
    everywhere(|begin| {
        let pair = pair::<bool>();
        let guard = pair.0.lock().unwrap();
        let told = sets(begin, &pair);
        let (guard, result) = pair.1.wait_timeout_while(guard, LONG, |is_set| !*is_set).unwrap();
        assert!(!result.timed_out() && *guard);
        drop(guard);
        told();
    });
}

#[test]
fn wait_timeout_wake() {
    everywhere(|begin| {
        let pair = pair::<bool>();
        let mut guard = pair.0.lock().unwrap();
        let told = sets(begin, &pair);
        while !*guard {
            let (again, result) = pair.1.wait_timeout(guard, LONG).unwrap();
            assert!(!result.timed_out());
            guard = again;
        }
        drop(guard);
        told();
    });
}

#[test]
fn oneshot_single_thread_recv_timeout() {
    everywhere(|_| {
        let (sender, receiver) = unbounded();
        sender.send(true).unwrap();
        assert_eq!(receiver.recv_timeout(SHORT), Ok(true));
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        sender.send(false).unwrap();
        assert_eq!(receiver.recv_timeout(SHORT), Ok(false));
    });
}

#[test]
fn recv_timeout_upgrade() {
    everywhere(|_| {
        let (sender, receiver) = unbounded::<()>();
        let _other = sender.clone();
        let start = Instant::now();
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= SHORT);
    });
}

#[test]
fn very_long_recv_timeout_wont_panic() {
    everywhere(|begin| {
        let (sender, receiver) = unbounded();
        let waits = begin!(begin, move || {
            assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(()));
        });
        sender.send(()).unwrap();
        waits();
    });
}

/// Receives until all senders are gone, with waits that are over too soon now and then.
fn received(receiver: &Receiver<usize>, each: impl Fn(usize)) -> usize {
    let mut count = 0;
    loop {
        match receiver.recv_timeout(Duration::from_micros(50)) {
            Ok(number) => {
                each(number);
                count += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return count,
        }
    }
}

const STRESS: usize = 100;

fn stress_recv_timeout(begin: Begin, (sender, receiver): (Sender<usize>, Receiver<usize>)) {
    let sends = begin!(begin, move || {
        for number in 0..STRESS {
            if number % 16 == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
            sender.send(number).unwrap();
        }
    });
    let next = std::cell::Cell::new(0);
    let count = received(&receiver, |number| assert_eq!(next.replace(number + 1), number));
    sends();
    assert_eq!(count, STRESS);
}

#[test]
fn stress_recv_timeout_two_threads() {
    everywhere(|begin| {
        stress_recv_timeout(begin, unbounded());
        stress_recv_timeout(begin, channel(1));
    });
}

#[test]
fn stress_recv_timeout_shared() {
    everywhere(|begin| {
        let (sender, receiver) = channel(3);
        let ends: Vec<_> = (0..10)
            .map(|_| {
                let sender = sender.clone();
                begin!(begin, move || (0..STRESS).for_each(|number| sender.send(number).unwrap()))
            })
            .collect();
        drop(sender);
        assert_eq!(received(&receiver, |_| ()), 10 * STRESS);
        ends.into_iter().for_each(|end| end());
    });
}

#[test]
fn shared_recv_timeout() {
    everywhere(|begin| {
        let (sender, receiver) = unbounded();
        let ends: Vec<_> = (0..5)
            .map(|_| {
                let sender = sender.clone();
                begin!(begin, move || sender.send(()).unwrap())
            })
            .collect();
        for _ in 0..5 {
            assert_eq!(receiver.recv(), Ok(()));
        }
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        sender.send(()).unwrap();
        assert_eq!(receiver.recv_timeout(SHORT), Ok(()));
        ends.into_iter().for_each(|end| end());
    });
}

#[test]
fn recv_a_lot() {
    everywhere(|_| {
        let (sender, receiver) = unbounded();
        (0..10_000).for_each(|_| sender.send(()).unwrap());
        (0..10_000).for_each(|_| receiver.recv().unwrap());
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}
