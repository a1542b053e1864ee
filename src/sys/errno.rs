//! errno: one per thread in libc, one per coroutine in fact.
//!
//! C code that fails, then waits (in a callback, say), and then looks at errno expects its own. It is saved and
//! restored around each switch (2.9 ns).

use nix::errno::Errno;

pub(crate) fn get() -> i32 {
    Errno::last_raw()
}

pub(crate) fn set(errno: i32) {
    Errno::set_raw(errno);
}
