//! Stack overflows to look at. The process dies of SIGSEGV: that is what is to be seen.

use super::cli::Overflow;
use super::{Problem, hints, run_with_room_for, say};
use std::hint::black_box;

/// `main overflow`.
pub(super) fn run(how: Overflow) -> Result<(), Problem> {
    run_with_room_for(8, || {
        let (name, what) = match how {
            Overflow::Recursion => ("recursion", "calls itself until its stack ends"),
            Overflow::Frame => ("frame", "enters a function whose array is larger than its stack"),
        };
        say(&format!("a coroutine named overflow {what}; SIGSEGV comes next"));
        say(&hints::overflow(name));
        let ended = coro::CoroutineBuilder::new()
            .name("overflow")
            .spawn(move || match how {
                Overflow::Recursion => recurse(0),
                Overflow::Frame => large_frame(),
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

/// Goes down a mebibyte at once. The compiler touches each page on the way, so it can't jump over
/// a redzone.
#[inline(never)]
fn large_frame() -> u64 {
    let array = black_box([1u8; 1024 * 1024]);
    array.iter().map(|&byte| u64::from(byte)).sum()
}
