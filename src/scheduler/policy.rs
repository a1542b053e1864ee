//! Who is next.
//!
//! Both policies keep the rules of io, switch and main: control starts `main → io → main → switch → main`, and
//! when everything waits it is in switch, then in io, from where an event leads back to whoever waits for it.

use std::any::Any;
use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;

use super::worker::Worker;
use crate::abi::record::Record;
use crate::abi::state::State;
use crate::coroutine::extra;
use crate::sys::clock;

/// In what order coroutines get their turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// First come, first served: who becomes ready goes to the end of the queue, and a coroutine that waits
    /// gives way to the queue's first. I/O and timers are looked at even when somebody is always ready, so that
    /// nobody starves: after 0.1 ms, if all who were ready then have had their turn, and after 1 ms in any case. The time is
    /// looked at every 61 switches, and sooner where their turns are long. When a thousand are ready, those whom such a look
    /// wakes take turns with the queue's first.
    #[default]
    Fair,
    /// Execution by backtracking: a spawned coroutine runs at once, and whoever waits gives way to its creator,
    /// or the nearest living ancestor that doesn't wait itself, in the end to main; when main waits, the switch
    /// coroutine goes through those that were woken, and I/O is looked at when there are none.
    ///
    /// Control can always come back to main. It is *not* fair: as long as somebody is ready, no event and no
    /// timer is looked at, and who waits for one may starve.
    Backtrack,
}

impl Policy {
    /// Its number in the table `policies`.
    pub(crate) fn number(self) -> u32 {
        self as u32
    }
}

/// What the running coroutine is about to do, as far as it matters to who is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It wants to go on later.
    Yields,
    /// It waits or ends.
    Stops,
}

impl Worker {
    /// To whom the running coroutine gives way; `None`: nobody, it goes on.
    #[inline]
    pub(super) fn next(&self, leaving: Leaving) -> Option<&'static Record> {
        match self.policy {
            Policy::Fair => self.next_fair(leaving),
            Policy::Backtrack => self.next_backtrack(),
        }
    }

    #[inline]
    fn next_fair(&self, leaving: Leaving) -> Option<&'static Record> {
        if self.rhythm.beat() && self.is_ios_turn() {
            return Some(self.io);
        }
        match self.next_ready() {
            Some(next) => Some(next),
            None if leaving == Leaving::Yields => None,
            None => Some(self.switch),
        }
    }

    /// Whether it is time to look at I/O, though somebody may be ready. If not, at least those whom other threads
    /// have woken are queued: that costs no system call.
    #[cold]
    #[inline(never)]
    fn is_ios_turn(&self) -> bool {
        let is_due = self.rhythm.is_due(clock::now().saturating_sub(self.clock()));
        if !is_due {
            self.empty_inbox();
            if let Some(seat) = &self.seat {
                seat.find(self);
            }
        }
        is_due
    }

    #[inline(never)]
    fn next_backtrack(&self) -> Option<&'static Record> {
        let mut ancestor = lineage_of(self.running());
        // Bounded: `Lineage::of_child` keeps no dead ancestors behind living ones.
        while let Some(lineage) = ancestor {
            if lineage.is_alive() && lineage.record.word().state() != State::Parked {
                return Some(lineage.record);
            }
            ancestor = lineage.parent();
        }
        let main_can_run = !ptr::eq(self.running(), self.main) && self.main.word().state() != State::Parked;
        Some(if main_can_run { self.main } else { self.switch })
    }
}

/// Under `Backtrack`: who a coroutine's creator was, and the creator's. It outlives them all.
#[derive(Debug)]
struct Lineage {
    record: &'static Record,
    generation: u32,
    parent: RefCell<Option<Rc<Lineage>>>,
}

impl Lineage {
    fn is_alive(&self) -> bool {
        let word = self.record.word();
        word.generation() == self.generation && !matches!(word.state(), State::Exited | State::Free)
    }

    /// The nearest living ancestor. Forgets the dead ones in between.
    fn parent(&self) -> Option<Rc<Lineage>> {
        let mut parent = self.parent.borrow_mut();
        while let Some(dead) = parent.as_ref().filter(|parent| !parent.is_alive()) {
            let next = dead.parent.borrow().clone();
            *parent = next;
        }
        parent.clone()
    }
}

/// The line of ancestors of a coroutine; none for main, which is everybody's last.
fn lineage_of(record: &'static Record) -> Option<Rc<Lineage>> {
    let lineage = extra::get(record)?.lineage.borrow().clone()?;
    lineage.downcast::<Lineage>().ok()?.parent()
}

/// Notes whose child `record` is. To be called before it runs, under `Backtrack`.
pub(crate) fn note_lineage(record: &'static Record, parent: &'static Record) {
    let of_parent = extra::get(parent).and_then(|extra| extra.lineage.borrow().clone());
    let of_parent = of_parent.and_then(|lineage| lineage.downcast::<Lineage>().ok());
    // Bounds the line: each link is made with its parent's dead ancestors already forgotten.
    if let Some(lineage) = &of_parent {
        lineage.parent();
    }
    let lineage =
        Rc::new(Lineage { record, generation: record.word().generation(), parent: RefCell::new(of_parent) });
    *extra::get_or_make(record).lineage.borrow_mut() = Some(lineage as Rc<dyn Any>);
}
