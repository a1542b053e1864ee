//! Who is to be told when something happens: a coroutine, or a plain OS thread.
//!
//! A list of waiters is kept by what they wait for, under that thing's lock. Telling one may do nothing (it
//! timed out, or somebody else told it): who counts on exactly one being told goes on to the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::thread::{self, Thread};

use crate::registry::WakeToken;

/// One who waits.
#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    Coroutine(WakeToken),
    Thread(Arc<ThreadWait>),
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

    /// Blocks the thread until [`ThreadWait::wake`].
    pub(crate) fn wait(&self) {
        // Acquire: pairs with `wake`'s.
        while !self.woken.load(Acquire) {
            thread::park();
        }
    }

    /// Ends the wait; says whether it was the first to do so.
    pub(crate) fn wake(&self) -> bool {
        let first = !self.woken.swap(true, AcqRel);
        self.thread.unpark();
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

/// Waiters in the order of their coming. The first needs no allocation: mostly there is one.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<Waiter>,
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
        if self.first.is_none() {
            self.first = Some(waiter);
        } else {
            self.others.get_or_insert_default().push_back(waiter);
        }
    }

    /// Takes the one who has waited longest.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Waiter> {
        let first = self.first.take();
        if first.is_some() {
            self.first = self.others.as_mut().and_then(|others| others.pop_front());
        }
        first
    }

    /// Removes one who waits no longer; says whether it was still here.
    pub(crate) fn remove(&mut self, waiter: &Waiter) -> bool {
        if self.first.as_ref() == Some(waiter) {
            self.pop();
            return true;
        }
        let Some(others) = &mut self.others else { return false };
        // When a runtime ends its coroutines they go in the order of their coming, more or less: found soon.
        let at = others.iter().position(|other| other == waiter);
        at.is_some_and(|at| others.remove(at).is_some())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served() {
        let mut waiters = Waiters::new();
        let [a, b, c] = [(); 3].map(|()| Waiter::Thread(ThreadWait::new()));
        for waiter in [&a, &b, &c] {
            waiters.push(waiter.clone());
        }
        assert!(waiters.remove(&b));
        assert!(!waiters.remove(&b));
        assert_eq!([waiters.pop(), waiters.pop(), waiters.pop()], [Some(a), Some(c), None]);
        assert!(waiters.is_empty());
    }
}
