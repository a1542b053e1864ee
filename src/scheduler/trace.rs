//! A record of switches: who gave way to whom.
//!
//! Off unless a Builder asks for it; then a bounded ring, so that a long run keeps its end. The tests hold the
//! orders that the scheduler promises against it.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::abi::record::Record;
use crate::coroutine::current::CoroutineId;

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Who was left.
    pub from: CoroutineId,
    /// Who was entered.
    pub to: CoroutineId,
}

/// The last switches of a worker.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    capacity: usize,
    switches: RefCell<VecDeque<Switch>>,
}

impl Trace {
    pub(crate) fn new(capacity: usize) -> Trace {
        Trace { capacity, switches: RefCell::default() }
    }

    #[inline]
    pub(crate) fn note(&self, from: &Record, to: &Record) {
        if self.capacity != 0 {
            self.keep(Switch { from: CoroutineId(from.id()), to: CoroutineId(to.id()) });
        }
    }

    #[cold]
    #[inline(never)]
    fn keep(&self, switch: Switch) {
        let mut switches = self.switches.borrow_mut();
        if switches.len() == self.capacity {
            switches.pop_front();
        }
        switches.push_back(switch);
    }

    /// The switches so far, the oldest first; they are gone from the record then.
    pub(crate) fn take(&self) -> Vec<Switch> {
        self.switches.take().into()
    }
}
