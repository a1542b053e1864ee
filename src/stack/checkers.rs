//! What memory checkers are told of stacks: feature `sanitize`. Without it, no_checkers.rs stands for this file.
//!
//! *AddressSanitizer* knows a thread's stack by its bounds, and keeps locals in a fake stack beside it: it has to
//! be told before and after each switch. Its *leak checker* looks for pointers in the heap, in globals and on the
//! stacks on which threads run. That leaves out what is reached only from a coroutine which doesn't run, so these
//! are registered as roots, no more than is in use:
//!
//! ```text
//!   the record of a taken slot      its task and its locals hang on it
//!   a stack that was left           from its stack pointer up: what lies below is out of date
//!   the frames in its fake stack    of functions which have not returned; a stack has a pointer to each
//! ```
//!
//! A stack in use is readable from its limit up, so the leak checker doesn't run into a redzone.
//!
//! *memcheck* takes a stack pointer that moves far for a huge frame unless it knows both stacks, and would search
//! all of the region for pointers. So the region is closed to it but for the records and stacks in use.
//!
//! debug-docs/sanitizers.md says how it is used, tests/sanitizer.rs and tests/memcheck.rs what it achieves.

use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

use super::geometry::StackBounds;
use crate::abi::record::Record;
use crate::arch;
use crate::sys::memory::PAGE;
use crate::sys::{asan, valgrind};

/// At most so many bytes below the stack pointer of who calls `arch::switch` are written by it.
const SWITCH_FRAME: usize = 128;
/// A fake stack has eleven classes of frames, each as large as its stack, and a table of frames.
const LARGEST_FAKE_STACK: usize = 16;

/// Whether there is somebody to tell, for callers to whom the arguments cost something.
pub(super) const ARE_TOLD: bool = true;

/// The region was reserved; [start, end) is for records, descriptors and slots.
pub(crate) fn reserve(start: usize, end: usize) {
    valgrind::forbid(start, end);
}

/// [start, end), of the rows of descriptors, comes into use.
pub(crate) fn allow(start: usize, end: usize) {
    valgrind::allow(start, end);
}

/// A slot is about to have its first tenant.
pub(crate) fn open(record: &Record, bounds: Option<StackBounds>) {
    let start = ptr::from_ref(record).addr();
    valgrind::allow(start, start + size_of::<Record>());
    if let Some(bounds) = bounds {
        valgrind::register_stack(bounds.limit, bounds.top);
    }
}

/// A slot was taken.
pub(crate) fn acquire(record: &Record, bounds: Option<StackBounds>) {
    let start = ptr::from_ref(record).addr();
    // SAFETY: records can be read, always.
    unsafe { asan::register_root(start, start + size_of::<Record>()) };
    if let Some(bounds) = bounds {
        asan::unpoison(bounds.limit, bounds.top);
        // What `arch::init_stack` writes; memcheck sees to the rest when the stack pointer moves.
        valgrind::allow_unset(bounds.top - PAGE, bounds.top);
    }
}

/// A slot is about to be given back. Nobody is to use its stack, in which frames that were never returned from
/// have left their marks. (To memcheck all frames of users' code are out of use: they have been returned from.)
pub(crate) fn release(record: &Record, bounds: Option<StackBounds>) {
    let start = ptr::from_ref(record).addr();
    // SAFETY: registered by `acquire`.
    unsafe { asan::unregister_root(start, start + size_of::<Record>()) };
    if let Some(bounds) = bounds {
        asan::poison(bounds.limit, bounds.top);
    }
}

/// What is kept of a stack that was left, for when it is entered again. One word, in a register: it must not lie
/// in the fake stack that a last switch unmaps.
#[must_use = "the stack has to be entered with it again"]
pub(crate) struct Left(*mut Parked);

struct Parked {
    fake_stack: usize,
    roots: Vec<(usize, usize)>,
}

/// `from` is left for `to`: to be called right before the switch, with nothing but it in between.
///
/// # Safety
/// The thread runs on `from`'s stack, and goes on with `to`'s, where it calls [`begin`] or [`arrive`] first of all;
/// it comes back unless it leaves `for_good`.
pub(crate) unsafe fn leave(from: &Record, to: &Record, for_good: bool) -> Left {
    if !asan::is_there() {
        return Left(ptr::null_mut());
    }
    // SAFETY: as the caller says, who only switches after this.
    unsafe {
        if for_good {
            leave_for_good(to);
            Left(ptr::null_mut())
        } else {
            leave_for_now(from, to)
        }
    }
}

/// Apart from the rest, because it must have no local whose address is taken: that could lie in the fake stack
/// which is unmapped here.
///
/// # Safety
/// As [`leave`].
#[inline(never)]
unsafe fn leave_for_good(to: &Record) {
    let (limit, top) = (to.stack_limit.load(Relaxed), to.stack_top.load(Relaxed));
    // SAFETY: as the caller says; he and his callers use no local any more, but to switch.
    unsafe { asan::start_last_switch(limit as usize, top as usize) };
}

/// # Safety
/// As [`leave`].
#[inline(never)]
unsafe fn leave_for_now(from: &Record, to: &Record) -> Left {
    let [from, to] = [from, to].map(|record| StackBounds {
        limit: record.stack_limit.load(Relaxed) as usize,
        top: record.stack_top.load(Relaxed) as usize,
    });
    let parked = Box::into_raw(Box::new(park(from)));
    // SAFETY: as the caller says.
    unsafe { asan::start_switch(to.limit, to.top) };
    Left(parked)
}

/// A stack was entered for the first time.
///
/// # Safety
/// Whoever switched has called [`leave`].
pub(crate) unsafe fn begin() {
    // SAFETY: `leave` has announced it; nobody has run on this stack yet, so it has no fake stack.
    unsafe { asan::finish_switch(0) };
}

/// A stack was entered again.
///
/// # Safety
/// `left` is what the same stack's [`leave`] gave.
pub(crate) unsafe fn arrive(left: Left) {
    if left.0.is_null() {
        return;
    }
    // SAFETY: `leave` made it, and it is used once.
    let parked = unsafe { Box::from_raw(left.0) };
    // SAFETY: whoever entered this stack has called `leave`; the fake stack is that of this stack.
    unsafe { asan::finish_switch(parked.fake_stack) };
    for (start, end) in parked.roots {
        // SAFETY: registered by `park`.
        unsafe { asan::unregister_root(start, end) };
    }
}

/// Registers what the running stack points to.
#[inline(never)]
fn park(stack: StackBounds) -> Parked {
    let sp = (arch::stack_pointer() - SWITCH_FRAME).max(stack.limit) & !(size_of::<usize>() - 1);
    let fake_stack = asan::fake_stack();
    let mut parked = Parked { fake_stack, roots: Vec::with_capacity(64) };
    parked.roots.push((sp, stack.top));
    if fake_stack != 0 {
        // Plain loops: in an unoptimised build iterators would be most of a switch's cost.
        let end = fake_stack + LARGEST_FAKE_STACK * (stack.top - stack.limit).next_power_of_two();
        let mut place = sp;
        // SAFETY: it is this thread's stack, from its stack pointer up.
        while let Some((found, word)) = unsafe { arch::find_word(place, stack.top, fake_stack, end) } {
            place = found + size_of::<usize>();
            // SAFETY: it is the running fake stack.
            if let Some(frame) = unsafe { asan::frame_at(fake_stack, word) }
                && parked.roots.last() != Some(&frame)
            {
                parked.roots.push(frame);
            }
        }
    }
    for &(start, end) in &parked.roots {
        // SAFETY: stack and fake stack exist until they are left for good, which they can't be before `arrive`.
        // Registrations of the same bounds are counted.
        unsafe { asan::register_root(start, end) };
    }
    parked
}
