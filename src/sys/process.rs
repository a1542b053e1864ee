//! Facts of the process, its threads and its limits.

use std::cell::Cell;
use std::fs;
use std::sync::Once;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd;

/// What vm.max_map_count is where /proc can't be read: the kernel's default.
const DEFAULT_MAX_MAP_COUNT: usize = 65_530;

pub(crate) fn pid() -> u32 {
    unistd::getpid().as_raw() as u32
}

pub(crate) fn thread_id() -> u32 {
    unistd::gettid().as_raw() as u32
}

thread_local! {
    /// 0: it has not been asked for.
    static THREAD_ID: Cell<u32> = const { Cell::new(0) };
}

/// The same without a system call, but for a thread's first one. A child process by `fork` asks again; one by a bare
/// `clone` goes on with its parent's.
#[cold]
#[inline(never)]
pub(crate) fn known_thread_id() -> u32 {
    static FORK: Once = Once::new();
    extern "C" fn forget() {
        THREAD_ID.set(0);
    }
    match THREAD_ID.get() {
        0 => {
            // Should that fail, for want of memory, a child says its parent's thread: a debugger is told wrong, no more.
            FORK.call_once(|| {
                // SAFETY: `forget` stores to a thread-local that needs no initialisation, which a child may do.
                unsafe { libc::pthread_atfork(None, None, Some(forget)) };
            });
            let id = thread_id();
            THREAD_ID.set(id);
            id
        }
        id => id,
    }
}

/// How many files the process could have open at a time, if it raised its limit.
pub(crate) fn most_open_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard)
}

/// How many mappings a process may have.
pub(crate) fn max_map_count() -> usize {
    fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

/// How many mappings this process has now; 0 where /proc can't be read.
pub(crate) fn map_count() -> usize {
    fs::read("/proc/self/maps").map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
}

/// The running thread's stack as the system made it: [low, high). Zeros if it can't be told.
pub(crate) fn native_stack() -> (usize, usize) {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: glibc fills in the attributes of the calling thread.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return (0, 0);
    }
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes were filled in above; the two results have room.
    let failed =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) } != 0;
    // SAFETY: filled in above, destroyed once.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if failed { (0, 0) } else { (low.addr(), low.addr() + size) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn known_thread_id_is_the_threads_own() {
        assert_eq!([(); 2].map(|()| known_thread_id()), [thread_id(); 2]);
        let other = thread::spawn(|| (known_thread_id(), thread_id())).join().unwrap();
        assert_eq!(other.0, other.1);
        assert_ne!(other.0, known_thread_id());
    }

    #[test]
    fn child_process_asks_again() {
        known_thread_id();
        // SAFETY: the child makes system calls and ends; it uses no lock that another thread may have held.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_own = known_thread_id() == thread_id();
            // SAFETY: no destructor of the parent's runs.
            unsafe { libc::_exit(i32::from(!is_own)) };
        }
        let mut status = 0;
        // SAFETY: the status has room.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "it said its parent's thread id");
    }
}
