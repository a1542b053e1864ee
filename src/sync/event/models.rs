//! Models of an event: it is set beside one who comes to wait; and it is cleared at once.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::sync::models::{Modelled, Planted};
use crate::sys::model::{self, Shared, Unordered, Word};

struct Flag<W: Word> {
    word: W,
    ground: Modelled,
    /// What was made before the event: loom tells of who doesn't see it.
    made: UnsafeCell<u32>,
}

// SAFETY: that nobody reads while it is made is what the model is about; loom tells of who does.
unsafe impl<W: Word> Sync for Flag<W> {}
// SAFETY: as above.
unsafe impl<W: Word> Send for Flag<W> {}

impl<W: Word> Flag<W> {
    fn new(planted: Planted) -> Arc<Flag<W>> {
        Arc::new(Flag { word: W::new(0), ground: Modelled::new(planted), made: UnsafeCell::new(0) })
    }

    /// A planted bug, if it doesn't look again under the lock.
    fn wait(&self, me: usize, looks_again: bool) {
        if !is_set(&self.word) {
            self.ground.block((me, 0), |who| {
                if looks_again {
                    enlist(&self.word, &self.ground, who)
                } else {
                    ground::enlist(&self.ground, who, || true)
                }
            });
        }
    }
}

fn set_beside_two_who_come<W: Word>(looks_again: bool, planted: Planted) {
    let flag = Flag::<W>::new(planted);
    let waiters = [0, 1].map(|me| {
        let flag = flag.clone();
        thread::spawn(move || {
            flag.wait(me, looks_again);
            // SAFETY: loom looks after it.
            flag.made.with(|made| assert_eq!(unsafe { *made }, 7));
        })
    });
    // SAFETY: loom looks after it.
    flag.made.with_mut(|made| unsafe { *made = 7 });
    set(&flag.word, &flag.ground);
    waiters.into_iter().for_each(model::join);
}

/// One is on the list already.
fn set_and_cleared_at_once(planted: Planted) {
    let flag = Flag::<Shared>::new(planted);
    flag.ground.sleepers[0].open(0);
    assert!(enlist(&flag.word, &flag.ground, (0, 0)), "it isn't set");
    let waits = thread::spawn({
        let flag = flag.clone();
        move || flag.ground.sleepers[0].sleep()
    });
    set(&flag.word, &flag.ground);
    clear(&flag.word, &flag.ground);
    model::join(waits);
    assert!(!is_set(&flag.word));
}

#[test]
fn who_comes_as_it_is_set_goes_on_and_sees_what_was_done_before() {
    model::check(|| set_beside_two_who_come::<Shared>(true, Planted::Nothing));
    model::fails(|| set_beside_two_who_come::<Shared>(false, Planted::Nothing));
    model::fails(|| set_beside_two_who_come::<Shared>(true, Planted::WakesNobody));
    model::fails(|| set_beside_two_who_come::<Unordered>(true, Planted::Nothing));
}

#[test]
fn who_waits_goes_on_though_it_is_cleared_at_once() {
    model::check(|| set_and_cleared_at_once(Planted::Nothing));
    model::fails(|| set_and_cleared_at_once(Planted::WakesNobody));
}
