//! Slots: which stacks are in use, and which one to hand out next.
//!
//! A slot keeps its address for the life of the process; what changes is its *generation*, so that an id
//! written down by a debugger an hour ago can be told from the slot's next tenant.
//!
//! Free slots form a queue per class, threaded through their records, last in first out: the stack that was
//! left just now is still in the cache. It is Treiber's stack (IBM RJ 5118, 1986); the tag in its head makes a
//! compare-exchange fail when the head went away and came back meanwhile.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};

use super::geometry::{REDZONE, SlotIndex, StackBounds};
use super::region::Region;
use crate::abi::layout::ClassName;
use crate::abi::record::NO_SLOT;
use crate::abi::state::State;
use crate::error::{Kind, Result};
use crate::sys::memory;

/// Free slots of a class which keep their pages; the pages of more go back to the system.
const WARM: u32 = 4096;

/// In debug builds a free stack faults whole, so that a use after the coroutine's end is found where it
/// happens. It costs 8 µs a coroutine.
const CLOSE_FREE_STACKS: bool = cfg!(debug_assertions);

/// Takes a slot out of the free queue, or a fresh one, with its redzone in place. Its record is `Free`, and the
/// caller's until it is published.
pub(crate) fn acquire(region: &Region, name: ClassName) -> Result<SlotIndex> {
    match pop(region, name) {
        Some(slot) if CLOSE_FREE_STACKS => match reopen(region, slot) {
            Ok(()) => Ok(slot),
            Err(error) => {
                push(region, name, slot);
                Err(error)
            }
        },
        Some(slot) => Ok(slot),
        None => take_fresh(region, name),
    }
}

/// Gives a slot back; its record has a new generation from here on.
///
/// # Safety
/// Nobody runs on the slot's stack, or has a pointer into it.
pub(crate) unsafe fn release(region: &Region, slot: SlotIndex) {
    let name = region.geometry.class_of(slot).name;
    let record = region.record(slot);
    let word = record.word();
    debug_assert!(
        matches!(word.state(), State::Exited | State::Free),
        "slot {slot:?} is released while {word:?}"
    );
    if let Some(bounds) = region.geometry.bounds(slot) {
        let length = bounds.top - bounds.limit;
        let cools = region.class(name).free_count.load(Relaxed) >= WARM;
        if CLOSE_FREE_STACKS || cools {
            // The pages are about to go, and with them what they say of how deep it went.
            DEEPEST.fetch_max(depth(bounds), Relaxed);
        }
        // Errors cost memory, or a check; the slot is usable all the same.
        if CLOSE_FREE_STACKS {
            // SAFETY: the caller says that nobody uses the stack.
            let _ = unsafe { region.redzones.close(bounds.limit, length) };
        } else if cools {
            // SAFETY: the caller says that nobody uses the stack.
            let _ = unsafe { memory::discard(bounds.limit, length) };
        }
    }
    // Release: pairs with the Acquire of a reader that finds the slot free.
    record.state.store(word.next_generation().with(State::Free, 0).0, Release);
    push(region, name, slot);
}

/// The deepest stack of the process so far, in bytes: whole pages, by what has been touched. Looks at every slot that
/// still has pages (0.5 µs each).
pub(crate) fn deepest(region: &'static Region) -> usize {
    let touched = user_slots(region)
        .filter(|slot| !CLOSE_FREE_STACKS || region.record(*slot).word().state() != State::Free)
        .filter_map(|slot| region.geometry.bounds(slot))
        .map(depth);
    touched.max().unwrap_or(0).max(DEEPEST.load(Relaxed))
}

/// How deep stacks were whose pages are gone.
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

fn depth(bounds: StackBounds) -> usize {
    memory::lowest_touched(bounds.limit, bounds.top - bounds.limit).map_or(0, |page| bounds.top - page)
}

/// All slots that ever had a tenant and have a stack for users.
fn user_slots(region: &'static Region) -> impl Iterator<Item = SlotIndex> {
    [ClassName::Default, ClassName::Large].into_iter().flat_map(move |name| {
        // Acquire: pairs with `take_fresh`'s Release.
        let used = region.class(name).used.load(Acquire);
        let first = region.geometry.class(name).first;
        (first..first + used).map(SlotIndex)
    })
}

fn reopen(region: &Region, slot: SlotIndex) -> Result<()> {
    region
        .geometry
        .bounds(slot)
        .map_or(Ok(()), |bounds| region.redzones.open(slot, bounds.limit, bounds.top - bounds.limit))
}

/// The next slot that never had a tenant.
fn take_fresh(region: &Region, name: ClassName) -> Result<SlotIndex> {
    static GROWING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = GROWING.lock().unwrap_or_else(PoisonError::into_inner);
    let geometry = region.geometry.class(name);
    let class = region.class(name);
    let used = class.used.load(Relaxed);
    if used == geometry.count {
        return Err(Kind::Slots { class: name.name(), count: geometry.count as usize }.into());
    }
    let slot = SlotIndex(geometry.first + used);
    if let Some(bounds) = region.geometry.bounds(slot) {
        if used == 0 {
            // SAFETY: behind a class's last slot nothing is ever used.
            unsafe { region.redzones.place(slot, geometry.end()) }?;
        }
        // SAFETY: a slot's low end is never used, and this slot not at all yet.
        unsafe { region.redzones.place(slot, bounds.limit - REDZONE) }?;
    }
    region.include_in_cores(name, used as usize + 1);
    // Release: a reader that sees the higher mark sees the redzone, too.
    class.used.store(used + 1, Release);
    Ok(slot)
}

fn pop(region: &Region, name: ClassName) -> Option<SlotIndex> {
    let class = region.class(name);
    let slot = pop_index(&class.free_head, |index| region.record(SlotIndex(index)).next_free.load(Relaxed))?;
    class.free_count.fetch_sub(1, Relaxed);
    Some(SlotIndex(slot))
}

fn push(region: &Region, name: ClassName, slot: SlotIndex) {
    let class = region.class(name);
    class.free_count.fetch_add(1, Relaxed);
    push_index(&class.free_head, slot.0, |next| region.record(slot).next_free.store(next, Relaxed));
}

/// Takes the index at a queue's head, if there is one. `next` reads an index's successor, which may be out of
/// date when another thread takes the index meanwhile: the tag then has changed.
fn pop_index(head: &AtomicU64, next: impl Fn(u32) -> u32) -> Option<u32> {
    let mut seen = head.load(Acquire);
    loop {
        let index = (seen as u32).checked_sub(1)?;
        let new = tagged(seen, next(index));
        // Acquire: pairs with push's Release, so that the slot is seen as it was released.
        match head.compare_exchange_weak(seen, new, AcqRel, Acquire) {
            Ok(_) => return Some(index),
            Err(now) => seen = now,
        }
    }
}

/// Puts an index at a queue's head. `set_next` stores its successor.
fn push_index(head: &AtomicU64, index: u32, set_next: impl Fn(u32)) {
    let mut seen = head.load(Relaxed);
    loop {
        set_next((seen as u32).wrapping_sub(1));
        match head.compare_exchange_weak(seen, tagged(seen, index), Release, Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// A head with the next tag. `NO_SLOT` is an empty queue: its low half is 0.
fn tagged(seen: u64, index: u32) -> u64 {
    ((seen >> 32).wrapping_add(1) << 32) | u64::from(index.wrapping_add(1))
}

const _: () = assert!(NO_SLOT.wrapping_add(1) == 0, "an empty queue's head is 0");

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn queue(next: &[AtomicU32]) -> (impl Fn(u32) -> u32, impl Fn(u32, u32)) {
        (|index| next[index as usize].load(Relaxed), |index, to| next[index as usize].store(to, Relaxed))
    }

    #[test]
    fn last_in_first_out() {
        let (head, next) = (AtomicU64::new(0), [const { AtomicU32::new(0) }; 4]);
        let (get, set) = queue(&next);
        assert_eq!(pop_index(&head, &get), None);
        for index in [2, 0, 3] {
            push_index(&head, index, |to| set(index, to));
        }
        let taken: Vec<_> = std::iter::from_fn(|| pop_index(&head, &get)).collect();
        assert_eq!(taken, [3, 0, 2]);
    }

    #[test]
    fn a_head_that_came_back_is_not_taken_for_the_old_one() {
        let (head, next) = (AtomicU64::new(0), [const { AtomicU32::new(0) }; 4]);
        let (get, set) = queue(&next);
        push_index(&head, 1, |to| set(1, to));
        push_index(&head, 0, |to| set(0, to));
        // While one thread has read `head` (0, whose successor is 1), another takes both and puts 0 back.
        let raced = std::cell::Cell::new(false);
        let taken = pop_index(&head, |index| {
            let next = get(index);
            if !raced.replace(true) {
                assert_eq!((pop_index(&head, &get), pop_index(&head, &get)), (Some(0), Some(1)));
                push_index(&head, 0, |to| set(0, to));
            }
            next
        });
        assert_eq!(
            (taken, pop_index(&head, &get)),
            (Some(0), None),
            "1 is in use and must not be handed out"
        );
    }
}
