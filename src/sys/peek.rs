//! Reads of this process's own memory which can't fault: what can't be read is an error.
//!
//! *No allocation, no locks.* A read costs a system call, about 0.3 µs.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::PAGE;

/// Some sandboxes forbid process_vm_readv: then it isn't tried again.
static IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// Copies from `address` on; says whether all could be read.
pub(crate) fn peek(address: u64, into: &mut [u8]) -> bool {
    if !IS_FORBIDDEN.load(Ordering::Relaxed) {
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let remote =
            libc::iovec { iov_base: ptr::with_exposed_provenance_mut(address as usize), iov_len: into.len() };
        // SAFETY: the kernel writes to `into`, and checks the other side.
        let read =
            unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        if read >= 0 {
            return read as usize == into.len();
        }
        // SAFETY: every thread has an errno.
        if unsafe { *libc::__errno_location() } == libc::EFAULT {
            return false;
        }
        IS_FORBIDDEN.store(true, Ordering::Relaxed);
    }
    peek_by_probe(address, into)
}

/// The same, where process_vm_readv isn't allowed: the memory is read directly when the kernel says that it can be.
/// Another thread that unmaps it in between would be seen as a fault.
fn peek_by_probe(address: u64, into: &mut [u8]) -> bool {
    let Some(last) = address.checked_add(into.len() as u64) else { return false };
    // A probe tells of eight bytes; what is readable is so by the page.
    let mut page = address & !7;
    while page < last {
        if !is_readable(page) {
            return false;
        }
        page = (page | 0xfff) + 1;
    }
    for (at, byte) in (address..).zip(into) {
        // SAFETY: the kernel could read the page just now.
        *byte = unsafe { ptr::with_exposed_provenance::<u8>(at as usize).read_volatile() };
    }
    true
}

/// Whether the eight bytes there can be read: sigprocmask reads the set before it looks at what is to be done with it,
/// and there is nothing that could be done with `!0`. (The trick is Abseil's.)
fn is_readable(address: u64) -> bool {
    // To sigprocmask a null pointer is no set at all. Nothing is ever mapped there.
    if address < PAGE as u64 {
        return false;
    }
    // SAFETY: neither does the kernel change the mask, nor does it write anywhere.
    let answer = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, !0, address, 0_usize, 8_usize) };
    // SAFETY: every thread has an errno.
    answer == 0 || unsafe { *libc::__errno_location() } != libc::EFAULT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory;

    #[test]
    fn unreadable_memory_is_an_error_by_both_ways() {
        let pages = memory::reserve(0, 3 * PAGE).unwrap();
        // SAFETY: nobody uses the fresh mapping.
        unsafe { memory::deny(pages + PAGE, PAGE) }.unwrap();
        let middle = (pages + PAGE) as u64;
        // SAFETY: the first page is ours and writable.
        unsafe { ptr::with_exposed_provenance_mut::<u64>(pages + PAGE - 8).write(0x1234) };
        for read in [peek, peek_by_probe] {
            let mut word = [0; 8];
            assert!(read(middle - 8, &mut word));
            assert_eq!(u64::from_le_bytes(word), 0x1234);
            assert!(!read(middle - 4, &mut word), "its second half is not readable");
            for bad in [middle, middle + PAGE as u64 - 8, 0, 8, u64::MAX - 7, u64::MAX, 1 << 63] {
                assert!(!read(bad, &mut word), "{bad:#x}");
            }
            assert!(!read(middle - 8, &mut [0; 2 * PAGE]), "what lies behind would be");
            assert!(read(middle - 0x10, &mut [0; 3]));
        }
    }
}
