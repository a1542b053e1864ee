//! A model of the free queues: a slot that one thread gives back, others take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::sys::model::{self, Shared, Unordered, Word};

const SLOTS: usize = 3;

/// A queue with its links, and what lies in the slots: loom sees to it that no two have a slot at a time, and that who
/// takes one sees what was done before it was given back.
struct Stacks<A> {
    head: A,
    count: AtomicU32,
    links: [Shared; SLOTS],
    contents: [UnsafeCell<u32>; SLOTS],
}

// SAFETY: that nobody shares a slot's content is what the model is about; loom tells of two who do.
unsafe impl<A: Sync> Sync for Stacks<A> {}

impl<A: Word> Queue for Stacks<A> {
    fn head(&self) -> &impl Atomic<u64> {
        &self.head
    }

    fn count(&self) -> &AtomicU32 {
        &self.count
    }
}

impl<A> Links for Stacks<A> {
    fn next(&self, index: u32) -> u32 {
        self.links[index as usize].load(Relaxed) as u32
    }

    fn set_next(&self, index: u32, next: u32) {
        self.links[index as usize].store(next.into(), Relaxed);
    }
}

impl<A: Word> Stacks<A> {
    /// All slots are free; 0 is the first to be taken.
    fn new() -> Stacks<A> {
        let stacks = Stacks {
            head: A::new(0),
            count: AtomicU32::new(0),
            links: [(); SLOTS].map(|()| Shared::new(0)),
            contents: [(); SLOTS].map(|()| UnsafeCell::new(0)),
        };
        put(&stacks, &stacks, &[2, 1, 0].map(SlotIndex));
        stacks
    }

    /// Takes so many, as far as there are.
    fn take<const MOST: usize>(&self) -> Vec<SlotIndex> {
        let mut out = [SlotIndex(0); MOST];
        let count = take(self, self, &mut out);
        let taken = out[..count].to_vec();
        taken.iter().for_each(|slot| self.write(*slot));
        taken
    }

    /// Uses a slot.
    fn write(&self, slot: SlotIndex) {
        // SAFETY: as loom finds, nobody else has it.
        self.contents[slot.0 as usize].with_mut(|content| unsafe { *content += 1 });
    }
}

/// One thread takes a slot and keeps it; another takes two, and gives the first of them back.
fn take_beside_take_and_put<A: Word>() {
    let stacks = Arc::new(Stacks::<A>::new());
    let other = thread::spawn({
        let stacks = stacks.clone();
        move || {
            let mut taken = stacks.take::<2>();
            if !taken.is_empty() {
                let back = taken.remove(0);
                stacks.write(back);
                put(&*stacks, &*stacks, &[back]);
            }
            taken.iter().for_each(|slot| stacks.write(*slot));
            taken
        }
    });
    let mut taken = stacks.take::<1>();
    taken.iter().for_each(|slot| stacks.write(*slot));
    taken.extend(model::join(other));
    taken.extend(stacks.take::<SLOTS>());
    let mut all: Vec<_> = taken.iter().map(|slot| slot.0).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2], "each slot is with one owner");
}

/// A head without a tag.
struct Untagged(Shared);

impl Atomic<u64> for Untagged {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
    fn compare_exchange(&self, from: u64, to: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange(from, to & 0xffff_ffff, success, failure)
    }
    fn give_way(round: u32) {
        Shared::give_way(round);
    }
    fn fence(order: Ordering) {
        Shared::fence(order);
    }
}

impl Word for Untagged {
    fn new(value: u64) -> Untagged {
        Untagged(Shared::new(value))
    }
}

#[test]
fn slot_that_is_given_back_has_one_next_owner() {
    model::check(take_beside_take_and_put::<Shared>);
    let said = model::fails(take_beside_take_and_put::<Untagged>);
    assert!(said.contains("each slot is with one owner") || said.contains("Causality violation"), "{said}");
    let said = model::fails(take_beside_take_and_put::<Unordered>);
    assert!(said.contains("Causality violation") || said.contains("Concurrent"), "{said}");
}
