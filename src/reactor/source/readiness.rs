//! What epoll has said of a descriptor, as a word: a bit for each direction, and a tick that each event counts up.
//!
//! Generic over the word, so that a model checker can run this very code.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::Direction;
use crate::sys::atomic::Atomic;

/// The bits; the tick lies in the high half.
pub(super) const READABLE: u64 = 1;
pub(super) const WRITABLE: u64 = 2;
/// Sticky: the peer has closed or something has broken, so that a short read says nothing of being drained.
pub(super) const CLOSED: u64 = 4;
/// Sticky: its owner has closed it for all who share it; see [`Source::shut`](super::Source::shut).
pub(super) const SHUT: u64 = 8;
/// Sticky: urgent data has come, at whose mark a read ends short, with more behind it.
pub(super) const URGENT: u64 = 16;
const TICK: u64 = 1 << 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Readiness<A = AtomicU64>(A);

/// What was seen of a source before an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Whether an end or an error was told of.
    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Whether an attempt is of no use: it was [shut](super::Source::shut).
    #[inline]
    pub(crate) fn is_shut(self) -> bool {
        self.0 & SHUT != 0
    }
}

impl Readiness {
    /// Of a descriptor of which nothing is known: each attempt may succeed.
    pub(super) const fn new() -> Readiness {
        Readiness(AtomicU64::new(READABLE | WRITABLE))
    }
}

impl<A: Atomic<u64>> Readiness<A> {
    /// To be asked before an attempt, and given to [`Readiness::drained`] after it.
    #[inline]
    pub(super) fn seen(&self) -> Seen {
        Seen(self.0.load(Acquire))
    }

    /// Whether an attempt may succeed.
    #[inline]
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        self.0.load(Acquire) & bit(direction) != 0
    }

    /// The attempt found nothing left: the bit goes, unless an event has come since.
    #[inline]
    pub(super) fn drained(&self, direction: Direction, seen: Seen) {
        // AcqRel: pairs with `note`'s. A failure means a new event, and the bit stays.
        let _ = self.0.compare_exchange(seen.0, seen.0 & !bit(direction), AcqRel, Relaxed);
    }

    /// The attempt moved fewer bytes than there was room for: on a stream that means drained, unless the peer
    /// has closed, which gives no further event, or there is a mark in the stream.
    #[inline]
    pub(super) fn short(&self, direction: Direction, seen: Seen) {
        if seen.0 & (CLOSED | URGENT) == 0 {
            self.drained(direction, seen);
        }
    }

    /// Notes an event.
    pub(super) fn note(&self, bits: u64) {
        let mut seen = self.0.load(Relaxed);
        // AcqRel: whoever sees a bit makes his attempt after the event; see `drained`.
        while let Err(now) = self.0.compare_exchange(seen, (seen | bits).wrapping_add(TICK), AcqRel, Relaxed)
        {
            seen = now;
        }
    }

    /// Forgets everything, for the next descriptor. Nobody makes an attempt meanwhile.
    pub(super) fn reset(&self) {
        self.0.store(READABLE | WRITABLE, Relaxed);
    }
}

fn bit(direction: Direction) -> u64 {
    match direction {
        Direction::Read => READABLE,
        Direction::Write => WRITABLE,
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Release;

    use loom::sync::Mutex;
    use loom::thread;

    use super::*;
    use crate::sys::model::{self, Shared, Torn, Word};

    /// A descriptor on which bytes come, and its list of those who wait, as a source has it.
    struct Descriptor<A> {
        readiness: Readiness<A>,
        /// Bytes in the kernel.
        bytes: Shared,
        /// Whether somebody is on the list.
        list: Mutex<bool>,
        is_told: Shared,
    }

    impl<A: Word> Descriptor<A> {
        fn new() -> Arc<Descriptor<A>> {
            Arc::new(Descriptor {
                readiness: Readiness(A::new(READABLE)),
                bytes: Shared::new(0),
                list: Mutex::new(false),
                is_told: Shared::new(0),
            })
        }

        /// Tries and enlists as `net::registered` does; whether it has read something. If not, it waits.
        fn read(&self) -> bool {
            loop {
                let seen = self.readiness.seen();
                if self.readiness.is_ready(Direction::Read) {
                    if self.bytes.load(Acquire) != 0 {
                        return true;
                    }
                    self.readiness.drained(Direction::Read, seen);
                }
                let mut list = self.list.lock().expect("nobody panics");
                if !self.readiness.is_ready(Direction::Read) {
                    *list = true;
                    return false;
                }
            }
        }

        /// What io does of an event.
        fn tell(&self) {
            let mut list = self.list.lock().expect("nobody panics");
            self.readiness.note(READABLE);
            if std::mem::take(&mut *list) {
                self.is_told.store(1, Release);
            }
        }
    }

    /// Bytes come while somebody finds none, and is about to wait.
    fn event_beside_a_vain_attempt<A: Word>() {
        let descriptor = Descriptor::<A>::new();
        let io = thread::spawn({
            let descriptor = descriptor.clone();
            move || {
                descriptor.bytes.store(1, Release);
                descriptor.tell();
            }
        });
        let has_read = descriptor.read();
        model::join(io);
        assert!(has_read || descriptor.is_told.load(Acquire) != 0, "it waits beside bytes that are there");
    }

    #[test]
    fn event_that_comes_during_an_attempt_is_not_lost() {
        model::check(event_beside_a_vain_attempt::<Shared>);
        let said = model::fails(event_beside_a_vain_attempt::<Torn>);
        assert!(said.contains("beside bytes that are there"), "{said}");
    }
}
