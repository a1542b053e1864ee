//! Where a coroutine's result waits to be taken: by joining, any time after its end.
//!
//! One allocation holds the function, later its result, and the list of those who wait for it. The slot is not
//! held: it has its next tenant while the result is still here.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, PoisonError};

use super::cancel::Cancelled;
use super::waiter::{Waiter, Waiters};
use crate::error::Error;

/// Why a coroutine has no result.
pub struct JoinError(Cause);

enum Cause {
    Panicked(Box<dyn Any + Send>),
    Cancelled,
    NotWaited(Error),
}

impl JoinError {
    pub(crate) fn not_waited(error: Error) -> JoinError {
        JoinError(Cause::NotWaited(error))
    }

    /// Whether it panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Cause::Panicked(_))
    }

    /// Whether it was ended from outside: its runtime's main returned before it did.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Cause::Cancelled)
    }

    /// What it panicked with, as std's `JoinHandle::join` gives it.
    ///
    /// # Errors
    /// Gives the error back if it did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.0 {
            Cause::Panicked(payload) => Ok(payload),
            other => Err(JoinError(other)),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Panicked(payload) => {
                let text = payload.downcast_ref::<&str>().copied();
                match text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)) {
                    Some(text) => write!(f, "the coroutine panicked: {text}"),
                    None => f.write_str("the coroutine panicked"),
                }
            }
            Cause::Cancelled => {
                f.write_str("the coroutine was cancelled: its runtime's main returned before it ended")
            }
            Cause::NotWaited(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

/// The end of a coroutine, for those who wait for it.
#[derive(Debug)]
pub(crate) struct Completion {
    done: AtomicBool,
    waiters: Mutex<Waiters>,
}

impl Completion {
    fn new() -> Completion {
        Completion { done: AtomicBool::new(false), waiters: Mutex::new(Waiters::new()) }
    }

    /// Whether it has ended. Acquire: pairs with `complete`'s Release, so that the result is seen.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Acquire)
    }

    /// Puts one on the list; says `false` if it has ended, and the waiter need not wait.
    pub(crate) fn enlist(&self, waiter: Waiter) -> bool {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: `complete` takes the list under it after it has set `done`, so that either we see
        // `done`, or it sees us.
        let waits = !self.is_done();
        if waits {
            waiters.push(waiter);
        }
        waits
    }

    /// Takes one off the list; says whether it was still there.
    pub(crate) fn delist(&self, waiter: &Waiter) -> bool {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).remove(waiter)
    }

    /// Marks the end; returns whom to wake.
    pub(crate) fn complete(&self) -> Waiters {
        self.done.store(true, Release);
        mem::take(&mut self.waiters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a coroutine does, as the scheduler sees it.
pub(crate) trait Task: Send + Sync {
    /// Runs the function, to be called once, in the coroutine. Never unwinds.
    fn run(&self);
    /// Drops the function of a coroutine that never ran. To be called once, instead of `run`.
    fn abandon(&self);
    fn completion(&self) -> &Completion;
}

/// What a coroutine does, as who spawned it sees it.
pub(crate) trait Outcome<T>: Send + Sync {
    fn completion(&self) -> &Completion;
    /// The result, once, after the completion is done. To be called by the one handle's owner only.
    fn take(&self) -> Option<Result<T, JoinError>>;
}

enum Stage<F, T> {
    Start(F),
    Ended(Result<T, JoinError>),
    Empty,
}

/// A coroutine's function, then its result.
pub(crate) struct Packet<F, T> {
    completion: Completion,
    stage: UnsafeCell<Stage<F, T>>,
}

// SAFETY: `stage` is used by one at a time: the creator until the coroutine is queued, then `run` or `abandon`
// (called once, by the worker which got the coroutine through a queue that synchronises), and after `completion`
// is done (Release/Acquire) the one owner of the handle. So function and result only move between threads.
unsafe impl<F: Send, T: Send> Sync for Packet<F, T> {}

impl<F, T> Packet<F, T> {
    pub(crate) fn new(function: F) -> Packet<F, T> {
        Packet { completion: Completion::new(), stage: UnsafeCell::new(Stage::Start(function)) }
    }

    fn replace(&self, stage: Stage<F, T>) -> Stage<F, T> {
        // SAFETY: one at a time, see the `Sync` above; no reference to the content leaves this function.
        unsafe { mem::replace(&mut *self.stage.get(), stage) }
    }
}

impl<F: FnOnce() -> T + Send, T: Send> Task for Packet<F, T> {
    fn run(&self) {
        let Stage::Start(function) = self.replace(Stage::Empty) else { return };
        // Unwind safety: what the function has broken it has broken for itself; who joins is told of the panic.
        let result = catch_unwind(AssertUnwindSafe(function)).map_err(|payload| {
            JoinError(if payload.is::<Cancelled>() { Cause::Cancelled } else { Cause::Panicked(payload) })
        });
        self.replace(Stage::Ended(result));
    }

    fn abandon(&self) {
        let function = self.replace(Stage::Ended(Err(JoinError(Cause::Cancelled))));
        // A panic in a destructor has been reported by the hook; it ends nobody else.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(function)));
    }

    fn completion(&self) -> &Completion {
        &self.completion
    }
}

impl<F: Send, T: Send> Outcome<T> for Packet<F, T> {
    fn completion(&self) -> &Completion {
        &self.completion
    }

    fn take(&self) -> Option<Result<T, JoinError>> {
        if !self.completion.is_done() {
            return None;
        }
        match self.replace(Stage::Empty) {
            Stage::Ended(result) => Some(result),
            _ => None,
        }
    }
}
