//! The environment's switches. One that is there and empty is as one that isn't: `CORO_CRASH= ./main` is how a shell, a
//! unit file or a container takes back what was set further out.

use std::env;
use std::ffi::OsString;

/// A variable's value, if it has one.
pub(crate) fn value(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
