//! Threads that can't be had: workers, and those which do what is offloaded.

use std::mem;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::{fs, thread};

use coro::{Builder, spawn};

/// Threads that can still be had.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    *mut libc::c_void,
) -> i32;

/// In place of libc's: refuses all but the first ones, which no filter of system calls can.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    argument: *mut libc::c_void,
) -> i32 {
    if LEFT.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
        return libc::EAGAIN;
    }
    // SAFETY: the next function of this name is libc's, which is of this type; the caller owes what that asks for.
    unsafe {
        let next = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        assert!(!next.is_null());
        mem::transmute::<*mut libc::c_void, Create>(next)(thread, attributes, start, argument)
    }
}

/// The thread of that number from now on is refused, and all later ones.
pub(super) fn refuse_from(number: usize) {
    LEFT.store(number - 1, SeqCst);
}

/// A runtime of so many workers, which is used.
pub(super) fn workers(count: usize) {
    let result = Builder::new().workers(count).run(|| {
        let handles: Vec<_> = (0..20).map(|n| spawn(move || n)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).sum::<i32>()
    });
    match result {
        Ok(sum) => println!("workers: {count}, sum {sum}"),
        Err(error) => println!("error: {error}"),
    }
}

/// The same, more often than there are places for workers: each time it is refused, nothing stays behind.
pub(super) fn refused_workers(count: usize) {
    const TIMES: usize = 300;
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let start = || Builder::new().workers(count).run(|| unreachable!("it can't start")).unwrap_err();
    let first: coro::Error = start();
    let before = open();
    let same = (0..TIMES).filter(|_| {
        let again: coro::Error = start();
        again.to_string() == first.to_string()
    });
    println!("{} times: {first}; descriptors more: {}", same.count(), open() - before);
}

/// One at a time, and several at once; told is on how many threads they were done, and whether the caller's is one of these.
pub(super) fn offload() {
    let result = Builder::new().workers(1).run(|| {
        let jobs: Vec<_> = (0..8).map(|_| spawn(|| coro::offload(|| thread::current().id()))).collect();
        let mut threads: Vec<_> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
        let is_here = threads.contains(&thread::current().id());
        threads.sort_by_key(|id| format!("{id:?}"));
        threads.dedup();
        println!("jobs done by {} threads, here: {is_here}", threads.len());
    });
    result.unwrap();
}
