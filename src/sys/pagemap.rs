//! Which pages of a mapping have been touched, by PAGEMAP_SCAN (Linux 6.7): one system call for any length, and what was
//! swapped out counts, too.
//!
//! *No allocation, no locks, bounded loops.*

use std::sync::atomic::{AtomicI32, Ordering};

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

/// Where the kernel tells it; -1: not opened yet, -2: the kernel doesn't.
static FILE: AtomicI32 = AtomicI32::new(-1);

/// The lowest touched page of [start, end); `None`: none. `Err`: the kernel can't tell.
pub(crate) fn lowest_touched(start: usize, end: usize) -> Result<Option<usize>, ()> {
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
    match FILE.load(Ordering::Relaxed) {
        -1 => {
            // SAFETY: the path ends with a NUL.
            let opened =
                unsafe { libc::open(c"/proc/self/pagemap".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
            let known = if opened < 0 { -2 } else { opened };
            match FILE.compare_exchange(-1, known, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => file(),
                Err(_) => {
                    // SAFETY: another thread was first; nobody knows ours.
                    unsafe { libc::close(opened) };
                    file()
                }
            }
        }
        file if file >= 0 => Ok(file),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{self, PAGE};

    #[test]
    fn lowest_touched_page_is_the_one_that_mincore_tells() {
        let start = memory::reserve(0, 64 * PAGE).unwrap();
        let end = start + 64 * PAGE;
        // Kernels before 6.7 can't tell.
        let Ok(nothing) = lowest_touched(start, end) else { return };
        assert_eq!((nothing, memory::lowest_touched(start, 64 * PAGE)), (None, None));
        for page in [50, 40, 7] {
            let place = start + page * PAGE;
            // SAFETY: the fresh mapping is ours and writable.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(place + 9).write(1) };
            assert_eq!(lowest_touched(start, end), Ok(Some(place)));
            assert_eq!(memory::lowest_touched(start, 64 * PAGE), Some(place));
        }
    }
}
