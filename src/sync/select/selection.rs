//! How exactly one of several things is done.
//!
//! One token, of one wait, goes to the lists of all things. Whoever wakes it first has won, since a token can be woken
//! once; the others find it stale, and go on to the next on their lists. Then it is taken off all lists, and the
//! things are looked at again: exactly one of them is *done* (received, sent), and by nobody but the winner. A list from
//! which it was taken, and whose thing it then didn't do, tells its next one.
//!
//! With a channel without room whoever wins the token does the thing in the same moment: then that is the one.
//!
//! Generic over things and token, so that a model checker can run this very code.

use std::cell::Cell;
use std::fmt;

use smallvec::SmallVec;

/// A thing on whose list one can be, and what is then to be done.
pub(in crate::sync) trait Listable {
    type Who;

    /// Puts one on the list; `false`: it is ready.
    fn enlist(&self, who: &Self::Who) -> bool;
    /// Takes one off the list; `false`: it was not there any more.
    fn delist(&self, who: &Self::Who) -> bool;
    /// Tells the next one on the list: who was told has done something else.
    fn pass_on(&self);
    /// Does it, if that is possible without waiting.
    fn attempt(&mut self) -> bool;
    /// Whether somebody else has done it, who found it waiting.
    fn is_done(&self) -> bool;
}

/// Does the first that can be done, and says which.
pub(in crate::sync) fn attempt<A: Listable>(arms: &mut [A], first: usize) -> Option<usize> {
    let mut numbers = (first..arms.len()).chain(0..first);
    numbers.find(|number| arms[*number].attempt())
}

/// Does the first that can be done, and says which. `wait`: waits for them, once.
pub(in crate::sync) fn run<A: Listable>(
    arms: &mut [A],
    first: usize,
    mut wait: impl FnMut(&Selection<'_, A>),
) -> usize {
    loop {
        let selection = Selection::new(arms);
        wait(&selection);
        let done = selection.done();
        // The numbers of those from whose lists it was taken by somebody else.
        let states = selection.states;
        let told = || (0..states.len()).filter(|number| states[*number].get() == Listed::Told);
        // One that is done already; or a list that was told first: what it has is ours, if nobody was faster.
        let done =
            done.or_else(|| told().find(|number| arms[*number].attempt())).or_else(|| attempt(arms, first));
        told().filter(|number| Some(*number) != done).for_each(|number| arms[number].pass_on());
        if let Some(done) = done {
            return done;
        }
    }
}

/// Something for each arm. So many arms need no allocation; seldom are there more.
pub(in crate::sync) type ForEach<T> = SmallVec<[T; 8]>;

/// A wait for several things.
pub(in crate::sync) struct Selection<'a, A> {
    arms: &'a [A],
    /// Of each: whether the token is, or was, on its list; and whether it was taken off by somebody else.
    states: ForEach<Cell<Listed>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    No,
    Yes,
    Told,
}

impl<'a, A: Listable> Selection<'a, A> {
    fn new(arms: &'a [A]) -> Selection<'a, A> {
        Selection { arms, states: arms.iter().map(|_| Cell::new(Listed::No)).collect() }
    }

    pub(in crate::sync) fn arms(&self) -> &'a [A] {
        self.arms
    }

    /// The one that somebody else has done.
    pub(in crate::sync) fn done(&self) -> Option<usize> {
        self.arms.iter().position(A::is_done)
    }

    /// Puts one on all lists; `false`: one of them is ready, and it is on none.
    pub(in crate::sync) fn enlist_all(&self, who: &A::Who) -> bool {
        for (arm, state) in self.arms.iter().zip(&self.states) {
            if !arm.enlist(who) {
                self.delist_all(who);
                return false;
            }
            state.set(Listed::Yes);
        }
        true
    }

    /// Takes it off all lists.
    pub(in crate::sync) fn delist_all(&self, who: &A::Who) {
        for (arm, state) in self.arms.iter().zip(&self.states) {
            if state.get() == Listed::Yes {
                state.set(if arm.delist(who) { Listed::No } else { Listed::Told });
            }
        }
    }

    /// Tells the next ones of the lists from which it was taken.
    pub(in crate::sync) fn pass_all_on(&self) {
        for (arm, state) in self.arms.iter().zip(&self.states) {
            if state.get() == Listed::Told {
                arm.pass_on();
            }
        }
    }
}

impl<A> fmt::Debug for Selection<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection").field("arms", &self.arms.len()).finish_non_exhaustive()
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
