//! An event: something that happens once, or until it is cleared, and for which many wait.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::ground::{self, Ground, List};
use super::select::{Sealed, Token, Told, Waitable};
use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::atomic::Atomic;
use crate::sys::clock;

/// A flag for which others wait; as gevent's and Python's `Event`.
///
/// ```
/// use std::sync::Arc;
///
/// coro::run(|| {
///     let opened = Arc::new(coro::sync::Event::new());
///     let waiters: Vec<_> = (0..3)
///         .map(|_| {
///             let opened = opened.clone();
///             coro::spawn(move || opened.wait())
///         })
///         .collect();
///     coro::yield_now();
///     opened.set();
///     waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[repr(C)]
pub struct Event {
    /// Its count is the flag.
    head: SyncHead,
    waiting: Mutex<Waiters>,
}

const _: () = assert!(mem::offset_of!(Event, head) == 0, "an event's address is its head's");

impl Event {
    /// One that is not set.
    pub const fn new() -> Event {
        Event { head: SyncHead::new(0, 0), waiting: Mutex::new(Waiters::new()) }
    }

    /// Sets it. All who wait go on, even if it is cleared at once.
    pub fn set(&self) {
        self.head.owner.store(current::owner(), Relaxed);
        set(&self.head.count, &self.waiting);
    }

    /// Clears it: who comes from now on waits until it is set again.
    pub fn clear(&self) {
        clear(&self.head.count, &self.waiting);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        is_set(&self.head.count)
    }

    /// Waits until it is set.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Waits until it is set, for `timeout` at the longest; says whether it was.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_set() || self.wait_until(Some(clock::after(timeout)))
    }

    fn wait_until(&self, deadline: Option<u64>) -> bool {
        let listed = Listed { event: self, has_left: Cell::new(false) };
        let object = ptr::from_ref(&self.head).addr() as u64;
        while !self.is_set() {
            match park::block_until(WaitReason::Event, object, &listed, deadline) {
                // Taken off the list by `set`; it may have been cleared since.
                Ok(_) if !listed.has_left.take() => return true,
                Ok(Woken::Deadline) => return self.is_set(),
                Ok(Woken::Event) => {}
                Err(error) => park::abort_unwinding_wait(WaitReason::Event, object, &error),
            }
        }
        true
    }
}

/// Sets the flag, and wakes all who wait for it.
fn set(flag: &impl Atomic<u64>, waiting: &impl Ground) {
    // Release: pairs with `is_set`'s.
    ground::wake_all(waiting, || flag.store(1, Release));
}

fn clear(flag: &impl Atomic<u64>, waiting: &impl Ground) {
    waiting.with(|_| flag.store(0, Relaxed));
}

fn is_set(flag: &impl Atomic<u64>) -> bool {
    flag.load(Acquire) != 0
}

/// Puts one on the list, if the flag isn't set.
fn enlist<G: Ground>(flag: &impl Atomic<u64>, waiting: &G, who: <G::List as List>::Who) -> bool {
    ground::enlist(waiting, who, || !is_set(flag))
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

struct Listed<'a> {
    event: &'a Event,
    /// It was on the list to the end.
    has_left: Cell<bool>,
}

impl WaitList for Listed<'_> {
    fn enlist(&self, waiter: Waiter) -> bool {
        enlist(&self.event.head.count, &self.event.waiting, waiter)
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        let was_there = ground::delist(&self.event.waiting, waiter);
        self.has_left.set(was_there);
        was_there
    }
}

impl Sealed for Event {}

impl Waitable for Event {
    fn is_ready(&self) -> bool {
        self.is_set()
    }

    fn enlist(&self, who: &Token) -> bool {
        enlist(&self.head.count, &self.waiting, who.0.clone())
    }

    fn delist(&self, who: &Token) -> bool {
        ground::delist(&self.waiting, &who.0)
    }

    fn told(&self) -> Told {
        Told::new(WaitReason::Event, ptr::from_ref(&self.head).addr() as u64)
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
