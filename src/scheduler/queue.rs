//! The run queue: who is ready, first come first served.
//!
//! An entry carries the state word which its coroutine had when it was queued. A coroutine may get its turn
//! otherwise (its child waits, under `Policy::Backtrack`), or end: then its word has changed, and the entry is
//! skipped.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::abi::record::Record;
use crate::abi::state::{State, Word};

/// A coroutine that was ready when it was queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) record: &'static Record,
    pub(crate) word: Word,
}

impl Entry {
    /// An entry for a coroutine as it is now: to be called by its worker, which alone moves it on.
    pub(crate) fn now(record: &'static Record) -> Entry {
        Entry { record, word: record.word() }
    }

    fn is_valid(&self) -> bool {
        debug_assert_eq!(self.word.state(), State::Ready);
        self.record.word() == self.word
    }
}

/// A worker's queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: RefCell<VecDeque<Entry>>,
}

impl Queue {
    pub(crate) fn push(&self, entry: Entry) {
        self.entries.borrow_mut().push_back(entry);
    }

    /// Takes the first that is still ready.
    pub(crate) fn pop(&self) -> Option<&'static Record> {
        let mut entries = self.entries.borrow_mut();
        loop {
            let entry = entries.pop_front()?;
            if entry.is_valid() {
                return Some(entry.record);
            }
        }
    }

    /// Whether nobody is queued. A stale entry counts as somebody.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }
}
