//! Coroutines that may borrow from who spawns them: as `std::thread::scope`.
//!
//! *No borrow outlives its value:* [`scope`] returns, or unwinds, only when its family is empty. A member leaves the family
//! when it was dropped without being run, or as the last thing that its coroutine does; by then its function is gone, and its
//! result, if it wasn't taken, was dropped or lies in a handle, which lives within the scope. The function that is given
//! to `scope` gets a reference only, so it can't prevent the wait by forgetting something; and a coroutine's stack is given
//! back only when it was left, so what is borrowed stays where it is.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use super::family::{Family, Member};
use super::handle::JoinHandle;
use super::spawn::CoroutineBuilder;
use crate::abi::lifetimes::FamilyKind;
use crate::abi::wait::WaitReason;
use crate::coroutine::cancel::{self, Cancelled, Target};
use crate::coroutine::current::{self, CoroutineId};
use crate::coroutine::join::JoinError;
use crate::coroutine::timeout::TimedOut;
use crate::error::Result;
use crate::scheduler::park;
use crate::sync::select::waitable_by;
use crate::sys::lock;

/// Where [`scope`]'s coroutines are spawned.
pub struct Scope<'scope, 'env: 'scope> {
    family: Arc<Family>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, which may spawn coroutines that borrow what lives outside the scope; returns when all of them have ended. As
/// `std::thread::scope`.
///
/// If this coroutine is cancelled, or a [`timeout`](crate::timeout) around the scope passes, its coroutines are cancelled,
/// and still waited for.
///
/// # Panics
/// When `f` does, after the coroutines have ended; and when one of them did whose handle wasn't joined.
///
/// ```
/// coro::run(|| {
///     let words = vec!["some".to_owned(), "words".to_owned()];
///     let mut total = 0;
///     let lengths: Vec<usize> = coro::scope(|scope| {
///         let handles: Vec<_> = words.iter().map(|word| scope.spawn(|| word.len())).collect();
///         scope.spawn(|| total += words.len());
///         handles.into_iter().map(|handle| handle.join().unwrap()).collect()
///     });
///     assert_eq!((lengths, total), (vec![4, 5], 2));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        family: Family::new(FamilyKind::Scope, 0, Location::caller()),
        scope: PhantomData,
        env: PhantomData,
    };
    let family = Arc::clone(&scope.family);
    // Unwind safety: whatever unwinds goes on when all coroutines have ended.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let result = f(&scope);
        // Not shielded: a cancel, or a timeout, is to reach the coroutines. (An error: it could not wait, nor can it below.)
        let _ = family.wait();
        result
    }));
    let is_ended_early =
        result.as_ref().is_err_and(|payload| payload.is::<Cancelled>() || payload.is::<TimedOut>());
    if is_ended_early {
        family.cancel_for_good();
    }
    if family.len() > 0 {
        wait_shielded(&family);
    }
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if family.has_panicked() => panic!("a scoped coroutine panicked"),
        Ok(result) => result,
    }
}

/// Waits for all, whatever is asked of this coroutine; but hands a cancel on.
fn wait_shielded(family: &Arc<Family>) {
    let record = current::running();
    let mut is_handed_on = false;
    let wait = || {
        while family.len() > 0 {
            if !is_handed_on && record.is_some_and(cancel::is_requested) {
                is_handed_on = true;
                family.cancel_for_good();
            }
            if let Err(error) = family.wait_once() {
                // They may have borrowed: there is no going on without them.
                park::abort_unwinding_wait(WaitReason::Group, family.object(), &error);
            }
        }
    };
    match record {
        Some(record) => cancel::shield(record, wait),
        None => {
            let mut wait = wait;
            wait();
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a coroutine within the scope: see [`spawn`](crate::spawn).
    ///
    /// # Panics
    /// If it can't be spawned. [`CoroutineBuilder::spawn_scoped`] gives an error instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match CoroutineBuilder::new().spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("Scope::spawn: {error}"),
        }
    }

    /// Cancels those of the scope's coroutines that there are now: see [`JoinHandle::cancel`].
    ///
    /// # Errors
    /// In a program with `panic = "abort"`.
    pub fn cancel(&self) -> Result<()> {
        self.family.try_cancel("Scope::cancel")
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("alive", &self.family.len()).finish_non_exhaustive()
    }
}

impl CoroutineBuilder {
    /// Starts the coroutine within a [scope](crate::scope), so that it may borrow; as `std::thread::Builder::spawn_scoped`.
    ///
    /// # Errors
    /// As [`spawn`](CoroutineBuilder::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_scoped_at(scope, f, Location::caller(), |_| ())
    }

    /// The same, for callers who have the place, and something to say before it is queued.
    pub(super) fn spawn_scoped_at<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
        caller: &'static Location<'static>,
        introduce: impl FnOnce(Target),
    ) -> Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let member = scope.family.enter();
        let place = member.place();
        let result = Arc::new(Mutex::new(None));
        let child = Child { f, result: Arc::clone(&result), member };
        let run: Box<dyn FnOnce() + Send + 'scope> = Box::new(move || child.run());
        // SAFETY: all that it borrows lives until the scope's family is empty, and what it consists of is dropped before
        // its member leaves that: see the module.
        let run: Box<dyn FnOnce() + Send + 'static> = unsafe { mem::transmute(run) };
        let handle = self.spawn_introduced(run, caller, |target| {
            place.introduce(target);
            introduce(target);
        })?;
        Ok(ScopedJoinHandle { handle, result, family: place.family, scope: PhantomData })
    }
}

/// What a scoped coroutine runs. Its fields are dropped in their order: who leaves the family is the last.
struct Child<F, T> {
    f: F,
    result: Arc<Mutex<Option<T>>>,
    member: Member,
}

impl<F: FnOnce() -> T, T> Child<F, T> {
    fn run(self) {
        /// Counts a panic when it is dropped by one.
        struct Watch(Arc<Family>);
        impl Drop for Watch {
            fn drop(&mut self) {
                if thread::panicking() && !cancel::is_unwinding() {
                    self.0.note_panic(false);
                }
            }
        }
        let Child { f, result, member } = self;
        let _watch = Watch(member.place().family);
        member.keep();
        let value = f();
        *lock::of(&result) = Some(value);
    }
}

/// A scoped coroutine whose result can be had; as `std::thread::ScopedJoinHandle`.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<()>,
    result: Arc<Mutex<Option<T>>>,
    family: Arc<Family>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the coroutine has ended; gives what its function returned.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    pub fn join(self) -> std::result::Result<T, JoinError> {
        match self.handle.join() {
            Ok(()) => {
                let value = lock::of(&self.result).take();
                Ok(value.expect("it has returned, and only its one handle takes the value"))
            }
            Err(error) => {
                if error.is_panic() {
                    self.family.note_panic(true);
                }
                Err(error)
            }
        }
    }

    /// See [`JoinHandle::cancel`].
    ///
    /// # Errors
    /// In a program with `panic = "abort"`.
    pub fn cancel(&self) -> Result<()> {
        self.handle.cancel()
    }

    /// Whether it has ended, so that `join` would not wait.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Its number.
    pub fn id(&self) -> CoroutineId {
        self.handle.id()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}

waitable_by! {
    /// Ready when the coroutine has ended.
    impl[T] ScopedJoinHandle<'_, T>: handle => handle.handle
}
