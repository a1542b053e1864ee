//! Who is to be told when something happens: a coroutine, or a plain OS thread.
//!
//! A list of waiters is kept by what they wait for, under that thing's lock. Telling one may do nothing (it
//! timed out, or somebody else told it): who counts on exactly one being told goes on to the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::registry::{self, WakeToken};
use crate::sys::{clock, explore};

/// One who waits.
#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    Coroutine(WakeToken),
    Thread(Arc<ThreadWait>),
}

impl Waiter {
    /// Whether it is a coroutine of that worker.
    pub(crate) fn lives_on(&self, worker: u32) -> bool {
        match self {
            Waiter::Coroutine(token) => {
                registry::record_of(*token).is_some_and(|record| record.worker.load(Relaxed) == worker)
            }
            Waiter::Thread(_) => false,
        }
    }
}

/// A thread's wait.
#[derive(Debug)]
pub(crate) struct ThreadWait {
    thread: Thread,
    woken: AtomicBool,
}

impl ThreadWait {
    pub(crate) fn new() -> Arc<ThreadWait> {
        Arc::new(ThreadWait { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    /// Blocks the thread until [`ThreadWait::wake`], or until the time (`sys::clock`) has come; says whether it was
    /// woken. After a deadline nobody wakes it any more.
    pub(crate) fn wait_until(&self, deadline: Option<u64>) -> bool {
        // Acquire: pairs with `wake`'s.
        while !self.woken.load(Acquire) {
            let left = deadline.map(|deadline| deadline.saturating_sub(clock::now()));
            if left == Some(0) {
                // The one who says first that it is over counts, as for coroutines.
                return self.woken.swap(true, AcqRel);
            }
            match explore::sleep(left, || self.woken.load(Acquire)) {
                None => thread::park(),
                Some(left) => thread::park_timeout(Duration::from_nanos(left)),
            }
        }
        true
    }

    /// Ends the wait; says whether it was the first to do so.
    pub(crate) fn wake(&self) -> bool {
        explore::point();
        let first = !self.woken.swap(true, AcqRel);
        self.thread.unpark();
        explore::something_happened();
        first
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Waiter) -> bool {
        match (self, other) {
            (Waiter::Coroutine(one), Waiter::Coroutine(other)) => one == other,
            (Waiter::Thread(one), Waiter::Thread(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Waiters in the order of their coming. The first needs no allocation if it is a coroutine: mostly there is one.
///
/// Its place has room for a token and not for any waiter: plain data is moved in registers, and a list goes from hand
/// to hand at each coroutine's end.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// It came before all others.
    first: Option<WakeToken>,
    #[expect(
        clippy::box_collection,
        reason = "an empty list is moved and dropped at each coroutine's end: small"
    )]
    others: Option<Box<VecDeque<Waiter>>>,
}

impl Waiters {
    pub(crate) const fn new() -> Waiters {
        Waiters { first: None, others: None }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, waiter: Waiter) {
        // Case by case: a waiter that is passed on as it is would have to lie in memory.
        match waiter {
            Waiter::Coroutine(token) if self.is_empty() => self.first = Some(token),
            Waiter::Coroutine(token) => self.others().push_back(Waiter::Coroutine(token)),
            Waiter::Thread(thread) => self.others().push_back(Waiter::Thread(thread)),
        }
    }

    #[inline(never)]
    fn others(&mut self) -> &mut VecDeque<Waiter> {
        self.others.get_or_insert_default()
    }

    /// Takes the one who has waited longest.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Waiter> {
        match self.first.take() {
            Some(token) => Some(Waiter::Coroutine(token)),
            None => self.others.as_mut()?.pop_front(),
        }
    }

    /// Removes one who waits no longer; says whether it was still here.
    pub(crate) fn remove(&mut self, waiter: &Waiter) -> bool {
        if self.first.is_some_and(|first| *waiter == Waiter::Coroutine(first)) {
            self.first = None;
            return true;
        }
        let Some(others) = &mut self.others else { return false };
        // When a runtime ends its coroutines they go in the order of their coming, more or less: found soon.
        let at = others.iter().position(|other| other == waiter);
        at.is_some_and(|at| others.remove(at).is_some())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.as_ref().is_none_or(|others| others.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::state::Word;
    use crate::stack::geometry::SlotIndex;

    #[test]
    fn first_come_first_served() {
        let thread = || Waiter::Thread(ThreadWait::new());
        let coroutine = |slot| Waiter::Coroutine(WakeToken { slot: SlotIndex(slot), key: Word(0).key() });
        for [a, b, c, d] in [
            [thread(), thread(), thread(), thread()],
            [coroutine(1), coroutine(2), coroutine(3), coroutine(4)],
            [coroutine(1), thread(), coroutine(2), thread()],
            [thread(), coroutine(1), thread(), coroutine(2)],
        ] {
            let mut waiters = Waiters::new();
            for waiter in [&a, &b, &c] {
                waiters.push(waiter.clone());
            }
            assert!(waiters.remove(&b) && !waiters.remove(&b));
            assert_eq!(waiters.pop(), Some(a.clone()));
            assert!(!waiters.is_empty());
            // The first place is free, but somebody waits.
            waiters.push(d.clone());
            assert_eq!([waiters.pop(), waiters.pop(), waiters.pop()], [Some(c), Some(d), None]);
            assert!(waiters.is_empty());
            waiters.push(a.clone());
            assert!(waiters.remove(&a) && waiters.is_empty());
        }
    }
}
