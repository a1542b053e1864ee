//! What a fault means: from the address that was touched, the stack pointer, and who is where. Values in, values out.
//!
//! By the address, never by the signal's code: a guard page, a protected one and one that isn't mapped differ in that
//! alone. And by the stack pointer rather than by what the runtime believes to run.
//!
//! *No allocation, no locks, bounded loops.*

use crate::stack::geometry::{Geometry, LARGEST_STACK, Place, SlotIndex};

/// How far below its stack pointer a function touches its stack: the ABI's red zone, and a probe of the next page.
const REACH: usize = 8192;
/// What the kernel puts on a stack to call a signal's handler, at most: with all registers of AVX-512 and AMX.
const SIGNAL_FRAME: usize = 12 << 10;

/// What the kernel says of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An access to an address.
    Access { address: usize },
    /// The kernel's own, without an address: it could not do what was to be done.
    Kernel,
    /// Something else: another process's, a thread's own, a general protection fault.
    Other,
}

/// What a fault means for the coroutines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A coroutine needed more stack than it has: so many bytes below it were touched.
    Overflow { own: SlotIndex, below: usize },
    /// The same, by a frame so large that the stack pointer lies beyond the redzone already.
    Jumped { own: SlotIndex, below: usize },
    /// The same, when a signal came: the kernel found no room to call its handler.
    Signal { own: SlotIndex },
    /// A coroutine touched its own redzone, but not by its stack pointer, which is far above.
    Underrun { own: SlotIndex, below: usize },
    /// A coroutine touched what lies above its stack, so many bytes on.
    Above { own: SlotIndex, distance: usize },
    /// Somebody touched the redzone of somebody else, or the one behind the last stack.
    Stranger { own: Option<SlotIndex>, slot: Option<SlotIndex> },
    /// Somebody used the stack of a coroutine that has ended.
    Freed { own: Option<SlotIndex>, slot: SlotIndex },
    /// A coroutine was about to give way, and its stack pointer was not in its stack.
    Astray { own: SlotIndex },
    /// It has nothing to do with stacks.
    NotOurs,
}

/// What is known of slots when a fault is looked at.
pub(crate) trait Slots {
    /// Whether the record says that its coroutine runs on this thread.
    fn runs_here(&self, slot: SlotIndex) -> bool;
    /// Whether nobody lives there.
    fn is_free(&self, slot: SlotIndex) -> bool;
}

/// The meaning of a fault.
pub(crate) fn classify(cause: Cause, sp: usize, geometry: &Geometry, slots: &impl Slots) -> Class {
    let own = own(sp, geometry, slots);
    let address = match cause {
        Cause::Other => return Class::NotOurs,
        Cause::Kernel => {
            let slot = own
                .filter(|slot| geometry.bounds(*slot).is_some_and(|bounds| sp < bounds.limit + SIGNAL_FRAME));
            return slot.map_or(Class::NotOurs, |own| Class::Signal { own });
        }
        Cause::Access { address } => address,
    };
    let Some(place) = geometry.locate(address) else { return Class::NotOurs };
    if let Some(own) = own
        && let Some(bounds) = geometry.bounds(own)
    {
        let class = geometry.class_of(own);
        let redzone = bounds.limit - (bounds.top - class.stride);
        if address < bounds.limit
            && sp < bounds.limit.saturating_sub(redzone)
            && address >= sp.saturating_sub(REACH)
        {
            return Class::Jumped { own, below: bounds.limit - address };
        }
        if place == (Place::Redzone { slot: own, below: bounds.limit.wrapping_sub(address) }) {
            let below = bounds.limit - address;
            let is_near = sp < bounds.limit || address >= sp.saturating_sub(REACH);
            return if is_near { Class::Overflow { own, below } } else { Class::Underrun { own, below } };
        }
        if (bounds.top..bounds.top + redzone).contains(&address) {
            return Class::Above { own, distance: address - bounds.top };
        }
    }
    match place {
        Place::Redzone { slot, .. } => Class::Stranger { own, slot: Some(slot) },
        Place::Behind { .. } => Class::Stranger { own, slot: None },
        Place::Stack { slot } if slots.is_free(slot) => Class::Freed { own, slot },
        Place::Stack { .. } | Place::Registry | Place::Descriptors => Class::NotOurs,
    }
}

/// Whose stack the stack pointer is in, or has just left.
fn own(sp: usize, geometry: &Geometry, slots: &impl Slots) -> Option<SlotIndex> {
    let found = match geometry.locate(sp)? {
        Place::Stack { slot } | Place::Redzone { slot, .. } => Some(slot),
        Place::Registry | Place::Descriptors | Place::Behind { .. } => None,
    };
    if found.is_some_and(|slot| slots.runs_here(slot)) {
        return found;
    }
    // A large frame may have jumped over a redzone, and over whole stacks: then one that lies above runs.
    let above = geometry.classes.iter().filter(|class| class.stride != 0).find_map(|class| {
        let first = sp.saturating_sub(class.base) / class.stride;
        let most = LARGEST_STACK / class.stride + 1;
        let near =
            (first..(first + most).min(class.count as usize)).map(|at| SlotIndex(class.first + at as u32));
        near.into_iter().find(|slot| {
            let limit = geometry.bounds(*slot).map_or(0, |bounds| bounds.limit);
            limit > sp && limit - sp <= LARGEST_STACK && slots.runs_here(*slot)
        })
    });
    above.or(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::layout::ClassName;
    use crate::stack::geometry::REDZONE;

    /// Slot 5 of the default class runs here, slot 7 is free, and so is 3.
    struct Few(u32);

    impl Slots for Few {
        fn runs_here(&self, slot: SlotIndex) -> bool {
            slot.0 == self.0.wrapping_add(5)
        }

        fn is_free(&self, slot: SlotIndex) -> bool {
            [self.0.wrapping_add(7), self.0.wrapping_add(3)].contains(&slot.0)
        }
    }

    fn region() -> (Geometry, u32) {
        let geometry = Geometry::new(0x10_0000_0000, 10, 1024);
        let first = geometry.class(ClassName::Default).first;
        (geometry, first)
    }

    /// The class of an access to `address` bytes from slot `of`'s limit, with the sp `sp` bytes from slot 5's limit.
    fn class((of, address): (u32, isize), sp: isize) -> Class {
        let (geometry, first) = region();
        let limit = |slot: u32| geometry.bounds(SlotIndex(first + slot)).unwrap().limit;
        let address = limit(of).wrapping_add_signed(address);
        classify(Cause::Access { address }, limit(5).wrapping_add_signed(sp), &geometry, &Few(first))
    }

    #[test]
    fn own_redzone_at_the_stack_pointer_is_an_overflow() {
        let own = SlotIndex(region().1 + 5);
        assert_eq!(class((5, -8), 0), Class::Overflow { own, below: 8 }, "a call");
        assert_eq!(class((5, -100), 20), Class::Overflow { own, below: 100 }, "the ABI's red zone");
        assert_eq!(class((5, -4096), -4096), Class::Overflow { own, below: 4096 }, "a probe");
        assert_eq!(class((5, -10), -60_000), Class::Overflow { own, below: 10 }, "far up in a large frame");
        let redzone = REDZONE as isize;
        assert_eq!(class((5, -redzone), -redzone), Class::Overflow { own, below: REDZONE });
    }

    #[test]
    fn frame_beyond_the_redzone_is_an_overflow_still() {
        let own = SlotIndex(region().1 + 5);
        let below = REDZONE as isize + 5000;
        // In slot 4's stack, which is somebody's, but not what runs here.
        assert_eq!(class((5, -1000), -below), Class::Jumped { own, below: 1000 });
        // Over the whole of slot 4, into its redzone; and into slot 3, which is closed.
        assert_eq!(class((4, -1000), -(265 << 10)), Class::Jumped { own, below: (260 << 10) + 1000 });
        assert_eq!(class((3, 5000), -(518 << 10)), Class::Jumped { own, below: (520 << 10) - 5000 });
    }

    #[test]
    fn first_slots_jump_into_the_class_before_is_an_overflow() {
        let (geometry, first) = region();
        // Slot 0 runs.
        let (own, few) = (SlotIndex(first), Few(first.wrapping_sub(5)));
        let limit = geometry.bounds(own).unwrap().limit;
        let (sp, address) = (limit - (200 << 10), limit - (190 << 10));
        let class = classify(Cause::Access { address }, sp, &geometry, &few);
        assert_eq!(class, Class::Jumped { own, below: 190 << 10 });
    }

    #[test]
    fn own_redzone_far_from_the_stack_pointer_is_an_underrun() {
        let own = SlotIndex(region().1 + 5);
        assert_eq!(class((5, -8), 100 << 10), Class::Underrun { own, below: 8 });
        assert_eq!(class((5, -8), REACH as isize), Class::Underrun { own, below: 8 });
        assert_eq!(class((5, -8), REACH as isize - 8), Class::Overflow { own, below: 8 });
    }

    #[test]
    fn above_the_top_is_no_overflow_of_the_next_one() {
        let own = SlotIndex(region().1 + 5);
        assert_eq!(class((5, 192 << 10), 1000), Class::Above { own, distance: 0 });
        assert_eq!(class((6, -8), 1000), Class::Above { own, distance: REDZONE - 8 });
    }

    #[test]
    fn others_redzones_and_free_stacks_are_named() {
        let first = region().1;
        let (own, of) = (Some(SlotIndex(first + 5)), |slot| SlotIndex(first + slot));
        assert_eq!(class((8, -8), 1000), Class::Stranger { own, slot: Some(of(8)) });
        assert_eq!(class((2, -8), 1000), Class::Stranger { own, slot: Some(of(2)) });
        assert_eq!(class((9, 193 << 10), 1000), Class::Stranger { own, slot: None });
        assert_eq!(class((7, 8), 1000), Class::Freed { own, slot: of(7) });
        assert_eq!(class((8, 8), 1000), Class::NotOurs, "as a jump into a stack is");
        let (geometry, first) = region();
        let address = geometry.bounds(of(2)).unwrap().limit - 8;
        let thread = classify(Cause::Access { address }, 0x7fff_0000_0000, &geometry, &Few(first));
        assert_eq!(thread, Class::Stranger { own: None, slot: Some(of(2)) });
    }

    #[test]
    fn what_lies_elsewhere_is_not_ours() {
        let (geometry, first) = region();
        for address in [0, 8, geometry.base - 1, geometry.base, geometry.base + geometry.length, usize::MAX] {
            for sp in [0, geometry.bounds(SlotIndex(first + 5)).unwrap().limit, usize::MAX] {
                assert_eq!(classify(Cause::Access { address }, sp, &geometry, &Few(first)), Class::NotOurs);
                assert_eq!(classify(Cause::Other, sp, &geometry, &Few(first)), Class::NotOurs);
            }
        }
    }

    #[test]
    fn signal_without_room_for_its_handler_is_an_overflow() {
        let (geometry, first) = region();
        let own = SlotIndex(first + 5);
        let bounds = geometry.bounds(own).unwrap();
        let class = |sp| classify(Cause::Kernel, sp, &geometry, &Few(first));
        assert_eq!(class(bounds.limit + 100), Class::Signal { own });
        assert_eq!(class(bounds.limit - 100), Class::Signal { own });
        assert_eq!(class(bounds.top - 100), Class::NotOurs);
        assert_eq!(class(0x7fff_0000_0000), Class::NotOurs);
    }
}
