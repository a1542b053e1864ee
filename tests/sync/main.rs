//! Waiting for each other: each primitive as std's page promises it, between coroutines, and with plain threads.

#[path = "../support/runtimes.rs"]
mod runtimes;

mod as_std;
mod cancelled;
mod channels;
mod locks;
mod meeting;
mod misuse;
mod model;
mod places;
mod random;
mod rendezvous;
mod selecting;
mod signals;
mod timed;
mod waitables;

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use coro::sync::{Mutex, RecvError, SendError, Sender, TryLockError, TryRecvError, TrySendError, channel};
use coro::{Builder, JoinHandle, Policy, spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::{Counted, under_both};

const LONG: Duration = Duration::from_secs(1_000_000);

/// All are spawned before the first is joined, also by a lazy iterator.
fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let handles: Vec<_> = handles.into_iter().collect();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

#[test]
fn mutex_excludes_over_yields() {
    under_both(|| {
        let (lock, inside) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
        let handles: Vec<_> = (0..50)
            .map(|_| {
                let (lock, inside) = (lock.clone(), inside.clone());
                spawn(move || {
                    for _ in 0..20 {
                        let mut count = lock.lock().unwrap();
                        assert_eq!(inside.fetch_add(1, Relaxed), 0);
                        yield_now();
                        *count += 1;
                        inside.fetch_sub(1, Relaxed);
                    }
                })
            })
            .collect();
        join_all(handles);
        assert_eq!(*lock.lock().unwrap(), 1000);
    });
}

#[test]
fn waiters_get_the_lock_in_the_order_of_their_coming() {
    coro::run(|| {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let guard = lock.lock().unwrap();
        let handles: Vec<_> = (0..20)
            .map(|n| {
                let lock = lock.clone();
                spawn(move || lock.lock().unwrap().push(n))
            })
            .collect();
        yield_now();
        drop(guard);
        join_all(handles);
        assert_eq!(*lock.lock().unwrap(), (0..20).collect::<Vec<_>>());
    })
    .unwrap();
}

#[test]
fn waiter_gets_the_lock_though_another_takes_it_again_and_again() {
    coro::run(|| {
        let lock = Arc::new(Mutex::new(()));
        let greedy = lock.clone();
        let guard = lock.lock().unwrap();
        let modest = lock.clone();
        let waiter = spawn(move || drop(modest.lock().unwrap()));
        let hog = spawn(move || {
            loop {
                let guard = greedy.lock().unwrap();
                yield_now();
                drop(guard);
                yield_now();
            }
        });
        yield_now();
        drop(guard);
        waiter.join().unwrap();
        drop(hog);
    })
    .unwrap();
}

#[test]
fn try_lock_never_waits() {
    under_both(|| {
        let lock = Mutex::new(1);
        let guard = lock.lock().unwrap();
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        drop(guard);
        *lock.try_lock().unwrap() += 1;
        assert_eq!(*lock.try_lock().unwrap(), 2);
    });
}

#[test]
fn poisoned_mutex_says_so_and_gives_its_value() {
    under_both(|| {
        let lock = Arc::new(Mutex::new(1));
        let own = lock.clone();
        let failing = spawn(move || {
            *own.lock().unwrap() = 2;
            let _guard = own.lock().unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(failing.join().is_err() && lock.is_poisoned());
        assert_eq!(*lock.lock().unwrap_err().into_inner(), 2);
        assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        assert_eq!(*lock.lock().unwrap(), 2);
        assert_eq!(Arc::into_inner(lock).unwrap().into_inner().unwrap(), 2);
    });
}

#[test]
fn mutex_shows_its_value_or_that_it_is_locked() {
    let lock = Mutex::new("text");
    assert_eq!(format!("{lock:?}"), r#"Mutex { data: "text", poisoned: false, .. }"#);
    let guard = lock.lock().unwrap();
    assert_eq!(format!("{guard:?} {guard}"), r#""text" text"#);
    assert_eq!(format!("{lock:?}"), "Mutex { data: <locked>, poisoned: false, .. }");
}

#[test]
fn mutex_works_outside_a_runtime() {
    let lock = Arc::new(Mutex::new(0));
    let threads = [(); 4].map(|()| {
        let lock = lock.clone();
        thread::spawn(move || (0..1000).for_each(|_| *lock.lock().unwrap() += 1))
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*lock.lock().unwrap(), 4000);
    assert_eq!(*Arc::into_inner(lock).unwrap().get_mut().unwrap(), 4000);
}

/// main returns just after the lock was given to one who waited: it is cancelled before it runs, and the one behind
/// it, a thread, must get the lock nevertheless.
#[test]
fn cancelled_waiter_passes_the_lock_on() {
    for policy in [Policy::Fair, Policy::Backtrack] {
        for _ in 0..50 {
            let lock = Arc::new(Mutex::new(()));
            let run = Builder::new().policy(policy).run(|| {
                let guard = lock.lock().unwrap();
                let first = lock.clone();
                spawn(move || {
                    let _guard = first.lock().unwrap();
                    coro::sleep(LONG);
                });
                yield_now();
                let second = lock.clone();
                let thread = thread::spawn(move || drop(second.lock().unwrap()));
                drop(guard);
                thread
            });
            run.unwrap().join().unwrap();
            assert!(!lock.is_poisoned() && lock.try_lock().is_ok());
        }
    }
}

#[test]
fn channel_keeps_the_order_and_its_bound() {
    under_both(|| {
        let (sender, receiver) = channel(3);
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let producer = spawn(move || {
            for n in 0..100 {
                sender.send(n).unwrap();
                count.fetch_add(1, Relaxed);
            }
        });
        for n in 0..100 {
            yield_now();
            assert!(sent.load(Relaxed) <= n + 3, "{} sent, {n} received", sent.load(Relaxed));
            assert_eq!(receiver.recv(), Ok(n));
        }
        assert_eq!(receiver.recv(), Err(RecvError));
        producer.join().unwrap();
    });
}

#[test]
fn values_left_by_the_last_sender_are_received_before_the_end() {
    under_both(|| {
        let (sender, receiver) = channel(2);
        sender.clone().send(1).unwrap();
        sender.send(2).unwrap();
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn end_of_one_side_wakes_all_of_the_other() {
    under_both(|| {
        let (sender, receiver) = channel::<u8>(1);
        let reader = spawn(move || receiver.recv());
        yield_now();
        drop(sender);
        assert_eq!(reader.join().unwrap(), Err(RecvError));

        let (sender, receiver) = channel(1);
        sender.send(0).unwrap();
        let writers: Vec<_> = (1..5)
            .map(|n| {
                let sender = sender.clone();
                spawn(move || sender.send(n))
            })
            .collect();
        yield_now();
        drop(receiver);
        assert_eq!(join_all(writers), [1, 2, 3, 4].map(|n| Err(SendError(n))));
    });
}

#[test]
fn try_operations_never_wait() {
    let (sender, receiver) = channel(1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Err(TrySendError::Full(2))));
    assert_eq!(receiver.try_recv(), Ok(1));
    drop(receiver);
    assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    assert_eq!(sender.send(4), Err(SendError(4)));
}

#[test]
fn values_that_nobody_takes_are_dropped() {
    under_both(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = channel(8);
        (0..5).for_each(|_| sender.send(Counted(dropped.clone())).unwrap());
        drop(receiver.recv().unwrap());
        assert_eq!(dropped.load(Relaxed), 1);
        drop(receiver);
        assert_eq!(dropped.load(Relaxed), 5);
        drop(sender.send(Counted(dropped.clone())));
        assert_eq!(dropped.load(Relaxed), 6);

        let (sender, receiver) = channel(1);
        sender.send(Counted(dropped.clone())).unwrap();
        drop((sender, receiver));
        assert_eq!(dropped.load(Relaxed), 7);
    });
}

/// A receiver that is cancelled after it was given a value has it, and a sender after its value was taken has sent it.
#[test]
fn wait_that_was_granted_wins_over_a_cancel() {
    for _ in 0..50 {
        let (sender, receiver) = channel(1);
        let receiver = Arc::new(receiver);
        let waits = receiver.clone();
        let (done, was_done) = mpsc::channel();
        let (received, sent) = (done.clone(), done);
        coro::run(|| {
            spawn(move || {
                received.send(waits.recv().unwrap()).unwrap();
                waits.recv()
            });
            yield_now();
            sender.send(1).unwrap();
        })
        .unwrap();
        assert_eq!(was_done.try_recv(), Ok(1));

        let waits: Sender<_> = sender.clone();
        sender.send(2).unwrap();
        coro::run(|| {
            spawn(move || {
                waits.send(3).unwrap();
                sent.send(3).unwrap();
                waits.send(4)
            });
            yield_now();
            assert_eq!(receiver.recv(), Ok(2));
        })
        .unwrap();
        assert_eq!(was_done.try_recv(), Ok(3));
        assert_eq!([receiver.try_recv(), receiver.try_recv()], [Ok(3), Err(TryRecvError::Empty)]);
    }
}

/// It takes a value and at once puts one in, in the place that another one waits for: each of the two has its turn.
#[test]
fn sender_that_waits_is_not_overtaken_by_one_that_receives_and_sends_in_turn() {
    under_both(|| {
        let (sender, receiver) = channel(1);
        sender.send(0).unwrap();
        let waits = {
            let sender = sender.clone();
            spawn(move || sender.send(1).unwrap())
        };
        yield_now();
        assert_eq!(receiver.recv(), Ok(0));
        assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)), "the place is the other one's");
        assert_eq!(receiver.recv(), Ok(1));
        waits.join().unwrap();
    });
}

#[test]
fn thousand_coroutines_and_two_threads_share_one_mutex() {
    let lock = Arc::new(Mutex::new((0_u32, 0_u32)));
    // The two numbers differ only while somebody has the lock.
    fn add(lock: &Mutex<(u32, u32)>, rounds: u32, pause: fn()) {
        for _ in 0..rounds {
            let mut pair = lock.lock().unwrap();
            assert_eq!(pair.0, pair.1);
            pair.0 += 1;
            pause();
            pair.1 += 1;
        }
    }
    let threads = [(); 2].map(|()| {
        let lock = lock.clone();
        thread::spawn(move || add(&lock, 1000, thread::yield_now))
    });
    coro::run(|| {
        let handles: Vec<_> = (0..1000)
            .map(|_| {
                let lock = lock.clone();
                spawn(move || add(&lock, 5, yield_now))
            })
            .collect();
        join_all(handles);
    })
    .unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*lock.lock().unwrap(), (7000, 7000));
}

#[test]
fn thousand_coroutines_and_two_threads_send_over_one_channel() {
    const EACH: u32 = 20;
    let (sender, receiver) = channel(10);
    let send = |sender: Sender<(u32, u32)>, who| (0..EACH).for_each(|n| sender.send((who, n)).unwrap());
    let threads = [1000, 1001].map(|who| {
        let sender = sender.clone();
        thread::spawn(move || send(sender, who))
    });
    coro::run(|| {
        for who in 0..1000 {
            let sender = sender.clone();
            spawn(move || send(sender, who));
        }
        drop(sender);
        let mut next = vec![0; 1002];
        let mut seen = HashSet::new();
        for (who, n) in &receiver {
            assert_eq!(
                std::mem::replace(&mut next[who as usize], n + 1),
                n,
                "values of {who} keep their order"
            );
            assert!(seen.insert((who, n)));
        }
        assert_eq!(seen.len(), 1002 * EACH as usize);
    })
    .unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn thousand_coroutines_in_a_chain_pass_a_value_on() {
    under_both(|| {
        let (first, mut last) = channel(1);
        for _ in 0..1000 {
            let (next, behind) = channel(1);
            let before = std::mem::replace(&mut last, behind);
            spawn(move || before.iter().for_each(|n: u32| next.send(n + 1).unwrap()));
        }
        let feeder = spawn(move || (0..10).for_each(|n| first.send(n).unwrap()));
        assert_eq!(last.iter().collect::<Vec<_>>(), (1000..1010).collect::<Vec<_>>());
        feeder.join().unwrap();
    });
}
