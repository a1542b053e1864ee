//! Queues of free slots, threaded through their records, last in first out: the stack that was left just now is
//! still in the cache.
//!
//! Treiber's stack (IBM RJ 5118, 1986), with many at a time: a chain is put in, and some are taken out, by one
//! compare-exchange. The tag in the head makes that fail when the head went away and came back meanwhile.
//!
//! The functions are generic over the queue, so that a model checker can run this very code.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::geometry::SlotIndex;
use super::region::Region;
use crate::abi::layout::FreeQueue;
use crate::abi::record::NO_SLOT;
use crate::sys::atomic::Atomic;

/// A queue's two words; the count is a hint.
pub(super) trait Queue {
    fn head(&self) -> &impl Atomic<u64>;
    fn count(&self) -> &AtomicU32;
}

impl Queue for FreeQueue {
    #[inline]
    fn head(&self) -> &impl Atomic<u64> {
        &self.head
    }

    #[inline]
    fn count(&self) -> &AtomicU32 {
        &self.count
    }
}

/// Where the links lie: in the records of a region; in a test, in an array.
pub(super) trait Links {
    fn next(&self, index: u32) -> u32;
    fn set_next(&self, index: u32, next: u32);
}

impl Links for Region {
    fn next(&self, index: u32) -> u32 {
        self.record(SlotIndex(index)).next_free.load(Relaxed)
    }

    fn set_next(&self, index: u32, next: u32) {
        self.record(SlotIndex(index)).next_free.store(next, Relaxed);
    }
}

/// Puts slots into a queue; the last of the slice is the first to be taken out again.
pub(super) fn put(queue: &impl Queue, links: &impl Links, slots: &[SlotIndex]) {
    let (Some(bottom), Some(top)) = (slots.first(), slots.last()) else { return };
    for pair in slots.windows(2) {
        links.set_next(pair[1].0, pair[0].0);
    }
    put_chain(queue, links, (top.0, bottom.0), slots.len() as u32);
}

/// Puts slots which are linked already into a queue: `count` of them, from the first to the last.
pub(super) fn put_chain(queue: &impl Queue, links: &impl Links, (first, last): (u32, u32), count: u32) {
    queue.count().fetch_add(count, Relaxed);
    let mut seen = queue.head().load(Relaxed);
    loop {
        links.set_next(last, (seen as u32).wrapping_sub(1));
        // Release: pairs with the Acquire in `take`, so that the slots are seen as they were released.
        match queue.head().compare_exchange(seen, tagged(seen, first), Release, Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Takes up to so many slots as fit into `out`; returns how many.
pub(super) fn take(queue: &impl Queue, links: &impl Links, out: &mut [SlotIndex]) -> usize {
    let mut seen = queue.head().load(Acquire);
    loop {
        // What is read on the way may be out of date, when another thread takes the slots meanwhile: then the tag
        // has changed, and it is for nothing. An index that was ever stored is one of a record at any time.
        let mut next = (seen as u32).wrapping_sub(1);
        let mut count = 0;
        while next != NO_SLOT && count < out.len() {
            out[count] = SlotIndex(next);
            count += 1;
            next = links.next(next);
        }
        if count == 0 {
            return 0;
        }
        match queue.head().compare_exchange(seen, tagged(seen, next), AcqRel, Acquire) {
            Ok(_) => {
                queue.count().fetch_sub(count as u32, Relaxed);
                return count;
            }
            Err(now) => seen = now,
        }
    }
}

/// Takes all; returns the first, `NO_SLOT` if there was none. How many they are is told by the links alone.
pub(super) fn take_all(queue: &impl Queue) -> u32 {
    let mut seen = queue.head().load(Acquire);
    loop {
        match queue.head().compare_exchange(seen, tagged(seen, NO_SLOT), AcqRel, Acquire) {
            Ok(_) => return (seen as u32).wrapping_sub(1),
            Err(now) => seen = now,
        }
    }
}

/// A head with the next tag. `NO_SLOT` is an empty queue: its low half is 0.
fn tagged(seen: u64, first: u32) -> u64 {
    ((seen >> 32).wrapping_add(1) << 32) | u64::from(first.wrapping_add(1))
}

const _: () = assert!(NO_SLOT.wrapping_add(1) == 0, "an empty queue's head is 0");

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::AtomicU64;

    use super::*;

    impl Links for [AtomicU32] {
        fn next(&self, index: u32) -> u32 {
            self[index as usize].load(Relaxed)
        }

        fn set_next(&self, index: u32, next: u32) {
            self[index as usize].store(next, Relaxed);
        }
    }

    impl Links for Vec<AtomicU32> {
        fn next(&self, index: u32) -> u32 {
            self[..].next(index)
        }

        fn set_next(&self, index: u32, next: u32) {
            self[..].set_next(index, next);
        }
    }

    fn queue() -> FreeQueue {
        FreeQueue { head: AtomicU64::new(0), count: AtomicU32::new(0), _unused: AtomicU32::new(0) }
    }

    fn links(count: usize) -> Vec<AtomicU32> {
        (0..count).map(|_| AtomicU32::new(0)).collect()
    }

    fn take_up_to(queue: &FreeQueue, links: &impl Links, most: usize) -> Vec<u32> {
        let mut out = vec![SlotIndex(0); most];
        let count = take(queue, links, &mut out);
        out[..count].iter().map(|slot| slot.0).collect()
    }

    #[test]
    fn last_in_first_out_also_in_chains() {
        let (queue, links) = (queue(), links(8));
        assert_eq!(take_up_to(&queue, &links, 3), []);
        put(&queue, &links, &[]);
        put(&queue, &links, &[2, 0].map(SlotIndex));
        put(&queue, &links, &[3, 7, 5].map(SlotIndex));
        assert_eq!(queue.count.load(Relaxed), 5);
        assert_eq!(take_up_to(&queue, &links, 2), [5, 7]);
        assert_eq!(take_up_to(&queue, &links, 9), [3, 0, 2]);
        assert_eq!((take_all(&queue), queue.count.load(Relaxed)), (NO_SLOT, 0));
        put(&queue, &links, &[SlotIndex(4)]);
        assert_eq!((take_all(&queue), take_up_to(&queue, &links, 1)), (4, vec![]));
    }

    /// Links which another thread changes, once, while somebody is reading them.
    struct Raced<'a>(&'a Vec<AtomicU32>, Cell<Option<&'a dyn Fn()>>);

    impl Links for Raced<'_> {
        fn next(&self, index: u32) -> u32 {
            let next = self.0.next(index);
            if let Some(other) = self.1.take() {
                other();
            }
            next
        }

        fn set_next(&self, index: u32, next: u32) {
            self.0.set_next(index, next);
        }
    }

    #[test]
    fn a_head_that_came_back_is_not_taken_for_the_old_one() {
        let (queue, links) = (queue(), links(4));
        put(&queue, &links, &[1, 0].map(SlotIndex));
        // While one thread has read the head (0, whose successor is 1), another takes both and puts 0 back.
        let other = || {
            assert_eq!(take_up_to(&queue, &links, 2), [0, 1]);
            put(&queue, &links, &[SlotIndex(0)]);
        };
        let raced = Raced(&links, Cell::new(Some(&other)));
        assert_eq!(take_up_to(&queue, &raced, 2), [0], "1 is in use and must not be handed out");
        assert_eq!(take_up_to(&queue, &links, 2), []);
    }

    #[test]
    fn threads_never_get_the_same_slot() {
        let (queue, links) = (queue(), links(64));
        let holders: Vec<_> = (0..64).map(|_| AtomicU32::new(0)).collect();
        put(&queue, &links, &(0..64).map(SlotIndex).collect::<Vec<_>>());
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (queue, links, holders) = (&queue, &links, &holders);
                scope.spawn(move || {
                    for round in 0..5000 {
                        let taken = take_up_to(queue, links, 1 + (round + thread) % 7);
                        for index in &taken {
                            assert_eq!(holders[*index as usize].fetch_add(1, Relaxed), 0);
                        }
                        for index in &taken {
                            holders[*index as usize].fetch_sub(1, Relaxed);
                        }
                        put(queue, links, &taken.into_iter().map(SlotIndex).collect::<Vec<_>>());
                    }
                });
            }
        });
        let mut all = take_up_to(&queue, &links, 100);
        all.sort_unstable();
        assert_eq!(all, (0..64).collect::<Vec<_>>());
        assert_eq!(queue.count.load(Relaxed), 0);
    }
}
