//! The channel's protocol: who gets which value, and who is told of what.
//!
//! All is done under one lock; who waits is woken after that. With room for values a wake-up is a hint: who is woken looks
//! again, and whoever doesn't make use of it passes it on. Without room (capacity 0) senders and receivers
//! [meet](super::meeting) instead.
//!
//! *Nobody is lost.* Who has to wait goes on its list under the lock under which values come and go. Who comes off it and
//! waits no longer (its time has come, it is cancelled, another arm of its `select!` was faster) gets nothing: the next one
//! is told.
//!
//! Generic over lists and lock, so that a model checker can run this very code.

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;
use std::ops::DerefMut;

use super::meeting::{self, Party};
use super::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use crate::abi::wait::WaitReason;
use crate::scheduler::park::Woken;
use crate::sync::ground::List;

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
pub(in crate::sync) struct State<T, L: List> {
    /// Of a channel without room: those whose receiver was cancelled as it got them.
    pub(super) values: VecDeque<T>,
    /// How many senders and receivers there are: by `Side`.
    pub(super) ends: [usize; 2],
    is_closed: bool,
    /// By `Side`. Of a channel without room: who waits to see whether it could send or receive.
    pub(super) waiting: [L; 2],
    /// Of a channel without room, by `Side`: who waits to send or to receive.
    pub(super) parties: [VecDeque<Party<T, L::Who>>; 2],
}

impl<T, L: List> State<T, L> {
    /// That of an empty channel with an end on each side.
    pub(super) fn new() -> State<T, L> {
        State {
            values: VecDeque::new(),
            ends: [1, 1],
            is_closed: false,
            waiting: [L::default(), L::default()],
            parties: [VecDeque::new(), VecDeque::new()],
        }
    }

    /// Whether the other side is gone for good.
    pub(super) fn is_over(&self, side: Side) -> bool {
        self.is_closed || self.ends[side.other() as usize] == 0
    }

    pub(super) fn must_wait(&self, side: Side, capacity: usize) -> bool {
        let has_nothing = match side {
            Side::Sender => self.values.len() >= capacity,
            Side::Receiver => self.values.is_empty(),
        };
        has_nothing && !self.is_over(side) && !(capacity == 0 && self.has_party(side.other()))
    }
}

/// The parts of a channel.
pub(in crate::sync) trait Core {
    type Value;
    type List: List;
    type Guard<'a>: DerefMut<Target = State<Self::Value, Self::List>>
    where
        Self: 'a;

    /// Whoever has the lock may neither panic nor wait.
    fn lock(&self) -> Self::Guard<'_>;
    /// Says whether it still waited.
    fn wake(&self, who: &Who<Self>) -> bool;
    fn capacity(&self) -> usize;
    /// Whether there is no value in it, as of some moment.
    fn seems_empty(&self) -> bool;
    /// Tells readers that the caller has sent or received, or begins to wait. Under the lock.
    fn note(&self, side: Side);
    /// Tells readers what is in it. Under the lock.
    fn tell(&self, state: &State<Self::Value, Self::List>);
    /// Tells readers how many have an end of it. Under the lock.
    fn tell_ends(&self, state: &State<Self::Value, Self::List>);
}

/// One who waits for a channel.
pub(in crate::sync) type Who<C> = <<C as Core>::List as List>::Who;

/// Puts a value in if there is room, or somebody waits to take it.
#[inline(always)]
pub(super) fn try_send<C: Core>(core: &C, value: C::Value) -> Result<(), TrySendError<C::Value>> {
    let mut state = core.lock();
    if state.is_over(Side::Sender) {
        return Err(TrySendError::Disconnected(value));
    }
    if state.values.len() >= core.capacity() {
        return if core.capacity() == 0 {
            meeting::try_send(core, state, value)
        } else {
            Err(TrySendError::Full(value))
        };
    }
    state.values.push_back(value);
    core.tell(&state);
    core.note(Side::Sender);
    wake_first(core, state, Side::Receiver);
    Ok(())
}

/// Takes a value out if there is one, or somebody waits to send one.
#[inline(always)]
pub(super) fn try_recv<C: Core>(core: &C) -> Result<C::Value, TryRecvError> {
    let mut state = core.lock();
    let Some(value) = state.values.pop_front() else {
        if core.capacity() == 0 {
            return meeting::try_recv(core, state);
        }
        let is_over = state.is_over(Side::Receiver);
        return Err(if is_over { TryRecvError::Disconnected } else { TryRecvError::Empty });
    };
    core.tell(&state);
    core.note(Side::Receiver);
    wake_first(core, state, Side::Sender);
    Ok(value)
}

/// Unlocks, and wakes the first of a side who still waits.
#[inline(always)]
fn wake_first<'a, C: Core>(core: &'a C, mut state: C::Guard<'a>, side: Side) {
    loop {
        let next = state.waiting[side as usize].pop();
        drop(state);
        match next {
            Some(who) if !core.wake(&who) => state = core.lock(),
            _ => return,
        }
    }
}

/// Wakes the first of a side who still waits.
pub(super) fn wake_one<C: Core>(core: &C, side: Side) {
    wake_first(core, core.lock(), side);
}

/// Puts a value in; `wait` waits for room, once.
#[inline(always)]
pub(super) fn send<C: Core>(
    core: &C,
    mut value: C::Value,
    mut wait: impl FnMut() -> Woken,
) -> Result<(), SendTimeoutError<C::Value>> {
    let mut is_over = false;
    loop {
        match try_send(core, value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
            Err(TrySendError::Full(value)) if is_over => return Err(SendTimeoutError::Timeout(value)),
            Err(TrySendError::Full(back)) => value = back,
        }
        // A last look, after the time has come.
        is_over = wait() == Woken::Deadline;
    }
}

/// Takes a value out; `wait` waits for one, once, by [`take_or_enlist`], to which it hands the place.
///
/// Where there seems to be none there is no look before that one: it would be a lock more.
#[inline(always)]
pub(super) fn recv<C: Core>(
    core: &C,
    mut wait: impl FnMut(&Taken<C>) -> Woken,
) -> Result<C::Value, RecvTimeoutError> {
    let taken = Cell::new(None);
    let mut is_over = false;
    let mut looks = !core.seems_empty();
    loop {
        if looks {
            match try_recv(core) {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) if is_over => return Err(RecvTimeoutError::Timeout),
                Err(TryRecvError::Empty) => {}
            }
        }
        looks = true;
        is_over = wait(&taken) == Woken::Deadline;
        if let Some(value) = taken.take() {
            return Ok(value);
        }
    }
}

/// The place for a value.
pub(super) type Taken<C> = Cell<Option<<C as Core>::Value>>;

/// Takes a value out, or puts one on the receivers' list, if he has to wait; says whether he does.
#[inline(always)]
pub(super) fn take_or_enlist<C: Core>(core: &C, who: Who<C>, taken: &Taken<C>) -> bool {
    let mut state = core.lock();
    if let Some(value) = state.values.pop_front() {
        core.tell(&state);
        core.note(Side::Receiver);
        wake_first(core, state, Side::Sender);
        taken.set(Some(value));
        return false;
    }
    let waits = !state.is_over(Side::Receiver);
    if waits {
        state.waiting[Side::Receiver as usize].push(who);
        core.note(Side::Receiver);
    }
    waits
}

/// Puts one on a side's list, if it has to wait; says whether it does.
pub(super) fn enlist<C: Core>(core: &C, side: Side, who: Who<C>) -> bool {
    let mut state = core.lock();
    // Under the lock under which values come and go.
    let waits = state.must_wait(side, core.capacity());
    if waits {
        state.waiting[side as usize].push(who);
        core.note(side);
    }
    waits
}

/// Takes one off a side's list; says whether it was still there.
pub(super) fn delist<C: Core>(core: &C, side: Side, who: &Who<C>) -> bool {
    core.lock().waiting[side as usize].remove(who)
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
    core.tell(&state);
    state.wake_parties(side.other(), |who| wake(core, who));
    let waiting = mem::take(&mut state.waiting[side.other() as usize]);
    drop(state);
    wake_all(core, waiting);
    left
}

/// Nothing goes in any more, whoever has an end.
pub(super) fn close<C: Core>(core: &C) {
    let mut state = core.lock();
    state.is_closed = true;
    for side in [Side::Sender, Side::Receiver] {
        state.wake_parties(side, |who| wake(core, who));
    }
    let waiting = mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(|waiting| wake_all(core, waiting));
}

pub(super) fn wake_all<C: Core>(core: &C, mut waiting: C::List) {
    while let Some(who) = waiting.pop() {
        wake(core, &who);
    }
}

/// A call, so that it is small where it isn't the common case.
#[inline(never)]
pub(super) fn wake<C: Core>(core: &C, who: &Who<C>) -> bool {
    core.wake(who)
}
