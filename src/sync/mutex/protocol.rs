//! The mutex's protocol: who gets the lock, and who is told that it is free.
//!
//! ```text
//!   FREE --lock--> LOCKED --somebody has to wait--> CONTENDED --unlock--> FREE, and the first who waits is woken
//!                    |                                  |
//!                    `--unlock--> FREE                  `--unlock, the first is overdue--> HANDED to it --> CONTENDED
//! ```
//!
//! The first part of the word is that of Drepper's futex mutex ("Futexes Are Tricky", 2011): who is woken tries again, and
//! others may be faster, so that a lock that is much wanted goes on without waiting for a switch. The second is the
//! hand-over of Go's (its "starvation mode"): nobody overtakes one who has waited for long; nor a neighbour, for whom nothing
//! is gained by going on, since it can't run meanwhile.
//!
//! Who overtakes one that was woken has the word without a mark. Nevertheless it looks at the list [now and
//! then](Core::is_to_look) when it unlocks: the one that was woken may be long in coming, and others wait behind it. Not
//! each time: a lock that is much wanted would hardly do anything else.
//!
//! *Nobody is lost.* Who has to wait marks the word and goes on the list under the list's lock; who finds the mark when it
//! unlocks looks there, under the same lock. Who was taken off the list and doesn't want the lock any more (it is
//! cancelled) wakes the next one, or unlocks if the lock was handed to it. Who has it after others may be waiting has the
//! mark set.
//!
//! Generic over the words, so that a model checker can run this very code.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::super::inflate::{Inflatable, Queue};
use crate::scheduler::spin::lock::Look;
use crate::sys::atomic::Atomic;

pub(super) const FREE: u64 = 0;
pub(super) const LOCKED: u64 = 1;
pub(super) const CONTENDED: u64 = 2;
pub(super) const HANDED: u64 = 3;

/// One who waits for the lock.
#[derive(Clone, Debug)]
pub(super) struct Waiting<W> {
    pub(super) who: W,
    /// The same, as the debug ABI tells it.
    pub(super) owner: u64,
    /// Since when (`sys::clock`).
    pub(super) since: u64,
    /// It was woken, and found that somebody else had been faster.
    pub(super) was_overtaken: bool,
}

/// Those who wait, in the order of their coming.
#[derive(Debug)]
pub(super) struct Line<W>(pub(super) VecDeque<Waiting<W>>);

/// The parts of a mutex.
pub(super) trait Core {
    type Word: Atomic<u64>;
    type ListWord: Atomic<u64>;
    type Who: PartialEq;

    fn word(&self) -> &Self::Word;
    fn list(&self) -> &Inflatable<Line<Self::Who>, Self::ListWord>
    where
        Line<Self::Who>: Queue;
    fn owner(&self) -> u64;
    fn set_owner(&self, owner: u64);
    /// Says whether it still waited.
    fn wake(&self, who: &Self::Who) -> bool;
    /// Whether the list is to be looked at now, though the word has no mark.
    fn is_to_look(&self) -> bool;
    /// Whether nobody is to overtake it any more.
    fn is_overdue(&self, waiting: &Waiting<Self::Who>) -> bool;
}

/// Locks, if nobody has the lock.
#[inline(always)]
pub(super) fn try_lock(word: &impl Atomic<u64>) -> bool {
    // Acquire: pairs with the Release of who had it before.
    word.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_ok()
}

/// Looks whether nobody has the lock, and locks then. Behind one who was woken others may wait: its unlocking is to wake the
/// next.
pub(super) fn look(word: &impl Atomic<u64>, was_woken: bool) -> Look {
    // Acquire: as above.
    match word.compare_exchange(FREE, if was_woken { CONTENDED } else { LOCKED }, Acquire, Relaxed) {
        Ok(_) => Look::Locked,
        Err(LOCKED) => Look::Held,
        Err(_) => Look::Awaited,
    }
}

/// Unlocks, if nobody waits; else [`unlock_contended`] is to be called.
#[inline(always)]
pub(super) fn try_unlock<C: Core>(core: &C) -> bool
where
    Line<C::Who>: Queue,
{
    // One who overtook finds no mark, though others wait: see below. Somebody was woken then, and marks the word if it
    // doesn't get it: nobody is lost if the list is not looked at.
    (core.list().seems_deflated() || !core.is_to_look())
        && core.word().compare_exchange(LOCKED, FREE, Release, Relaxed).is_ok()
}

/// Unlocks, and wakes the first who waits, or hands the lock over to it.
#[cold]
pub(super) fn unlock_contended<C: Core>(core: &C)
where
    Line<C::Who>: Queue,
{
    // All under the list's lock: who comes now to wait comes before, and is found, or after, and finds the new word.
    let (first, is_handed) = core.list().with(|list| {
        let line = list.queue().map(|line| &mut line.0);
        let is_handed =
            line.as_ref().and_then(|line| line.front()).is_some_and(|first| core.is_overdue(first));
        // Without the mark, somebody was woken, and overtaken by us before it ran: it is on its way, and will mark the
        // word for those behind it. But it may be long in coming (its thread is busy, perhaps with us): one of those
        // is then handed the lock.
        let is_marked = core.word().load(Relaxed) == CONTENDED;
        let first = line.filter(|_| is_handed || is_marked).and_then(|line| line.pop_front());
        if let Some(first) = first.as_ref().filter(|_| is_handed) {
            core.set_owner(first.owner);
        }
        core.word().store(if is_handed { HANDED } else { FREE }, Release);
        (first, is_handed)
    });
    // Who was handed the lock has it, whatever becomes of the wake-up: if it has just given up (its time has come, or it is
    // cancelled), it looks once more. Any other one tries again, and marks the word for those behind it.
    if let Some(first) = first
        && !core.wake(&first.who)
        && !is_handed
    {
        wake_one(core);
    }
}

/// Wakes the first who still waits.
#[cold]
pub(super) fn wake_one<C: Core>(core: &C)
where
    Line<C::Who>: Queue,
{
    loop {
        let next = core.list().with(|list| list.queue().and_then(|line| line.0.pop_front()));
        match next {
            Some(next) if !core.wake(&next.who) => {}
            _ => return,
        }
    }
}

/// Puts one on the list, in front if it was there before; or locks, and says `false`.
#[cold]
pub(super) fn enlist<C: Core>(core: &C, waiting: Waiting<C::Who>) -> bool
where
    Line<C::Who>: Queue,
{
    core.list().with(|list| {
        let mut seen = core.word().load(Relaxed);
        while seen != CONTENDED && seen != HANDED {
            // Marked if others are on the list, also by who gets the lock: his unlocking has to wake one of them.
            let next = if seen == FREE && list.queue().is_none() { LOCKED } else { CONTENDED };
            match core.word().compare_exchange(seen, next, Acquire, Relaxed) {
                Ok(FREE) => return false,
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let line = &mut list.inflate().0;
        if waiting.was_overtaken {
            line.push_front(waiting)
        } else {
            line.push_back(waiting)
        }
        true
    })
}

/// Takes one off the list; says whether it was still there.
#[cold]
pub(super) fn delist<C: Core>(core: &C, who: &C::Who) -> bool
where
    Line<C::Who>: Queue,
{
    core.list().with(|list| {
        let Some(line) = list.queue() else { return false };
        let at = line.0.iter().position(|waiting| waiting.who == *who);
        at.is_some_and(|at| line.0.remove(at).is_some())
    })
}

/// Whether the lock was handed over to `owner`, who waited for it and is off the list: it has it then.
pub(super) fn take_over<C: Core>(core: &C, owner: u64) -> bool
where
    Line<C::Who>: Queue,
{
    // Acquire: pairs with the hand-over's Release. (One who has the lock and waits for it, a deadlock, finds another word.)
    let is_ours = core.word().load(Acquire) == HANDED && core.owner() == owner;
    if is_ours {
        // A store: nobody changes what was handed over but who it was handed to.
        core.word().store(CONTENDED, Relaxed);
    }
    is_ours
}

/// For one who was taken off the list and unwinds: the next one gets what it was told of.
#[cold]
pub(super) fn pass_on<C: Core>(core: &C, owner: u64)
where
    Line<C::Who>: Queue,
{
    if take_over(core, owner) {
        core.set_owner(0);
        unlock_contended(core);
    } else {
        wake_one(core);
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
