//! `select!`: exactly one arm is done, whoever else is told, and nothing is lost.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coro::net::{TcpListener, TcpStream, UnixStream};
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

#[test]
fn socket_is_ready_when_a_read_or_a_write_would_not_wait() {
    under_both(|| {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let may_read = |stream: &UnixStream| select! { wait(stream.readable()) => true, _ => false };
        let may_write = |stream: &UnixStream| select! { wait(stream.writable()) => true, _ => false };
        assert!(!may_read(&here) && may_write(&here));
        there.write_all(b"x").unwrap();
        assert!(may_read(&here) && may_read(&here), "nothing is taken");
        here.read_exact(&mut [0]).unwrap();
        assert!(!may_read(&here));
        here.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut written = 0;
        while let Ok(n) = here.write(&[0; 10_000]) {
            written += n;
        }
        assert!(!may_write(&here));
        let reads = spawn(move || {
            there.read_exact(&mut vec![0; written]).unwrap();
            there
        });
        select! { wait(here.writable()) => (), after(LONG) => panic!("it has room") }
        drop(reads.join().unwrap());
        select! { wait(here.readable()) => (), after(LONG) => panic!("the peer is gone") }
        assert_eq!(here.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn socket_and_channel_wake_the_same_wait_and_nobody_stays_on_a_list() {
    under_both(|| {
        let (mut here, there) = UnixStream::pair().unwrap();
        let (send, receive) = channel(1);
        let waits = spawn(move || {
            let mut got = Vec::new();
            for _ in 0..200 {
                select! {
                    wait(here.readable()) => {
                        let mut byte = [0];
                        here.read_exact(&mut byte).unwrap();
                        got.push(byte[0]);
                    }
                    recv(receive) -> value => got.push(value.unwrap()),
                }
            }
            got
        });
        let bytes = thread::spawn(move || {
            let mut there = there.into_std().unwrap();
            (0..100_u8).for_each(|n| there.write_all(&[n]).unwrap());
            // Its end would be something to read, again and again.
            there
        });
        (100..200_u8).for_each(|n| send.send(n).unwrap());
        let got = waits.join().unwrap();
        drop(bytes.join().unwrap());
        for range in [0..100_u8, 100..200] {
            let part: Vec<u8> = got.iter().copied().filter(|n| range.contains(n)).collect();
            assert_eq!(part, range.collect::<Vec<_>>(), "each in its order, and once");
        }
    });
}

#[test]
fn listener_and_a_socket_that_is_closed_by_who_shares_it_end_the_wait() {
    under_both(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connects = spawn(move || TcpStream::connect(address).unwrap());
        select! { wait(listener.readable()) => (), after(LONG) => panic!("somebody connects") }
        let (stream, _) = listener.accept().unwrap();
        let stream = Arc::new(stream);
        let waits = {
            let stream = stream.clone();
            spawn(move || {
                select! { wait(stream.readable()) => (&*stream).read(&mut [0]).unwrap_err().kind(), after(LONG) => panic!("it is closed") }
            })
        };
        yield_now();
        stream.close();
        assert_eq!(waits.join().unwrap(), ErrorKind::NotConnected);
        drop(connects.join().unwrap());
    });
}

#[test]
fn wait_for_a_socket_is_left_by_a_cancel_and_by_a_timeout() {
    under_both(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let here = Arc::new(here);
        let late = coro::timeout(
            Duration::from_millis(1),
            || select! { wait(here.readable()) => (), after(LONG) => () },
        );
        assert!(late.is_err());
        let waits = {
            let here = here.clone();
            spawn(move || select! { wait(here.readable()) => (), after(LONG) => () })
        };
        yield_now();
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is_cancelled());
        // A debug build looks whether somebody is on a list that has no owner any more.
        drop(here);
    });
}

#[test]
fn two_on_two_workers_are_both_told_of_one_socket() {
    Builder::new()
        .workers(2)
        .run(|| {
            let (here, mut there) = UnixStream::pair().unwrap();
            let here = Arc::new(here);
            let both: Vec<_> = (0..8)
                .map(|_| {
                    let here = here.clone();
                    spawn(move || select! { wait(here.readable()) => true, after(LONG) => false })
                })
                .collect();
            while coro::stats().unwrap().parked().all(|parked| parked != ("select", 8)) {
                yield_now();
            }
            there.write_all(b"x").unwrap();
            assert!(both.into_iter().all(|one| one.join().unwrap()));
        })
        .unwrap();
}

#[test]
#[should_panic(expected = "waiting for a socket in `select!`")]
fn socket_outside_a_runtime_is_refused() {
    let stream = std::os::unix::net::UnixStream::pair().unwrap().0;
    let stream = UnixStream::from_std(stream).unwrap();
    select! { wait(stream.readable()) => (), after(LONG) => () }
}

/// A runtime that has just been started has all of its first turn before it. (With `Backtrack` who is spawned runs at once.)
#[test]
fn first_operation_gives_nobody_else_a_turn() {
    coro::run(|| {
        let (sender, receiver) = channel(1);
        sender.send(7).unwrap();
        let other = spawn(|| ());
        select! { recv(receiver) -> value => assert_eq!(value, Ok(7)) }
        assert!(!other.is_finished(), "nobody had to wait");
    })
    .unwrap();
}
