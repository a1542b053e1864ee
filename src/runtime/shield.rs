//! What is not to be cut short.

use crate::coroutine::{cancel, current};

/// Runs `f` to its end: a [cancel](crate::JoinHandle::cancel) that comes meanwhile, and a [`timeout`](crate::timeout)
/// that began outside, take effect at the first wait after it. Shields may be nested. Outside a runtime it only calls
/// `f`.
///
/// For what must not be left half done, and for callbacks of C code that wait: an unwinding that reaches an `extern "C"`
/// function ends the process.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let saving = coro::spawn(|| {
///         coro::shield(|| coro::sleep(Duration::from_millis(1))); // to its end
///         coro::yield_now(); // ends here
///         unreachable!();
///     });
///     coro::yield_now();
///     saving.cancel()?;
///     assert!(saving.join().unwrap_err().is_cancelled());
///     Ok::<(), coro::Error>(())
/// })??;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    match current::running() {
        Some(record) => cancel::shield(record, f),
        None => f(),
    }
}
