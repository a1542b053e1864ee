//! A channel without room: a sender and a receiver meet, and the value goes from one to the other.
//!
//! Who waits is a *party*: a sender's has the value that it brings, a receiver's the place for one. Whoever comes and finds a
//! party of the other side *wins* it by waking it, since a wait can be ended once: so a party that is about to leave (its
//! time has come, it is cancelled, another arm of its `select!` was faster) is won by nobody, and one that was won goes
//! nowhere else. The value changes hands in the same moment, under the channel's lock; the one who was won finds that out
//! when it takes its party away. A party is taken away by its owner, and by nobody else.
//!
//! Who comes wins its own wait as well, if others can already have won it: an arm of a `select!` whose other arms are
//! waiting. It wins the partner first: one that can't be won must not keep it from waiting. If it then finds that it has
//! been won itself, the partner was woken for nothing, and comes again.

use std::cell::Cell;
use std::{fmt, mem};

use super::protocol::{Core, Side, State, Who, wake, wake_all};
use super::{TryRecvError, TrySendError};
use crate::scheduler::park::Woken;
use crate::sync::ground::List;

/// One who waits to send or to receive.
pub(in crate::sync) struct Party<T, W> {
    who: W,
    /// A sender's: until it is taken. A receiver's: since it was given.
    value: Option<T>,
}

/// One end's part in a meeting.
pub(super) struct Part<T> {
    side: Side,
    /// A sender's, until it is taken; what a receiver was given.
    value: Cell<Option<T>>,
    /// They have met.
    is_done: Cell<bool>,
}

/// What came of a wait for a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Partner,
    /// There will be none.
    Over,
    /// None came in time.
    Late,
}

impl<T, L: List> State<T, L> {
    /// Whether somebody of the side waits for a partner.
    pub(super) fn has_party(&self, side: Side) -> bool {
        self.parties[side as usize].iter().any(|party| party.is_free(side))
    }

    /// Whether there is nobody to come, and nothing left.
    fn meets_none(&self, side: Side) -> bool {
        self.is_over(side) && (side == Side::Sender || self.values.is_empty())
    }

    /// The first of a side who can be won.
    fn win(&mut self, side: Side, mut wins: impl FnMut(&L::Who) -> bool) -> Option<&mut Option<T>> {
        let mut parties = self.parties[side as usize].iter_mut();
        parties.find(|party| party.is_free(side) && wins(&party.who)).map(|party| &mut party.value)
    }

    /// Gives a value to the first receiver who can be won.
    fn give(&mut self, value: T, wins: impl FnMut(&L::Who) -> bool) -> Result<(), T> {
        match self.win(Side::Receiver, wins) {
            Some(place) => {
                *place = Some(value);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Wakes all of a side: they will find no partner.
    pub(super) fn wake_parties(&self, side: Side, wake: impl Fn(&L::Who) -> bool) {
        for party in &self.parties[side as usize] {
            wake(&party.who);
        }
    }
}

/// Gives a value to one who waits for it.
#[inline(never)]
pub(super) fn try_send<C: Core>(
    core: &C,
    mut state: C::Guard<'_>,
    value: C::Value,
) -> Result<(), TrySendError<C::Value>> {
    state.give(value, |who| wake(core, who)).map_err(TrySendError::Full)?;
    core.note(Side::Sender);
    Ok(())
}

/// Takes the value of one who waits with it.
#[inline(never)]
pub(super) fn try_recv<C: Core>(core: &C, mut state: C::Guard<'_>) -> Result<C::Value, TryRecvError> {
    if let Some(value) = state.win(Side::Sender, |who| wake(core, who)).and_then(Option::take) {
        core.note(Side::Receiver);
        return Ok(value);
    }
    Err(if state.is_over(Side::Receiver) { TryRecvError::Disconnected } else { TryRecvError::Empty })
}

impl<T, W> Party<T, W> {
    /// Whether it was not won yet.
    fn is_free(&self, side: Side) -> bool {
        self.value.is_some() == (side == Side::Sender)
    }
}

impl<T> Part<T> {
    /// A sender's.
    pub(super) fn sender(value: T) -> Part<T> {
        Part { side: Side::Sender, value: Cell::new(Some(value)), is_done: Cell::new(false) }
    }

    /// A receiver's.
    pub(super) fn receiver() -> Part<T> {
        Part { side: Side::Receiver, value: Cell::new(None), is_done: Cell::new(false) }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done.get()
    }

    /// What it was given, or has not given away.
    pub(super) fn take(&self) -> Option<T> {
        self.value.take()
    }

    /// Puts a party there; `false`: there is no need to wait, since they have met, or will not, or it has been won elsewhere.
    pub(super) fn enlist<C: Core<Value = T>>(&self, core: &C, who: Who<C>) -> bool {
        let mut locked = core.lock();
        let state = &mut *locked;
        if state.meets_none(self.side) {
            return false;
        }
        if self.side == Side::Receiver && !state.values.is_empty() {
            if wake(core, &who) {
                self.value.set(state.values.pop_front());
                self.is_done.set(true);
                core.tell(state);
            }
            return false;
        }
        // Not with itself, as another arm of a `select!`.
        if let Some(place) = state.win(self.side.other(), |other| *other != who && wake(core, other)) {
            if wake(core, &who) {
                self.value.swap(Cell::from_mut(place));
                self.is_done.set(true);
                core.note(self.side);
            }
            return false;
        }
        state.parties[self.side as usize].push_back(Party { who, value: self.value.take() });
        core.note(self.side);
        let watching = mem::take(&mut state.waiting[self.side.other() as usize]);
        drop(locked);
        wake_all(core, watching);
        true
    }

    /// Takes the party away; says whether it was not won.
    pub(super) fn delist<C: Core<Value = T>>(&self, core: &C, who: &Who<C>) -> bool {
        let mut state = core.lock();
        let parties = &mut state.parties[self.side as usize];
        if let Some(at) = parties.iter().position(|party| party.who == *who) {
            let party = parties.remove(at).expect("it was found there");
            self.is_done.set(!party.is_free(self.side));
            self.value.set(party.value);
        }
        !self.is_done()
    }

    /// For one that unwinds: what it was given goes to the next receiver, or else to the first who comes.
    pub(super) fn pass_on<C: Core<Value = T>>(&self, core: &C) {
        if self.side == Side::Sender || !self.is_done.replace(false) {
            return;
        }
        let Some(value) = self.value.take() else { return };
        let mut state = core.lock();
        if let Err(value) = state.give(value, |who| wake(core, who)) {
            state.values.push_back(value);
            core.tell(&state);
            let watching = mem::take(&mut state.waiting[Side::Receiver as usize]);
            drop(state);
            wake_all(core, watching);
        }
    }

    /// Waits for a partner. `wait`: waits once, with this part.
    pub(super) fn meet<C: Core<Value = T>>(&self, core: &C, mut wait: impl FnMut() -> Woken) -> Met {
        loop {
            let woken = wait();
            if self.is_done() {
                return Met::Partner;
            }
            if core.lock().meets_none(self.side) {
                return Met::Over;
            }
            if woken == Woken::Deadline {
                return Met::Late;
            }
        }
    }
}

impl<T> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("side", &self.side)
            .field("is_done", &self.is_done())
            .finish_non_exhaustive()
    }
}
