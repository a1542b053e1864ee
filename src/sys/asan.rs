//! AddressSanitizer and the leak checker in it: what a program can tell them, if they are linked into it.
//!
//! Their functions are weak symbols here, null in a program without them. So one build of the runtime serves
//! programs with and without, and nobody has to say which. What each means stands in LLVM's
//! compiler-rt/include/sanitizer/{common_interface_defs,asan_interface,lsan_interface}.h.
//!
//! A *fake stack* is memory of AddressSanitizer's own, one for each stack: functions keep their locals there
//! instead of on the stack, so that a use after their return is seen.

use std::arch::global_asm;
use std::ffi::c_void;
use std::ptr;

/// The words at `coro_asan_functions`, in its order.
#[repr(C)]
struct Functions {
    start_switch: Option<unsafe extern "C" fn(*mut *mut c_void, *const c_void, usize)>,
    finish_switch: Option<unsafe extern "C" fn(*mut c_void, *mut *const c_void, *mut usize)>,
    poison: Option<unsafe extern "C" fn(*const c_void, usize)>,
    unpoison: Option<unsafe extern "C" fn(*const c_void, usize)>,
    fake_stack: Option<extern "C" fn() -> *mut c_void>,
    find_frame: Option<FindFrame>,
    register_root: Option<unsafe extern "C" fn(*const c_void, usize)>,
    unregister_root: Option<unsafe extern "C" fn(*const c_void, usize)>,
}

type FindFrame =
    unsafe extern "C" fn(*mut c_void, *const c_void, *mut *mut c_void, *mut *mut c_void) -> *mut c_void;

// Stable Rust has no weak functions, assemblers do.
global_asm!(
    ".pushsection .data.rel.ro.coro_asan_functions,\"aw\",@progbits",
    ".balign 8",
    ".globl coro_asan_functions",
    ".hidden coro_asan_functions",
    ".type coro_asan_functions, @object",
    ".size coro_asan_functions, {size}",
    "coro_asan_functions:",
    ".irp function, __sanitizer_start_switch_fiber, __sanitizer_finish_switch_fiber, \
        __asan_poison_memory_region, __asan_unpoison_memory_region, __asan_get_current_fake_stack, \
        __asan_addr_is_in_fake_stack, __lsan_register_root_region, __lsan_unregister_root_region",
    ".weak \\function",
    ".quad \\function",
    ".endr",
    ".popsection",
    size = const size_of::<Functions>(),
);

unsafe extern "C" {
    #[link_name = "coro_asan_functions"]
    safe static FUNCTIONS: Functions;
}

/// Whether the program has an AddressSanitizer. Without one, the functions below do nothing.
pub(crate) fn is_there() -> bool {
    FUNCTIONS.start_switch.is_some()
}

/// Says that the thread is about to go on with the stack [limit, top). What is left keeps its fake stack, which
/// is [`fake_stack`].
///
/// # Safety
/// The thread does go on there, and calls [`finish_switch`] first of all.
pub(crate) unsafe fn start_switch(limit: usize, top: usize) {
    let mut kept = ptr::null_mut();
    if let Some(start_switch) = FUNCTIONS.start_switch {
        // SAFETY: the caller does what is announced; `kept` has room for the result.
        unsafe { start_switch(&raw mut kept, address(limit), top - limit) };
    }
}

/// As [`start_switch`], by somebody who never comes back: his fake stack is unmapped.
///
/// # Safety
/// As `start_switch`; and no function that has been entered on the left stack uses a local any more whose address
/// was taken.
#[inline(never)]
pub(crate) unsafe fn start_last_switch(limit: usize, top: usize) {
    if let Some(start_switch) = FUNCTIONS.start_switch {
        // SAFETY: the caller does what is announced. This function's own values are in no fake stack: nobody takes
        // the address of one.
        unsafe { start_switch(ptr::null_mut(), address(limit), top - limit) };
    }
}

/// Says that the thread goes on with the stack that was announced, whose fake stack it is; null: it has none yet.
///
/// # Safety
/// The switch was announced by this thread, and the fake stack was the entered stack's when it was left.
pub(crate) unsafe fn finish_switch(fake_stack: usize) {
    if let Some(finish_switch) = FUNCTIONS.finish_switch {
        // SAFETY: as the caller says; who doesn't want the left stack's bounds may pass null.
        unsafe { finish_switch(address(fake_stack).cast_mut(), ptr::null_mut(), ptr::null_mut()) };
    }
}

/// The running stack's fake stack; 0: it has none.
pub(crate) fn fake_stack() -> usize {
    FUNCTIONS.fake_stack.map_or(0, |fake_stack| fake_stack().addr())
}

/// The frame in a fake stack, as [start, end), to which a word points, if it is a pointer to one of a function
/// that has not returned.
///
/// # Safety
/// The fake stack exists.
pub(crate) unsafe fn frame_at(fake_stack: usize, word: usize) -> Option<(usize, usize)> {
    let find_frame = FUNCTIONS.find_frame?;
    let (mut start, mut end) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the fake stack exists; the word may be anything; the results have room.
    let found =
        unsafe { find_frame(address(fake_stack).cast_mut(), address(word), &raw mut start, &raw mut end) };
    if found.is_null() { None } else { Some((start.addr(), end.addr())) }
}

/// A use of [start, end) is a bug from here on, and is reported.
pub(crate) fn poison(start: usize, end: usize) {
    if let Some(poison) = FUNCTIONS.poison {
        // SAFETY: it changes what is reported, not the memory.
        unsafe { poison(address(start), end - start) };
    }
}

/// Nothing in [start, end) is a bug to use any more, whatever was before.
pub(crate) fn unpoison(start: usize, end: usize) {
    if let Some(unpoison) = FUNCTIONS.unpoison {
        // SAFETY: it changes what is reported, not the memory.
        unsafe { unpoison(address(start), end - start) };
    }
}

/// What [start, end) points to is not leaked, until it is unregistered.
///
/// # Safety
/// Reading it does not fault while it is registered.
pub(crate) unsafe fn register_root(start: usize, end: usize) {
    if let Some(register) = FUNCTIONS.register_root {
        // SAFETY: as the caller says.
        unsafe { register(address(start), end - start) };
    }
}

/// Takes a registration back.
///
/// # Safety
/// It was registered, with these very bounds.
pub(crate) unsafe fn unregister_root(start: usize, end: usize) {
    if let Some(unregister) = FUNCTIONS.unregister_root {
        // SAFETY: as the caller says; it ends the process otherwise.
        unsafe { unregister(address(start), end - start) };
    }
}

fn address(address: usize) -> *const c_void {
    ptr::with_exposed_provenance(address)
}
