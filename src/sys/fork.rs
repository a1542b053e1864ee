//! Whether this process is a child by `fork` of one whose runtime it has inherited.
//!
//! A child has the memory, but of the threads only the one that has forked. Locks that others held stay locked, workers are
//! gone, and descriptors (the epoll sets above all) are shared with the parent: so what is inherited is not used.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether the process's runtimes are its parent's.
#[inline]
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Relaxed)
}

/// Has children know it from now on; `forget` is called in a child first, on its one thread.
///
/// # Safety
/// `forget` does nothing that a signal handler must not do.
pub(crate) unsafe fn watch(forget: extern "C" fn()) -> io::Result<()> {
    static FAILURE: OnceLock<i32> = OnceLock::new();
    extern "C" fn note() {
        IS_CHILD.store(true, Relaxed);
    }
    let failure = *FAILURE.get_or_init(|| {
        // SAFETY: `note` stores to an atomic; `forget` as the caller says.
        unsafe {
            match libc::pthread_atfork(None, None, Some(note)) {
                0 => libc::pthread_atfork(None, None, Some(forget)),
                failure => failure,
            }
        }
    });
    if failure == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failure)) }
}
