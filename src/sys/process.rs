//! Facts of the process, its threads and its limits.

use std::fs;

use nix::unistd;

/// What vm.max_map_count is where /proc can't be read: the kernel's default.
const DEFAULT_MAX_MAP_COUNT: usize = 65_530;

pub(crate) fn pid() -> u32 {
    unistd::getpid().as_raw() as u32
}

pub(crate) fn thread_id() -> u32 {
    unistd::gettid().as_raw() as u32
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
