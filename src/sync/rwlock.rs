//! A lock that many may have to read, or one to write.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use super::granting::{Granting, Machine};
use super::{LockResult, PoisonError, TryLockError, TryLockResult};
use crate::abi::wait::WaitReason;
use crate::coroutine::cancel;
use crate::coroutine::waiter::Waiter;
use crate::sys::clock;

/// A lock that many may have to read, or one to write; interface and poisoning as `std::sync::RwLock`.
///
/// First come, first served: who comes to read while somebody waits to write waits behind it, so that neither side
/// starves. So who reads and wants to read once more may wait for ever, as std's page says of its own.
///
/// Poisoned by panics only, not by the end of a runtime, which unwinds its coroutines where they wait.
///
/// ```
/// use std::sync::Arc;
///
/// coro::run(|| {
///     let table = Arc::new(coro::sync::RwLock::new(vec![1, 2]));
///     let reading = table.read().unwrap();
///     let shared = table.clone();
///     let writer = coro::spawn(move || shared.write().unwrap().push(3));
///     coro::yield_now();
///     assert_eq!(*reading, [1, 2]); // the writer waits
///     drop(reading);
///     writer.join().unwrap();
///     assert_eq!(*table.read().unwrap(), [1, 2, 3]);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
// The head first, so that the lock's address is also the head's, for whoever finds a lock by its type.
#[repr(C)]
pub struct RwLock<T: ?Sized> {
    granting: Granting<Sharing<Waiter>>,
    poisoned: AtomicBool,
    value: UnsafeCell<T>,
}

const _: () = assert!(mem::offset_of!(RwLock<()>, granting) == 0, "a lock's address is its head's");

// SAFETY: many have `&T` at a time, or one `&mut T`, on any thread.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: the lock owns the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// As std's: who sees a value that a panic has left half changed is told by the poison.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// The lock, held to read; dropping it unlocks.
#[must_use = "the lock is unlocked at once if its guard is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// A guard belongs to the coroutine that locked.
    _not_send: PhantomData<*const ()>,
}

/// The lock, held to write; dropping it unlocks.
#[must_use = "the lock is unlocked at once if its guard is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// Whether the coroutine was unwinding when it got the lock: that panic is none of the lock's.
    was_panicking: bool,
    /// A guard belongs to the coroutine that locked.
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> RwLock<T> {
        let machine = Sharing { readers: 0, has_writer: false, waiting: VecDeque::new() };
        RwLock {
            granting: Granting::new(machine, 0, 0),
            poisoned: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, of a lock that nobody else has any more.
    ///
    /// # Errors
    /// If somebody panicked while writing; the value is in the error.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        let value = self.value.into_inner();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks to read; waits as long as somebody writes, or has waited to write before.
    ///
    /// # Errors
    /// If somebody panicked while writing; the guard is in the error.
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.granting.acquire(Access::Read, WaitReason::ReadLock, None);
        self.read_guard()
    }

    /// Locks to read, if that is possible without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if it isn't, `Poisoned` if somebody panicked while writing.
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.granting.try_acquire(Access::Read) {
            return Err(TryLockError::WouldBlock);
        }
        self.read_guard().map_err(TryLockError::Poisoned)
    }

    /// Locks to read; waits for `timeout` at the longest.
    ///
    /// # Errors
    /// `WouldBlock` if it wasn't possible in time, `Poisoned` if somebody panicked while writing.
    pub fn try_read_for(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.granting.acquire(Access::Read, WaitReason::ReadLock, Some(clock::after(timeout))) {
            return Err(TryLockError::WouldBlock);
        }
        self.read_guard().map_err(TryLockError::Poisoned)
    }

    /// Locks to write; waits as long as somebody else has the lock.
    ///
    /// # Errors
    /// If somebody panicked while writing; the guard is in the error.
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.granting.acquire(Access::Write, WaitReason::WriteLock, None);
        self.write_guard()
    }

    /// Locks to write, if nobody has the lock.
    ///
    /// # Errors
    /// `WouldBlock` if somebody has it, `Poisoned` if somebody panicked while writing.
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.granting.try_acquire(Access::Write) {
            return Err(TryLockError::WouldBlock);
        }
        self.write_guard().map_err(TryLockError::Poisoned)
    }

    /// Locks to write; waits for `timeout` at the longest.
    ///
    /// # Errors
    /// `WouldBlock` if somebody else had it all the time, `Poisoned` if somebody panicked while writing.
    pub fn try_write_for(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.granting.acquire(Access::Write, WaitReason::WriteLock, Some(clock::after(timeout))) {
            return Err(TryLockError::WouldBlock);
        }
        self.write_guard().map_err(TryLockError::Poisoned)
    }

    /// Whether somebody panicked while writing.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    /// Says that the value is in order again.
    pub fn clear_poison(&self) {
        self.poisoned.store(false, Relaxed);
    }

    /// The value; no lock is needed, since nobody else has it.
    ///
    /// # Errors
    /// If somebody panicked while writing; the value is in the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.is_poisoned();
        let value = self.value.get_mut();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }

    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let guard = RwLockReadGuard { lock: self, _not_send: PhantomData };
        if self.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let guard =
            RwLockWriteGuard { lock: self, was_panicking: thread::panicking(), _not_send: PhantomData };
        if self.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held to read, so nobody has a mutable reference to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held to write, so nobody else has a reference to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held to write, and this is the only reference to its guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.granting.release(Access::Read);
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        if !self.was_panicking && thread::panicking() && !cancel::is_unwinding() {
            self.lock.poisoned.store(true, Relaxed);
        }
        self.lock.granting.head.owner.store(0, Relaxed);
        self.lock.granting.release(Access::Write);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => shown.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shown.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => shown.field("data", &format_args!("<locked>")),
        };
        shown.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

/// What one wants a lock for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The pure part.
#[derive(Debug)]
pub(super) struct Sharing<W> {
    pub(super) readers: usize,
    pub(super) has_writer: bool,
    pub(super) waiting: VecDeque<(W, Access)>,
}

impl<W> Sharing<W> {
    fn is_free_for(&self, access: Access) -> bool {
        !self.has_writer && (access == Access::Read || self.readers == 0)
    }

    fn let_in(&mut self, access: Access) {
        match access {
            Access::Read => self.readers += 1,
            Access::Write => self.has_writer = true,
        }
    }

    /// The first on the list, and all readers up to the first writer.
    fn grant(&mut self, granted: &mut Vec<W>) {
        while let Some((_, access)) = self.waiting.front()
            && self.is_free_for(*access)
        {
            self.let_in(*access);
            granted.extend(self.waiting.pop_front().map(|(who, _)| who));
        }
    }
}

impl<W: PartialEq> Machine<W> for Sharing<W> {
    type Want = Access;

    fn take(&mut self, access: Access) -> bool {
        let is_free = self.waiting.is_empty() && self.is_free_for(access);
        if is_free {
            self.let_in(access);
        }
        is_free
    }

    fn enlist(&mut self, who: W, access: Access) -> bool {
        let waits = !self.take(access);
        if waits {
            self.waiting.push_back((who, access));
        }
        waits
    }

    fn remove(&mut self, who: &W, granted: &mut Vec<W>) -> bool {
        let Some(at) = self.waiting.iter().position(|(other, _)| other == who) else { return false };
        self.waiting.remove(at);
        // A writer that gives up lets in the readers behind it.
        self.grant(granted);
        true
    }

    fn give_back(&mut self, access: Access, granted: &mut Vec<W>) -> bool {
        match access {
            Access::Read => self.readers -= 1,
            Access::Write => self.has_writer = false,
        }
        self.grant(granted);
        true
    }

    fn numbers(&self) -> (u64, u64) {
        (self.readers as u64, self.has_writer.into())
    }
}
