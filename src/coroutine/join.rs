//! Where a coroutine's result waits to be taken: by joining, any time after its end.
//!
//! One allocation, the *packet*, holds the function, later its result, and the list of those who wait for it. The
//! slot is not held: it has its next tenant while the result is still here. Two halves own the packet, the
//! coroutine's ([`TaskHalf`]) and the handle's ([`HandleHalf`]); who goes last frees it, which the completion's word
//! tells, so that there is no count of references to keep.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::cancel::Cancelled;
use super::completion::Completion;
use super::waiter::Waiters;
use crate::error::Error;
use crate::sys::unwind;

/// Why a coroutine has no result.
pub struct JoinError(Cause);

enum Cause {
    Panicked(Payload),
    Cancelled,
    NotWaited(Error),
}

/// What a coroutine panicked with.
struct Payload(Box<dyn Any + Send>);

// SAFETY: by reference it gives its text only: it is asked for its type, which runs no code of its own, and read if that is
// `&str` or `String`. All else takes it by value.
unsafe impl Sync for Payload {}

impl Payload {
    fn text(&self) -> Option<&str> {
        let text = self.0.downcast_ref::<&str>().copied();
        text.or_else(|| self.0.downcast_ref::<String>().map(String::as_str))
    }
}

impl JoinError {
    pub(crate) fn not_waited(error: Error) -> JoinError {
        JoinError(Cause::NotWaited(error))
    }

    /// Whether it panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Cause::Panicked(_))
    }

    /// Whether it was ended from outside: by [`cancel`](crate::JoinHandle::cancel), or because its runtime's main
    /// returned before it did.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Cause::Cancelled)
    }

    /// What it panicked with, as std's `JoinHandle::join` gives it.
    ///
    /// # Errors
    /// Gives the error back if it did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.0 {
            Cause::Panicked(payload) => Ok(payload.0),
            other => Err(JoinError(other)),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Panicked(payload) => match payload.text() {
                Some(text) => write!(f, "the coroutine panicked: {text}"),
                None => f.write_str("the coroutine panicked"),
            },
            Cause::Cancelled => {
                f.write_str("the coroutine was cancelled, or its runtime's main returned, before it ended")
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

/// What a coroutine does, as the scheduler sees it.
pub(crate) trait Task {
    /// Runs the function, to be called once, in the coroutine. Never unwinds.
    fn run(&self);
    /// Drops the function of a coroutine that is not to run. To be called once, instead of `run`. Never unwinds.
    fn abandon(&self);
}

/// What a coroutine does, as who spawned it sees it.
trait Outcome<T> {
    /// The result. To be called once, after the completion is done, by the one handle's owner.
    fn take(&self) -> Result<T, JoinError>;
}

/// A packet for a function, as its two owners. A function that isn't Send stays on this thread: the coroutine's half does.
pub(crate) fn packet<F, T>(function: F) -> (TaskHalf, HandleHalf<T>)
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let stage = UnsafeCell::new(Stage::Start(Some(function)));
    // Written where it is to lie: it is not built on the stack and then moved.
    let packet = Box::write(Box::new_uninit(), Packet { completion: Completion::new(), stage });
    let packet = NonNull::from(Box::leak(packet));
    (TaskHalf(packet), HandleHalf(packet))
}

/// The coroutine's half of a packet. Where the function may be run or dropped is for who spawns to see to.
pub(crate) struct TaskHalf(NonNull<dyn Task>);

impl TaskHalf {
    /// The packet's address and what it is, in two words, to be put together again by [`TaskHalf::from_words`].
    #[inline]
    pub(super) fn into_words(self) -> [*mut (); 2] {
        let packet = mem::ManuallyDrop::new(self).0;
        // SAFETY: a pointer to a trait object is two words.
        unsafe { mem::transmute(packet) }
    }

    /// # Safety
    /// The words are those of an `into_words`, and are used here once.
    #[inline]
    pub(super) unsafe fn from_words(words: [*mut (); 2]) -> TaskHalf {
        // SAFETY: the caller says that they are of a pointer to a trait object, which isn't null.
        TaskHalf(unsafe { mem::transmute::<[*mut (); 2], NonNull<dyn Task>>(words) })
    }

    #[inline]
    pub(crate) fn run(&self) {
        self.task().run();
    }

    pub(crate) fn abandon(&self) {
        self.task().abandon();
    }

    #[inline]
    fn task(&self) -> &dyn Task {
        // SAFETY: the packet lives as long as one of its halves.
        unsafe { self.0.as_ref() }
    }

    /// Marks the end; returns whom to wake, and the packet, to be dropped, if the handle is gone.
    #[inline]
    pub(crate) fn complete(self) -> (Waiters, Option<Box<dyn Task>>) {
        let packet = mem::ManuallyDrop::new(self).0;
        // SAFETY: the packet lives until the completion is done, and after that this half doesn't touch it, but if
        // it is told that the other half is gone: then it is this one's.
        unsafe {
            let (waiters, is_last) = Completion::complete(packet.cast::<Completion>().as_ptr());
            (waiters, is_last.then(|| Box::from_raw(packet.as_ptr())))
        }
    }
}

impl Drop for TaskHalf {
    /// One that was never to run: the spawn has failed.
    fn drop(&mut self) {
        self.abandon();
        // Nobody uses this one after its drop, so that the packet has one such half as before.
        let (waiters, packet) = TaskHalf(self.0).complete();
        debug_assert!(waiters.is_empty(), "somebody waits for a coroutine that was never spawned");
        drop(packet);
    }
}

/// The handle's half of a packet.
pub(crate) struct HandleHalf<T>(NonNull<dyn Outcome<T>>);

// SAFETY: the result may be taken or dropped on another thread if it is Send; and the function never is here, Send or
// not: `run` and `abandon` take it out of the packet before the coroutine's half completes, and until then that half keeps
// the packet.
unsafe impl<T: Send> Send for HandleHalf<T> {}
// SAFETY: a shared handle gives the completion only, which synchronises itself; `take` wants the handle whole.
unsafe impl<T> Sync for HandleHalf<T> {}

impl<T> HandleHalf<T> {
    #[inline]
    pub(crate) fn completion(&self) -> &Completion {
        // SAFETY: the packet lives as long as one of its halves, and begins with its completion.
        unsafe { self.0.cast::<Completion>().as_ref() }
    }

    /// The result. To be called once, when the coroutine has ended.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<T, JoinError> {
        // SAFETY: as above.
        unsafe { self.0.as_ref() }.take()
    }
}

impl<T> Drop for HandleHalf<T> {
    fn drop(&mut self) {
        // SAFETY: the packet lives as long as one of its halves; if the other one is gone, it is this one's.
        unsafe {
            if self.completion().detach() {
                drop(Box::from_raw(self.0.as_ptr()));
            }
        }
    }
}

/// Options that are emptied, and not stages that are exchanged: what is moved is the function alone, or the result.
enum Stage<F, T> {
    /// `None` while the function runs.
    Start(Option<F>),
    /// `None` when it was taken.
    Ended(Option<Result<T, JoinError>>),
}

/// A coroutine's function, then its result.
#[repr(C)]
struct Packet<F, T> {
    /// First, so that both halves find it without knowing `F` and `T`.
    completion: Completion,
    /// Used by one at a time: the creator until the coroutine is queued, then `run` or `abandon` (called once, by
    /// the worker which got the coroutine through a queue that synchronises), and after the completion is done
    /// (Release/Acquire) the one owner of the handle. A reference to it lives for a move, and never while foreign code
    /// runs.
    stage: UnsafeCell<Stage<F, T>>,
}

impl<F, T> Packet<F, T> {
    #[inline]
    fn take_function(&self) -> Option<F> {
        // SAFETY: one at a time, see `stage`.
        match unsafe { &mut *self.stage.get() } {
            Stage::Start(function) => function.take(),
            Stage::Ended(_) => None,
        }
    }

    /// Leaves the result for who joins, after `take_function`.
    #[inline]
    fn end(&self, result: Result<T, JoinError>) {
        // SAFETY: one at a time, see `stage`. The function is out of it, so that none is dropped here.
        unsafe { *self.stage.get() = Stage::Ended(Some(result)) };
    }
}

impl<F: FnOnce() -> T, T> Task for Packet<F, T> {
    fn run(&self) {
        let Some(function) = self.take_function() else { return };
        // Unwind safety: what the function has broken it has broken for itself; who joins is told of the panic.
        self.end(catch_unwind(AssertUnwindSafe(function)).map_err(|payload| {
            JoinError(if payload.is::<Cancelled>() {
                Cause::Cancelled
            } else {
                Cause::Panicked(Payload(payload))
            })
        }));
    }

    fn abandon(&self) {
        let function = self.take_function();
        self.end(Err(JoinError(Cause::Cancelled)));
        unwind::contain(|| drop(function));
    }
}

impl<F, T> Outcome<T> for Packet<F, T> {
    fn take(&self) -> Result<T, JoinError> {
        assert!(self.completion.is_done(), "a result is taken before there is one");
        // SAFETY: one at a time, see `stage`: it is done.
        let result = match unsafe { &mut *self.stage.get() } {
            Stage::Start(_) => None,
            Stage::Ended(result) => result.take(),
        };
        result.expect("the one handle takes the result once")
    }
}
