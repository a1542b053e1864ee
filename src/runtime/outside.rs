//! A handle by which threads that are none of a runtime's workers spawn coroutines in it.
//!
//! All that can fail is done before the [`door`](crate::scheduler::door): behind it a coroutine is published, and is
//! somebody's to run or to end.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::handle::JoinHandle;
use super::monitor;
use super::spawn::{CoroutineBuilder, Who, settle};
use crate::abi::record::NO_WORKER;
use crate::coroutine::cancel::Target;
use crate::coroutine::current;
use crate::coroutine::join::{TaskHalf, packet};
use crate::error::{Kind, Result};
use crate::scheduler::door::Door;
use crate::scheduler::worker;
use crate::stack::slots;
use crate::sys::{clock, fork};

/// A runtime, for threads that are none of its workers: the callback of a C library, a thread pool, a user interface. As
/// tokio's `Handle`. A value of it is a handle, clones are of the same runtime; none of them keeps that from ending.
///
/// ```
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let outside = coro::run(|| {
///     let handle = coro::Handle::current();
///     let thread = std::thread::spawn(move || {
///         let answer = handle.spawn(|| 6 * 7)?.join().unwrap(); // blocks this thread, and no coroutine
///         sender.send(answer).unwrap();
///         Ok::<_, coro::Error>(handle)
///     });
///     assert_eq!(coro::offload(move || receiver.recv()), Ok(42));
///     thread.join().unwrap()
/// })??;
/// let late = outside.spawn(|| ()).unwrap_err();
/// assert!(late.to_string().contains("main of the runtime has returned"));
/// # Ok::<(), coro::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    door: Arc<Door>,
}

impl Handle {
    /// The runtime that the caller runs in.
    ///
    /// # Panics
    /// Outside a runtime. [`try_current`](Handle::try_current) gives an error instead.
    #[track_caller]
    pub fn current() -> Handle {
        match Handle::try_current() {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }

    /// The runtime that the caller runs in.
    ///
    /// # Errors
    /// Outside a runtime.
    pub fn try_current() -> Result<Handle> {
        Ok(Handle { door: worker::of_user("Handle::current")?.door.clone() })
    }

    /// Starts a coroutine in the runtime, from any thread: see [`spawn`](crate::spawn). It doesn't wait for the coroutine to
    /// begin, which it does when a worker has nothing else to do, or looks for events (with
    /// [`Policy::Backtrack`](crate::Policy::Backtrack): when main waits and nobody is ready); the one worker of a runtime only
    /// when the coroutine that it runs gives way.
    ///
    /// If main returns before it has begun, it is not run, and who joins it is told so, as of any other.
    ///
    /// # Errors
    /// When main of the runtime has returned; in a child process made by `fork`; when there is no stack left.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        CoroutineBuilder::new().spawn_on(self, f)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl CoroutineBuilder {
    /// Starts the coroutine in the runtime that a handle is of, from any thread: see [`Handle::spawn`].
    ///
    /// # Errors
    /// As [`Handle::spawn`]; and for a stack size or a name that [`spawn`](CoroutineBuilder::spawn) refuses.
    #[track_caller]
    pub fn spawn_on<F, T>(self, handle: &Handle, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let caller = Location::caller();
        if worker::current().is_some_and(|worker| Arc::ptr_eq(&worker.door, &handle.door)) {
            return self.spawn_at(f, caller);
        }
        let (task, half) = packet(f);
        let target = let_in(&self, task, &handle.door, caller)?;
        Ok(JoinHandle::new(half, target))
    }
}

/// Makes a coroutine, on a thread that is none of the runtime's workers.
fn let_in(
    options: &CoroutineBuilder,
    task: TaskHalf,
    door: &Door,
    caller: &'static Location<'static>,
) -> Result<Target> {
    const TRIED: &str = "Handle::spawn";
    // The door's lock may be held for ever by a thread that isn't here.
    if fork::is_child() {
        return Err(Kind::Forked { tried: TRIED }.into());
    }
    let class = options.class()?;
    monitor::start();
    let region = door.region;
    let slot = slots::acquire(region, class)?;
    let who = Who {
        id: worker::outside_id(),
        // A coroutine of another runtime's, if it is one.
        parent: current::running().map_or(0, |record| record.id()),
        worker: NO_WORKER,
        now: clock::now(),
    };
    // Taken out of here: what the task owns, which is the user's, must not be dropped under the door's lock.
    let mut task = Some(task);
    let mut target = None;
    door.enter(|| {
        let task = task.take().expect("it is made once");
        target.insert(settle(region, slot, &who, options, task, caller)).record
    });
    target.ok_or_else(|| {
        // SAFETY: it was acquired above, and nobody has run on it, nor was it published.
        unsafe { slots::release(region, slot) };
        Kind::Over { tried: TRIED }.into()
    })
}
