//! What the dynamic linker has loaded: the program, its libraries, the kernel's vDSO.

use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;

/// One of them, while it is being looked at.
pub(crate) struct Loaded<'a> {
    /// What its own addresses have to be raised by.
    pub(crate) bias: u64,
    pub(crate) headers: &'a [libc::Elf64_Phdr],
    /// The file; empty for the program.
    pub(crate) path: &'a CStr,
    /// How often something was loaded, and how often unloaded, so far.
    pub(crate) changes: (u64, u64),
}

/// Shows all of them, until `look` says `false`. Takes the dynamic linker's lock: not for signal handlers.
pub(crate) fn each(mut look: impl FnMut(&Loaded<'_>) -> bool) {
    let mut look: &mut dyn FnMut(&Loaded<'_>) -> bool = &mut look;
    // SAFETY: `show` is given what it expects, a pointer to this very reference.
    unsafe { libc::dl_iterate_phdr(Some(show), (&raw mut look).cast()) };
}

unsafe extern "C" fn show(info: *mut libc::dl_phdr_info, size: usize, look: *mut c_void) -> c_int {
    // SAFETY: `each` passed its reference, which lives as long as its call.
    let look = unsafe { &mut *look.cast::<&mut dyn FnMut(&Loaded<'_>) -> bool>() };
    // SAFETY: the dynamic linker's structure, good as long as this call.
    let info = unsafe { &*info };
    // SAFETY: so many headers lie there.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    // SAFETY: a name is NUL-terminated, if there is one.
    let path = if info.dlpi_name.is_null() { c"" } else { unsafe { CStr::from_ptr(info.dlpi_name) } };
    let knows_changes = size >= offset_of!(libc::dl_phdr_info, dlpi_subs) + size_of::<u64>();
    let changes = if knows_changes { (info.dlpi_adds, info.dlpi_subs) } else { (0, 0) };
    c_int::from(!look(&Loaded { bias: info.dlpi_addr, headers, path, changes }))
}
