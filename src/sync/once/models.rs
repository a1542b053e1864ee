//! Models of what is done once: three come for it, of whom the first one to try may fail.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::sync::models::{Modelled, Planted};
use crate::sys::model::{self, Shared, Unordered, Word};

struct Value<W: Word> {
    word: W,
    ground: Modelled,
    /// How often it was tried, and done: loom tells of two who do it at a time, and of who doesn't see what was done.
    made: UnsafeCell<(u32, u32)>,
}

// SAFETY: that nobody shares what is made is what the model is about; loom tells of two who do.
unsafe impl<W: Word> Sync for Value<W> {}
// SAFETY: as above.
unsafe impl<W: Word> Send for Value<W> {}

/// How one comes for it.
#[derive(Clone, Copy, PartialEq)]
enum Coming {
    Right,
    /// A planted bug: it looks whether it is to be done without the lock, and then does it.
    WithoutLock,
    /// A planted bug: it doesn't settle what it has failed to do.
    LeavesItOpen,
}

impl<W: Word> Value<W> {
    fn begin(&self, coming: Coming) -> u64 {
        if coming == Coming::WithoutLock && matches!(self.word.load(Acquire), TO_DO | POISONED) {
            self.word.store(BEING_DONE, Relaxed);
            return TO_DO;
        }
        begin(&self.word, &self.ground, true)
    }

    /// As `call_once_force`. `fails`: the function that is tried first panics, and leaves it in this state.
    fn get_or_init(&self, me: usize, fails: Option<u64>, coming: Coming) {
        let mut wait = 0;
        while !is_done(&self.word) {
            match self.begin(coming) {
                DONE => break,
                TO_DO => {
                    // SAFETY: loom looks after it.
                    let is_first = self.made.with_mut(|made| unsafe {
                        (*made).0 += 1;
                        (*made).0 == 1
                    });
                    if let Some(left) = fails.filter(|_| is_first) {
                        if coming != Coming::LeavesItOpen {
                            settle(&self.word, &self.ground, left);
                        }
                        return;
                    }
                    // SAFETY: loom looks after it.
                    self.made.with_mut(|made| unsafe { (*made).1 += 1 });
                    settle(&self.word, &self.ground, DONE);
                }
                _ => {
                    self.ground.block((me, wait), |who| enlist(&self.word, &self.ground, who, &[BEING_DONE]));
                    wait += 1;
                }
            }
        }
        // SAFETY: loom looks after it.
        self.made.with(|made| assert_eq!(unsafe { (*made).1 }, 1, "done once"));
    }
}

fn three_come<W: Word>(fails: Option<u64>, coming: Coming, planted: Planted) {
    let value = Arc::new(Value {
        word: W::new(TO_DO),
        ground: Modelled::new(planted),
        made: UnsafeCell::new((0, 0)),
    });
    let others = [0, 1].map(|me| {
        let value = value.clone();
        thread::spawn(move || value.get_or_init(me, fails, coming))
    });
    value.get_or_init(2, fails, coming);
    others.into_iter().for_each(model::join);
    // SAFETY: loom looks after it.
    value.made.with(|made| assert_eq!(unsafe { *made }, (1 + u32::from(fails.is_some()), 1)));
}

#[test]
fn it_is_done_once_and_all_see_it() {
    model::check(|| three_come::<Shared>(None, Coming::Right, Planted::Nothing));
    model::fails(|| three_come::<Shared>(None, Coming::WithoutLock, Planted::Nothing));
    model::fails(|| three_come::<Unordered>(None, Coming::Right, Planted::Nothing));
    model::fails(|| three_come::<Shared>(None, Coming::Right, Planted::WakesNobody));
}

#[test]
fn next_one_tries_when_the_first_has_failed() {
    for left in [TO_DO, POISONED] {
        model::check(move || three_come::<Shared>(Some(left), Coming::Right, Planted::Nothing));
        model::fails(move || three_come::<Shared>(Some(left), Coming::LeavesItOpen, Planted::Nothing));
        model::fails(move || three_come::<Shared>(Some(left), Coming::Right, Planted::WakesNobody));
    }
}
