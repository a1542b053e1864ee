//! Who runs next: the orders that both policies promise, held against the trace of switches.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use coro::sync::{Sender, channel};
use coro::{Builder, CoroutineId, JoinHandle, Policy, Switch, spawn, stats, take_trace, yield_now};
use nix::time::{ClockId, clock_gettime};
use pretty_assertions::assert_eq;

const POLICIES: [Policy; 2] = [Policy::Fair, Policy::Backtrack];

/// The three coroutines of a worker, as the trace of the start shows them.
#[derive(Clone, Copy)]
struct Roles {
    main: CoroutineId,
    io: CoroutineId,
    switch: CoroutineId,
}

impl Roles {
    /// To be called by main, first of all.
    fn of_start() -> Roles {
        let start = take_trace().unwrap();
        Roles { main: me(), io: start[0].to, switch: start[2].to }
    }
}

fn me() -> CoroutineId {
    coro::current().unwrap().id()
}

fn switches(path: &[CoroutineId]) -> Vec<Switch> {
    path.windows(2).map(|pair| Switch { from: pair[0], to: pair[1] }).collect()
}

/// Runs `main` with a trace.
fn traced<T>(policy: Policy, main: impl FnOnce(Roles) -> T) -> T {
    Builder::new().policy(policy).trace(1_000_000).run(|| main(Roles::of_start())).unwrap()
}

/// A coroutine that waits for each of its values, and the end through which it gets them.
fn waiter() -> (Sender<()>, JoinHandle<()>) {
    let (sender, receiver) = channel(10);
    (sender, spawn(move || receiver.iter().for_each(|()| {})))
}

#[test]
fn start_goes_main_io_main_switch_main() {
    for policy in POLICIES {
        let (start, main) =
            Builder::new().policy(policy).trace(100).run(|| (take_trace().unwrap(), me())).unwrap();
        let [io, switch] = [start[0].to, start[2].to];
        assert_eq!(start, switches(&[main, io, main, switch, main]));
        assert!(main != io && io != switch && switch != main);
    }
}

#[test]
fn trace_keeps_the_last_switches_and_is_taken_once() {
    Builder::new()
        .trace(3)
        .run(|| {
            take_trace().unwrap();
            let child = spawn(|| (0..2).for_each(|_| yield_now()));
            (0..2).for_each(|_| yield_now());
            let (main, child) = (me(), child.id());
            assert_eq!(take_trace().unwrap(), switches(&[child, main, child, main])[..]);
            assert_eq!(take_trace().unwrap(), []);
        })
        .unwrap();
    coro::run(|| assert_eq!(take_trace().unwrap(), [], "nobody asked for one")).unwrap();
}

#[test]
fn ready_coroutines_switch_to_each_other_directly_in_the_order_of_their_coming() {
    traced(Policy::Fair, |roles| {
        let [a, b, c] = [(); 3].map(|()| spawn(|| yield_now()));
        let [ids @ .., last] = [a.id(), b.id(), c.id()];
        yield_now();
        yield_now();
        let round = [roles.main, ids[0], ids[1], last];
        let path = [&round[..], &round[..], &[roles.main]].concat();
        assert_eq!(take_trace().unwrap(), switches(&path));
        assert!([a, b, c].iter().all(JoinHandle::is_finished));
    });
}

#[test]
fn turns_under_fair_are_within_one_of_each_other() {
    coro::run(|| {
        let turns = Arc::new([const { AtomicUsize::new(0) }; 10]);
        let handles: Vec<_> = (0..turns.len())
            .map(|own| {
                let turns = turns.clone();
                spawn(move || {
                    for _ in 0..1000 {
                        turns[own].fetch_add(1, Relaxed);
                        let all = turns.each_ref().map(|count| count.load(Relaxed));
                        assert!(all.iter().max().unwrap() - all.iter().min().unwrap() <= 1, "{all:?}");
                        yield_now();
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    })
    .unwrap();
}

#[test]
fn io_has_its_turn_though_somebody_is_always_ready() {
    for company in [0, 1, 2, 7, 61, 200] {
        traced(Policy::Fair, |roles| {
            let is_over = Arc::new(AtomicBool::new(false));
            let others: Vec<_> = (0..company)
                .map(|_| {
                    let is_over = is_over.clone();
                    spawn(move || {
                        while !is_over.load(Relaxed) {
                            yield_now();
                        }
                    })
                })
                .collect();
            // Ends only when io has had its turns.
            let mut turns = 0;
            while turns < 3 {
                yield_now();
                turns += take_trace().unwrap().iter().filter(|switch| switch.to == roles.io).count();
            }
            is_over.store(true, Relaxed);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }
}

#[test]
fn io_has_its_turn_sooner_when_the_others_turns_are_long() {
    traced(Policy::Fair, |roles| {
        let busy = |turns: usize| {
            for _ in 0..turns {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(2) {}
                yield_now();
            }
        };
        let others = [(); 3].map(|()| spawn(move || busy(60)));
        busy(60);
        others.into_iter().for_each(|other| other.join().unwrap());
        let trace = take_trace().unwrap();
        // Until it has been seen how long they are, it may be 61 turns.
        let between = trace.split(|switch| switch.from == roles.io).skip(1).map(<[Switch]>::len);
        let longest = between.max().unwrap();
        // Ends and joins are short turns, so that the interval grows a little meanwhile.
        assert!(longest <= 8, "{longest} switches, of 2 ms mostly, without io");
    });
}

#[test]
fn when_everything_waits_control_goes_over_switch_and_io_to_who_waited() {
    for policy in POLICIES {
        traced(policy, |roles| {
            coro::sleep(Duration::from_millis(2));
            assert_eq!(take_trace().unwrap(), switches(&[roles.main, roles.switch, roles.io, roles.main]));
        });
    }
}

#[test]
fn a_wait_never_returns_to_one_who_waits() {
    for policy in POLICIES {
        traced(policy, |_| {
            let waiting = [waiter(), waiter(), waiter()];
            let parked: Vec<_> = waiting.iter().map(|(_, handle)| handle.id()).collect();
            let (go, wait) = channel::<()>(1);
            // It waits itself while its child waits, again and again.
            let parent = spawn(move || {
                let (ping, pong) = channel(1);
                let child = spawn(move || (0..50).for_each(|n| ping.send(n).unwrap()));
                assert_eq!(pong.iter().sum::<i32>(), 49 * 50 / 2);
                child.join().unwrap();
                wait.recv().unwrap();
            });
            yield_now();
            take_trace().unwrap();
            (0..200).for_each(|_| yield_now());
            coro::sleep(Duration::from_millis(1));
            let entered: Vec<_> = take_trace().unwrap().iter().map(|switch| switch.to).collect();
            assert!(!entered.iter().any(|id| parked.contains(id)), "{policy:?}");
            go.send(()).unwrap();
            parent.join().unwrap();
            for (sender, handle) in waiting {
                drop(sender);
                handle.join().unwrap();
            }
        });
    }
}

#[test]
fn child_runs_at_once_under_backtrack_and_later_under_fair() {
    for policy in POLICIES {
        traced(policy, |roles| {
            let child = spawn(|| 7);
            assert_eq!(child.is_finished(), policy == Policy::Backtrack);
            let path = [roles.main, child.id(), roles.main];
            let first = child.id();
            assert_eq!(child.join().unwrap(), 7);
            let trace = take_trace().unwrap();
            match policy {
                Policy::Backtrack => assert_eq!(trace, switches(&path)),
                _ => assert_eq!(trace[0], Switch { from: roles.main, to: first }),
            }
        });
    }
}

#[test]
fn wait_under_backtrack_goes_to_the_parent() {
    traced(Policy::Backtrack, |roles| {
        let parent = spawn(|| {
            let (sender, child) = waiter();
            let seen = (me(), child.id(), take_trace().unwrap());
            drop(sender);
            seen
        });
        let (parent, child, trace) = parent.join().unwrap();
        assert_eq!(trace, switches(&[roles.main, parent, child, parent]));
    });
}

#[test]
fn wait_under_backtrack_skips_a_waiting_parent_up_to_main_and_from_there_goes_to_switch() {
    traced(Policy::Backtrack, |roles| {
        let (of_child, receiver) = channel(1);
        let (of_parent, parents) = channel::<()>(1);
        let (tell, told) = channel(1);
        let parent = spawn(move || {
            let child = spawn(move || receiver.iter().for_each(|()| {}));
            tell.send(child.id()).unwrap();
            let _ = parents.recv();
            child.join().unwrap();
        });
        let child = told.recv().unwrap();
        take_trace().unwrap();
        // The parent waits for its channel: the child's next wait goes on to main.
        of_child.send(()).unwrap();
        yield_now();
        assert_eq!(take_trace().unwrap(), switches(&[roles.main, roles.switch, child, roles.main]));
        // Now main waits as well: from the child control goes to switch, and from there to io.
        of_child.send(()).unwrap();
        coro::sleep(Duration::from_millis(1));
        let path = [roles.main, roles.switch, child, roles.switch, roles.io, roles.main];
        assert_eq!(take_trace().unwrap(), switches(&path));
        drop((of_child, of_parent));
        parent.join().unwrap();
    });
}

#[test]
fn ended_or_waiting_parent_under_backtrack_is_replaced_by_the_nearest_ancestor_who_can_go_on() {
    for parent_waits in [true, false] {
        traced(Policy::Backtrack, |roles| {
            let (wake, receiver) = channel(1);
            let (again, turn) = channel(1);
            let (tell, told) = channel(1);
            let (release, held) = channel::<()>(1);
            let grandparent = spawn(move || {
                let parent = spawn(move || {
                    let child = spawn(move || receiver.iter().for_each(|()| {}));
                    tell.send(child.id()).unwrap();
                    if parent_waits {
                        let _ = held.recv();
                    }
                });
                assert_eq!(parent.is_finished(), !parent_waits);
                while let Ok(()) = turn.recv() {
                    yield_now();
                }
            });
            let child = told.recv().unwrap();
            take_trace().unwrap();
            // Both are ready when main gives way: the grandparent runs and yields, then the child waits.
            again.send(()).unwrap();
            wake.send(()).unwrap();
            yield_now();
            let path = [roles.main, roles.switch, grandparent.id(), roles.main];
            assert_eq!(take_trace().unwrap(), switches(&path));
            yield_now();
            let path = [roles.main, roles.switch, child, grandparent.id(), roles.main];
            assert_eq!(take_trace().unwrap(), switches(&path));
            // Without the grandparent, main is the nearest.
            drop(again);
            grandparent.join().unwrap();
            take_trace().unwrap();
            wake.send(()).unwrap();
            yield_now();
            assert_eq!(take_trace().unwrap(), switches(&[roles.main, roles.switch, child, roles.main]));
            drop(release);
        });
    }
}

/// A coroutine whose sleep is over while main always has something to do: has it its turn within `yields` of
/// main's?
fn sleeper_woke(policy: Policy, yields: usize) -> bool {
    Builder::new()
        .policy(policy)
        .run(|| {
            const NAP: Duration = Duration::from_millis(1);
            let woke = Arc::new(AtomicBool::new(false));
            let sets = woke.clone();
            let sleeper = spawn(move || {
                coro::sleep(NAP);
                sets.store(true, Relaxed);
            });
            yield_now();
            // A timer fires within 131 µs of its time.
            let over = Instant::now() + 2 * NAP;
            while Instant::now() < over {
                yield_now();
            }
            (0..yields).take_while(|_| !woke.load(Relaxed)).for_each(|_| yield_now());
            let result = woke.load(Relaxed);
            sleeper.join().unwrap();
            assert!(woke.load(Relaxed), "main waited, so that io had its turn");
            result
        })
        .unwrap()
}

#[test]
fn expired_sleeper_starves_under_backtrack() {
    assert!(!sleeper_woke(Policy::Backtrack, 100_000));
}

#[test]
fn expired_sleeper_does_not_starve_under_fair() {
    assert!(sleeper_woke(Policy::Fair, usize::MAX), "it is waited for without end");
}

/// Thousands were spawned, each of which computes for a moment: one who sleeps for a hundredth of that has his turn when it
/// is over, and not after all of them.
#[test]
fn who_was_woken_does_not_wait_for_a_crowd_of_new_ones() {
    let (had_turn, all) = (Arc::new(AtomicUsize::new(0)), 4000);
    let before_him = coro::run(|| {
        let sleeper = spawn({
            let had_turn = had_turn.clone();
            move || {
                coro::sleep(Duration::from_micros(500));
                had_turn.load(Relaxed)
            }
        });
        let crowd: Vec<_> = (0..all)
            .map(|_| {
                let had_turn = had_turn.clone();
                spawn(move || {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(10) {}
                    had_turn.fetch_add(1, Relaxed);
                })
            })
            .collect();
        crowd.into_iter().for_each(|one| one.join().unwrap());
        sleeper.join().unwrap()
    });
    let before_him = before_him.unwrap();
    // It is due after fifty of them; a thousand is as few as let him go to the queue's end.
    assert!(before_him < all - 1000, "{before_him} of {all}");
}

#[test]
fn who_yields_gives_way_to_those_whose_time_had_come_by_then() {
    let (path, roles, sleeper) = traced(Policy::Fair, |roles| {
        let sleeper = spawn(|| coro::sleep(Duration::from_micros(300)));
        while !sleeper.is_finished() {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(100) {}
            yield_now();
        }
        (take_trace().unwrap(), roles, sleeper.id())
    });
    let last = path.iter().rfind(|switch| switch.to == sleeper).unwrap();
    assert_eq!(last.from, roles.io, "and not main, having had another turn");
}

#[test]
fn main_in_join_goes_on_when_all_others_end_without_ever_blocking() {
    for policy in POLICIES {
        Builder::new()
            .policy(policy)
            .run(|| {
                for generation in 0..500 {
                    let children: Vec<_> = (0..20).map(|n| spawn(move || n)).collect();
                    // From the last: the others end first, and wake nobody.
                    let sum: i32 = children.into_iter().rev().map(|child| child.join().unwrap()).sum();
                    assert_eq!(sum, 190, "generation {generation}");
                }
                // Each is made by the one before, and nobody but main waits for any of them.
                fn descend(left: u32, done: Sender<u32>) {
                    match left {
                        0 => done.send(0).unwrap(),
                        _ => drop(spawn(move || descend(left - 1, done))),
                    }
                }
                let (done, end) = channel(1);
                descend(500, done);
                assert_eq!(end.recv(), Ok(0));
                assert_eq!(stats().unwrap().alive, 0);
            })
            .unwrap();
    }
}

#[test]
fn main_in_join_goes_on_when_the_last_other_ends_after_a_wait_for_io() {
    for policy in POLICIES {
        Builder::new()
            .policy(policy)
            .run(|| {
                let first = spawn(|| coro::sleep(Duration::from_millis(1)));
                let second = spawn(move || first.join().unwrap());
                let third = spawn(move || second.join().unwrap());
                third.join().unwrap();
            })
            .unwrap();
    }
}

#[test]
fn idle_runtime_beats_and_uses_less_than_a_hundredth_of_a_core() {
    let cpu_time = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    coro::run(|| {
        let parked: Vec<_> = (0..100).map(|_| waiter()).collect();
        yield_now();
        let (beats, used) = (stats().unwrap().heartbeats, cpu_time());
        coro::sleep(Duration::from_millis(2100));
        let used = cpu_time() - used;
        let beats = stats().unwrap().heartbeats - beats;
        assert!(beats >= 1, "everything slept for two seconds, and io's permanent timer did not fire");
        assert!(used < Duration::from_millis(20), "{used:?} of CPU time");
        drop(parked);
    })
    .unwrap();
}
