//! The channel's protocol: who gets which value, and who is told of what.
//!
//! All is done under one lock; who waits is woken when it has been given back. A value goes *from hand to hand*: who comes to
//! send, and finds one who waits to receive, puts it on that one's stack; who takes a value out of a full channel puts the value
//! of the first sender who waits in its place. So (as in Go's channels)
//!
//! - receivers wait only while there is no value, senders only while there is no room: who comes later can't overtake them;
//! - who is woken has what it waited for, and need not look;
//! - without room (capacity 0) it is the same: there is just never anything in between.
//!
//! *Who has met has met.* A wait that was granted wins over all that would end it in the same moment: its deadline; a cancel, and
//! a timeout's scope, which end the next wait then. For a sender: its value may have been received, and to say anything else than
//! `Ok` would be a lie. For a receiver: `send` has returned, and without room that is the promise that somebody has received the
//! value. If the receiver unwound instead, the value would have to go to another one, who may not be there yet, and
//! whom the sender was told of nevertheless. (In Go, and in crossbeam, where nobody is cancelled, a receiver that was chosen
//! as its time came has the value, too: the choice is made once, by the sender, or the clock.) A receiver that is cancelled
//! just then takes the value as if the cancel had come a moment later, and unwinds at its next wait.
//!
//! *Nobody is lost.* Who has to wait goes on the line under the lock under which values come and go. Who waits no longer
//! takes itself off under that lock, so that nothing is given to one who has left.
//!
//! Who wants to know only whether it could send or receive *watches*: it is told when that may be so, as all who watch.
//!
//! [`waiting`](super::waiting) says how a wait begins and ends.
//!
//! Generic over lists and lock, so that a model checker can run this very code.

use std::collections::VecDeque;
use std::mem;
use std::ops::DerefMut;

use super::line::{Claim, Line, Party};
use super::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::abi::wait::WaitReason;
use crate::scheduler::park::Woken;
use crate::sync::ground::List;
use crate::sys::atomic::Atomic;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Side {
    /// For room.
    Sender = 0,
    /// For a value.
    Receiver = 1,
}

impl Side {
    pub(super) fn other(self) -> Side {
        if self == Side::Sender { Side::Receiver } else { Side::Sender }
    }

    pub(super) fn reason(self) -> WaitReason {
        if self == Side::Sender { WaitReason::Send } else { WaitReason::Receive }
    }
}

/// What the lock guards.
pub(in crate::sync) struct State<T, L: List, A> {
    pub(super) values: VecDeque<T>,
    /// How many senders and receivers there are: by `Side`.
    pub(super) ends: [usize; 2],
    /// By `Side`: whether the other side is gone for good, or the channel is closed.
    pub(super) is_over: [bool; 2],
    /// By `Side`: who waits to send or to receive.
    pub(super) lines: [Line<T, L::Who, A>; 2],
    /// By `Side`: who waits to see whether it could.
    pub(super) watching: [L; 2],
}

impl<T, L: List, A: Atomic<u64>> State<T, L, A> {
    /// That of an empty channel with an end on each side.
    pub(super) fn new() -> State<T, L, A> {
        State {
            values: VecDeque::new(),
            ends: [1, 1],
            is_over: [false, false],
            lines: [Line::new(), Line::new()],
            watching: [L::default(), L::default()],
        }
    }

    /// Whether nothing can be sent or received yet, or ever; other arms of `own` don't count.
    pub(super) fn must_wait(&self, side: Side, capacity: usize, own: Claim<A>) -> bool {
        let has_nothing = match side {
            Side::Sender => self.values.len() >= capacity,
            Side::Receiver => self.values.is_empty(),
        };
        has_nothing
            && !self.is_over[side as usize]
            && !(capacity == 0 && self.lines[side.other() as usize].has_one(own))
    }

    /// Whether nobody waits, and nothing is left.
    #[cfg(all(test, not(feature = "sanitize")))]
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.lines.iter().all(Line::is_empty)
    }

    /// Whether somebody of a side waits.
    #[cfg(all(test, not(feature = "sanitize")))]
    pub(super) fn is_waited_for(&self, side: Side) -> bool {
        !self.lines[side as usize].is_empty()
    }

    /// Gives a value to the first receiver who waits, and says whom to wake.
    #[inline(always)]
    fn give(&mut self, value: T) -> Result<L::Who, T> {
        // Mostly the first one is to be had, or there is none.
        match self.lines[Side::Receiver as usize].win(None) {
            Some(receiver) => {
                // SAFETY: whoever has the state has the lock.
                unsafe { receiver.party() }.put(value);
                // SAFETY: as above.
                Ok(unsafe { receiver.into_who() })
            }
            None => Err(value),
        }
    }

    /// The first value that is in it, and then the first sender's who waits is in it, too; or that one's own. And whom to
    /// wake.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<(T, Option<L::Who>)> {
        let first = self.values.pop_front();
        let sender = self.lines[Side::Sender as usize].win(None);
        let Some(sender) = sender else { return first.map(|value| (value, None)) };
        // SAFETY: whoever has the state has the lock.
        let brought = unsafe { sender.party() }.take().expect("a sender who waits has a value");
        let value = match first {
            Some(value) => {
                self.values.push_back(brought);
                value
            }
            None => brought,
        };
        // SAFETY: as above.
        Some((value, Some(unsafe { sender.into_who() })))
    }

    /// Those who watch a side, but for one.
    #[cold]
    pub(super) fn take_watching(&mut self, side: Side, but: Option<&L::Who>) -> L {
        let watching = &mut self.watching[side as usize];
        let mut all = mem::take(watching);
        if let Some(who) = but
            && all.remove(who)
        {
            watching.push(who.clone());
        }
        all
    }
}

/// The parts of a channel.
pub(in crate::sync) trait Core {
    type Value;
    type List: List;
    /// What can be claimed.
    type Word: Atomic<u64>;
    type Guard<'a>: DerefMut<Target = State<Self::Value, Self::List, Self::Word>>
    where
        Self: 'a;

    /// Whoever has the lock may neither panic nor wait, nor wake anybody: that may be a system call.
    fn lock(&self) -> Self::Guard<'_>;
    fn wake(&self, who: &Who<Self>);
    fn capacity(&self) -> usize;
    /// Whether there is no value in it, as of some moment.
    fn seems_empty(&self) -> bool;
    /// Tells readers that the caller has sent or received, or begins to wait. Under the lock.
    fn note(&self, side: Side);
    /// Tells readers what is in it. Under the lock.
    fn tell(&self, state: &StateOf<Self>);
    /// Tells readers how many have an end of it. Under the lock.
    fn tell_ends(&self, state: &StateOf<Self>);
}

pub(in crate::sync) type StateOf<C> = State<<C as Core>::Value, <C as Core>::List, <C as Core>::Word>;

/// One who waits for a channel: whom to wake.
pub(in crate::sync) type Who<C> = <<C as Core>::List as List>::Who;

/// One who waits to send or to receive.
pub(in crate::sync) type PartyOf<C> = Party<<C as Core>::Value, Who<C>, <C as Core>::Word>;

/// Puts a value in if there is room, or somebody waits to take it.
#[inline(always)]
pub(super) fn try_send<C: Core>(core: &C, value: C::Value) -> Result<(), TrySendError<C::Value>> {
    let mut state = core.lock();
    if state.is_over[Side::Sender as usize] {
        return Err(TrySendError::Disconnected(value));
    }
    let value = match state.give(value) {
        Ok(who) => {
            core.note(Side::Sender);
            drop(state);
            core.wake(&who);
            return Ok(());
        }
        Err(value) => value,
    };
    if state.values.len() >= core.capacity() {
        return Err(TrySendError::Full(value));
    }
    state.values.push_back(value);
    core.tell(&state);
    core.note(Side::Sender);
    tell_watching(core, state, Side::Receiver);
    Ok(())
}

/// Takes a value out if there is one, or somebody waits to send one.
#[inline(always)]
pub(super) fn try_recv<C: Core>(core: &C) -> Result<C::Value, TryRecvError> {
    let mut state = core.lock();
    let Some((value, sender)) = state.take() else {
        let is_over = state.is_over[Side::Receiver as usize];
        return Err(if is_over { TryRecvError::Disconnected } else { TryRecvError::Empty });
    };
    has_taken(core, state, sender);
    Ok(value)
}

/// Unlocks after a value was taken out, and wakes whom that concerns.
#[inline(always)]
pub(super) fn has_taken<'a, C: Core>(core: &'a C, state: C::Guard<'a>, sender: Option<Who<C>>) {
    core.tell(&state);
    core.note(Side::Receiver);
    match sender {
        Some(who) => {
            drop(state);
            core.wake(&who);
        }
        None => tell_watching(core, state, Side::Sender),
    }
}

/// Unlocks, and tells those who watch a side.
#[inline(always)]
pub(super) fn tell_watching<'a, C: Core>(core: &'a C, mut state: C::Guard<'a>, side: Side) {
    if !state.watching[side as usize].is_empty() {
        let watching = state.take_watching(side, None);
        drop(state);
        wake_all(core, watching);
    }
}

/// Puts a value in; `wait` waits, once, until the party that it gets has given its value away.
#[inline(always)]
pub(super) fn send<C: Core>(
    core: &C,
    value: C::Value,
    mut wait: impl FnMut(&PartyOf<C>) -> Woken,
) -> Result<(), SendTimeoutError<C::Value>> {
    let mut value = match try_send(core, value) {
        Ok(()) => return Ok(()),
        Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
        Err(TrySendError::Full(value)) => value,
    };
    loop {
        let party = Party::new(Some(value));
        let woken = wait(&party);
        let Some(back) = party.take() else { return Ok(()) };
        // A last look, after the time has come.
        value = match try_send(core, back) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
            Err(TrySendError::Full(value)) if woken == Woken::Deadline => {
                return Err(SendTimeoutError::Timeout(value));
            }
            Err(TrySendError::Full(value)) => value,
        };
    }
}

/// Takes a value out; `wait` waits for one, once, in the party that it gets.
///
/// Where there seems to be none there is no look before that one: it would be a lock more.
#[inline(always)]
pub(super) fn recv<C: Core>(
    core: &C,
    mut wait: impl FnMut(&PartyOf<C>) -> Woken,
) -> Result<C::Value, RecvTimeoutError> {
    if core.capacity() == 0 || !core.seems_empty() {
        match try_recv(core) {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
    }
    let party = Party::new(None);
    loop {
        let woken = wait(&party);
        if let Some(value) = party.take() {
            return Ok(value);
        }
        match try_recv(core) {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if woken == Woken::Deadline => return Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Empty) => {}
        }
    }
}

/// One end less; the last one of a side is the end for the other side. Returns values that nobody will take: their
/// destructors are the user's, and not for the lock.
pub(super) fn detach<C: Core>(core: &C, side: Side) -> VecDeque<C::Value> {
    let mut state = core.lock();
    state.ends[side as usize] -= 1;
    let mut left = VecDeque::new();
    core.tell_ends(&state);
    if state.ends[side as usize] > 0 {
        return left;
    }
    if side == Side::Receiver {
        mem::swap(&mut left, &mut state.values);
    }
    state.is_over[side.other() as usize] = true;
    core.tell(&state);
    end_waits(core, state, side.other());
    left
}

/// Nothing goes in any more, whoever has an end.
pub(super) fn close<C: Core>(core: &C) {
    let mut state = core.lock();
    state.is_over = [true, true];
    end_waits(core, state, Side::Sender);
    end_waits(core, core.lock(), Side::Receiver);
}

/// Unlocks, and wakes all of a side, which is over: nobody else begins to wait.
fn end_waits<'a, C: Core>(core: &'a C, mut state: C::Guard<'a>, side: Side) {
    let watching = mem::take(&mut state.watching[side as usize]);
    while let Some(party) = state.lines[side as usize].pop() {
        // SAFETY: the lock is held until the next line.
        let who = unsafe { party.into_who() };
        drop(state);
        core.wake(&who);
        state = core.lock();
    }
    drop(state);
    wake_all(core, watching);
}

pub(super) fn wake_all<C: Core>(core: &C, mut waiting: C::List) {
    while let Some(who) = waiting.pop() {
        core.wake(&who);
    }
}
