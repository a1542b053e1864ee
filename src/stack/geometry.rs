//! Slot ↔ address arithmetic. Pure: it takes and returns values, and so serves the allocator, a signal
//! handler and a test alike. *No allocation, no locks, bounded loops.*
//!
//! ```text
//!   region  ┌──────┬─────────┬─────────────┬──── native: records only
//!           │ head │ records │ descriptors │ service slots │ default slots ....... │ large slots ... │
//!           └──────┴─────────┴─────────────┴───────────────┴───────────────────────┴─────────────────┘
//!   class   ┌─────────┬───────────────┬─────────┬───────────────┬ ··· ┬─────────┐
//!           │ redzone │ stack, grows  │ redzone │ stack         │     │ redzone │  one more behind the last,
//!           │         │ down  <────── │         │               │     │         │  for who runs off the top
//!           └─────────┴───────────────┴─────────┴───────────────┴ ··· ┴─────────┘
//!           ^ slot 0                  ^ slot 1 = slot 0 + stride
//! ```

use crate::abi::descriptor::Head;
use crate::abi::layout::{CLASS_COUNT, ClassName, WORKER_COUNT};
use crate::abi::objects::Descriptor;
use crate::abi::record::Record;
use crate::sys::memory::{ADDRESS_SPACE, PAGE};

/// Bytes at the low end of each slot which fault. Rust probes each page of a large frame, C does not, and real
/// C libraries have unprobed frames of 33–65 KB. One page more than 64 KiB makes the distance from slot to slot an
/// odd number of pages: with an even one, above all a power of two, the top pages of all stacks compete for the
/// same few sets of the TLB (a round robin over 1,000 stacks: 50 ns a round trip at 256 KiB, 18 at 260).
pub(crate) const REDZONE: usize = (64 << 10) + PAGE;
/// The stack of a slot in the default class.
const DEFAULT_STACK: usize = 192 << 10;
/// The most that a coroutine can ask for: what a thread has.
pub(crate) const LARGEST_STACK: usize = 8 << 20;
/// From slot to slot.
const DEFAULT_STRIDE: usize = DEFAULT_STACK + REDZONE;
const LARGE_STRIDE: usize = LARGEST_STACK + REDZONE;
/// Capacity when no Builder says one.
pub(crate) const DEFAULT_CAPACITY: usize = 1_000_000;
/// At least so many file descriptors have rows, and at most: a process's limit may be 2^30, or none.
pub(crate) const FEWEST_DESCRIPTORS: usize = 1024;
const MOST_DESCRIPTORS: usize = 1 << 20;

/// Which slot, over all classes; also the index of its record. Slots keep their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotIndex(pub(crate) u32);

/// The class for stacks of at least `size` bytes; none for 0, and above [`LARGEST_STACK`].
pub(crate) fn class_for(size: usize) -> Option<ClassName> {
    match size {
        0 => None,
        _ if size <= DEFAULT_STACK => Some(ClassName::Default),
        _ if size <= LARGEST_STACK => Some(ClassName::Large),
        _ => None,
    }
}

/// A stack's usable bytes: [limit, top). It grows down from `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackBounds {
    pub(crate) limit: usize,
    pub(crate) top: usize,
}

/// One class's part of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassGeometry {
    pub(crate) name: ClassName,
    pub(crate) base: usize,
    pub(crate) stride: usize,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Where everything in the region lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) base: usize,
    pub(crate) length: usize,
    pub(crate) records: usize,
    pub(crate) record_count: u32,
    pub(crate) descriptors: usize,
    pub(crate) descriptor_count: u32,
    pub(crate) classes: [ClassGeometry; CLASS_COUNT],
}

/// What an address in the region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Head or records.
    Registry,
    /// The rows of file descriptors.
    Descriptors,
    /// In a slot's stack.
    Stack { slot: SlotIndex },
    /// In a slot's redzone, so many bytes below its stack.
    Redzone { slot: SlotIndex, below: usize },
    /// In the redzone behind a class's last slot.
    Behind { class: ClassName },
}

impl Geometry {
    /// The region for `capacity` user coroutines and about `descriptors` files, at the page `base`. Classes start at pages,
    /// and no further apart, so that the length is the same wherever it lies.
    pub(crate) fn new(base: usize, capacity: usize, descriptors: usize) -> Geometry {
        debug_assert!(base.is_multiple_of(PAGE), "a region does not start at {base:#x}");
        let large = (capacity / 64).clamp(8, 1024);
        let shape = [
            (WORKER_COUNT, 0),
            (2 * WORKER_COUNT, DEFAULT_STRIDE),
            (capacity, DEFAULT_STRIDE),
            (large, LARGE_STRIDE),
        ];
        let records = base + size_of::<Head>().next_multiple_of(PAGE);
        let record_count: usize = shape.iter().map(|(count, _)| count).sum();
        let descriptor_count = descriptors.clamp(FEWEST_DESCRIPTORS, MOST_DESCRIPTORS);
        let descriptors = (records + record_count * size_of::<Record>()).next_multiple_of(PAGE);
        let mut address = (descriptors + descriptor_count * size_of::<Descriptor>()).next_multiple_of(PAGE);
        let mut first = 0;
        let mut name = ClassName::ALL.into_iter();
        let classes = shape.map(|(count, stride)| {
            let name = name.next().expect("as many names as classes");
            let class = ClassGeometry { name, base: address, stride, first, count: count as u32 };
            first += count as u32;
            if stride != 0 {
                address += count * stride + REDZONE;
            }
            class
        });
        Geometry {
            base,
            length: address - base,
            records,
            record_count: record_count as u32,
            descriptors,
            descriptor_count: descriptor_count as u32,
            classes,
        }
    }

    /// The most user coroutines whose stacks the address space holds, leaving half of it to the program.
    pub(crate) fn largest_capacity() -> usize {
        ADDRESS_SPACE / 2 / (DEFAULT_STRIDE + size_of::<Record>())
    }

    /// How many user coroutines there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.class(ClassName::Default).count as usize
    }

    #[inline]
    pub(crate) fn class(&self, name: ClassName) -> &ClassGeometry {
        &self.classes[name as usize]
    }

    #[inline]
    pub(crate) fn class_of(&self, slot: SlotIndex) -> &ClassGeometry {
        let class = self.classes.iter().rev().find(|class| class.first <= slot.0);
        class.expect("the first class starts at record 0")
    }

    /// The stack of a slot; `None` where it has none (main coroutines) or doesn't exist.
    #[inline]
    pub(crate) fn bounds(&self, slot: SlotIndex) -> Option<StackBounds> {
        let class = self.class_of(slot);
        let base = class.base + (slot.0 - class.first) as usize * class.stride;
        (class.stride != 0 && slot.0 < self.record_count)
            .then(|| StackBounds { limit: base + REDZONE, top: base + class.stride })
    }

    /// What lies at an address; `None` outside the region.
    pub(crate) fn locate(&self, address: usize) -> Option<Place> {
        if !(self.base..self.base + self.length).contains(&address) {
            return None;
        }
        let Some(class) = self.classes.iter().rev().find(|class| class.stride != 0 && class.base <= address)
        else {
            let is_descriptor = address >= self.descriptors;
            return Some(if is_descriptor { Place::Descriptors } else { Place::Registry });
        };
        let index = (address - class.base) / class.stride;
        let offset = (address - class.base) % class.stride;
        if index >= class.count as usize {
            return Some(Place::Behind { class: class.name });
        }
        let slot = SlotIndex(class.first + index as u32);
        Some(if offset < REDZONE {
            Place::Redzone { slot, below: REDZONE - offset }
        } else {
            Place::Stack { slot }
        })
    }
}

impl ClassGeometry {
    /// Where the redzone behind the last slot starts.
    pub(crate) fn end(&self) -> usize {
        self.base + self.count as usize * self.stride
    }
}

impl StackBounds {
    /// Where a coroutine's frames begin: 16 steps of 64 bytes, by slot. With one offset for all, the hot top
    /// lines of all stacks, whole pages apart, would share a few cache sets (a round robin over 1,000 stacks:
    /// 32.5 ns a switch, coloured 12.6).
    ///
    /// Never `top` itself: in `entry` nothing has been pushed yet, and a stack pointer at the top would lie in the next
    /// slot's redzone for whoever asks whose stack it is. Pinned by tests/stepping.rs.
    #[inline]
    pub(crate) fn coloured_top(&self, slot: SlotIndex) -> usize {
        self.top - (1 + slot.0 as usize % 16) * 64
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.limit..self.top).contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_tile_the_region() {
        let geometry = Geometry::new(0x10_0000_0000, 100, 2000);
        for class in &geometry.classes[1..] {
            for i in 0..class.count {
                let slot = SlotIndex(class.first + i);
                let bounds = geometry.bounds(slot).unwrap();
                assert_eq!(geometry.class_of(slot), class);
                assert_eq!(geometry.locate(bounds.limit), Some(Place::Stack { slot }));
                assert_eq!(geometry.locate(bounds.top - 1), Some(Place::Stack { slot }));
                assert_eq!(geometry.locate(bounds.limit - 1), Some(Place::Redzone { slot, below: 1 }));
                assert_eq!(
                    geometry.locate(bounds.limit - REDZONE),
                    Some(Place::Redzone { slot, below: REDZONE })
                );
                assert!(bounds.contains(bounds.coloured_top(slot)));
                assert_eq!(bounds.coloured_top(slot) % 64, 0);
            }
            assert_eq!(geometry.locate(class.end()), Some(Place::Behind { class: class.name }));
            assert_eq!(geometry.locate(class.end() + REDZONE - 1), Some(Place::Behind { class: class.name }));
        }
        assert_eq!(geometry.locate(geometry.base), Some(Place::Registry));
        let [records_end, descriptors_end] = [
            geometry.records + geometry.record_count as usize * size_of::<Record>(),
            geometry.descriptors + 2000 * size_of::<Descriptor>(),
        ];
        for (address, place) in [
            (geometry.records, Place::Registry),
            (records_end - 1, Place::Registry),
            (geometry.descriptors, Place::Descriptors),
            (descriptors_end - 1, Place::Descriptors),
        ] {
            assert_eq!(geometry.locate(address), Some(place), "{address:#x}");
        }
        assert!(geometry.descriptors.is_multiple_of(PAGE) && records_end <= geometry.descriptors);
        assert!(descriptors_end <= geometry.class(ClassName::Service).base);
        assert_eq!(geometry.locate(geometry.base - 1), None);
        assert_eq!(geometry.locate(geometry.base + geometry.length), None);
        assert_eq!(geometry.bounds(SlotIndex(0)), None, "main coroutines have native stacks");
        assert_eq!(geometry.bounds(SlotIndex(geometry.record_count)), None);
    }

    #[test]
    fn descriptors_have_a_row_each_within_bounds() {
        let count = |asked| Geometry::new(0, 64, asked).descriptor_count;
        assert_eq!([0, 1024, 20_000, 1 << 20].map(count), [1024, 1024, 20_000, 1 << 20]);
        assert_eq!(count(usize::MAX), 1 << 20);
    }

    #[test]
    fn sizes_find_their_class() {
        let class = class_for;
        assert_eq!(
            (class(0), class(1), class(192 << 10)),
            (None, Some(ClassName::Default), Some(ClassName::Default))
        );
        assert_eq!(
            (class((192 << 10) + 1), class(8 << 20)),
            (Some(ClassName::Large), Some(ClassName::Large))
        );
        assert_eq!((class((8 << 20) + 1), class(usize::MAX)), (None, None));
    }
}
