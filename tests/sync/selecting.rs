//! `select!`: exactly one arm is done, whoever else is told, and nothing is lost.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coro::sync::{Event, RecvError, SendError, channel, oneshot};
use coro::{Builder, select, spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::{LONG, join_all, under_both};

#[test]
fn first_that_is_ready_is_done() {
    under_both(|| {
        let (to_numbers, numbers) = channel(1);
        let (to_words, words) = channel(1);
        let waits = spawn(move || {
            let mut got = Vec::new();
            for _ in 0..4 {
                select! {
                    recv(numbers) -> number => got.push(number.map_or("end of numbers".into(), |n: u8| n.to_string())),
                    recv(words) -> word => {
                        let word: Result<&str, _> = word;
                        got.push(word.unwrap_or("end of words").to_owned());
                    }
                    after(LONG) => got.push("too late".into()),
                }
            }
            got
        });
        yield_now();
        to_words.send("a").unwrap();
        yield_now();
        to_numbers.send(1).unwrap();
        yield_now();
        to_words.send("b").unwrap();
        yield_now();
        drop(to_numbers);
        assert_eq!(waits.join().unwrap(), ["a", "1", "b", "end of numbers"]);
    });
}

#[test]
fn send_and_receive_in_one() {
    under_both(|| {
        let (to_us, ours) = channel::<u8>(1);
        let (to_other, others) = channel(1);
        to_other.send(0).unwrap();
        let other = {
            let others = others.clone();
            spawn(move || (others.recv(), others.recv()))
        };
        let sent = select! {
            recv(ours) -> _ => false,
            send(to_other, 7) -> sent => { sent.unwrap(); true }
        };
        assert!(sent);
        assert_eq!(other.join().unwrap(), (Ok(0), Ok(7)));
        drop(others);
        let back = select! {
            recv(ours) -> _ => None,
            send(to_other, 8) -> sent => sent.err(),
        };
        assert_eq!(back, Some(SendError(8)));
        drop(to_us);
        assert_eq!(select! { recv(ours) -> result => result }, Err(RecvError));
    });
}

#[test]
fn without_a_wait_only_what_is_ready_is_done() {
    let (sender, receiver) = channel(1);
    let poll = || {
        select! {
            recv(receiver) -> value => value.ok(),
            _ => None,
        }
    };
    assert_eq!(poll(), None);
    sender.send(1).unwrap();
    assert_eq!((poll(), poll()), (Some(1), None));
}

#[test]
fn time_events_coroutines_and_oneshots_are_waited_for() {
    under_both(|| {
        let (event, done) = (Arc::new(Event::new()), spawn(|| coro::sleep(LONG)));
        let (_sender, answer) = oneshot::<u8>();
        let start = Instant::now();
        let what = select! {
            wait(event) => "event",
            wait(done) => "end",
            wait(answer) => "answer",
            after(Duration::from_millis(2)) => "time",
        };
        assert!(what == "time" && start.elapsed() >= Duration::from_millis(2));
        let sets = event.clone();
        spawn(move || sets.set());
        assert_eq!(select! { wait(event) => "event", wait(done) => "end" }, "event");
        event.clear();
        let ends = spawn(|| ());
        assert_eq!(select! { wait(event) => "event", wait(ends) => "end" }, "end");
        assert!(select! { wait(coro::sync::at(start)) => true, after(LONG) => false });
    });
}

/// Neither of two arms that are always ready keeps the other from its turn.
#[test]
fn no_arm_starves() {
    coro::run(|| {
        let events = [Event::new(), Event::new()];
        events.iter().for_each(Event::set);
        let mut counts = [0; 2];
        for _ in 0..100 {
            select! {
                wait(events[0]) => counts[0] += 1,
                wait(events[1]) => counts[1] += 1,
            }
        }
        assert!(counts[0] >= 30 && counts[1] >= 30, "{counts:?}");
    })
    .unwrap();
}

#[test]
fn loops_can_be_left_from_an_arm() {
    let (sender, receiver) = channel(4);
    (0..4).for_each(|n| sender.send(n).unwrap());
    let mut last = None;
    loop {
        select! {
            recv(receiver) -> value => {
                if value == Ok(2) {
                    break;
                }
                last = value.ok();
                continue;
            }
        }
    }
    assert_eq!(last, Some(1));
}

/// Whom one is told of that then takes another thing: the value goes to the next who waits.
#[test]
fn loser_passes_on_what_it_was_told() {
    Builder::new()
        .workers(2)
        .run(|| {
            const EACH: usize = 2000;
            let ends: Vec<_> = (0..3).map(|_| channel::<usize>(1)).collect();
            let [a, b, c] = [0, 1, 2].map(|n| ends[n].1.clone());
            let takers: Vec<_> = (0..4)
                .map(|n| {
                    let (a, b, c) = (a.clone(), b.clone(), c.clone());
                    let take = move || {
                        let mut got = Vec::new();
                        let mut over = [false; 3];
                        while !over.iter().all(|over| *over) {
                            // A channel that is at its end is always ready.
                            let (which, value) = select! {
                                recv(a) -> value => (0, value),
                                recv(b) -> value => (1, value),
                                recv(c) -> value => (2, value),
                            };
                            match value {
                                Ok(value) => got.push(value),
                                Err(_) => over[which] = true,
                            }
                        }
                        got
                    };
                    if n == 0 { Err(thread::spawn(take)) } else { Ok(spawn(take)) }
                })
                .collect();
            let senders: Vec<_> = ends.iter().map(|(sender, _)| sender.clone()).collect();
            drop((ends, a, b, c));
            join_all(senders.into_iter().enumerate().map(|(n, sender)| {
                spawn(move || (0..EACH).for_each(|i| sender.send(n * EACH + i).unwrap()))
            }));
            let mut all: Vec<usize> = Vec::new();
            for taker in takers {
                all.extend(match taker {
                    Ok(taker) => taker.join().unwrap(),
                    Err(thread) => thread.join().unwrap(),
                });
            }
            all.sort_unstable();
            assert_eq!(all, (0..3 * EACH).collect::<Vec<_>>());
        })
        .unwrap();
}

/// Two that select on sending to each other and receiving from each other: each pair of operations is done once.
#[test]
fn selects_meet_each_other() {
    Builder::new()
        .workers(2)
        .run(|| {
            let (to_b, b) = channel::<u32>(1);
            let (to_a, a) = channel::<u32>(1);
            let play = |own: coro::sync::Receiver<u32>, other: coro::sync::Sender<u32>| {
                spawn(move || {
                    let (mut sent, mut got) = (0, 0);
                    while sent < 1000 || got < 1000 {
                        if sent == 1000 {
                            assert_eq!(own.recv(), Ok(got));
                            got += 1;
                            continue;
                        }
                        select! {
                            recv(own) -> value => {
                                assert_eq!(value, Ok(got));
                                got += 1;
                            }
                            send(other, sent) -> result => {
                                result.unwrap();
                                sent += 1;
                            }
                        }
                    }
                    (own, other)
                })
            };
            join_all([play(a, to_b), play(b, to_a)]);
        })
        .unwrap();
}
