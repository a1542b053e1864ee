//! The handles by which coroutines are waited for, and ended.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::result::Result;
use std::time::Duration;

use crate::abi::wait::WaitReason;
use crate::coroutine::cancel::Target;
use crate::coroutine::completion::Completion;
use crate::coroutine::current::CoroutineId;
use crate::coroutine::join::{HandleHalf, JoinError};
use crate::coroutine::waiter::Waiter;
use crate::error::{Error, Kind};
use crate::scheduler::cancel;
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::clock;

/// A coroutine whose result can be had; as `std::thread::JoinHandle`. Dropping it detaches the coroutine.
pub struct JoinHandle<T> {
    half: HandleHalf<T>,
    target: Target,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(half: HandleHalf<T>, target: Target) -> JoinHandle<T> {
        JoinHandle { half, target }
    }

    /// Waits until the coroutine has ended; gives what its function returned. On a plain OS thread it blocks that.
    ///
    /// # Errors
    /// If the coroutine panicked (the payload is in the error), or was [cancelled](JoinHandle::cancel), or its runtime's
    /// main returned before it ended; or in a destructor during a panic, when it would have to wait.
    pub fn join(mut self) -> Result<T, JoinError> {
        self.wait()?;
        self.half.take()
    }

    /// As [`join`](JoinHandle::join), for so long at most.
    ///
    /// # Errors
    /// Gives the handle back if the coroutine has not ended by then.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// coro::run(|| {
    ///     let slow = coro::spawn(|| coro::sleep(Duration::from_secs(1000)));
    ///     let slow = slow.join_timeout(Duration::from_millis(1)).unwrap_err();
    ///     slow.cancel()?;
    ///     assert!(slow.join().unwrap_err().is_cancelled());
    ///     Ok::<(), coro::Error>(())
    /// })??;
    /// # Ok::<(), coro::Error>(())
    /// ```
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        match self.wait_timeout(timeout) {
            Ok(true) => Ok(self.half.take()),
            Ok(false) => Err(self),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Waits until the coroutine has ended, and leaves the result where it is. Any number may wait.
    ///
    /// # Errors
    /// In a destructor during a panic, when it would have to wait.
    pub fn wait(&self) -> Result<(), JoinError> {
        self.wait_until(None).map(|_| ())
    }

    /// As [`wait`](JoinHandle::wait), for so long at most; says whether it has ended. In a destructor during a panic nobody
    /// else runs on this thread meanwhile.
    ///
    /// # Errors
    /// In a child process made by `fork`, when it would have to wait.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, JoinError> {
        if self.is_finished() {
            return Ok(true);
        }
        self.wait_until(Some(clock::after(timeout)))
    }

    /// Inlined, so that a join without a deadline knows of none.
    #[inline(always)]
    fn wait_until(&self, deadline: Option<u64>) -> Result<bool, JoinError> {
        let end = End(self.half.completion());
        while !self.is_finished() {
            let woken = park::block_until(WaitReason::Join, self.target.id, &end, deadline);
            if woken.map_err(JoinError::not_waited)? == Woken::Deadline {
                return Ok(self.is_finished());
            }
        }
        Ok(true)
    }

    /// Has the coroutine end: at the next point where it waits it unwinds, so that its values are dropped, and whoever
    /// joins it is told of a [cancel](JoinError::is_cancelled). One that waits now ends now; one that has not begun is not
    /// run. It may be called from anywhere, also from plain OS threads and other runtimes; it does not wait.
    ///
    /// The panic hook isn't called, and this library's locks are not poisoned. Code in [`shield`](crate::shield) is left to
    /// finish first; code that stops the unwinding with `catch_unwind` meets it again at its next wait. A coroutine that
    /// has ended, or was cancelled before, is left alone.
    ///
    /// # Errors
    /// In a program with `panic = "abort"`, where nothing can be unwound.
    ///
    /// ```
    /// coro::run(|| {
    ///     let (_sender, receiver) = coro::sync::channel::<()>(1);
    ///     let waiting = coro::spawn(move || receiver.recv());
    ///     coro::yield_now();
    ///     waiting.cancel()?;
    ///     assert!(waiting.join().unwrap_err().is_cancelled());
    ///     Ok::<(), coro::Error>(())
    /// })??;
    /// # Ok::<(), coro::Error>(())
    /// ```
    pub fn cancel(&self) -> Result<(), Error> {
        if cfg!(panic = "abort") {
            return Err(Kind::Unsupported { tried: "JoinHandle::cancel" }.into());
        }
        if !self.is_finished() {
            cancel::cancel(self.target);
        }
        Ok(())
    }

    /// Whether it has ended, so that `join` would not wait.
    pub fn is_finished(&self) -> bool {
        self.half.completion().is_done()
    }

    /// Its number.
    pub fn id(&self) -> CoroutineId {
        CoroutineId(self.target.id)
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(super) fn completion(&self) -> &Completion {
        self.half.completion()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

// As std's: a result is there whole, or not at all.
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> Sealed for JoinHandle<T> {}

/// Ready when the coroutine has ended.
impl<T> Waitable for JoinHandle<T> {
    fn is_ready(&self) -> bool {
        self.is_finished()
    }
    fn enlist(&self, who: &Token) -> bool {
        self.half.completion().enlist(who.0.clone())
    }
    fn delist(&self, who: &Token) -> bool {
        self.half.completion().delist(&who.0)
    }
    fn told(&self) -> Told {
        Told::new(WaitReason::Join, self.target.id)
    }
}

/// Those who wait for a coroutine's end.
struct End<'a>(&'a Completion);

impl WaitList for End<'_> {
    #[inline(always)]
    fn enlist(&self, waiter: Waiter) -> bool {
        self.0.enlist(waiter)
    }

    #[inline]
    fn delist(&self, waiter: &Waiter) -> bool {
        self.0.delist(waiter)
    }
}
