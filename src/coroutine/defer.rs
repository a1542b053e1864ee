//! `defer`: functions which run when the coroutine ends, however it ends.
//!
//! A finished coroutine is not always joined, so what has to be done at its end needs a place (as Go's `defer`,
//! but per coroutine, not per function).

use super::current::{outside, running};
use super::extra;
use crate::error::Result;
use crate::sys::unwind;

/// Runs `f` at the running coroutine's end: after its function has returned, panicked or been cancelled, the
/// last deferred first. `f` may wait; a panic in it is reported and ends nothing else.
///
/// # Errors
/// Outside a runtime: nothing ends there.
///
/// ```
/// coro::run(|| {
///     let (sender, log) = coro::sync::channel(4);
///     let task = coro::spawn(move || {
///         let late = sender.clone();
///         coro::defer(move || late.send("deferred").unwrap())?;
///         sender.send("body").unwrap();
///         Ok::<(), coro::Error>(())
///     });
///     task.join().unwrap()?;
///     assert_eq!([log.recv(), log.recv()], [Ok("body"), Ok("deferred")]);
///     Ok::<(), coro::Error>(())
/// })??;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn defer(f: impl FnOnce() + 'static) -> Result<()> {
    let record = running().ok_or_else(|| outside("coro::defer"))?;
    extra::get_or_make(record).deferred.borrow_mut().push(Box::new(f));
    Ok(())
}

/// Runs the deferred functions, also those that they defer.
pub(super) fn run_all(extra: &extra::Extra) {
    loop {
        let last = extra.deferred.borrow_mut().pop();
        let Some(deferred) = last else { return };
        unwind::contain(deferred);
    }
}
