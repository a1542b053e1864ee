//! Free slots that a worker keeps for itself: spawns and exits of one thread touch no line that others share, and do
//! no atomic read-modify-write. The class's queue is asked for many at a time, and given many.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::geometry::SlotIndex;
use super::region::Region;
use super::{free, slots};
use crate::abi::layout::ClassName;
use crate::error::Result;

/// The most that one worker keeps.
const MOST: usize = 64;

/// A worker's own free slots, of the default class. Not Sync.
#[derive(Debug)]
pub(crate) struct Cache {
    region: &'static Region,
    /// Those used last at the end.
    slots: [Cell<SlotIndex>; MOST],
    count: Cell<usize>,
    /// Which slots are of the class.
    default_slots: Range<u32>,
    /// Fewer than [`MOST`] where there are few slots in all, so that others find some.
    most: usize,
    /// Where readers see how many they are.
    shown: &'static AtomicU32,
}

impl Cache {
    pub(crate) fn new(region: &'static Region, shown: &'static AtomicU32) -> Cache {
        let all = region.geometry.capacity();
        let class = region.geometry.class(ClassName::Default);
        shown.store(0, Relaxed);
        Cache {
            region,
            default_slots: class.first..class.first + class.count,
            slots: [const { Cell::new(SlotIndex(0)) }; MOST],
            count: Cell::new(0),
            most: (all / 64).min(MOST),
            shown,
        }
    }

    /// As [`slots::acquire`].
    #[inline]
    pub(crate) fn acquire(&self, name: ClassName) -> Result<SlotIndex> {
        if name != ClassName::Default {
            return slots::acquire(self.region, name);
        }
        let slot = match self.pop() {
            Some(slot) => slot,
            None => self.acquire_from_others()?,
        };
        slots::open(self.region, name, slot)
    }

    /// As [`slots::release`].
    ///
    /// # Safety
    /// Nobody runs on the slot's stack, or has a pointer into it.
    #[inline]
    pub(crate) unsafe fn release(&self, slot: SlotIndex) {
        if self.most == 0 || !self.default_slots.contains(&slot.0) {
            // SAFETY: as the caller says.
            unsafe { slots::release(self.region, slot) };
            return;
        }
        // SAFETY: as the caller says.
        unsafe { slots::retire(self.region, slot) };
        if self.count.get() == self.most {
            self.give((self.most / 2).max(1));
        }
        let count = self.count.get();
        self.slots[count].set(slot);
        self.set_count(count + 1);
    }

    /// Gives all to the class: the worker ends.
    pub(crate) fn empty(&self) {
        self.give(self.count.get());
    }

    #[inline]
    fn pop(&self) -> Option<SlotIndex> {
        let count = self.count.get().checked_sub(1)?;
        self.set_count(count);
        Some(self.slots[count].get())
    }

    #[cold]
    #[inline(never)]
    fn acquire_from_others(&self) -> Result<SlotIndex> {
        let mut taken = [SlotIndex(0); MOST / 2];
        let wanted = (self.most / 2).max(1);
        let count = slots::take(self.region, ClassName::Default, &mut taken[..wanted]);
        if count == 0 {
            return slots::take_fresh(self.region, ClassName::Default);
        }
        // The first is the one that was used last.
        for (place, slot) in self.slots.iter().zip(taken[1..count].iter().rev()) {
            place.set(*slot);
        }
        self.set_count(count - 1);
        Ok(taken[0])
    }

    /// Gives the class those which have not been used for longest.
    #[cold]
    #[inline(never)]
    fn give(&self, count: usize) {
        let mut given = [SlotIndex(0); MOST];
        for (to, from) in given.iter_mut().zip(&self.slots[..count]) {
            *to = from.get();
        }
        for i in count..self.count.get() {
            self.slots[i - count].set(self.slots[i].get());
        }
        self.set_count(self.count.get() - count);
        free::put(&self.region.class(ClassName::Default).free, self.region, &given[..count]);
    }

    fn set_count(&self, count: usize) {
        self.count.set(count);
        self.shown.store(count as u32, Relaxed);
    }
}
