//! What `select!` waits for besides channels, events and sockets: signals, processes, ticks, coroutines that belong
//! together. Whichever arm is done, nothing of the others is lost.

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use coro::sync::{Event, channel};
use coro::{Builder, Group, JoinSet, Pool, process, select, signal, spawn, time, yield_now};
use pretty_assertions::assert_eq;

use crate::runtimes::{everywhere, wait_until_parked};
use crate::{LONG, under_both};

fn raise(number: i32) {
    // SAFETY: whoever calls this listens for the signal, so that it has a handler.
    thread::spawn(move || unsafe { libc::raise(number) }).join().unwrap();
}

#[test]
fn signal_that_is_not_taken_stays_pending() {
    everywhere(|| {
        let mut signals = signal::listen(&[libc::SIGURG, libc::SIGIO]).unwrap();
        let has_come = |signals: &signal::Signals| select! { wait(signals) => true, _ => false };
        assert!(!has_come(&signals));
        raise(libc::SIGIO);
        assert!(has_come(&signals) && has_come(&signals), "nothing is taken");
        // Another arm is done as often as it likes.
        let always = Event::new();
        always.set();
        let mut others = 0;
        while others < 10 {
            select! { wait(always) => others += 1, wait(signals) => () }
        }
        assert_eq!(signals.wait().unwrap(), libc::SIGIO);
        assert!(!has_come(&signals));
        // Two that come while something else is waited for.
        raise(libc::SIGIO);
        raise(libc::SIGURG);
        let mut got = [signals.wait().unwrap(), signals.wait().unwrap()];
        got.sort_unstable();
        let mut sent = [libc::SIGURG, libc::SIGIO];
        sent.sort_unstable();
        assert_eq!(got, sent);
    });
}

#[test]
fn signal_ends_a_select_that_waits_again_and_again() {
    everywhere(|| {
        let mut signals = signal::listen(&[libc::SIGTTOU]).unwrap();
        let (numbers, number) = channel(0);
        let (tell, told) = channel(1);
        let waits = spawn(move || {
            let mut sum = 0;
            loop {
                select! {
                    wait(signals) => tell.send(signals.wait().unwrap()).unwrap(),
                    recv(number) -> value => match value {
                        Ok(value) => sum += value,
                        Err(_) => return sum,
                    },
                }
            }
        });
        for _ in 0..20 {
            raise(libc::SIGTTOU);
            numbers.send(1).unwrap();
            // Those that come before one is taken are told once: so this one is waited for.
            assert_eq!(told.recv(), Ok(libc::SIGTTOU));
        }
        drop(numbers);
        assert_eq!(waits.join().unwrap(), 20);
    });
}

#[test]
fn listener_by_reference_is_an_arm_and_a_cancel_leaves_it_as_it_was() {
    everywhere(|| {
        let mut signals = signal::listen(&[libc::SIGTTIN]).unwrap();
        let late = coro::timeout(Duration::from_millis(1), || {
            let signals = &mut signals;
            select! { wait(signals) => (), after(LONG) => () }
        });
        assert!(late.is_err());
        raise(libc::SIGTTIN);
        let by_reference = &mut signals;
        select! { wait(by_reference) => (), after(LONG) => panic!("it has come") }
        assert_eq!(signals.wait().unwrap(), libc::SIGTTIN);
        let waits = spawn(move || select! { wait(signals) => (), after(LONG) => () });
        wait_until_parked("select", 1);
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is_cancelled());
    });
}

/// Also what io has not told of yet: under backtracking it doesn't, as long as somebody is ready.
#[test]
fn what_was_found_in_a_select_is_taken_without_a_wait() {
    under_both(|| {
        let mut signals = signal::listen(&[libc::SIGCONT]).unwrap();
        let mut child = shell("read line; exit 7");
        assert!(!select! { wait(signals) => true, wait(child) => true, _ => false });
        raise(libc::SIGCONT);
        drop(child.as_std_mut().stdin.take());
        while !select! { wait(child) => true, _ => false } {
            thread::sleep(Duration::from_millis(1));
        }
        select! { wait(signals) => (), _ => panic!("it has come") }
        let before = coro::stats().unwrap().switches;
        assert_eq!(signals.wait().unwrap(), libc::SIGCONT);
        assert_eq!(child.wait_timeout(Duration::ZERO).unwrap().code(), Some(7));
        assert_eq!(coro::stats().unwrap().switches, before, "nobody else had a turn");
    });
}

/// Who has waited for it before computes on another worker, which looks for no events meanwhile.
#[test]
fn listener_is_watched_by_the_worker_on_which_it_is_waited_for() {
    let main = || {
        let (give, given) = mpsc::channel();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let computes = spawn(move || {
            let signals = signal::listen(&[libc::SIGTSTP]).unwrap();
            select! { wait(signals) => (), after(Duration::from_millis(1)) => () }
            give.send(signals).unwrap();
            let start = Instant::now();
            while !is_done.load(Relaxed) && start.elapsed() < Duration::from_secs(10) {
                thread::yield_now();
            }
            is_done.load(Relaxed)
        });
        // Nobody has a turn on this thread: it has begun on the other one.
        let mut signals: signal::Signals = given.recv().unwrap();
        let raise_soon = || {
            thread::spawn(|| {
                thread::sleep(Duration::from_millis(10));
                raise(libc::SIGTSTP);
            })
        };
        let first = raise_soon();
        select! { wait(signals) => (), after(LONG) => () }
        assert_eq!(signals.wait().unwrap(), libc::SIGTSTP);
        let second = raise_soon();
        assert_eq!(signals.wait().unwrap(), libc::SIGTSTP);
        done.store(true, Relaxed);
        first.join().unwrap();
        second.join().unwrap();
        assert!(computes.join().unwrap(), "it was computing all the time");
    };
    Builder::new().workers(2).run(main).unwrap();
}

/// Whose runtime has ended is watched by the next one.
#[test]
fn listener_outlives_the_runtime_in_which_it_was_waited_for() {
    let mut signals = signal::listen(&[libc::SIGPROF]).unwrap();
    for _ in 0..3 {
        coro::run(|| {
            let waits = spawn(|| raise(libc::SIGPROF));
            select! { wait(signals) => (), after(LONG) => () }
            waits.join().unwrap();
            assert_eq!(signals.wait().unwrap(), libc::SIGPROF);
            select! { wait(signals) => panic!("it was taken"), after(Duration::from_millis(1)) => () }
        })
        .unwrap();
    }
}

#[test]
#[should_panic(expected = "Signals::wait was called outside a runtime")]
fn signal_outside_a_runtime_is_refused() {
    let signals = signal::listen(&[libc::SIGWINCH]).unwrap();
    select! { wait(signals) => (), after(LONG) => () }
}

fn shell(script: &str) -> process::Child {
    let mut command = Command::new("sh");
    process::spawn(command.args(["-c", script]).stdin(Stdio::piped())).unwrap()
}

#[test]
fn end_of_a_process_is_an_arm_and_leaves_its_status_to_be_taken() {
    everywhere(|| {
        let mut child = shell("read line; exit 7");
        assert!(!select! { wait(child) => true, _ => false });
        let (stop, stopped) = channel(1);
        stop.send(()).unwrap();
        select! { wait(child) => panic!("it reads"), recv(stopped) -> _ => () }
        // The end of its input.
        drop(child.as_std_mut().stdin.take());
        select! { wait(child) => (), after(LONG) => panic!("it has ended") }
        select! { wait(child) => (), after(LONG) => panic!("nothing is taken") }
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(select! { wait(child) => true, _ => false }, "whose status was taken has ended, too");
        assert_eq!(child.wait().unwrap().code(), Some(7));
    });
}

#[test]
fn first_of_several_processes_to_end_is_done_and_the_others_later() {
    everywhere(|| {
        let [mut slow, mut fast] = [shell("read line; exit 1"), shell("exit 2")];
        let first = select! {
            wait(slow) => slow.wait().unwrap(),
            wait(fast) => fast.wait().unwrap(),
        };
        assert_eq!(first.code(), Some(2));
        slow.kill().unwrap();
        select! { wait(slow) => assert!(!slow.wait().unwrap().success()), after(LONG) => panic!("it was killed") }
    });
}

#[test]
fn tick_that_is_not_taken_stays_due() {
    everywhere(|| {
        let period = Duration::from_millis(3);
        let start = Instant::now();
        let mut ticks = time::interval(period);
        let made = Instant::now();
        let never = Event::new();
        select! { wait(ticks) => (), wait(never) => () }
        assert!(start.elapsed() >= period);
        let always = Event::new();
        always.set();
        let (mut dones, mut due) = (0, 0);
        while dones < 10 {
            select! { wait(always) => dones += 1, wait(ticks) => due += 1 }
        }
        assert!(due > 0, "it is due all the time");
        // The first one, and not a later one.
        assert!(select! { wait(ticks) => true, _ => false });
        let first = ticks.tick();
        assert!(first >= start + period && first <= made + period);
        select! { wait(ticks) => (), wait(never) => () }
        assert!(ticks.tick() >= first + period);
    });
}

#[test]
fn scoped_coroutine_that_ends_is_an_arm() {
    everywhere(|| {
        let (open, word) = (Event::new(), String::from("lent"));
        coro::scope(|scope| {
            let slow = scope.spawn(|| {
                open.wait();
                word.len()
            });
            let fast = scope.spawn(|| word.as_str());
            let first = select! {
                wait(slow) => panic!("it waits"),
                wait(fast) => fast.join().unwrap(),
            };
            assert_eq!(first, "lent");
            open.set();
            select! { wait(slow) => assert_eq!(slow.join().unwrap(), 4), after(LONG) => panic!("it may end") }
        });
    });
}

#[test]
fn group_and_pool_are_done_when_nobody_is_left() {
    everywhere(|| {
        let (group, pool, open) = (Group::new(), Pool::new(2), Arc::new(Event::new()));
        assert!(select! { wait(group) => true, _ => false } && select! { wait(pool) => true, _ => false });
        for _ in 0..2 {
            let (in_group, in_pool) = (open.clone(), open.clone());
            group.spawn(move || in_group.wait());
            pool.spawn(move || in_pool.wait());
        }
        let over = select! {
            wait(group) => "group",
            wait(pool) => "pool",
            after(Duration::from_millis(1)) => "time",
        };
        assert_eq!(over, "time");
        let both = (group.clone(), pool.clone());
        let waits = spawn(move || {
            select! { wait(both.0) => (), after(LONG) => panic!("it is empty") }
            select! { wait(both.1) => (), after(LONG) => panic!("it is empty") }
        });
        wait_until_parked("select", 1);
        open.set();
        waits.join().unwrap();
        assert!(group.is_empty() && pool.is_empty());
    });
}

#[test]
fn result_of_a_set_stays_until_it_is_taken() {
    everywhere(|| {
        let (mut set, open) = (JoinSet::new(), Arc::new(Event::new()));
        assert!(select! { wait(set) => true, _ => false }, "nobody is left to be waited for");
        for n in 0..3 {
            let open = open.clone();
            set.spawn(move || {
                open.wait();
                n
            });
        }
        assert!(!select! { wait(set) => true, _ => false });
        let sets = open.clone();
        spawn(move || sets.set());
        let (mut got, mut others) = (Vec::new(), 0);
        while got.len() < 3 {
            select! {
                wait(set) => got.extend(set.join_next().map(Result::unwrap)),
                wait(open) => {
                    others += 1;
                    yield_now();
                }
            }
        }
        got.sort_unstable();
        assert_eq!((got, others > 0, set.len()), (vec![0, 1, 2], true, 0));
    });
}

/// On two workers, with ends, ticks and cancels at any moment: each result is taken once.
#[test]
fn each_result_of_a_set_is_taken_once() {
    Builder::new()
        .workers(2)
        .run(|| {
            let mut set = JoinSet::new();
            let mut ticks = time::interval(Duration::from_micros(200));
            let mut got = Vec::new();
            for n in 0..1000 {
                set.spawn(move || {
                    (0..n % 3).for_each(|_| yield_now());
                    n
                });
                select! {
                    wait(set) => got.extend(set.try_join_next().map(Result::unwrap)),
                    wait(ticks) => {
                        ticks.tick();
                    }
                }
            }
            while let Some(result) = set.join_next() {
                got.push(result.unwrap());
            }
            got.sort_unstable();
            assert_eq!(got, (0..1000).collect::<Vec<_>>());
        })
        .unwrap();
}

#[test]
fn wait_for_each_is_left_by_a_cancel() {
    under_both(|| {
        let group = Group::new();
        group.spawn(|| coro::sleep(LONG));
        let mut set = JoinSet::new();
        set.spawn(|| coro::sleep(LONG));
        let of_group = group.clone();
        let waits = spawn(move || {
            let child = shell("read line");
            let signals = signal::listen(&[libc::SIGWINCH]).unwrap();
            select! { wait(of_group) => (), wait(set) => (), wait(child) => (), wait(signals) => () }
        });
        wait_until_parked("select", 1);
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is_cancelled());
        group.cancel().unwrap();
        group.wait().unwrap();
    });
}
