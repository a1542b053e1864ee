//! Orders without a runtime.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread;

use super::{give_way, join, play, point, sleep, something_happened, spawn, time};

/// In which order two threads have taken their steps.
fn order(seed: u64) -> Vec<usize> {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let outcome = play("two threads".into(), seed, None, || {
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let steps = steps.clone();
                let take_steps = move || {
                    for _ in 0..5 {
                        point();
                        steps.lock().expect("nobody panics with it").push(number);
                    }
                };
                spawn(thread::Builder::new(), take_steps).expect("a thread can be started")
            })
            .collect();
        threads.into_iter().for_each(|thread| join(thread).expect("it doesn't panic"));
    });
    assert!(outcome.points >= 10 && outcome.turns >= 2, "{outcome:?}");
    let steps = steps.lock().expect("nobody panics with it").clone();
    assert_eq!(steps.len(), 10);
    steps
}

/// One test, since there is one stage.
#[test]
fn a_seed_is_an_order_and_sleep_ends_when_it_shall() {
    let all: Vec<_> = (0..200).map(order).collect();
    assert_eq!((0..200).map(order).collect::<Vec<_>>(), all, "a seed gives the same order each time");
    assert!(BTreeSet::from_iter(all).len() > 50, "and another one mostly another");

    play("sleep".into(), 1, None, || {
        let (before, is_rung) = (time(), Arc::new(AtomicBool::new(false)));
        assert_eq!(sleep(Some(1_000_000), || false), Some(0));
        let passed = time().zip(before).map(|(after, before)| after - before);
        assert!(passed.is_some_and(|passed| (1_000_000..1_100_000).contains(&passed)), "{passed:?}");
        let rings = is_rung.clone();
        let bell = spawn(thread::Builder::new(), move || {
            rings.store(true, SeqCst);
            something_happened();
        });
        assert_eq!(sleep(None, || is_rung.load(SeqCst)), Some(0));
        join(bell.expect("a thread can be started")).expect("it doesn't panic");
    });
    assert!(time().is_none() && !give_way() && sleep(Some(7), || false) == Some(7), "nobody plays here");
}
