//! `coro::stats`: what is parked is counted by what it waits for, and no longer than it waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coro::sync::{Mutex, channel};
use coro::{Builder, spawn, yield_now};
use pretty_assertions::assert_eq;

const LONG: Duration = Duration::from_secs(1_000_000);

/// What coroutines wait for, but for the mains of other workers, which wait for the end.
fn parked() -> BTreeMap<&'static str, usize> {
    let stats = coro::stats().unwrap();
    stats.parked().filter(|(reason, _)| *reason != "shutdown").collect()
}

#[test]
fn debug_form_tells_what_is_parked_and_not_what_is_not() {
    coro::run(|| {
        let _sleeper = spawn(|| coro::sleep(LONG));
        yield_now();
        let shown = format!("{:?}", coro::stats().unwrap());
        assert!(shown.starts_with("Stats { workers: 1, alive: 1, "), "{shown}");
        assert!(shown.ends_with(", parked: {\"sleep\": 1} }"), "{shown}");
    })
    .unwrap();
}

#[test]
fn who_waits_is_counted_by_what_for_and_who_goes_on_is_not() {
    static GATE: Mutex<()> = Mutex::new(());
    for workers in [1, 2, 4] {
        Builder::new()
            .workers(workers)
            .run(|| {
                for round in 1..4 {
                    let (sender, receiver) = channel::<u32>(1);
                    let receiver = Arc::new(receiver);
                    let (full, drain) = channel::<u32>(1);
                    full.send(1).unwrap();
                    let guard = GATE.lock().unwrap();
                    let mut handles = Vec::new();
                    for n in 0..10 {
                        let (receiver, full) = (Arc::clone(&receiver), full.clone());
                        handles.push(match n {
                            0..4 => spawn(move || {
                                receiver.recv().ok();
                            }),
                            4..7 => spawn(move || full.send(n).unwrap()),
                            _ => spawn(|| drop(GATE.lock().unwrap())),
                        });
                    }
                    let all = BTreeMap::from([("receive", 4), ("send", 3), ("mutex", 3)]);
                    while parked() != all {
                        yield_now();
                    }
                    // All of them go on, and end.
                    drop((guard, sender, full));
                    let received: Vec<u32> = drain.iter().collect();
                    assert_eq!(received.len(), 4);
                    handles.into_iter().for_each(|handle| handle.join().unwrap());
                    while coro::stats().unwrap().alive > 0 {
                        yield_now();
                    }
                    assert_eq!((parked(), coro::stats().unwrap().spawned), (BTreeMap::new(), round * 10));
                }
                // Sleepers are unwound at the end, and main is counted where it waits.
                let sleepers: Vec<_> = (0..5).map(|_| spawn(|| coro::sleep(LONG))).collect();
                let looks = spawn(|| {
                    while parked() != BTreeMap::from([("sleep", 5), ("join", 1)]) {
                        yield_now();
                    }
                });
                looks.join().unwrap();
                drop(sleepers);
            })
            .unwrap();
    }
}
