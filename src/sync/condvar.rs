//! A condition variable for [`Mutex`](super::Mutex).

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::ground::{self, Ground, List};
use super::mutex::{LockResult, MutexGuard};
use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::clock;

/// Waiting until somebody says that something guarded by a [`Mutex`](super::Mutex) has changed; interface as
/// `std::sync::Condvar`. The first who waits is the first to be notified.
///
/// ```
/// use std::sync::Arc;
/// use coro::sync::{Condvar, Mutex};
///
/// coro::run(|| {
///     let pair = Arc::new((Mutex::new(false), Condvar::new()));
///     let shared = pair.clone();
///     coro::spawn(move || {
///         *shared.0.lock().unwrap() = true;
///         shared.1.notify_one();
///     });
///     let ready = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap();
///     assert!(*ready);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[repr(C)]
pub struct Condvar {
    head: SyncHead,
    waiting: std::sync::Mutex<Waiters>,
}

const _: () = assert!(mem::offset_of!(Condvar, head) == 0, "a condition variable's address is its head's");

/// Whether a wait ended because its time had come; as std's, which nobody else can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it was the time, and no notification.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// One for which nobody waits.
    pub const fn new() -> Condvar {
        Condvar { head: SyncHead::new(0, 0), waiting: std::sync::Mutex::new(Waiters::new()) }
    }

    /// Unlocks, waits to be notified, and locks again. It may return without a notification.
    ///
    /// # Errors
    /// If somebody panicked with the lock; the guard is in the error.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None).0
    }

    /// Waits as long as `condition` holds.
    ///
    /// # Errors
    /// If somebody panicked with the lock; the guard is in the error.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As `wait`, for `timeout` at the longest.
    ///
    /// # Errors
    /// If somebody panicked with the lock; guard and result are in the error.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, woken) = self.wait_until(guard, Some(clock::after(timeout)));
        let result = WaitTimeoutResult(woken == Woken::Deadline);
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(PoisonError::new((error.into_inner(), result))),
        }
    }

    /// As `wait_while`, for `timeout` at the longest. It has timed out if the condition still holds then.
    ///
    /// # Errors
    /// If somebody panicked with the lock; guard and result are in the error.
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = clock::after(timeout);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if clock::now() >= deadline {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = match self.wait_until(guard, Some(deadline)).0 {
                Ok(guard) => guard,
                Err(error) => {
                    let result = WaitTimeoutResult(clock::now() >= deadline);
                    return Err(PoisonError::new((error.into_inner(), result)));
                }
            };
        }
    }

    /// Wakes the first who waits, if anybody does.
    pub fn notify_one(&self) {
        self.head.owner.store(current::owner(), Relaxed);
        ground::wake_one(&self.waiting);
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.head.owner.store(current::owner(), Relaxed);
        ground::wake_all(&self.waiting, || ());
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<u64>,
    ) -> (LockResult<MutexGuard<'a, T>>, Woken) {
        let mutex = MutexGuard::mutex(&guard);
        let listed = Listed { condvar: self, guard: Cell::new(Some(guard)) };
        let object = ptr::from_ref(&self.head).addr() as u64;
        match park::block_until(WaitReason::Condvar, object, &listed, deadline) {
            Ok(woken) => {
                let owed = (woken == Woken::Event).then(|| Owed(self));
                let guard = mutex.lock();
                mem::forget(owed);
                (guard, woken)
            }
            Err(error) => park::abort_unwinding_wait(WaitReason::Condvar, object, &error),
        }
    }
}

/// Puts one on the list who has the lock until then.
fn enlist<G: Ground>(waiting: &G, who: <G::List as List>::Who, unlock: impl FnOnce()) {
    ground::enlist(waiting, who, || true);
    // Only now: who changes what is guarded, and then notifies, finds us.
    unlock();
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// A notification whose receiver still has to get the lock. If it unwinds meanwhile, the next one is told instead.
struct Owed<'a>(&'a Condvar);

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        ground::wake_one(&self.0.waiting);
    }
}

/// One who waits, with the lock that it has until it is on the list.
struct Listed<'a, 'g, T: ?Sized> {
    condvar: &'a Condvar,
    guard: Cell<Option<MutexGuard<'g, T>>>,
}

impl<T: ?Sized> WaitList for Listed<'_, '_, T> {
    fn enlist(&self, waiter: Waiter) -> bool {
        enlist(&self.condvar.waiting, waiter, || drop(self.guard.take()));
        true
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        ground::delist(&self.condvar.waiting, waiter)
    }

    fn pass_on(&self) {
        ground::wake_one(&self.condvar.waiting);
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
