//! One word that becomes a queue when somebody has to wait, and a word again when nobody does any more.
//!
//! ```text
//!   0               deflated: nobody waits, nothing is allocated
//!   address         inflated: the queue is there
//!   ... | 1         locked: somebody looks at it, or is about to inflate or deflate
//! ```
//!
//! The queue's lock is the word's lowest bit, so that looking, inflating and deflating exclude each other. It is held
//! for a few instructions and never over a switch; who finds it taken gives way to the other thread. ("Inflation" is what
//! Java's VMs call it: Bacon et al., "Thin Locks", PLDI 1998.)

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::sys::atomic::Atomic;

/// Somebody looks.
const LOCKED: u64 = 1;

/// What a word can become.
pub(super) trait Queue: Sized {
    /// One that is empty, from a pool if there is one in it.
    fn acquire() -> Box<Self>;
    /// Gives an empty one to the pool.
    fn release(queue: Box<Self>);
    fn is_empty(&self) -> bool;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Inflatable<Q: Queue, A: Atomic<u64> = AtomicU64> {
    word: A,
    _queue: PhantomData<Box<Q>>,
}

// SAFETY: the queue is reached only with the word locked, by one thread at a time.
unsafe impl<Q: Queue + Send, A: Atomic<u64> + Sync> Sync for Inflatable<Q, A> {}

impl<Q: Queue> Inflatable<Q> {
    /// A deflated one.
    pub(super) const fn new() -> Inflatable<Q> {
        Inflatable::of(AtomicU64::new(0))
    }
}

impl<Q: Queue, A: Atomic<u64>> Inflatable<Q, A> {
    /// One whose word, a zero, is this.
    pub(super) const fn of(word: A) -> Inflatable<Q, A> {
        Inflatable { word, _queue: PhantomData }
    }

    /// Whether nobody seems to wait. Who has just come may be missed.
    #[inline(always)]
    pub(super) fn seems_deflated(&self) -> bool {
        self.word.load(Relaxed) == 0
    }

    /// Locks it, looks, and unlocks it; what is empty then is deflated. `look` may neither panic nor wait.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Locked<Q>) -> R) -> R {
        let mut round = 0;
        let seen = loop {
            let seen = self.word.load(Relaxed);
            // Acquire: pairs with the Release of who was here before.
            if seen & LOCKED == 0 && self.word.compare_exchange(seen, seen | LOCKED, Acquire, Relaxed).is_ok()
            {
                break seen;
            }
            A::give_way(round);
            round += 1;
        };
        let mut locked = Locked { queue: ptr::with_exposed_provenance_mut(seen as usize) };
        let result = look(&mut locked);
        if locked.queue().is_some_and(|queue| queue.is_empty()) {
            // SAFETY: `inflate` has it from a box, and nobody else finds it: the word is locked.
            Q::release(unsafe { Box::from_raw(locked.queue) });
            locked.queue = ptr::null_mut();
        }
        // Release: pairs with the Acquire above.
        self.word.store(locked.queue.expose_provenance() as u64, Release);
        result
    }
}

/// A locked word's queue, if it has one.
#[derive(Debug)]
pub(super) struct Locked<Q: Queue> {
    /// From `Box::into_raw`, or null.
    queue: *mut Q,
}

impl<Q: Queue> Locked<Q> {
    /// The queue, if there is one.
    pub(super) fn queue(&mut self) -> Option<&mut Q> {
        // SAFETY: null, or a queue that is ours as long as the word is locked.
        unsafe { self.queue.as_mut() }
    }

    /// The queue, made if there is none.
    pub(super) fn inflate(&mut self) -> &mut Q {
        if self.queue.is_null() {
            self.queue = Box::into_raw(Q::acquire());
        }
        // SAFETY: as above, and not null.
        unsafe { &mut *self.queue }
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models {
    //! Two threads inflate one word, and deflate it.

    use std::sync::Arc;

    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::*;
    use crate::sys::model::{self, Shared, Torn, Unordered, Word};

    /// loom tells of two who are in it at a time.
    struct Counted(UnsafeCell<u32>);

    impl Queue for Counted {
        fn acquire() -> Box<Counted> {
            Box::new(Counted(UnsafeCell::new(0)))
        }
        fn release(_: Box<Counted>) {}
        fn is_empty(&self) -> bool {
            // SAFETY: loom looks after it.
            self.0.with(|count| unsafe { *count == 0 })
        }
    }

    // SAFETY: that nobody shares it is what the model is about; loom tells of two who do.
    unsafe impl Send for Counted {}

    fn change(word: &Inflatable<Counted, impl Atomic<u64>>, by: i32) {
        word.with(|locked| {
            // SAFETY: loom looks after it.
            locked.inflate().0.with_mut(|count| unsafe { *count = (*count).wrapping_add_signed(by) });
        });
    }

    fn inflate_beside<W: Word>() {
        let word = Arc::new(Inflatable::<Counted, W>::of(W::new(0)));
        let threads = [(); 2].map(|()| {
            let word = word.clone();
            thread::spawn(move || {
                change(&word, 1);
                change(&word, -1);
            })
        });
        threads.into_iter().for_each(model::join);
        assert!(word.with(|locked| locked.queue().is_none()), "deflated when nobody waits");
    }

    #[test]
    fn one_at_a_time_looks_at_the_queue_and_the_last_one_deflates() {
        model::check(inflate_beside::<Shared>);
        model::fails(inflate_beside::<Torn>);
        model::fails(inflate_beside::<Unordered>);
    }
}
