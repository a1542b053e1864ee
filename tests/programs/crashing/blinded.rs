//! Crashes about which the reporter can't learn what it wants to know: its sources are overwritten, or unreadable.

use std::{env, fs, ptr};

use coro::CoroutineBuilder;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use super::{deeper, in_a_runtime, own_stack, prelude};

/// The program's file, which the reporter has mapped, can't be read any more.
pub(super) fn unreadable() {
    in_a_runtime(|| {
        let program = env::current_exe().unwrap();
        let length = fs::metadata(&program).unwrap().len().next_multiple_of(4096) as usize;
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let whole = maps.lines().filter(|line| line.ends_with(program.to_str().unwrap())).find_map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
            (end - start == length).then_some(start)
        });
        let start = whole.expect("the program's file is mapped as a whole");
        // SAFETY: nobody but the reporter uses it, and its fault is what is wanted.
        unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(start), length, libc::PROT_NONE) };
        drop(CoroutineBuilder::new().name("blind").spawn(|| prelude(3, deeper::<300>)).unwrap().join());
    });
}

/// A name that no other memory holds.
const POISONED: &str = "the-record-to-be-poisoned";

/// Where in the region the running coroutine's record has its name.
fn name_in_record() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ranges = maps.lines().map(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        [start, end].map(|text| usize::from_str_radix(text, 16).unwrap())
    });
    // The region begins with the first of the mappings that lie side by side up to this stack.
    let here = own_stack().0;
    let below = ranges.take_while(|range| range[0] < here);
    let [start, _] =
        below.reduce(|first, next| if first[1] == next[0] { [first[0], next[1]] } else { next }).unwrap();
    // Records begin with the second page, and are few.
    let length = 4 << 20;
    // SAFETY: the region's first part is records and rows, which can be read.
    let records = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(start), length) };
    let found = records.windows(POISONED.len()).position(|window| window == POISONED.as_bytes());
    start + found.expect("the record has the name")
}

/// Overwrites what its own record says of who it is, but for its number, and overflows.
pub(super) fn poisoned(filling: u8) {
    let body = move || {
        let name = name_in_record();
        // The pointer to its spawn site's file, numbers, and the name lie in one cache line; see abi::record.
        // SAFETY: nobody relies on it but who reads records.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(name - 56).write_bytes(filling, 56 + 32) };
        // So long that the monitor looks at what is broken, and would name it amid the report.
        while clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().num_milliseconds() < 400 {}
        println!("{}", prelude(3, deeper::<300>));
    };
    in_a_runtime(|| drop(CoroutineBuilder::new().name(POISONED).spawn(body).unwrap().join()));
}

/// All records, of which the handler reads first of all who it is, can't be read any more.
pub(super) fn unreadable_records() {
    let body = || {
        let page = name_in_record() & !4095;
        // SAFETY: that it faults is what is wanted.
        unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(page), 4096, libc::PROT_NONE) };
        deeper::<300>(0);
    };
    in_a_runtime(|| drop(CoroutineBuilder::new().name(POISONED).spawn(body).unwrap().join()));
}
