//! A worker's way to the injector, and how it is shut when the runtime ends.
//!
//! *Nobody who is spawned is lost:* when main has returned, each worker shuts its own gate, and then ends what it finds
//! behind it. What a worker puts in it puts in before it shuts its gate, both on its own thread; so whatever is put in is
//! found, by the one who put it in if by nobody else. No worker has to know how far the others are. (Were it one
//! worker's task to end what is left, another one that was about to put something in could come too late.)
//!
//! Generic over what lies behind it, so that a model checker can run this very code.

use std::cell::Cell;

/// What all workers put something in and take it from. Its ends synchronise.
pub(super) trait Pool {
    type Item;
    fn put(&self, item: Self::Item);
    /// `None`: it was empty at some moment during the call.
    fn take(&self) -> Option<Self::Item>;
}

/// One worker's way to a pool. Only its thread uses it.
#[derive(Debug)]
pub(super) struct Gate<P> {
    pub(super) pool: P,
    is_shut: Cell<bool>,
}

impl<P: Pool> Gate<P> {
    pub(super) fn new(pool: P) -> Gate<P> {
        Gate { pool, is_shut: Cell::new(false) }
    }

    /// Whether nothing more goes in or out.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// Puts something in.
    pub(super) fn put(&self, item: P::Item) {
        debug_assert!(!self.is_shut(), "a worker that ends spawns nothing");
        self.pool.put(item);
    }

    /// Shuts it, and hands out what lies behind it.
    pub(super) fn shut(&self, mut end: impl FnMut(P::Item)) {
        self.is_shut.set(true);
        while let Some(left) = self.pool.take() {
            end(left);
        }
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
