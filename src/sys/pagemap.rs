//! Which pages of a mapping have been touched, by PAGEMAP_SCAN (Linux 6.7): one system call for any length, and what was
//! swapped out counts, too. Older kernels are asked by mincore, which knows of nothing that was swapped out.
//!
//! *No allocation, no locks, bounded loops.*

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{memory, process};

/// linux/fs.h: `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// linux/fs.h, `struct pm_scan_arg`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    region_count: u64,
    most_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    returned: u64,
}

/// linux/fs.h, `struct page_region`.
#[repr(C)]
#[derive(Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// Where the kernel tells it: the process's number in the upper half, the descriptor in the lower. What was opened before a
/// fork tells of the parent's memory.
static FILE: AtomicU64 = AtomicU64::new(0);
/// In the lower half: the kernel doesn't tell.
const NONE: u32 = u32::MAX;

/// The lowest touched page of [start, end); `None`: none, or the kernel can't tell.
pub(crate) fn lowest_touched(start: usize, end: usize) -> Option<usize> {
    scan(start, end).unwrap_or_else(|()| memory::lowest_resident(start, end - start))
}

/// `Err`: there is no such call.
fn scan(start: usize, end: usize) -> Result<Option<usize>, ()> {
    let file = file()?;
    let mut region = Region::default();
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: 0,
        start: start as u64,
        end: end as u64,
        walk_end: 0,
        regions: (&raw mut region).expose_provenance() as u64,
        region_count: 1,
        most_pages: 1,
        inverted: 0,
        all_of: 0,
        any_of: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        returned: PAGE_IS_PRESENT,
    };
    // SAFETY: the structure is the kernel's, with room for one region.
    match unsafe { libc::ioctl(file, PAGEMAP_SCAN, &raw mut scan) } {
        0 => Ok(None),
        1 => Ok(Some(region.start as usize)),
        _ => Err(()),
    }
}

/// It stays open: there is one, and a crash can't rely on getting another.
fn file() -> Result<i32, ()> {
    let own = u64::from(process::pid()) << 32;
    let known = FILE.load(Relaxed);
    let number = if known >> 32 == own >> 32 { known as u32 } else { open(known, own) };
    if number == NONE { Err(()) } else { Ok(number as i32) }
}

#[cold]
fn open(known: u64, own: u64) -> u32 {
    // SAFETY: the path ends with a NUL.
    let opened = unsafe { libc::open(c"/proc/self/pagemap".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    let number = u32::try_from(opened).unwrap_or(NONE);
    match FILE.compare_exchange(known, own | u64::from(number), Relaxed, Relaxed) {
        Ok(_) => number,
        Err(first) => {
            // SAFETY: another thread was first; nobody knows ours.
            unsafe { libc::close(opened) };
            first as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{self, PAGE};

    /// Fresh memory, of which three pages are touched; their addresses, the lowest one last.
    fn touched() -> (usize, usize, [usize; 3]) {
        let start = memory::reserve(0, 64 * PAGE).unwrap();
        let pages = [50, 40, 7].map(|page| start + page * PAGE);
        (start, start + 64 * PAGE, pages)
    }

    fn touch(page: usize) {
        // SAFETY: the tests' fresh mapping is theirs, and writable.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(page + 9).write(1) };
    }

    #[test]
    fn lowest_touched_page_is_the_one_that_mincore_tells() {
        let (start, end, pages) = touched();
        assert_eq!((lowest_touched(start, end), memory::lowest_resident(start, end - start)), (None, None));
        for page in pages {
            touch(page);
            assert_eq!(lowest_touched(start, end), Some(page));
            assert_eq!(memory::lowest_resident(start, end - start), Some(page));
        }
        // Kernels before 6.7 can't tell more.
        if let Ok(scanned) = scan(start, end) {
            assert_eq!(scanned, Some(pages[2]));
        }
    }

    #[test]
    fn swapped_out_pages_have_been_touched_and_discarded_ones_have_not() {
        let (start, end, pages) = touched();
        if scan(start, end).is_err() {
            return;
        }
        pages.into_iter().for_each(touch);
        // Where there is no swap they stay.
        // SAFETY: the content stays what it is.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_PAGEOUT)
        };
        assert_eq!(lowest_touched(start, end), Some(pages[2]));
        // SAFETY: nobody needs the content.
        unsafe { memory::discard(pages[2], PAGE) }.unwrap();
        assert_eq!(lowest_touched(start, end), Some(pages[1]));
    }

    #[test]
    fn child_is_told_of_its_own_memory() {
        let (start, end, pages) = touched();
        touch(pages[0]);
        assert_eq!(lowest_touched(start, end), Some(pages[0]));
        // SAFETY: the child does nothing but system calls, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            touch(pages[2]);
            let is_right = lowest_touched(start, end) == Some(pages[2]);
            // SAFETY: it ends the child.
            unsafe { libc::_exit(i32::from(!is_right)) };
        }
        let mut status = 0;
        // SAFETY: the child is ours to wait for.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "it saw its parent's");
    }
}
