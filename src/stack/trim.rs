//! Gives the pages of free stacks back to the system, some time after a crowd has gone.
//!
//! Not when a coroutine ends: a system call and, at the next use, a page fault would cost more than all the rest of
//! a coroutine's life. A class's free queue keeps [`WARM`] slots as they are; of those beyond which nobody needed
//! since the last look (a second ago), the pages go: the slots move to the queue `cooling`, and from there, some at
//! a time and with neighbours together, to `cold`. Slots in all three can be taken at any time.

use std::sync::atomic::Ordering::Relaxed;

use super::free::{self, Links};
use super::geometry::SlotIndex;
use super::region::Region;
use super::slots;
use crate::abi::layout::ClassName;
use crate::abi::record::NO_SLOT;
use crate::sys::memory;

/// Free slots of a class which keep their pages.
const WARM: u32 = 4096;
/// Slots whose pages go in one step: some milliseconds.
const STEP: usize = 1024;

/// To be called once a second: finds out which slots nobody needs.
pub(crate) fn look(region: &Region) {
    for name in [ClassName::Default, ClassName::Large] {
        let class = region.class(name);
        let least = class.least_free.swap(class.free.count.load(Relaxed), Relaxed);
        // Closed stacks have no pages.
        if !slots::CLOSE_FREE_STACKS && least > WARM {
            cool(region, name, least - WARM);
        }
    }
}

/// Moves about so many of the slots that were used longest ago to `cooling`.
fn cool(region: &Region, name: ClassName, spare: u32) {
    // They are in no queue meanwhile.
    let _in_hand = slots::growing();
    let class = region.class(name);
    let all = class.free.count.load(Relaxed);
    let first = free::take_all(&class.free);
    if first == NO_SLOT {
        return;
    }
    let (mut kept, mut last_kept) = (1, first);
    let mut next = region.next(first);
    while kept < all.saturating_sub(spare) && next != NO_SLOT {
        (last_kept, next) = (next, region.next(next));
        kept += 1;
    }
    let (rest, mut last) = (next, next);
    let mut moved = 0;
    while next != NO_SLOT {
        (last, next) = (next, region.next(next));
        moved += 1;
    }
    class.free.count.fetch_sub(kept + moved, Relaxed);
    free::put_chain(&class.free, region, (first, last_kept), kept);
    if moved > 0 {
        free::put_chain(&class.cooling, region, (rest, last), moved);
    }
}

/// One step of giving pages back; says whether it did something.
pub(crate) fn step(region: &Region) -> bool {
    [ClassName::Default, ClassName::Large].into_iter().any(|name| {
        let class = region.class(name);
        if class.cooling.count.load(Relaxed) == 0 {
            return false;
        }
        let _in_hand = slots::growing();
        let mut taken = [SlotIndex(0); STEP];
        let count = free::take(&class.cooling, region, &mut taken);
        let taken = &mut taken[..count];
        taken.sort_unstable();
        for neighbours in taken.chunk_by(|one, next| one.0 + 1 == next.0) {
            // SAFETY: they are free, and ours: in no queue.
            unsafe { discard(region, neighbours) };
        }
        free::put(&class.cold, region, taken);
        count > 0
    })
}

/// Gives the pages of slots back that lie side by side. The redzones between them stay what they are: neither a
/// guard nor a protection goes with the content.
///
/// # Safety
/// Nobody uses the stacks, nor gets them meanwhile.
unsafe fn discard(region: &Region, neighbours: &[SlotIndex]) {
    let mut bounds = neighbours.iter().filter_map(|slot| region.geometry.bounds(*slot));
    bounds.clone().for_each(slots::note_depth);
    if let Some(first) = bounds.next() {
        let last = bounds.last().unwrap_or(first);
        // An error costs memory; the slots are usable all the same.
        // SAFETY: stacks of which the caller says that nobody uses them, and redzones, which nobody uses.
        let _ = unsafe { memory::discard(first.limit, last.top - first.limit) };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::stack::region;

    /// Spawns so many that live at a time; returns the addresses of a value on each one's stack.
    fn crowd(count: usize) -> HashSet<usize> {
        let handles: Vec<_> = (0..count)
            .map(|n| {
                crate::spawn(move || {
                    let here = std::hint::black_box(n);
                    let address = std::ptr::from_ref(&here).addr();
                    crate::yield_now();
                    assert_eq!(std::hint::black_box(here), n);
                    address
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    }

    #[test]
    fn slots_that_went_cold_are_used_again() {
        crate::run(|| {
            let region = region::get().unwrap();
            let first = crowd(500);
            assert_eq!(first.len(), 500);
            cool(region, ClassName::Default, 400);
            // Other tests' runtimes use the same queues, so that what is in them can't be foretold.
            while step(region) {}
            assert_eq!(crowd(1000).len(), 1000);
            cool(region, ClassName::Default, 5);
            assert_eq!(crowd(1000).len(), 1000);
        })
        .unwrap();
    }

    #[test]
    fn nothing_is_cooled_where_nothing_is_free() {
        crate::run(|| {
            let region = region::get().unwrap();
            cool(region, ClassName::Large, u32::MAX);
            assert_eq!(region.class(ClassName::Large).cooling.count.load(Relaxed), 0);
        })
        .unwrap();
    }
}
