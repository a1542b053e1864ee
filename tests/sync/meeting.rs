//! Channels without room, where sender and receiver meet: what std has no tests of.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use coro::sync::{
    Event, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, channel,
};
use coro::{Builder, Policy, select, spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::places::{as_thread, begin, everywhere};
use crate::{Counted, LONG, join_all, under_both};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn send_returns_when_the_value_was_taken() {
    under_both(|| {
        let (sender, receiver) = channel(0);
        let has_returned = Arc::new(Event::new());
        let sends = {
            let has_returned = has_returned.clone();
            spawn(move || {
                sender.send(1).unwrap();
                has_returned.set();
            })
        };
        (0..10).for_each(|_| yield_now());
        assert!(!has_returned.is_set(), "nobody has taken it");
        assert_eq!(receiver.recv(), Ok(1));
        sends.join().unwrap();
    });
}

#[test]
fn try_operations_meet_one_who_waits() {
    under_both(|| {
        let (sender, receiver) = channel(0);
        let other = receiver.clone();
        let waits = spawn(move || other.recv());
        yield_now();
        assert_eq!([sender.try_send(1), sender.try_send(2)], [Ok(()), Err(TrySendError::Full(2))]);
        assert_eq!(waits.join().unwrap(), Ok(1));
        let waits = spawn(move || sender.send(3));
        yield_now();
        assert_eq!(receiver.try_recv(), Ok(3));
        waits.join().unwrap().unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn first_who_waits_is_the_first_to_meet() {
    coro::run(|| {
        let (sender, receiver) = channel(0);
        let waits: Vec<_> = (0..5)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || receiver.recv().unwrap())
            })
            .collect();
        yield_now();
        (0..5).for_each(|n| sender.send(n).unwrap());
        assert_eq!(join_all(waits), [0, 1, 2, 3, 4]);
        let waits: Vec<_> = (0..5)
            .map(|n| {
                let sender = sender.clone();
                spawn(move || sender.send(n).unwrap())
            })
            .collect();
        yield_now();
        assert_eq!(receiver.iter().take(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        join_all(waits);
    })
    .unwrap();
}

#[test]
fn who_waits_for_too_long_has_its_value_back() {
    everywhere(|_| {
        let (sender, receiver) = channel(0);
        assert_eq!(sender.send_timeout(1, SHORT), Err(SendTimeoutError::Timeout(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        // A deadline that doesn't come.
        let sends = as_thread(Box::new(move || sender.send_timeout(3, LONG).unwrap()));
        assert_eq!(receiver.recv_timeout(LONG), Ok(3));
        sends();
    });
}

#[test]
fn close_sends_all_away_with_their_values() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let (told, begun) = channel(2);
        let second = told.clone();
        let sends = begin!(begin, move || {
            told.send(()).unwrap();
            assert_eq!(sender.send(1), Err(SendError(1)));
        });
        begun.recv().unwrap();
        receiver.close();
        assert_eq!(receiver.recv(), Err(RecvError));
        sends();

        let (sender, receiver) = channel::<u8>(0);
        let receives = begin!(begin, move || {
            second.send(()).unwrap();
            assert_eq!(receiver.recv(), Err(RecvError));
        });
        begun.recv().unwrap();
        sender.close();
        assert_eq!(sender.send(2), Err(SendError(2)));
        receives();
    });
}

#[test]
fn values_that_nobody_takes_are_dropped() {
    under_both(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = channel(0);
        let (first, second) = (Counted(dropped.clone()), Counted(dropped.clone()));
        drop(sender.try_send(first));
        assert_eq!(dropped.load(Relaxed), 1);
        let waits = spawn(move || drop(sender.send(second)));
        yield_now();
        drop(receiver);
        waits.join().unwrap();
        assert_eq!(dropped.load(Relaxed), 2);
    });
}

#[test]
fn select_sends_to_one_who_receives_and_receives_from_one_who_sends() {
    everywhere(|begin| {
        let (to_other, others) = channel(0);
        let (to_us, ours) = channel(0);
        let other = begin!(begin, move || {
            assert_eq!(others.recv(), Ok(1));
            to_us.send(2).unwrap();
        });
        let sent = select! {
            send(to_other, 1) -> sent => sent.is_ok(),
            recv(ours) -> _ => false,
        };
        assert!(sent, "it sends only after that");
        let got = select! {
            recv(ours) -> got => got,
            after(LONG) => Ok(9),
        };
        assert_eq!(got, Ok(2));
        other();
    });
}

#[test]
fn two_selects_meet() {
    const ROUNDS: u32 = 500;
    everywhere(|begin| {
        let (to_one, one) = channel(0);
        let (to_other, other) = channel(0);
        let (their_one, their_other) = (to_one.clone(), other.clone());
        // Each of both sends to one and receives from the other, in either order.
        let second = begin!(begin, move || {
            let (mut sent, mut got) = (0, 0);
            while sent < ROUNDS || got < ROUNDS {
                if got < ROUNDS && sent < ROUNDS {
                    select! {
                        send(their_one, sent) -> result => { result.unwrap(); sent += 1; }
                        recv(their_other) -> value => { assert_eq!(value, Ok(got)); got += 1; }
                    }
                } else if sent < ROUNDS {
                    their_one.send(sent).unwrap();
                    sent += 1;
                } else {
                    assert_eq!(their_other.recv(), Ok(got));
                    got += 1;
                }
            }
        });
        let (mut sent, mut got) = (0, 0);
        while sent < ROUNDS || got < ROUNDS {
            if got < ROUNDS && sent < ROUNDS {
                select! {
                    recv(one) -> value => { assert_eq!(value, Ok(got)); got += 1; }
                    send(to_other, sent) -> result => { result.unwrap(); sent += 1; }
                }
            } else if sent < ROUNDS {
                to_other.send(sent).unwrap();
                sent += 1;
            } else {
                assert_eq!(one.recv(), Ok(got));
                got += 1;
            }
        }
        second();
    });
}

#[test]
fn select_does_not_meet_itself() {
    everywhere(|_| {
        let (sender, receiver) = channel(0);
        let done = select! {
            send(sender, 1) -> _ => "sent",
            recv(receiver) -> _ => "received",
            after(SHORT) => "neither",
        };
        assert_eq!(done, "neither");
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn who_watches_an_end_is_told_of_the_other() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let sends = begin!(begin, move || sender.send(1).unwrap());
        let got = select! { wait(receiver) => receiver.recv() };
        assert_eq!(got, Ok(1));
        sends();
        let (sender, receiver) = channel(0);
        let receives = begin!(begin, move || assert_eq!(receiver.recv(), Ok(2)));
        select! { wait(sender) => sender.send(2).unwrap() }
        receives();
    });
}

/// The runtime ends just after one was given a value: it is cancelled before it runs. `send` has returned, so it has the value,
/// and nobody else gets it.
#[test]
fn receiver_that_is_cancelled_as_it_is_given_a_value_has_it() {
    for selects in [false, true] {
        for policy in [Policy::Fair, Policy::Backtrack] {
            let (sender, receiver) = channel(0);
            let waits = receiver.clone();
            let received = Arc::new(AtomicUsize::new(0));
            let got = received.clone();
            Builder::new()
                .policy(policy)
                .run(|| {
                    spawn(move || {
                        let value = if selects {
                            select! { recv(waits) -> value => value, after(LONG) => Ok(0) }
                        } else {
                            waits.recv()
                        };
                        got.store(value.unwrap(), Relaxed);
                        coro::sleep(LONG);
                        panic!("it is cancelled");
                    });
                    yield_now();
                    sender.try_send(7).unwrap();
                })
                .unwrap();
            assert_eq!(received.load(Relaxed), 7);
            drop(sender);
            assert_eq!(receiver.recv(), Err(RecvError));
        }
    }
}

/// A timeout's scope that ends as a value is given likewise: the code in it goes on to its next wait.
#[test]
fn timeout_does_not_end_a_wait_that_was_granted() {
    under_both(|| {
        for capacity in [0, 1] {
            let attempt = || {
                let (sender, receiver) = channel(capacity);
                let waits = spawn(move || {
                    let mut got = None;
                    let limited = coro::timeout(SHORT, || {
                        got = Some(receiver.recv());
                        receiver.recv()
                    });
                    (got, limited.is_ok())
                });
                yield_now();
                let was_granted = sender.send(1).is_ok();
                thread::sleep(SHORT * 2);
                assert_eq!(waits.join().unwrap(), (was_granted.then_some(Ok(1)), false));
                was_granted
            };
            // The time may be over before there is anything to receive.
            while !attempt() {}
        }
    });
}

/// An arm that watches an end is not told of the other arm's own wait: it would be woken by itself again and again, and nobody
/// else had a turn until the time has come.
#[test]
fn select_that_sends_and_watches_does_not_wake_itself() {
    under_both(|| {
        for watches_first in [true, false] {
            let (sender, receiver) = channel(0);
            let receives = {
                let receiver = receiver.clone();
                spawn(move || receiver.recv())
            };
            let late = coro::sync::after(Duration::from_secs(10));
            let has_sent = if watches_first {
                select! { wait(receiver) => false, send(sender, 1) -> sent => sent.is_ok(), wait(late) => false }
            } else {
                select! { send(sender, 1) -> sent => sent.is_ok(), wait(receiver) => false, wait(late) => false }
            };
            assert!(has_sent);
            assert_eq!(receives.join().unwrap(), Ok(1));
        }
    });
}

#[test]
fn cancelled_sender_takes_its_value_back() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel(0);
    let value = Counted(dropped.clone());
    coro::run(|| {
        spawn(move || sender.send(value).map_err(drop));
        yield_now();
    })
    .unwrap();
    assert_eq!(dropped.load(Relaxed), 1);
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Disconnected)));
}

#[test]
fn thousand_coroutines_and_two_threads_meet() {
    const EACH: u32 = 10;
    let (sender, receiver) = channel(0);
    let threads = [1000, 1001].map(|who| {
        let sender = sender.clone();
        thread::spawn(move || (0..EACH).for_each(|n| sender.send((who, n)).unwrap()))
    });
    Builder::new()
        .workers(2)
        .run(|| {
            for who in 0..1000 {
                let sender = sender.clone();
                spawn(move || (0..EACH).for_each(|n| sender.send((who, n)).unwrap()));
            }
            drop(sender);
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    let receiver = receiver.clone();
                    spawn(move || receiver.into_iter().collect::<Vec<(u32, u32)>>())
                })
                .collect();
            let mut all: Vec<_> = join_all(takers).into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..1002).flat_map(|who| (0..EACH).map(move |n| (who, n))).collect::<Vec<_>>());
        })
        .unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
