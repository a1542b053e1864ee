//! The frames of the stack that crashed: all of them, with their sizes; and which of them are shown.
//!
//! *No allocation, no locks, bounded loops*: a stack of 8 MiB has half a million frames at most, for which memory is mapped
//! when it is needed.

use std::slice;

use super::fold::Runs;
use crate::arch::registers::Registers;
use crate::debug::memory::ReadMemory;
use crate::debug::modules::Modules;
use crate::debug::unwind::{End, Unwinder};
use crate::stack::geometry::LARGEST_STACK;
use crate::sys::memory;

/// A frame takes a return address, and keeps the stack aligned to two words.
const MOST_FRAMES: usize = LARGEST_STACK / 16;
/// When there is no memory to be had.
const FEWEST_FRAMES: usize = 2048;
/// Functions whose frames are summed up.
const MOST_FUNCTIONS: usize = 128;
/// Frames that are shown singly: of the innermost and of the outermost ones.
const INNERMOST: usize = 32;
const OUTERMOST: usize = 30;
const MOST_ITEMS: usize = 2 * (INNERMOST + OUTERMOST);

/// A frame, as far as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) look_up: u64,
    /// By which frames of one function are known.
    pub(crate) function: u64,
    pub(crate) size: u64,
    pub(crate) is_certain: bool,
}

/// What is shown of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Frame(usize),
    /// So many frames from the first one on, and how often they come.
    Cycle {
        start: usize,
        period: usize,
        rounds: usize,
    },
    /// Frames that are left out: [from, to).
    Omitted(usize, usize),
}

/// What a function's frames take together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    function: u64,
    /// One of them.
    pub(crate) frame: usize,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// See the module.
pub(crate) struct Trace {
    few: [Kept; FEWEST_FRAMES],
    /// Where more have room, or 0.
    many: usize,
    count: usize,
    /// Whether there are frames for which there was no room.
    is_cut: bool,
    end: Option<End>,
    /// What the innermost frame gets when it is complete.
    pub(crate) whole: u64,
    pub(crate) runs: Runs,
    items: [Item; MOST_ITEMS],
    item_count: usize,
    shares: [Share; MOST_FUNCTIONS],
}

impl Trace {
    /// Makes one of memory of any content, where it is to be.
    ///
    /// # Safety
    /// There is memory for one at `place`, which nobody else uses.
    pub(crate) unsafe fn write_empty(place: *mut Trace) {
        let nothing = Kept { look_up: 0, function: 0, size: 0, is_certain: false };
        // SAFETY: as the caller says; field by field.
        unsafe {
            let few = (&raw mut (*place).few).cast::<Kept>();
            (0..FEWEST_FRAMES).for_each(|at| few.add(at).write(nothing));
            (&raw mut (*place).many).write(0);
            (&raw mut (*place).count).write(0);
            (&raw mut (*place).is_cut).write(false);
            (&raw mut (*place).end).write(None);
            (&raw mut (*place).whole).write(0);
            (&raw mut (*place).runs).write(Runs::EMPTY);
            (&raw mut (*place).items).write([Item::Frame(0); MOST_ITEMS]);
            (&raw mut (*place).item_count).write(0);
            (&raw mut (*place).shares).write([Share::default(); MOST_FUNCTIONS]);
        }
    }

    pub(crate) fn frames(&self) -> &[Kept] {
        if self.many == 0 {
            return &self.few[..self.count];
        }
        // SAFETY: `take` has mapped room for more than were counted, and has written them.
        unsafe { slice::from_raw_parts(std::ptr::with_exposed_provenance(self.many), self.count) }
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items[..self.item_count]
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes of all frames together.
    pub(crate) fn bytes(&self) -> u64 {
        self.frames().iter().map(|frame| frame.size).sum()
    }

    /// Walks the stack, and keeps what it finds.
    pub(crate) fn take(
        &mut self,
        unwinder: &mut Unwinder,
        modules: &Modules,
        memory: impl ReadMemory,
        registers: &Registers,
        top: u64,
    ) {
        self.count = 0;
        (self.is_cut, self.end, self.item_count) = (false, None, 0);
        if self.many == 0 {
            self.many = memory::reserve(0, MOST_FRAMES * size_of::<Kept>()).unwrap_or(0);
        }
        let room = if self.many == 0 { FEWEST_FRAMES } else { MOST_FRAMES };
        let mut walk = unwinder.walk(modules, memory, registers, true);
        while let Some(frame) = walk.next() {
            if self.count == room {
                self.is_cut = true;
                break;
            }
            // The coroutine's first frame ends where its stack does, whatever lies above it.
            let next = match walk.end() {
                None => walk.sp(),
                Some(_) => frame.sp.max(top),
            };
            let size = next.saturating_sub(frame.sp);
            let function = if frame.function == 0 { frame.look_up } else { frame.function };
            let kept = Kept { look_up: frame.look_up, function, size, is_certain: frame.is_certain };
            match self.many {
                0 => self.few[self.count] = kept,
                many => {
                    let place = std::ptr::with_exposed_provenance_mut::<Kept>(many).wrapping_add(self.count);
                    // SAFETY: there is room for MOST_FRAMES, and this is one of them.
                    unsafe { place.write(kept) };
                }
            }
            // So that a fault leaves what was found until then.
            self.count += 1;
        }
        self.end = walk.end();
    }

    /// Finds out what repeats, what is shown, and what takes most.
    pub(crate) fn analyse(&mut self) {
        let mut runs = Runs::EMPTY;
        let frames = self.frames();
        runs.fold(frames.len(), |at| frames[at].look_up);
        // Where a function calls itself from several places, its calls have no order, but it comes again and again.
        let mut by_function = Runs::EMPTY;
        by_function.fold(frames.len(), |at| frames[at].function);
        if longest(&by_function) > longest(&runs) * 5 / 4 {
            runs = by_function;
        }
        self.runs = runs;
        self.choose();
        self.sum_up();
    }

    /// Chooses what is shown.
    fn choose(&mut self) {
        let outermost = self.count.saturating_sub(OUTERMOST);
        let runs = self.runs;
        let mut shown = 0;
        for run in runs.iter() {
            if run.repeats() {
                if shown < INNERMOST || run.end() > outermost {
                    let (start, period, rounds) = (run.start, run.period, run.rounds);
                    self.push(Item::Cycle { start, period, rounds });
                    shown += period;
                } else {
                    self.omit(run.start, run.end());
                }
                continue;
            }
            for at in run.start..run.end() {
                if shown < INNERMOST || at >= outermost {
                    self.push(Item::Frame(at));
                    shown += 1;
                } else {
                    // All that are left out at once.
                    self.omit(at, at + 1);
                }
            }
        }
    }

    fn push(&mut self, item: Item) {
        if let Some(place) = self.items.get_mut(self.item_count) {
            *place = item;
            self.item_count += 1;
        }
    }

    fn omit(&mut self, from: usize, to: usize) {
        match self.items[..self.item_count].last_mut() {
            Some(Item::Omitted(_, end)) if *end == from => *end = to,
            _ => self.push(Item::Omitted(from, to)),
        }
    }

    /// Sums up each function's frames.
    fn sum_up(&mut self) {
        let mut shares = [Share::default(); MOST_FUNCTIONS];
        let mut count = 0;
        for (at, frame) in self.frames().iter().enumerate() {
            let known = shares[..count].iter().position(|share| share.function == frame.function);
            let place = known.unwrap_or_else(|| {
                let new = count.min(MOST_FUNCTIONS - 1);
                count = new + 1;
                if shares[new].frames == 0 {
                    shares[new] = Share { function: frame.function, frame: at, frames: 0, bytes: 0 };
                }
                new
            });
            shares[place].frames += 1;
            shares[place].bytes += frame.size;
        }
        shares[..count].sort_unstable_by_key(|share| std::cmp::Reverse(share.bytes));
        self.shares = shares;
    }

    /// The functions whose frames take most, those first.
    pub(crate) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.shares.iter().take_while(|share| share.frames > 0)
    }
}

/// How many frames are in the cycle that has most.
fn longest(runs: &Runs) -> usize {
    runs.iter().filter(|run| run.repeats()).map(|run| run.period * run.rounds).max().unwrap_or(0)
}
