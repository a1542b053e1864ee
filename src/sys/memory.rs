//! Mappings and what can be said of their pages.
//!
//! Addresses are plain integers here: the region's arithmetic is on numbers, and only who uses memory makes a
//! pointer of one. Every function takes whole pages.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};
use std::{io, mem};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect, munlock, munmap};

/// Bytes of a page. x86-64 has no other.
pub(crate) const PAGE: usize = 4096;

// Linux 6.13; not in libc's headers yet.
const MADV_GUARD_INSTALL: i32 = 102;
const MADV_GUARD_REMOVE: i32 = 103;
// Linux 6.15: instead of a descriptor of the process.
const PIDFD_SELF: i32 = -10000;

/// Reserves zeroed read-write address space, at `hint` if that is free. Nothing is committed.
pub(crate) fn reserve(hint: usize, length: usize) -> io::Result<usize> {
    let length = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidInput)?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_STACK;
    // SAFETY: a new mapping, without MAP_FIXED, replaces none.
    let start = unsafe {
        mmap_anonymous(NonZeroUsize::new(hint), length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags)
    }?;
    Ok(start.as_ptr().expose_provenance())
}

/// Unmaps.
///
/// # Safety
/// Nobody has an address in it.
pub(crate) unsafe fn release(start: usize, length: usize) {
    // SAFETY: the caller says that nobody uses it; unmapping whole pages of a mapping of ours can't fail.
    let _ = unsafe { munmap(pointer(start), length) };
}

/// Names a mapping in /proc/PID/maps. Kernels without the facility don't matter.
pub(crate) fn name(start: usize, length: usize, name: &'static std::ffi::CStr) {
    // SAFETY: the kernel reads the NUL-terminated name, and changes nothing but how the mapping is shown.
    unsafe { libc::prctl(libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME, start, length, name.as_ptr()) };
}

/// Makes any access fault, without splitting the mapping. What the pages held is lost.
///
/// # Safety
/// Nobody uses the memory, or will before [`guard_remove`].
pub(crate) unsafe fn guard_install(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: the caller says that nobody uses it.
    match unsafe { advise_raw(start, length, MADV_GUARD_INSTALL) } {
        // Locked memory can't be guarded: `mlockall` was called.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // SAFETY: unlocking changes no content.
            unsafe { munlock(pointer(start), length) }?;
            // SAFETY: as above.
            unsafe { advise_raw(start, length, MADV_GUARD_INSTALL) }
        }
        result => result,
    }
}

/// How many pieces [`guard_install_each`] takes at a time.
pub(crate) const GUARDS_AT_ONCE: usize = 16;

/// [`guard_install`] of each piece of `length` bytes at `starts`, by one system call; returns how many it has done, from
/// the first on. 0 where the kernel refuses that (before Linux 6.15, say) or there are too many.
///
/// # Safety
/// As [`guard_install`].
pub(crate) unsafe fn guard_install_each(starts: &[usize], length: usize) -> usize {
    let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: length }; GUARDS_AT_ONCE];
    let Some(pieces) = pieces.get_mut(..starts.len()) else { return 0 };
    for (piece, start) in pieces.iter_mut().zip(starts) {
        piece.iov_base = raw(*start);
    }
    // SAFETY: the caller says that nobody uses the memory; the kernel reads the pieces.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF,
            pieces.as_ptr(),
            pieces.len(),
            MADV_GUARD_INSTALL,
            0_u32,
        )
    };
    usize::try_from(advised).unwrap_or(0) / length
}

/// Makes guarded pages usable again; they are zero.
pub(crate) fn guard_remove(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: pages that are no guards keep their content, guards have none.
    unsafe { advise_raw(start, length, MADV_GUARD_REMOVE) }
}

/// Makes any access fault, by protection: the mapping is split.
///
/// # Safety
/// Nobody uses the memory, or will before [`allow`].
pub(crate) unsafe fn deny(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: the caller says that nobody uses it.
    Ok(unsafe { mprotect(pointer(start), length, ProtFlags::PROT_NONE) }?)
}

/// Takes a protection back; the content is what it was.
pub(crate) fn allow(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: more may be done with the memory than before, not less.
    Ok(unsafe { mprotect(pointer(start), length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE) }?)
}

/// Gives pages back to the system; they read as zero when they are used again.
///
/// # Safety
/// Nobody needs the content.
pub(crate) unsafe fn discard(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: the caller says that the content isn't needed.
    Ok(unsafe { madvise(pointer(start), length, MmapAdvise::MADV_DONTNEED) }?)
}

/// Keeps memory out of core dumps.
pub(crate) fn exclude_from_cores(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: the advice changes what the kernel dumps, not the memory.
    Ok(unsafe { madvise(pointer(start), length, MmapAdvise::MADV_DONTDUMP) }?)
}

/// Puts memory back into core dumps.
pub(crate) fn include_in_cores(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: the advice changes what the kernel dumps, not the memory.
    Ok(unsafe { madvise(pointer(start), length, MmapAdvise::MADV_DODUMP) }?)
}

/// No huge pages: each touched byte of a large stack would cost 2 MiB. Kernels without them don't matter.
pub(crate) fn small_pages(start: usize, length: usize) {
    // SAFETY: the advice changes how the memory is backed, not what it holds.
    let _ = unsafe { madvise(pointer(start), length, MmapAdvise::MADV_NOHUGEPAGE) };
}

/// The lowest page of [start, start + length) that is in memory. One that was swapped out isn't.
pub(super) fn lowest_resident(start: usize, length: usize) -> Option<usize> {
    const CHUNK: usize = 256;
    let mut resident = [0_u8; CHUNK];
    for chunk in (start..start + length).step_by(CHUNK * PAGE) {
        let bytes = (CHUNK * PAGE).min(start + length - chunk);
        // SAFETY: `resident` has a byte for each page asked of.
        if unsafe { libc::mincore(raw(chunk), bytes, resident.as_mut_ptr()) } != 0 {
            return None;
        }
        if let Some(page) = resident[..bytes / PAGE].iter().position(|page| page & 1 != 0) {
            return Some(chunk + page * PAGE);
        }
    }
    None
}

/// # Safety
/// As the advice says.
unsafe fn advise_raw(start: usize, length: usize, advice: i32) -> io::Result<()> {
    // SAFETY: the caller answers for what the advice does to the memory.
    if unsafe { libc::madvise(raw(start), length, advice) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn raw(address: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(address)
}

fn pointer(address: usize) -> NonNull<c_void> {
    NonNull::new(raw(address)).expect("no mapping of ours starts at 0")
}

/// How many bytes of addresses a process can have at most.
pub(crate) const ADDRESS_SPACE: usize = 1 << (mem::size_of::<usize>() * 8 - 17);
