//! Models of the mutex: two who want it again and again; and one who gives up in the moment in which it is told.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::sync::models::{Sleeper, Wait};
use crate::sys::model::{self, Shared, Torn, Unordered, Word};

impl Queue for Line<Wait> {
    fn acquire() -> Box<Line<Wait>> {
        Box::new(Line(VecDeque::new()))
    }
    fn release(_: Box<Line<Wait>>) {}
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn waiting(me: usize, round: u32) -> Waiting<Wait> {
    Waiting { who: (me, round), owner: me as u64 + 1, since: 0, was_overtaken: round > 0 }
}

struct Modelled<W: Word> {
    word: W,
    list: Inflatable<Line<Wait>, Shared>,
    owner: Shared,
    is_patient: bool,
    sleepers: [Sleeper; 3],
    /// What the lock guards: loom tells of two who are in it at a time, and of who doesn't see what was done before.
    guarded: UnsafeCell<u32>,
}

// SAFETY: that nobody shares what is guarded is what the model is about; loom tells of two who do.
unsafe impl<W: Word> Sync for Modelled<W> {}
// SAFETY: as above.
unsafe impl<W: Word> Send for Modelled<W> {}

impl<W: Word> Core for Modelled<W> {
    type Word = W;
    type ListWord = Shared;
    type Who = Wait;

    fn word(&self) -> &W {
        &self.word
    }
    fn list(&self) -> &Inflatable<Line<Wait>, Shared> {
        &self.list
    }
    fn owner(&self) -> u64 {
        self.owner.load(Relaxed)
    }
    fn set_owner(&self, owner: u64) {
        self.owner.store(owner, Relaxed);
    }
    fn wake(&self, who: &Wait) -> bool {
        self.sleepers[who.0].end(who.1)
    }
    fn is_to_look(&self) -> bool {
        // Who overtakes waiters that are overdue looks for them.
        !self.is_patient
    }
    fn is_overdue(&self, _: &Waiting<Wait>) -> bool {
        !self.is_patient
    }
}

impl<W: Word> Modelled<W> {
    fn new(is_patient: bool) -> Arc<Modelled<W>> {
        Arc::new(Modelled {
            word: W::new(0),
            list: Inflatable::of(Shared::new(0)),
            owner: Shared::new(0),
            is_patient,
            sleepers: Default::default(),
            guarded: UnsafeCell::new(0),
        })
    }

    fn lock(&self, me: usize) {
        if !try_lock(&self.word) {
            let mut round = 0;
            loop {
                self.sleepers[me].open(round);
                if !enlist(self, waiting(me, round)) {
                    break;
                }
                self.sleepers[me].sleep();
                if take_over(self, me as u64 + 1) || look(&self.word, true) == Look::Locked {
                    break;
                }
                round += 1;
            }
        }
        self.set_owner(me as u64 + 1);
    }

    /// Wants the lock, and is cancelled while it waits, or just after it was told. A planted bug: it passes nothing on.
    fn give_up(&self, me: usize, passes_on: bool) {
        self.sleepers[me].open(0);
        if !enlist(self, waiting(me, 0)) {
            self.set_owner(me as u64 + 1);
            return self.unlock();
        }
        self.sleepers[me].end(0);
        if !delist(self, &(me, 0)) && passes_on {
            pass_on(self, me as u64 + 1);
        }
    }

    fn unlock(&self) {
        self.set_owner(0);
        if !try_unlock(self) {
            unlock_contended(self);
        }
    }

    fn count(&self) {
        // SAFETY: loom looks after it.
        self.guarded.with_mut(|count| unsafe { *count += 1 });
    }
}

fn two_want_it<W: Word>(is_patient: bool) {
    let mutex = Modelled::<W>::new(is_patient);
    let threads = [0, 1].map(|me| {
        let mutex = mutex.clone();
        thread::spawn(move || {
            for _ in 0..2 {
                mutex.lock(me);
                mutex.count();
                mutex.unlock();
            }
        })
    });
    threads.into_iter().for_each(model::join);
    mutex.lock(2);
    // SAFETY: loom looks after it.
    mutex.guarded.with(|count| assert_eq!(unsafe { *count }, 4));
    mutex.unlock();
    assert!(mutex.list.with(|list| list.queue().is_none()), "nobody waits");
}

fn one_gives_up(is_patient: bool, passes_on: bool) {
    let mutex = Modelled::<Shared>::new(is_patient);
    mutex.lock(0);
    let gives_up = thread::spawn({
        let mutex = mutex.clone();
        move || mutex.give_up(1, passes_on)
    });
    let wants = thread::spawn({
        let mutex = mutex.clone();
        move || {
            mutex.lock(2);
            mutex.count();
            mutex.unlock();
        }
    });
    mutex.unlock();
    model::join(gives_up);
    model::join(wants);
    assert!(try_lock(&mutex.word), "it is free when all have had it");
}

#[test]
fn one_at_a_time_has_the_lock_and_nobody_is_lost() {
    model::check(|| two_want_it::<Shared>(true));
    model::fails(|| two_want_it::<Torn>(true));
    model::fails(|| two_want_it::<Unordered>(true));
}

#[test]
fn lock_is_handed_over_to_one_at_a_time() {
    model::check(|| two_want_it::<Shared>(false));
    model::fails(|| two_want_it::<Torn>(false));
    model::fails(|| two_want_it::<Unordered>(false));
}

#[test]
fn who_gives_up_passes_on_what_it_was_told() {
    for is_patient in [true, false] {
        model::check(move || one_gives_up(is_patient, true));
        model::fails(move || one_gives_up(is_patient, false));
    }
}
