//! A mutex which parks the coroutine that has to wait, and knows its owner.
//!
//! While nobody waits it is a word: a compare-exchange locks it, another one unlocks it. The first who has to wait inflates
//! it: see [`inflate`](super::inflate). [`protocol`] says who gets it then.

mod protocol;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::Duration;

pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use self::protocol::{Core, Line, Waiting};
use super::inflate::{Inflatable, Queue};
use crate::abi::objects::MutexHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::coroutine::{cancel, current};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::scheduler::spin;
use crate::scheduler::worker::{self, Worker};
use crate::sys::clock;

/// Who has waited for so long (in nanoseconds) is overtaken by nobody any more.
const PATIENCE: u64 = 1_000_000;
/// Empty lines that a thread keeps.
const KEPT: usize = 16;

/// Mutual exclusion between coroutines, and OS threads; interface and poisoning as `std::sync::Mutex`.
///
/// A guard may be held over waits: others who want the lock wait for it, their thread does not. Who unlocks may lock again
/// before those who wait; but nobody overtakes one who has waited for a millisecond.
///
/// Poisoned by panics only, not by the end of a runtime, which unwinds its coroutines where they wait.
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
    line: Inflatable<Line<Waiter>>,
    value: UnsafeCell<T>,
}

const _: () = assert!(mem::offset_of!(Mutex<()>, head) == 0, "a mutex's address is its head's");

// SAFETY: the value is reached through a guard only, of which there is one at a time: it moves between threads,
// but isn't shared by them.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: the mutex owns the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// As std's: who sees a value that a panic has left half changed is told by the poison.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

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
        Mutex { head: MutexHead::new(), line: Inflatable::new(), value: UnsafeCell::new(value) }
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
        if !protocol::try_lock(&self.head.word) {
            self.lock_contended(None);
        }
        self.guard()
    }

    /// Locks; waits for `timeout` at the longest.
    ///
    /// # Errors
    /// `WouldBlock` if somebody else had the lock all the time, `Poisoned` if somebody panicked with it.
    ///
    /// ```
    /// use std::sync::TryLockError;
    /// use std::time::Duration;
    ///
    /// let lock = coro::sync::Mutex::new(());
    /// let held = lock.lock().unwrap();
    /// let second = lock.try_lock_for(Duration::from_millis(1));
    /// assert!(matches!(second, Err(TryLockError::WouldBlock)));
    /// ```
    pub fn try_lock_for(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        if !protocol::try_lock(&self.head.word) && !self.lock_contended(Some(clock::after(timeout))) {
            return Err(TryLockError::WouldBlock);
        }
        self.guard().map_err(TryLockError::Poisoned)
    }

    /// Locks if nobody has the lock.
    ///
    /// # Errors
    /// `WouldBlock` if somebody has it, `Poisoned` if somebody panicked with it.
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if protocol::try_lock(&self.head.word) {
            self.guard().map_err(TryLockError::Poisoned)
        } else {
            Err(TryLockError::WouldBlock)
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

    /// Waits for the lock, until the deadline at the longest; says whether it has it.
    #[cold]
    fn lock_contended(&self, deadline: Option<u64>) -> bool {
        let word = &self.head.word;
        if spin::lock::spin(|| protocol::look(word, false)) {
            return true;
        }
        let object = ptr::from_ref(&self.head).addr() as u64;
        let attempt = Attempt {
            core: Parts { head: &self.head, line: &self.line },
            owner: current::owner(),
            since: Cell::new(0),
            has_lock: Cell::new(false),
            is_owed: Cell::new(false),
        };
        while !attempt.has_lock.get() {
            let woken = match park::block_until(WaitReason::Mutex, object, &attempt, deadline) {
                Ok(woken) => woken,
                Err(error) => park::abort_unwinding_wait(WaitReason::Mutex, object, &error),
            };
            // Handed over, perhaps in the moment of the deadline.
            if attempt.has_lock.get() || protocol::take_over(&attempt.core, attempt.owner) {
                break;
            }
            if woken == Woken::Deadline {
                return false;
            }
            if spin::lock::spin(|| protocol::look(word, true)) {
                break;
            }
            attempt.is_owed.set(true);
        }
        attempt.is_owed.set(false);
        true
    }

    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        self.head.owner.store(current::owner(), Relaxed);
        let guard = MutexGuard { mutex: self, was_panicking: thread::panicking(), _not_send: PhantomData };
        if self.is_poisoned() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }

    #[inline]
    fn unlock(&self) {
        self.head.owner.store(0, Relaxed);
        let parts = Parts { head: &self.head, line: &self.line };
        if !protocol::try_unlock(&parts) {
            protocol::unlock_contended(&parts);
        }
    }
}

/// The parts of a mutex whose value doesn't matter.
struct Parts<'a> {
    head: &'a MutexHead,
    line: &'a Inflatable<Line<Waiter>>,
}

impl Core for Parts<'_> {
    type Word = AtomicU32;
    type ListWord = AtomicU64;
    type Who = Waiter;

    fn word(&self) -> &AtomicU32 {
        &self.head.word
    }

    fn list(&self) -> &Inflatable<Line<Waiter>> {
        self.line
    }

    fn owner(&self) -> u64 {
        self.head.owner.load(Relaxed)
    }

    fn set_owner(&self, owner: u64) {
        self.head.owner.store(owner, Relaxed);
    }

    fn wake(&self, who: &Waiter) -> bool {
        park::wake(who)
    }

    fn is_to_look(&self) -> bool {
        spin::lock::is_to_look()
    }

    fn is_overdue(&self, waiting: &Waiting<Waiter>) -> bool {
        if let Some(worker) = worker::current()
            && waiting.who.lives_on(worker.index)
        {
            // With one worker it waits because somebody had the lock over a switch.
            if waiting.was_overtaken || worker.seat.is_none() {
                return true;
            }
        }
        clock::now().saturating_sub(waiting.since) > PATIENCE
    }
}

/// One who has to wait, until it has the lock or gives up.
struct Attempt<'a> {
    core: Parts<'a>,
    owner: u64,
    /// Since when it waits; 0: it doesn't yet.
    since: Cell<u64>,
    has_lock: Cell<bool>,
    /// It was woken, and has not made anything of it yet.
    is_owed: Cell<bool>,
}

impl WaitList for Attempt<'_> {
    fn enlist(&self, who: Waiter) -> bool {
        let was_overtaken = self.since.get() != 0;
        if !was_overtaken {
            // A worker's clock may be a little late: then it has patience for as much less.
            self.since.set(worker::current().map_or_else(clock::now, Worker::clock));
        }
        self.is_owed.set(false);
        let waiting = Waiting { who, owner: self.owner, since: self.since.get(), was_overtaken };
        let waits = protocol::enlist(&self.core, waiting);
        self.has_lock.set(!waits);
        waits
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        protocol::delist(&self.core, waiter)
    }

    fn pass_on(&self) {
        protocol::pass_on(&self.core, self.owner);
    }
}

impl Drop for Attempt<'_> {
    /// A coroutine may be cancelled after it was woken, and before it waits again.
    fn drop(&mut self) {
        if self.is_owed.get() {
            protocol::wake_one(&self.core);
        }
    }
}

thread_local! {
    #[expect(clippy::vec_box, reason = "a mutex's word points to the box: it is not made anew")]
    static LINES: RefCell<Vec<Box<Line<Waiter>>>> = const { RefCell::new(Vec::new()) };
}

impl Queue for Line<Waiter> {
    fn acquire() -> Box<Line<Waiter>> {
        // A thread that is ending keeps none.
        let kept = LINES.try_with(|lines| lines.borrow_mut().pop()).ok().flatten();
        kept.unwrap_or_else(|| Box::new(Line(VecDeque::new())))
    }

    fn release(line: Box<Line<Waiter>>) {
        let _ = LINES.try_with(|lines| {
            let mut lines = lines.borrow_mut();
            if lines.len() < KEPT {
                lines.push(line);
            }
        });
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Not a method: those are the value's.
    pub(super) fn mutex(this: &MutexGuard<'a, T>) -> &'a Mutex<T> {
        this.mutex
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
