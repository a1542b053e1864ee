//! A semaphore: so many at a time.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::granting::{Granting, Machine};
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::sys::clock;

/// Permits, of which whoever wants one when there is none waits until somebody gives one back. First come, first served:
/// who wants many is not overtaken by those who want few.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// coro::run(|| {
///     let (slots, inside) = (Arc::new(coro::sync::Semaphore::new(3)), Arc::new(AtomicUsize::new(0)));
///     let users: Vec<_> = (0..10)
///         .map(|_| {
///             let (slots, inside) = (slots.clone(), inside.clone());
///             coro::spawn(move || {
///                 let _permit = slots.acquire();
///                 assert!(inside.fetch_add(1, Relaxed) < 3);
///                 coro::yield_now();
///                 inside.fetch_sub(1, Relaxed);
///             })
///         })
///         .collect();
///     users.into_iter().for_each(|user| user.join().unwrap());
///     assert_eq!(slots.available_permits(), 3);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[repr(C)]
pub struct Semaphore {
    granting: Granting<Permits<Waiter>>,
}

const _: () = assert!(mem::offset_of!(Semaphore, granting) == 0, "a semaphore's address is its head's");

/// Permits of a [`Semaphore`], given back when this is dropped.
#[must_use = "the permits are given back at once if they are not kept"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// Permits of a [`Semaphore`] that it shares, given back when this is dropped: they borrow nothing, so that they may go into
/// a coroutine, or a value that lives on; as tokio's.
#[must_use = "the permits are given back at once if they are not kept"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub const fn new(permits: usize) -> Semaphore {
        let machine = Permits { left: permits, all: permits, waiting: VecDeque::new() };
        Semaphore { granting: Granting::new(machine, permits as u64, permits as u64) }
    }

    /// Takes a permit; waits until there is one.
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Takes so many permits; waits until there are as many: for ever, if there are never to be so many, and with it who
    /// comes after it.
    pub fn acquire_many(&self, count: usize) -> SemaphorePermit<'_> {
        self.granting.acquire(count, WaitReason::Semaphore, None);
        SemaphorePermit { semaphore: self, count }
    }

    /// Takes a permit if there is one, and nobody waits for it.
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes so many permits if there are as many, and nobody waits for them.
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        self.granting.try_acquire(count).then(|| SemaphorePermit { semaphore: self, count })
    }

    /// Takes a permit; waits for `timeout` at the longest.
    pub fn try_acquire_for(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many_for(1, timeout)
    }

    /// Takes so many permits; waits for `timeout` at the longest.
    ///
    /// ```
    /// let slots = coro::sync::Semaphore::new(3);
    /// let soon = std::time::Duration::from_millis(1);
    /// assert!(slots.try_acquire_many_for(4, soon).is_none());
    /// assert!(slots.try_acquire_many_for(3, soon).is_some());
    /// ```
    pub fn try_acquire_many_for(&self, count: usize, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        let has_them = self.granting.acquire(count, WaitReason::Semaphore, Some(clock::after(timeout)));
        has_them.then(|| SemaphorePermit { semaphore: self, count })
    }

    /// As [`acquire`](Semaphore::acquire), with a permit that owns its share of the semaphore: taken here, and given back by
    /// who has it in the end.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// coro::run(|| {
    ///     let slots = Arc::new(coro::sync::Semaphore::new(2));
    ///     let users: Vec<_> = (0..10)
    ///         .map(|n| {
    ///             let permit = slots.clone().acquire_owned(); // no more than two are spawned at a time
    ///             coro::spawn(move || {
    ///                 let _permit = permit;
    ///                 coro::yield_now();
    ///                 n
    ///             })
    ///         })
    ///         .collect();
    ///     let sum: i32 = users.into_iter().map(|user| user.join().unwrap()).sum();
    ///     assert_eq!((sum, slots.available_permits()), (45, 2));
    /// })?;
    /// # Ok::<(), coro::Error>(())
    /// ```
    pub fn acquire_owned(self: Arc<Semaphore>) -> OwnedSemaphorePermit {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with permits that own their share of the semaphore.
    pub fn acquire_many_owned(self: Arc<Semaphore>, count: usize) -> OwnedSemaphorePermit {
        self.acquire_many(count).forget();
        OwnedSemaphorePermit { semaphore: self, count }
    }

    /// As [`try_acquire`](Semaphore::try_acquire), with a permit that owns its share of the semaphore.
    pub fn try_acquire_owned(self: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many), with permits that own their share of the semaphore.
    pub fn try_acquire_many_owned(self: Arc<Semaphore>, count: usize) -> Option<OwnedSemaphorePermit> {
        self.try_acquire_many(count)?.forget();
        Some(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// As [`try_acquire_for`](Semaphore::try_acquire_for), with a permit that owns its share of the semaphore.
    pub fn try_acquire_owned_for(self: Arc<Semaphore>, timeout: Duration) -> Option<OwnedSemaphorePermit> {
        self.try_acquire_for(timeout)?.forget();
        Some(OwnedSemaphorePermit { semaphore: self, count: 1 })
    }

    /// Adds so many permits, or gives back those of permits that were forgotten.
    ///
    /// # Panics
    /// If there were more than `usize::MAX` then.
    #[track_caller]
    pub fn release(&self, count: usize) {
        assert!(
            self.granting.release(count),
            "coro::sync::Semaphore::release: {count} permits more would be more than usize::MAX"
        );
    }

    /// How many permits are left.
    pub fn available_permits(&self) -> usize {
        self.granting.change(|machine| machine.left)
    }
}

impl SemaphorePermit<'_> {
    /// Keeps the permits for good: they come back only by [`Semaphore::release`].
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.count);
    }
}

impl OwnedSemaphorePermit {
    /// Keeps the permits for good: they come back only by [`Semaphore::release`].
    pub fn forget(mut self) {
        // Its share of the semaphore is given back.
        self.count = 0;
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.release(self.count);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

/// The pure part.
#[derive(Debug)]
pub(super) struct Permits<W> {
    pub(super) left: usize,
    /// At the start: for readers.
    pub(super) all: usize,
    pub(super) waiting: VecDeque<(W, usize)>,
}

impl<W: PartialEq> Permits<W> {
    fn grant(&mut self, granted: &mut Vec<W>) {
        while let Some((_, count)) = self.waiting.front()
            && *count <= self.left
        {
            self.left -= count;
            granted.extend(self.waiting.pop_front().map(|(who, _)| who));
        }
    }
}

impl<W: PartialEq> Machine<W> for Permits<W> {
    type Want = usize;

    fn take(&mut self, count: usize) -> bool {
        let is_there = self.waiting.is_empty() && count <= self.left;
        if is_there {
            self.left -= count;
        }
        is_there
    }

    fn enlist(&mut self, who: W, count: usize) -> bool {
        let waits = !self.take(count);
        if waits {
            self.waiting.push_back((who, count));
        }
        waits
    }

    fn remove(&mut self, who: &W, granted: &mut Vec<W>) -> bool {
        let Some(at) = self.waiting.iter().position(|(other, _)| other == who) else { return false };
        self.waiting.remove(at);
        // It may have been in the way of those behind it.
        self.grant(granted);
        true
    }

    fn give_back(&mut self, count: usize, granted: &mut Vec<W>) -> bool {
        let Some(left) = self.left.checked_add(count) else { return false };
        self.left = left;
        self.grant(granted);
        true
    }

    fn numbers(&self) -> (u64, u64) {
        (self.left as u64, self.all as u64)
    }
}
