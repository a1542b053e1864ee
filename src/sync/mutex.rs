//! A mutex which parks the coroutine that has to wait, and knows its owner.
//!
//! The word is that of Drepper's futex mutex ("Futexes Are Tricky", 2011): free, locked, locked with waiters. The
//! waiters' list has a lock of its own, held for a few instructions and never over a switch.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use crate::abi::objects::MutexHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::coroutine::{cancel, current};
use crate::scheduler::park::{self, WaitList};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
const CONTENDED: u32 = 2;

/// Mutual exclusion between coroutines, and OS threads; interface and poisoning as `std::sync::Mutex`.
///
/// A guard may be held over waits: others who want the lock wait for it, their thread does not.
///
/// ```
/// use std::sync::Arc;
///
/// coro::run(|| {
///     let total = Arc::new(coro::sync::Mutex::new(0));
///     let adders: Vec<_> = (0..10)
///         .map(|_| {
///             let total = total.clone();
///             coro::spawn(move || {
///                 let mut total = total.lock().unwrap();
///                 let before = *total;
///                 coro::yield_now();
///                 *total = before + 1;
///             })
///         })
///         .collect();
///     for adder in adders {
///         adder.join().unwrap();
///     }
///     assert_eq!(*total.lock().unwrap(), 10);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
// The head first, so that the mutex's address is also the head's, for whoever finds a mutex by its type.
#[repr(C)]
pub struct Mutex<T: ?Sized> {
    head: MutexHead,
    waiters: std::sync::Mutex<Waiters>,
    value: UnsafeCell<T>,
}

const _: () = assert!(mem::offset_of!(Mutex<()>, head) == 0, "a mutex's address is its head's");

// SAFETY: the value is reached through a guard only, of which there is one at a time: it moves between threads,
// but isn't shared by them.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: the mutex owns the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

/// The lock, held; dropping it unlocks.
#[must_use = "the mutex is unlocked at once if its guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Whether the coroutine was unwinding when it got the lock: that panic is none of the lock's.
    was_panicking: bool,
    /// A guard belongs to the coroutine that locked.
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A mutex that nobody has locked.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            head: MutexHead::new(),
            waiters: std::sync::Mutex::new(Waiters::new()),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, of a mutex that nobody else has any more.
    ///
    /// # Errors
    /// If somebody panicked with the lock; the value is in the error.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.is_poisoned();
        let value = self.value.into_inner();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks; waits as long as somebody else has the lock. Who locks twice waits for ever.
    ///
    /// # Errors
    /// If somebody panicked with the lock; the guard is in the error.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if self.head.word.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_err() {
            self.lock_contended();
        }
        self.guard()
    }

    /// Locks if nobody has the lock.
    ///
    /// # Errors
    /// `WouldBlock` if somebody has it, `Poisoned` if somebody panicked with it.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        match self.head.word.compare_exchange(FREE, LOCKED, Acquire, Relaxed) {
            Ok(_) => self.guard().map_err(TryLockError::Poisoned),
            Err(_) => Err(TryLockError::WouldBlock),
        }
    }

    /// Whether somebody panicked with the lock.
    pub fn is_poisoned(&self) -> bool {
        self.head.poisoned.load(Relaxed) != 0
    }

    /// Says that the value is in order again.
    pub fn clear_poison(&self) {
        self.head.poisoned.store(0, Relaxed);
    }

    /// The value; no lock is needed, since nobody else has the mutex.
    ///
    /// # Errors
    /// If somebody panicked with the lock; the value is in the error.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let poisoned = self.is_poisoned();
        let value = self.value.get_mut();
        if poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }

    #[cold]
    fn lock_contended(&self) {
        // CONTENDED even if it was free: others may wait, and our unlock has to look.
        while self.head.word.swap(CONTENDED, Acquire) != FREE {
            let object = ptr::from_ref(&self.head).addr() as u64;
            if let Err(error) = park::block(WaitReason::Mutex, object, self) {
                park::abort_unwinding_wait(&error.to_string());
            }
        }
    }

    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        self.head.owner.store(current::owner(), Relaxed);
        let guard = MutexGuard { mutex: self, was_panicking: thread::panicking(), _not_send: PhantomData };
        if self.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    fn unlock(&self) {
        self.head.owner.store(0, Relaxed);
        // Release: pairs with the next owner's Acquire.
        if self.head.word.swap(FREE, Release) == CONTENDED {
            self.wake_one();
        }
    }

    /// Wakes the first who still waits. It tries again, and the swap in there marks the lock as contended for
    /// those behind it.
    #[cold]
    fn wake_one(&self) {
        loop {
            let next = self.list().pop();
            match next {
                Some(waiter) if !park::wake(&waiter) => {}
                _ => return,
            }
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> WaitList for Mutex<T> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut list = self.list();
        // Under the list's lock: an unlock that comes before this is seen here (and then there is no need to
        // wait), one that comes after finds CONTENDED, and then us.
        // Acquire and Release: if it was free, it was ours for a moment, and the next owner has to see through us
        // what the last one did.
        let waits = self.head.word.swap(CONTENDED, Acquire) != FREE;
        if waits {
            list.push(waiter);
        } else {
            self.head.word.store(FREE, Release);
        }
        waits
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        self.list().remove(waiter)
    }

    fn pass_on(&self) {
        self.wake_one();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else has a reference to the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and this is the only reference to its guard.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if !self.was_panicking && thread::panicking() && !cancel::is_unwinding() {
            self.mutex.head.poisoned.store(1, Relaxed);
        }
        self.mutex.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => shown.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shown.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => shown.field("data", &format_args!("<locked>")),
        };
        shown.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}
