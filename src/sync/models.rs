//! What the models of this module share.

use loom::sync::{Condvar, Mutex};

/// Stands for a wait of a coroutine: a thread's number, and which of its waits it is.
pub(super) type Wait = (usize, u32);

/// Stands for the records: the wait that is open, until it has been ended.
#[derive(Default)]
pub(super) struct Sleeper {
    open: Mutex<Option<u32>>,
    bell: Condvar,
}

impl Sleeper {
    pub(super) fn open(&self, wait: u32) {
        *self.open.lock().expect("nobody panics with it") = Some(wait);
    }

    /// Ends a wait; says whether it was the first to do so.
    pub(super) fn end(&self, wait: u32) -> bool {
        let mut open = self.open.lock().expect("nobody panics with it");
        let is_first = *open == Some(wait);
        if is_first {
            *open = None;
            self.bell.notify_one();
        }
        is_first
    }

    pub(super) fn sleep(&self) {
        let mut open = self.open.lock().expect("nobody panics with it");
        while open.is_some() {
            open = self.bell.wait(open).expect("nobody panics with it");
        }
    }
}
