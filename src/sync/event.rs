//! An event: something that happens once, or until it is cleared, and for which many wait.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::select::{Sealed, Token, Told, Waitable};
use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};
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
        let mut list = self.list();
        self.head.owner.store(current::owner(), Relaxed);
        // Release: pairs with `is_set`'s.
        self.head.count.store(1, Release);
        let all = mem::take(&mut *list);
        drop(list);
        park::wake_all(all);
    }

    /// Clears it: who comes from now on waits until it is set again.
    pub fn clear(&self) {
        let _list = self.list();
        self.head.count.store(0, Relaxed);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.head.count.load(Acquire) != 0
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

    fn list(&self) -> MutexGuard<'_, Waiters> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one on the list, if it isn't set.
    fn enlist(&self, waiter: Waiter) -> bool {
        // Under the lock, as `set` is: either we see it, or it sees us.
        let mut list = self.list();
        let waits = !self.is_set();
        if waits {
            list.push(waiter);
        }
        waits
    }
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
        self.event.enlist(waiter)
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        let was_there = self.event.list().remove(waiter);
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
        self.enlist(who.0.clone())
    }

    fn delist(&self, who: &Token) -> bool {
        self.list().remove(&who.0)
    }

    fn told(&self) -> Told {
        Told::new(WaitReason::Event, ptr::from_ref(&self.head).addr() as u64)
    }
}
