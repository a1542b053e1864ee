//! Models of falling asleep: beside somebody who sends a woken coroutine, and beside one who has spawned.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use loom::thread;

use super::*;
use crate::sys::model::{self, Shared, Torn, Unfenced, Word};

/// Workers that may sleep, a place where they look, and their bells.
struct House<A> {
    sleepers: Sleepers<A>,
    /// How many coroutines there are to be found. Ordered no more than the runtime's queues are.
    found: Shared,
    bells: [Shared; 2],
}

impl<A: Word> House<A> {
    fn new() -> Arc<House<A>> {
        Arc::new(House {
            sleepers: Sleepers(array::from_fn(|_| A::new(0))),
            found: Shared::new(0),
            bells: [Shared::new(0), Shared::new(0)],
        })
    }

    fn put(&self) {
        self.found.store(1, Release);
    }

    fn ring(&self, worker: u32) {
        self.bells[worker as usize].store(1, Release);
    }

    /// A worker with nothing to do; whether it has blocked.
    fn sleep(&self, worker: u32) -> bool {
        self.sleepers.fall_asleep(worker, || self.found.load(Acquire) != 0)
    }

    fn is_rung(&self, worker: u32) -> bool {
        self.bells[worker as usize].load(Acquire) != 0
    }
}

/// Somebody sends a coroutine to a worker that is about to sleep.
fn send_beside_sleep<A: Word>() {
    let house = House::<A>::new();
    let sender = thread::spawn({
        let house = house.clone();
        move || {
            house.put();
            if house.sleepers.is_to_be_woken(0) {
                house.ring(0);
            }
        }
    });
    let sleeps = house.sleep(0);
    model::join(sender);
    assert!(!sleeps || house.is_rung(0), "the worker sleeps, and a coroutine that was sent to it waits");
    if sleeps {
        house.sleepers.wake_up(0);
    }
    assert!(!house.sleepers.is_to_be_woken(0), "it is awake");
}

/// A worker has spawned a coroutine, while two others run out of work.
fn spawn_beside_two_sleepers<A: Word>() {
    let house = House::<A>::new();
    let workers: Vec<_> = (0..2)
        .map(|worker| {
            let house = house.clone();
            thread::spawn(move || house.sleep(worker))
        })
        .collect();
    house.put();
    let woken = house.sleepers.one_to_be_woken(&[u64::MAX; WORDS], u64::from);
    if let Some(worker) = woken {
        house.ring(worker);
    }
    let sleep: Vec<bool> = workers.into_iter().map(model::join).collect();
    let is_awake = |worker: u32| !sleep[worker as usize] || house.is_rung(worker);
    assert!(is_awake(0) || is_awake(1), "both sleep, and nobody takes what was spawned");
}

/// Two have something for one sleeper: its bell is rung, once.
fn two_wake_one<A: Word>() {
    let house = House::<A>::new();
    assert!(house.sleep(0));
    let other = thread::spawn({
        let house = house.clone();
        move || house.sleepers.is_to_be_woken(0)
    });
    let here = house.sleepers.one_to_be_woken(&only(0), u64::from).is_some();
    assert!(here ^ model::join(other), "the bell is rung once");
}

#[test]
fn who_is_sent_to_a_worker_does_not_wait_while_it_sleeps() {
    model::check(send_beside_sleep::<Shared>);
    let said = model::fails(send_beside_sleep::<Unfenced>);
    assert!(said.contains("that was sent to it waits"), "{said}");
}

#[test]
fn who_was_spawned_does_not_wait_while_all_others_sleep() {
    model::check(spawn_beside_two_sleepers::<Shared>);
    let said = model::fails(spawn_beside_two_sleepers::<Unfenced>);
    assert!(said.contains("nobody takes what was spawned"), "{said}");
}

#[test]
fn bell_is_rung_once_for_each_sleep() {
    model::check(two_wake_one::<Shared>);
    let said = model::fails(two_wake_one::<Torn>);
    assert!(said.contains("the bell is rung once"), "{said}");
}
