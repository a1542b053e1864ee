//! Slots: which stacks are in use, and which one to hand out next.
//!
//! A slot keeps its address for the life of the process; what changes is its *generation*, so that an id
//! written down by a debugger an hour ago can be told from the slot's next tenant.
//!
//! Free slots are in their class's [queues](super::free); a worker keeps some [for itself](super::cache).

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, MutexGuard};

use super::geometry::{ClassGeometry, SlotIndex, StackBounds};
use super::region::Region;
use super::{checkers, free};
use crate::abi::layout::{CLASS_COUNT, ClassName};
use crate::abi::state::State;
use crate::error::{Kind, Result};
use crate::sys::memory::GUARDS_AT_ONCE;
use crate::sys::{lock, pagemap};

/// In debug builds a free stack faults whole, so that a use after the coroutine's end is found where it
/// happens. It costs 8 µs a coroutine.
pub(super) const CLOSE_FREE_STACKS: bool = cfg!(debug_assertions);

/// Takes a free slot of the class, or a fresh one, with its redzone in place. Its record is `Free`, and the
/// caller's until it is published.
pub(crate) fn acquire(region: &Region, name: ClassName) -> Result<SlotIndex> {
    let mut slot = [SlotIndex(0)];
    if take(region, name, &mut slot) == 0 {
        slot = [take_fresh(region, name)?];
    }
    open(region, name, slot[0])
}

/// Gives a slot back; its record has a new generation from here on.
///
/// # Safety
/// Nobody runs on the slot's stack, or has a pointer into it.
pub(crate) unsafe fn release(region: &Region, slot: SlotIndex) {
    // SAFETY: the caller says that nobody uses it.
    unsafe { retire(region, slot) };
    let name = region.geometry.class_of(slot).name;
    free::put(&region.class(name).free, region, &[slot]);
}

/// Makes a slot's record one that is free, of the next generation. In no queue yet.
///
/// # Safety
/// As [`release`].
#[inline]
pub(super) unsafe fn retire(region: &Region, slot: SlotIndex) {
    let record = region.record(slot);
    let word = record.word();
    debug_assert!(
        matches!(word.state(), State::Exited | State::Free),
        "slot {slot:?} is released while {word:?}"
    );
    if checkers::ARE_TOLD {
        checkers::release(record, region.geometry.bounds(slot));
    }
    if CLOSE_FREE_STACKS && let Some(bounds) = region.geometry.bounds(slot) {
        note_depth(bounds);
        // An error costs a check; the slot is usable all the same.
        // SAFETY: the caller says that nobody uses the stack.
        let _ = unsafe { region.redzones.close(bounds.limit, bounds.top - bounds.limit) };
    }
    // The former is a planted bug: see tests/stepping/plants.rs.
    let next = if cfg!(coro_plant = "generation") { word } else { word.next_generation() };
    // Release: pairs with the Acquire of a reader that finds the slot free.
    record.state.store(next.with(State::Free, 0).0, Release);
}

/// Makes a slot's stack usable that was closed when it became free.
#[inline]
pub(super) fn open(region: &Region, name: ClassName, slot: SlotIndex) -> Result<SlotIndex> {
    if CLOSE_FREE_STACKS && let Some(bounds) = region.geometry.bounds(slot) {
        let opened = region.redzones.open(slot, bounds.limit, bounds.top - bounds.limit);
        if let Err(error) = opened {
            free::put(&region.class(name).free, region, &[slot]);
            return Err(error);
        }
    }
    if checkers::ARE_TOLD {
        checkers::acquire(region.record(slot), region.geometry.bounds(slot));
    }
    Ok(slot)
}

/// Takes free slots of the class, those used last first; returns how many.
pub(super) fn take(region: &Region, name: ClassName, out: &mut [SlotIndex]) -> usize {
    let class = region.class(name);
    let taken = class.free_queues().into_iter().map(|queue| free::take(queue, region, out)).find(|n| *n > 0);
    class.least_free.fetch_min(class.free.count.load(Relaxed), Relaxed);
    taken.unwrap_or(0)
}

/// Held by whoever takes fresh slots, or has slots in hand that are free and in no queue. In it: how many slots of each
/// class have their redzones, those that were never used included.
pub(super) fn growing() -> MutexGuard<'static, [u32; CLASS_COUNT]> {
    static GROWING: Mutex<[u32; CLASS_COUNT]> = Mutex::new([0; CLASS_COUNT]);
    lock::of(&GROWING)
}

/// The next slot that never had a tenant.
pub(super) fn take_fresh(region: &Region, name: ClassName) -> Result<SlotIndex> {
    let mut growing = growing();
    let guarded = &mut growing[name as usize];
    let geometry = region.geometry.class(name);
    let class = region.class(name);
    let used = class.used.load(Relaxed);
    if used == geometry.count {
        // Somebody may have put slots back just now.
        let mut slot = [SlotIndex(0)];
        return match take(region, name, &mut slot) {
            0 => Err(Kind::Slots { class: name.name(), count: geometry.count as usize }.into()),
            _ => Ok(slot[0]),
        };
    }
    let slot = SlotIndex(geometry.first + used);
    if used == *guarded && geometry.stride != 0 {
        if used == 0 {
            // SAFETY: behind a class's last slot nothing is ever used.
            unsafe { region.redzones.place(slot, &[geometry.end()]) }?;
        }
        *guarded += place_redzones(region, geometry, used)?;
    }
    checkers::open(region.record(slot), region.geometry.bounds(slot));
    region.include_in_cores(name, used as usize + 1);
    // Release: a reader that sees the higher mark sees the redzone, too.
    class.used.store(used + 1, Release);
    Ok(slot)
}

/// Places the redzones of the slots from the `used`th on: of as many as are in use already, as far as one system call
/// can, so that one stack costs one redzone, and in a crowd each costs less. Says of how many.
fn place_redzones(region: &Region, class: &ClassGeometry, used: u32) -> Result<u32> {
    let most = used.clamp(1, GUARDS_AT_ONCE as u32).min(class.count - used);
    let mut addresses = [0; GUARDS_AT_ONCE];
    for (address, i) in addresses.iter_mut().zip(used..) {
        *address = class.base + i as usize * class.stride;
    }
    let addresses = &addresses[..most as usize];
    // SAFETY: a slot's low end is never used, and these slots not at all yet.
    let placed = unsafe { region.redzones.place(SlotIndex(class.first + used), addresses) }?;
    Ok(placed as u32)
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

/// The pages of a stack are about to go, and with them what they say of how deep it went.
pub(super) fn note_depth(bounds: StackBounds) {
    DEEPEST.fetch_max(depth(bounds), Relaxed);
}

/// How deep stacks were whose pages are gone; 0 if that is not known of any.
pub(crate) fn deepest_before() -> usize {
    DEEPEST.load(Relaxed)
}

/// How deep a stack has been, in whole pages.
pub(crate) fn depth(bounds: StackBounds) -> usize {
    pagemap::lowest_touched(bounds.limit, bounds.top).map_or(0, |page| bounds.top - page)
}

/// Whether a stack has been used to three quarters of its size.
pub(crate) fn is_nearly_full(depth: usize, size: usize) -> bool {
    depth * 4 >= size * 3
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
