//! errno: one per thread in libc, one per coroutine in fact.
//!
//! C code that fails, then waits (in a callback, say), and then looks at errno expects its own. It is saved and
//! restored around each switch. libc finds it by a call each time; a worker, which stays on its thread, asks once.

use std::marker::PhantomData;
use std::ptr::NonNull;

/// Where the errno of the thread that asked lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errno {
    place: NonNull<i32>,
    /// Good on that thread only.
    _not_send: PhantomData<*const ()>,
}

impl Errno {
    pub(crate) fn of_this_thread() -> Errno {
        // SAFETY: the call has no preconditions.
        let place = NonNull::new(unsafe { libc::__errno_location() });
        Errno { place: place.expect("every thread has an errno"), _not_send: PhantomData }
    }

    pub(crate) fn get(self) -> i32 {
        // SAFETY: the thread is the one that asked (the value is not Send), so it and its errno live.
        unsafe { self.place.read() }
    }

    pub(crate) fn set(self, errno: i32) {
        // SAFETY: as above.
        unsafe { self.place.write(errno) };
    }
}
