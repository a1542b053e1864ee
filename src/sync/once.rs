//! What is done once: [`Once`] and [`OnceLock`].

use std::cell::UnsafeCell;
use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::Duration;

use super::ground::{self, Ground, List};
use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::coroutine::{cancel, current};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::atomic::Atomic;
use crate::sys::clock;

/// Of the head's count.
const TO_DO: u64 = 0;
const BEING_DONE: u64 = 1;
const DONE: u64 = 2;
const POISONED: u64 = 3;

/// Something that is done once, by the first who comes; all others wait until it is done. As `std::sync::Once`, but that the
/// function may wait, and that the one of `call_once_force` isn't told whether an earlier one has panicked.
///
/// ```
/// static SETUP: coro::sync::Once = coro::sync::Once::new();
///
/// coro::run(|| {
///     let callers: Vec<_> = (0..3).map(|_| coro::spawn(|| SETUP.call_once(|| coro::yield_now()))).collect();
///     callers.into_iter().for_each(|caller| caller.join().unwrap());
///     assert!(SETUP.is_completed());
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[repr(C)]
pub struct Once {
    head: SyncHead,
    waiting: Mutex<Waiters>,
}

const _: () = assert!(mem::offset_of!(Once, head) == 0, "its address is its head's");

impl Once {
    /// One that is to be done.
    pub const fn new() -> Once {
        Once { head: SyncHead::new(TO_DO, 0), waiting: Mutex::new(Waiters::new()) }
    }

    /// Calls `f`, if that was never done; returns when it has been done, by whomever.
    ///
    /// # Panics
    /// If an earlier `f` has panicked.
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(false, f);
        }
    }

    /// As `call_once`, also after an earlier `f` has panicked.
    pub fn call_once_force(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(true, f);
        }
    }

    /// Waits until it has been done, by whomever.
    ///
    /// # Panics
    /// If `f` has panicked.
    #[track_caller]
    pub fn wait(&self) {
        while !self.is_completed() {
            assert!(
                self.head.count.load(Relaxed) != POISONED,
                "coro::sync::Once: its function has panicked before"
            );
            self.wait_for_change(&[TO_DO, BEING_DONE], None);
        }
    }

    /// Waits until it has been done, for `timeout` at the longest; says whether it has been.
    ///
    /// # Panics
    /// If `f` has panicked.
    ///
    /// ```
    /// let once = coro::sync::Once::new();
    /// assert!(!once.wait_timeout(std::time::Duration::from_millis(1)));
    /// once.call_once(|| ());
    /// assert!(once.wait_timeout(std::time::Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let deadline = clock::after(timeout);
        while !self.is_completed() {
            assert!(
                self.head.count.load(Relaxed) != POISONED,
                "coro::sync::Once: its function has panicked before"
            );
            if self.wait_for_change(&[TO_DO, BEING_DONE], Some(deadline)) == Woken::Deadline {
                return self.is_completed();
            }
        }
        true
    }

    /// Whether it has been done.
    #[inline]
    pub fn is_completed(&self) -> bool {
        is_done(&self.head.count)
    }

    #[cold]
    #[track_caller]
    fn call(&self, is_forced: bool, f: impl FnOnce()) {
        loop {
            match begin(&self.head.count, &self.waiting, is_forced) {
                DONE => return,
                TO_DO => break,
                BEING_DONE => {
                    self.wait_for_change(&[BEING_DONE], None);
                }
                _ => panic!(
                    "coro::sync::Once: its function has panicked before; call_once_force calls another one"
                ),
            }
        }
        self.head.owner.store(current::owner(), Relaxed);
        let attempt = Attempt(self);
        f();
        mem::forget(attempt);
        self.settle(DONE);
    }

    /// Says what has become of it.
    fn settle(&self, state: u64) {
        self.head.owner.store(0, Relaxed);
        settle(&self.head.count, &self.waiting, state);
    }

    fn wait_for_change(&self, states: &[u64], deadline: Option<u64>) -> Woken {
        let object = ptr::from_ref(&self.head).addr() as u64;
        match park::block_until(WaitReason::Once, object, &Listed { once: self, states }, deadline) {
            Ok(woken) => woken,
            Err(error) => park::abort_unwinding_wait(WaitReason::Once, object, &error),
        }
    }
}

/// Whether it has been done.
#[inline(always)]
fn is_done(state: &impl Atomic<u64>) -> bool {
    // Acquire: pairs with `settle`'s Release.
    state.load(Acquire) == DONE
}

/// Comes to do it; says in what state it was. `TO_DO`: the caller is the one who does it now, and settles it.
fn begin(state: &impl Atomic<u64>, waiting: &impl Ground, is_forced: bool) -> u64 {
    waiting.with(|_| match state.load(Acquire) {
        POISONED if !is_forced => POISONED,
        TO_DO | POISONED => {
            state.store(BEING_DONE, Relaxed);
            TO_DO
        }
        other => other,
    })
}

/// Says what has become of it, and wakes all who wait for that.
fn settle(state: &impl Atomic<u64>, waiting: &impl Ground, to: u64) {
    ground::wake_all(waiting, || state.store(to, Release));
}

/// Puts one on the list as long as it is in one of the states.
fn enlist<G: Ground>(
    state: &impl Atomic<u64>,
    waiting: &G,
    who: <G::List as List>::Who,
    states: &[u64],
) -> bool {
    ground::enlist(waiting, who, || states.contains(&state.load(Relaxed)))
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("is_completed", &self.is_completed()).finish_non_exhaustive()
    }
}

/// It is being done, and unwinds if this is dropped.
struct Attempt<'a>(&'a Once);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // One that was cancelled has shown nothing to be wrong: the next one may try.
        let is_panic = thread::panicking() && !cancel::is_unwinding();
        self.0.settle(if is_panic { POISONED } else { TO_DO });
    }
}

/// Who waits as long as it is in one of these states.
struct Listed<'a> {
    once: &'a Once,
    states: &'a [u64],
}

impl WaitList for Listed<'_> {
    fn enlist(&self, waiter: Waiter) -> bool {
        enlist(&self.once.head.count, &self.once.waiting, waiter, self.states)
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        ground::delist(&self.once.waiting, waiter)
    }
}

/// A value that is made once, by the first who wants it; as `std::sync::OnceLock`.
///
/// ```
/// static CONFIG: coro::sync::OnceLock<String> = coro::sync::OnceLock::new();
///
/// coro::run(|| {
///     let config = CONFIG.get_or_init(|| {
///         coro::yield_now(); // others who want it wait meanwhile
///         "read".to_owned()
///     });
///     assert_eq!(config, "read");
///     assert_eq!(CONFIG.set("another".into()), Err("another".into()));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[repr(C)]
pub struct OnceLock<T> {
    once: Once,
    /// There when `once` is done.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written once, by the one who does it (so it moves there: Send), before anybody gets a reference
// (so it is shared: Sync).
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: the lock owns the value.
unsafe impl<T: Send> Send for OnceLock<T> {}
// As std's: a value that is not whole is never seen.
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// One without a value.
    pub const fn new() -> OnceLock<T> {
        OnceLock { once: Once::new(), value: UnsafeCell::new(None) }
    }

    /// The value, if it has been made.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: it is done, and nobody writes to the value after that but with `&mut self`.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// The value, if it has been made.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Gives it its value; if somebody else is making one, waits for that.
    ///
    /// # Errors
    /// If it has one already: the new one is in the error.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("a value is made once"));
        value.map_or(Ok(()), Err)
    }

    /// The value, made by `f` if there is none. `f` may wait; others who come meanwhile wait for it. If it panics there is
    /// still no value, and the next one's `f` is called.
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        if self.get().is_none() {
            self.once.call_once_force(|| {
                let value = f();
                // SAFETY: the one who does it is alone with the value, until it is done.
                unsafe { *self.value.get() = Some(value) };
            });
        }
        self.get().expect("it was made just now")
    }

    /// The value; waits until somebody has made it.
    pub fn wait(&self) -> &T {
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            self.once.wait_for_change(&[TO_DO, BEING_DONE, POISONED], None);
        }
    }

    /// The value; waits until somebody has made it, for `timeout` at the longest.
    ///
    /// ```
    /// let lock = coro::sync::OnceLock::new();
    /// assert_eq!(lock.wait_timeout(std::time::Duration::from_millis(1)), None);
    /// lock.set(7).unwrap();
    /// assert_eq!(lock.wait_timeout(std::time::Duration::ZERO), Some(&7));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        let deadline = clock::after(timeout);
        while self.get().is_none() {
            let woken = self.once.wait_for_change(&[TO_DO, BEING_DONE, POISONED], Some(deadline));
            if woken == Woken::Deadline {
                break;
            }
        }
        self.get()
    }

    /// The value, by somebody who has the lock alone.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out: there is none then.
    pub fn take(&mut self) -> Option<T> {
        self.once = Once::new();
        self.value.get_mut().take()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get().cloned().map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        OnceLock {
            once: Once { head: SyncHead::new(DONE, 0), ..Once::new() },
            value: UnsafeCell::new(Some(value)),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
