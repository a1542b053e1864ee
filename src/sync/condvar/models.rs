//! Models of a condition variable: one notifies beside one who comes to wait; one gives up as it is notified.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::*;
use crate::sync::models::{Modelled, Planted};
use crate::sys::model;

/// How many may go on; each takes one.
struct Gate {
    open: Mutex<u32>,
    ground: Modelled,
}

impl Gate {
    fn new(planted: Planted) -> Arc<Gate> {
        Arc::new(Gate { open: Mutex::new(0), ground: Modelled::new(planted) })
    }

    /// A planted bug, if it unlocks before it is on the list.
    fn pass(&self, me: usize, unlocks_late: bool) {
        let mut wait = 0;
        loop {
            let mut guard = self.open.lock().expect("nobody panics with it");
            if *guard > 0 {
                *guard -= 1;
                return;
            }
            self.ground.block((me, wait), |who| {
                if unlocks_late {
                    enlist(&self.ground, who, || drop(guard));
                } else {
                    drop(guard);
                    enlist(&self.ground, who, || ());
                }
                true
            });
            wait += 1;
        }
    }

    fn let_in(&self, count: u32) {
        *self.open.lock().expect("nobody panics with it") += count;
    }

    /// Waits already; gives up as it is notified.
    fn give_up(&self, me: usize, how: GivesUp) {
        let was_first = self.ground.sleepers[me].end(0);
        let was_there = ground::delist(&self.ground, &(me, 0));
        let passes_on = match how {
            GivesUp::Cancelled => !was_there,
            // It was notified, and does what it was notified for: here, it tells the next one.
            GivesUp::Late => !was_first,
            GivesUp::Silently => false,
        };
        if passes_on {
            ground::wake_one(&self.ground);
        }
    }
}

#[derive(Clone, Copy)]
enum GivesUp {
    /// It unwinds, and passes on what it was told.
    Cancelled,
    /// Its time has come: then it wasn't notified.
    Late,
    /// A planted bug: it is cancelled, and passes nothing on.
    Silently,
}

fn notified_beside_two_who_come(all: bool, unlocks_late: bool, planted: Planted) {
    let gate = Gate::new(planted);
    let waiters = [0, 1].map(|me| {
        let gate = gate.clone();
        thread::spawn(move || gate.pass(me, unlocks_late))
    });
    if all {
        gate.let_in(2);
        ground::wake_all(&gate.ground, || ());
    } else {
        for _ in 0..2 {
            gate.let_in(1);
            ground::wake_one(&gate.ground);
        }
    }
    waiters.into_iter().for_each(model::join);
    assert_eq!(*gate.open.lock().expect("nobody panics with it"), 0);
}

/// Two are on the list; the first gives up.
fn one_gives_up(how: GivesUp, planted: Planted) {
    let gate = Gate::new(planted);
    for me in [0, 1] {
        gate.ground.sleepers[me].open(0);
        enlist(&gate.ground, (me, 0), || ());
    }
    let gives_up = thread::spawn({
        let gate = gate.clone();
        move || gate.give_up(0, how)
    });
    let waits = thread::spawn({
        let gate = gate.clone();
        move || gate.ground.sleepers[1].sleep()
    });
    ground::wake_one(&gate.ground);
    model::join(gives_up);
    model::join(waits);
}

#[test]
fn who_comes_as_it_is_notified_misses_nothing() {
    for all in [false, true] {
        model::check(move || notified_beside_two_who_come(all, true, Planted::Nothing));
        model::fails(move || notified_beside_two_who_come(all, false, Planted::Nothing));
        model::fails(move || notified_beside_two_who_come(all, true, Planted::WakesNobody));
    }
}

#[test]
fn notification_of_one_who_gives_up_goes_to_the_next() {
    model::check(|| one_gives_up(GivesUp::Cancelled, Planted::Nothing));
    model::check(|| one_gives_up(GivesUp::Late, Planted::Nothing));
    model::fails(|| one_gives_up(GivesUp::Silently, Planted::Nothing));
    model::fails(|| one_gives_up(GivesUp::Late, Planted::WakesTheDead));
}
