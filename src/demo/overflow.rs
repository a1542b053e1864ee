//! Stack overflows to look at: the crash report says what happened, and the process dies of SIGSEGV. That is what is to be
//! seen.

use super::cli::Overflow;
use super::{Problem, hints, run_with_room_for, say};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ptr;

/// The stack of the coroutine that overflows.
const STACK: usize = 192 << 10;
const PAGE: usize = 4096;

/// `main overflow`.
pub(super) fn run(how: Overflow) -> Result<(), Problem> {
    run_with_room_for(8, || {
        let (name, what) = match how {
            Overflow::Recursion => ("recursion", "calls itself until its stack ends"),
            Overflow::Mutual => ("mutual", "runs two functions that call each other until its stack ends"),
            Overflow::Frame => ("frame", "enters a function whose array is larger than its stack"),
            Overflow::Malloc => ("malloc", "allocates in a recursion, so that its stack ends within malloc"),
            Overflow::Callback => ("callback", "sorts by C's qsort, whose comparison goes too deep"),
            Overflow::Signal => ("signal", "gets a signal when there is no room for its handler"),
        };
        say(&format!("a coroutine named overflow {what}; SIGSEGV comes next"));
        say(&hints::overflow(name));
        let ended = coro::CoroutineBuilder::new()
            .name("overflow")
            .stack_size(STACK)
            .spawn(move || match how {
                Overflow::Recursion => recurse(0),
                Overflow::Mutual => ping(0),
                Overflow::Frame => large_frame(),
                Overflow::Malloc => allocate(0),
                Overflow::Callback => sort(),
                Overflow::Signal => get_a_signal(),
            })
            .map_err(|error| Problem::new(format!("could not start the coroutine: {error}")))?
            .join();
        Err(Problem::new(format!("the coroutine ended, which it should not have: {ended:?}")))
    })
}

/// Goes down a few hundred bytes a call.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let local = black_box([depth; 32]);
    // Never true, but the compiler doesn't know.
    if black_box(depth) == u64::MAX {
        return depth;
    }
    // The sum comes after the call, so that it is no tail call and the frame stays.
    recurse(depth + 1) + local[31]
}

#[inline(never)]
fn ping(depth: u64) -> u64 {
    let local = black_box([depth; 8]);
    if black_box(depth) == u64::MAX { depth } else { pong(depth + 1) + local[7] }
}

#[inline(never)]
fn pong(depth: u64) -> u64 {
    let local = black_box([depth; 64]);
    if black_box(depth) == u64::MAX { depth } else { ping(depth + 1) + local[63] }
}

/// Goes down a mebibyte at once. The compiler touches each page on the way, so it can't jump over
/// a redzone.
#[inline(never)]
fn large_frame() -> u64 {
    let array = black_box([1u8; 1024 * 1024]);
    array.iter().map(|&byte| u64::from(byte)).sum()
}

/// Goes down less in a call than malloc needs: so it is malloc that finds no room, often with its lock held.
#[inline(never)]
fn allocate(depth: u64) -> u64 {
    // SAFETY: what malloc gives is given back, once.
    unsafe {
        let memory = black_box(libc::malloc(depth as usize * 7919 % 3000 + 1));
        let below = if black_box(depth) == u64::MAX { depth } else { allocate(depth + 1) };
        libc::free(memory);
        below + 1
    }
}

/// The stack ends in Rust code that C code has called.
#[inline(never)]
fn sort() -> u64 {
    extern "C" fn compare(left: *const c_void, right: *const c_void) -> c_int {
        // SAFETY: qsort passes pointers to elements.
        let (left, right) = unsafe { (*left.cast::<u64>(), *right.cast::<u64>()) };
        // The sum of both: something to do that goes deep.
        (recurse(left) > recurse(right)).into()
    }
    let mut numbers = [3_u64, 1, 2];
    // SAFETY: so many elements of that size.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), size_of::<u64>(), Some(compare)) };
    numbers[0]
}

/// Goes down until so little is left that the kernel can't put a signal's frame there, and gets one whose handler runs on
/// the stack of whoever it interrupts.
#[inline(never)]
fn get_a_signal() -> u64 {
    extern "C" fn handle(_: c_int) {}
    let handler = handle as extern "C" fn(c_int);
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t) };
    let here = black_box(0_u8);
    // A coroutine that has just begun is in the highest page of its stack.
    let top = ptr::from_ref(&here).addr().next_multiple_of(PAGE);
    nearly_to_the_end(top - STACK)
}

#[inline(never)]
fn nearly_to_the_end(limit: usize) -> u64 {
    /// Enough for a system call, and less than the kernel saves of a CPU's registers.
    const LEFT: usize = 700;
    let local = black_box([0_u64; 4]);
    if ptr::from_ref(&local).addr() > limit + LEFT {
        return nearly_to_the_end(limit) + local[3];
    }
    // SAFETY: to this very thread. Not by `raise`, which needs more stack.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR1) };
    local[0]
}
