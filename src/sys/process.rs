//! Facts of the process, its threads and its limits.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::Once;
use std::{fs, ptr};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd;

use super::memory::PAGE;

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
    stack_of_main().or_else(asked_stack).unwrap_or((0, 0))
}

/// A stack up to this size has its place below the process's first mappings, whatever else is mapped: the kernel leaves a
/// gap of that size at least.
const GAP: u64 = 128 << 20;

/// The same on the process's first thread, for which glibc would read all of /proc/self/maps: 40 µs, a
/// thirtieth of a short program's whole time.
fn stack_of_main() -> Option<(usize, usize)> {
    if thread_id() != pid() {
        return None;
    }
    // SAFETY: it reads what the kernel has told the process.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    if name == 0 {
        return None;
    }
    // SAFETY: the kernel has put the program's name there, which ends with a NUL, at its stack's very top; nobody unmaps it.
    let name = unsafe { CStr::from_ptr(ptr::with_exposed_provenance(name)) }.to_bytes_with_nul();
    // Behind it lies an empty word, and the stack's end. Elsewhere (under valgrind, say) it is not the kernel's stack.
    let high = name.as_ptr().addr() + name.len() + size_of::<usize>();
    let (limit, _) = getrlimit(Resource::RLIMIT_STACK).ok().filter(|(limit, _)| *limit <= GAP)?;
    let low = high.checked_sub(limit as usize)?.next_multiple_of(PAGE);
    high.is_multiple_of(PAGE).then_some((low, high))
}

/// The same for any thread, as glibc tells.
fn asked_stack() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: glibc fills in the attributes of the calling thread.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut low, mut size) = (ptr::null_mut(), 0);
    // SAFETY: the attributes were filled in above; the two results have room.
    let failed =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) } != 0;
    // SAFETY: filled in above, destroyed once.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    (!failed).then(|| (low.addr(), low.addr() + size))
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::thread;

    use super::*;

    /// What the first thread was told of its stack: by the kernel, and by glibc.
    static OF_FIRST: OnceLock<[Option<(usize, usize)>; 2]> = OnceLock::new();

    /// Runs on the first thread, before its `main`: tests have threads of their own.
    #[unsafe(link_section = ".init_array")]
    #[used]
    static AT_START: extern "C" fn() = {
        extern "C" fn ask() {
            OF_FIRST.get_or_init(|| [stack_of_main(), asked_stack()]);
        }
        ask
    };

    #[test]
    fn stack_of_the_first_thread_ends_where_the_kernel_says() {
        let [told, asked] = OF_FIRST.get().expect("it was asked at the start").map(Option::unwrap);
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let of_kernel = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let (_, end) = of_kernel.split_whitespace().next().unwrap().split_once('-').unwrap();
        assert_eq!(told.1, usize::from_str_radix(end, 16).unwrap());
        // glibc leaves out what lies above the first frame.
        assert!(told.0 == asked.0 && asked.1 <= told.1, "{told:#x?}, {asked:#x?}");
        assert_eq!(stack_of_main(), None, "this is another thread");
        assert_eq!(native_stack(), asked_stack().unwrap());
    }

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
