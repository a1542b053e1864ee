//! A time limit for any code that waits.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

pub use crate::coroutine::timeout::ScopeId;
use crate::coroutine::timeout::{self as scopes, TimedOut};
use crate::coroutine::{cancel, current};
use crate::error::{Error, Kind};
use crate::sys::clock;

/// Why [`timeout`] has no result.
pub struct Elapsed(Cause);

enum Cause {
    Elapsed { scope: ScopeId, limit: Duration },
    Refused(Error),
}

impl Elapsed {
    /// The number of the scope whose time has passed; `None` if it could not be begun, and the code was not run.
    pub fn scope(&self) -> Option<ScopeId> {
        match self.0 {
            Cause::Elapsed { scope, .. } => Some(scope),
            Cause::Refused(_) => None,
        }
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Elapsed { scope, limit } => {
                write!(f, "the time limit of {limit:?} has passed (timeout scope {scope})")
            }
            Cause::Refused(error) => error.fmt(f),
        }
    }
}

/// The sentence, as [`Error`]'s.
impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elapsed({self})")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        match elapsed.0 {
            Cause::Elapsed { .. } => io::Error::new(io::ErrorKind::TimedOut, elapsed),
            Cause::Refused(error) => error.into(),
        }
    }
}

/// Runs `f`, for so long at most: when the time has passed, `f` is unwound at the point where it waits, or at its next
/// wait, so that its values are dropped. The code may be any, and need know nothing of it.
///
/// It ends by the same unwinding as a [cancel](crate::JoinHandle::cancel): no panic hook, no poison for this library's
/// locks, not within a [`shield`](crate::shield), and what `catch_unwind` stops comes again at the next wait. Scopes may be
/// nested: each ends with its own error, and the outermost whose time has passed is first. Code that doesn't wait isn't
/// interrupted; what it returns is returned, though it be late.
///
/// # Errors
/// When the time has passed; and, without calling `f`: outside a runtime, and in a program with `panic = "abort"`, where
/// nothing can be unwound.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let late = coro::timeout(Duration::from_millis(1), || coro::sleep(Duration::from_secs(1000)));
///     assert!(late.unwrap_err().to_string().starts_with("the time limit of 1ms has passed"));
///     assert_eq!(coro::timeout(Duration::from_secs(1000), || 42).unwrap(), 42);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let refused = |kind: Kind| Elapsed(Cause::Refused(kind.into()));
    if cfg!(panic = "abort") {
        return Err(refused(Kind::Unsupported { tried: "coro::timeout" }));
    }
    let record = current::running().ok_or_else(|| refused(current::outside("coro::timeout")))?;
    let begun = scopes::begin(record, clock::after(limit));
    // Unwind safety: all that `f` has broken is behind the one unwinding that is stopped here, which the caller is told.
    let result = catch_unwind(AssertUnwindSafe(f));
    let scope = begun.id;
    drop(begun);
    result.map_err(|payload| match payload.downcast::<TimedOut>() {
        Ok(passed) if passed.0 == scope => {
            cancel::finish(record);
            Elapsed(Cause::Elapsed { scope, limit })
        }
        Ok(outer) => resume_unwind(outer),
        Err(other) => resume_unwind(other),
    })
}
