//! Waiting for one or all of several coroutines.

use std::time::Duration;

use super::handle::JoinHandle;
use crate::abi::wait::WaitReason;
use crate::coroutine::join::JoinError;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList};
use crate::sys::clock;

/// Joins all; their results in the same order.
///
/// ```
/// coro::run(|| {
///     let squares = coro::join_all((1..=3).map(|n| coro::spawn(move || n * n)));
///     let squares: Vec<i32> = squares.into_iter().collect::<Result<_, _>>().unwrap();
///     assert_eq!(squares, [1, 4, 9]);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<Result<T, JoinError>> {
    // All of them first: an iterator that spawns is to have spawned them all before one is waited for.
    let handles: Vec<_> = handles.into_iter().collect();
    handles.into_iter().map(JoinHandle::join).collect()
}

/// Waits until one of several coroutines has ended; its place among them. `None`: there are none.
///
/// # Errors
/// In a destructor during a panic, when it would have to wait.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let racers = [1000, 0].map(|seconds| coro::spawn(move || coro::sleep(Duration::from_secs(seconds))));
///     assert_eq!(coro::wait_any(&racers).unwrap(), Some(1));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn wait_any<T>(handles: &[JoinHandle<T>]) -> Result<Option<usize>, JoinError> {
    wait_any_timeout(handles, Duration::MAX)
}

/// As [`wait_any`], for so long at most: `None` also when none of them has ended by then. In a destructor during a panic
/// nobody else runs on this thread meanwhile.
///
/// # Errors
/// In a child process made by `fork`, when it would have to wait.
pub fn wait_any_timeout<T>(handles: &[JoinHandle<T>], timeout: Duration) -> Result<Option<usize>, JoinError> {
    let Some(first) = handles.first() else { return Ok(None) };
    let deadline = clock::after(timeout);
    loop {
        let ended = handles.iter().position(JoinHandle::is_finished);
        if ended.is_some() || clock::now() >= deadline {
            return Ok(ended);
        }
        let ends = AnyEnd(handles);
        park::block_until(WaitReason::Join, first.target().id, &ends, Some(deadline))
            .map_err(JoinError::not_waited)?;
    }
}

/// Those who wait for the first end among several.
struct AnyEnd<'a, T>(&'a [JoinHandle<T>]);

impl<T> WaitList for AnyEnd<'_, T> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let all = self.0.iter().all(|handle| handle.completion().enlist(waiter.clone()));
        if !all {
            self.delist(&waiter);
        }
        all
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        // From all of them: no short cut at the first one.
        self.0.iter().filter(|handle| handle.completion().delist(waiter)).count() > 0
    }

    fn is_several(&self) -> bool {
        true
    }
}
