//! Who waits to send or to receive: in a line, in which nothing is allocated.
//!
//! One who waits is a *party*. It lies on its owner's stack, and the line goes from one stack to the next:
//!
//! ```text
//!   Line { first, last }      under the channel's lock, as all that is between the parties
//!      |
//!      v
//!   Party { value, next } --> Party { value, next } -->
//! ```
//!
//! A sender's party has the value that it brings, a receiver's the place for one. Whoever comes *wins* the first of the other
//! side: takes it off the line, and puts the value where it belongs, on the stack of the one who waits. That one *has met*
//! then, whatever becomes of its wake-up.
//!
//! A party is on the line only while its owner waits. Who wakes up for another reason (its time has come, it is cancelled)
//! takes the lock and leaves, or finds that it has been won. So whoever has the lock can use what is on the line; and not
//! what he has taken off, after he has unlocked.
//!
//! An arm of a `select!` waits in several lines, and is won by one who *claims* it: the arms of one wait share a word, which can
//! be claimed once.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use crate::sys::atomic::Atomic;

/// What the arms of a `select!` share, for one wait: 0 until somebody has claimed it.
pub(in crate::sync) type Claim<A> = Option<NonNull<A>>;

/// One who waits to send or to receive: see the module. `W`: whom to wake.
pub(in crate::sync) struct Party<T, W, A> {
    /// A sender's, until it is taken; what a receiver was given.
    value: Cell<Option<T>>,
    /// There as long as it is on the line: then it is taken out by whoever takes the party off.
    who: UnsafeCell<MaybeUninit<W>>,
    claim: Cell<Claim<A>>,
    is_listed: Cell<bool>,
    next: Cell<Option<NonNull<Party<T, W, A>>>>,
    previous: Cell<Option<NonNull<Party<T, W, A>>>>,
}

impl<T, W, A> Party<T, W, A> {
    /// One who brings a value, or wants one.
    #[inline(always)]
    pub(super) fn new(value: Option<T>) -> Party<T, W, A> {
        Party {
            value: Cell::new(value),
            who: UnsafeCell::new(MaybeUninit::uninit()),
            claim: Cell::new(None),
            is_listed: Cell::new(false),
            next: Cell::new(None),
            previous: Cell::new(None),
        }
    }

    /// What it was given, or has not given away.
    #[inline(always)]
    pub(super) fn take(&self) -> Option<T> {
        self.value.take()
    }

    /// Puts the value there: the one that it brings, or the one that it is given.
    #[inline(always)]
    pub(super) fn put(&self, value: T) {
        self.value.set(Some(value));
    }

    /// Whether the value is there: a sender who waits no longer has not met then, a receiver has.
    #[inline(always)]
    pub(super) fn has_value(&self) -> bool {
        // SAFETY: nobody else uses it now: its owner asks, when it is off the line.
        unsafe { (*self.value.as_ptr()).is_some() }
    }
}

/// One who was won, or was taken off.
pub(super) struct Won<T, W, A>(NonNull<Party<T, W, A>>);

impl<T, W, A> Won<T, W, A> {
    /// The party itself.
    ///
    /// # Safety
    /// The lock in which it was won is still held.
    #[inline(always)]
    pub(super) unsafe fn party(&self) -> &Party<T, W, A> {
        // SAFETY: it was on the line, and its owner doesn't leave without the lock, which the caller has.
        unsafe { self.0.as_ref() }
    }

    /// Whom to wake, when the lock is given back: the party may be gone then.
    ///
    /// # Safety
    /// The lock in which it was won is still held.
    #[inline(always)]
    pub(super) unsafe fn into_who(self) -> W {
        // SAFETY: the lock is held; put there by `push`; and once, since it was taken off the line once.
        unsafe { (*self.party().who.get()).assume_init_read() }
    }

    /// Whether it is an arm of a `select!`.
    ///
    /// # Safety
    /// The lock in which it was won is still held.
    pub(super) unsafe fn is_arm(&self) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.party() }.claim.get().is_some()
    }
}

/// See the module.
pub(in crate::sync) struct Line<T, W, A> {
    first: Option<NonNull<Party<T, W, A>>>,
    last: Option<NonNull<Party<T, W, A>>>,
}

// SAFETY: what the pointers lead to is used under the lock that guards the line; values and names of waiters, which may move
// to another thread, are all that is taken out of it. A claim's word is atomic.
unsafe impl<T: Send, W: Send, A: Sync> Send for Line<T, W, A> {}

impl<T, W, A: Atomic<u64>> Line<T, W, A> {
    pub(super) fn new() -> Line<T, W, A> {
        Line { first: None, last: None }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts one at the end.
    ///
    /// # Safety
    /// Its owner neither moves it nor leaves before it has been taken off, or has taken itself off, under the lock; nor do
    /// `claim`'s word, as long as the party is on the line.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, party: &Party<T, W, A>, who: W, claim: Claim<A>) {
        debug_assert!(!party.is_listed.get());
        // SAFETY: nobody else uses it now: it is not on the line yet.
        unsafe { (*party.who.get()).write(who) };
        party.claim.set(claim);
        party.next.set(None);
        party.previous.set(self.last);
        party.is_listed.set(true);
        let link = NonNull::from_ref(party);
        match self.last.replace(link) {
            // SAFETY: what is on the line can be used: see the module.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(link)),
            None => self.first = Some(link),
        }
    }

    /// Puts one back who was won, as if nothing had been.
    #[cold]
    pub(super) fn put_back(&mut self, won: Won<T, W, A>) {
        // SAFETY: whoever has the line has the lock.
        let party = unsafe { won.party() };
        party.next.set(self.first);
        party.previous.set(None);
        party.is_listed.set(true);
        match self.first.replace(won.0) {
            // SAFETY: what is on the line can be used: see the module.
            Some(first) => unsafe { first.as_ref() }.previous.set(Some(won.0)),
            None => self.last = Some(won.0),
        }
    }

    /// Takes one off; says whether it was still there.
    pub(super) fn remove(&mut self, party: &Party<T, W, A>) -> bool {
        let is_listed = party.is_listed.get();
        if is_listed {
            // SAFETY: whoever has the line has the lock.
            drop(unsafe { self.take(NonNull::from_ref(party)).into_who() });
        }
        is_listed
    }

    /// Takes one off who is there.
    #[inline(always)]
    fn take(&mut self, link: NonNull<Party<T, W, A>>) -> Won<T, W, A> {
        let won = Won(link);
        // SAFETY: whoever has the line has the lock.
        let party = unsafe { won.party() };
        party.is_listed.set(false);
        let (next, previous) = (party.next.get(), party.previous.get());
        match previous {
            // SAFETY: what is on the line can be used: see the module.
            Some(previous) => unsafe { previous.as_ref() }.next.set(next),
            None => self.first = next,
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.previous.set(previous),
            None => self.last = previous,
        }
        won
    }

    /// Takes the first one off, as it is.
    pub(super) fn pop(&mut self) -> Option<Won<T, W, A>> {
        self.first.map(|first| self.take(first))
    }

    /// Takes the first one off who is to be had; of `own` none, the other arms of the same `select!`.
    #[inline(always)]
    pub(super) fn win(&mut self, own: Claim<A>) -> Option<Won<T, W, A>> {
        let first = self.first?;
        // SAFETY: whoever has the line has the lock.
        if unsafe { Won(first).is_arm() } {
            return self.win_arm(own);
        }
        // As `take` does with the first one.
        let won = Won(first);
        // SAFETY: whoever has the line has the lock.
        let party = unsafe { won.party() };
        let next = party.next.get();
        party.is_listed.set(false);
        self.first = next;
        match next {
            // SAFETY: what is on the line can be used: see the module.
            Some(next) => unsafe { next.as_ref() }.previous.set(None),
            None => self.last = None,
        }
        Some(won)
    }

    #[inline(never)]
    fn win_arm(&mut self, own: Claim<A>) -> Option<Won<T, W, A>> {
        let mut at = self.first;
        while let Some(link) = at {
            // SAFETY: what is on the line can be used: see the module.
            let party = unsafe { link.as_ref() };
            let (next, claim) = (party.next.get(), party.claim.get());
            if claim.is_none() || claim != own {
                // Also one that has been claimed in another line: it is about to leave.
                let won = self.take(link);
                if claims(claim) {
                    return Some(won);
                }
                // SAFETY: whoever has the line has the lock.
                drop(unsafe { won.into_who() });
            }
            at = next;
        }
        None
    }

    /// Whether somebody is to be had, of `own` none.
    pub(super) fn has_one(&self, own: Claim<A>) -> bool {
        let mut at = self.first;
        while let Some(link) = at {
            // SAFETY: what is on the line can be used: see the module.
            let party = unsafe { link.as_ref() };
            // SAFETY: of one that is on the line: see `claims`.
            let is_free = |word: NonNull<A>| unsafe { word.as_ref() }.load(Relaxed) == 0;
            if party.claim.get().is_none_or(|word| Some(word) != own && is_free(word)) {
                return true;
            }
            at = party.next.get();
        }
        false
    }
}

/// Claims a `select!`; one who waits in one line only is there for whoever takes it off.
#[inline(always)]
pub(super) fn claims<A: Atomic<u64>>(claim: Claim<A>) -> bool {
    // SAFETY: the word is the caller's own, or of an arm whose line is locked: it lasts as long as one of the arms is on a line.
    // Relaxed: it says who, and nothing else. What is given goes under the line's lock.
    claim.is_none_or(|word| unsafe { word.as_ref() }.compare_exchange(0, 1, Relaxed, Relaxed).is_ok())
}

impl<T, W, A> fmt::Debug for Party<T, W, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party").field("is_listed", &self.is_listed.get()).finish_non_exhaustive()
    }
}
