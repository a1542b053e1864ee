//! The state word's protocol: which state follows which, and who may write it when.
//!
//! | from | to | by |
//! |---|---|---|
//! | `Free` | `New` | [`publish`], the creator |
//! | `New` | `Ready` | [`ready`], the creator, before it queues it; the worker that adopts one from outside |
//! | `Ready`, `New` | `Running` | [`run`], the worker that is about to switch to it |
//! | `Running` | `Ready` | [`requeue`], the worker, after it has left the stack |
//! | `Running` | `Parked` | [`park`], the worker, after it has left the stack |
//! | `Running` | `Ready` | [`park`], when the wake-up came first |
//! | `Parked` | `Ready` | [`wake`], anybody who holds the wait's key |
//! | `Parked` | `Running` | [`run`], for io and switch, whose turns nobody wakes |
//! | `Running`, `Ready`, `New` | `Exited` | [`exit`], the worker; not running: it was never started |
//! | `Exited` | `Free` | `stack::slots::release`, which raises the generation |
//!
//! Only a wake-up can come from another thread, and only while a wait is open: from [`open_wait`] until the
//! word is `Ready`. So only these steps are compare-exchanges; all others are stores by the one worker to
//! which the coroutine belongs (a yield does no read-modify-write).
//!
//! *No wake-up is lost:* a waker that comes between `open_wait` and `park` finds `Running` with WAITING and sets
//! NOTIFIED; `park` then sees its compare-exchange fail, and makes the coroutine `Ready` itself. *None comes
//! twice:* the first waker's compare-exchange changes the state, or sets NOTIFIED, and the others fail. *None
//! comes late:* the key's epoch is the wait's.
//!
//! The protocol is generic over the word, so that a model checker can run this very code.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use crate::abi::state::{Key, State, Word, flag};
use crate::sys::atomic::Atomic;

/// What became of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The coroutine was parked and is `Ready` now, as this word says: the waker has to queue it.
    Queue(Word),
    /// It had not parked yet, and will not.
    Kept,
    /// The wait is over, or the slot has another tenant: nothing was touched.
    Stale,
}

/// The legal edges, for debug assertions and for tests that watch a coroutine's life.
pub(crate) fn is_legal(from: State, to: State) -> bool {
    use State::*;
    matches!(
        (from, to),
        (Free, New)
            | (New, Ready | Running | Exited)
            | (Ready, Running | Exited)
            | (Running, Ready | Parked | Exited)
            | (Parked, Ready | Running)
            | (Exited, Free)
    )
}

/// A step which only the coroutine's worker (or creator) takes: a store. Release: whoever sees the state sees
/// what was stored before it.
#[inline]
fn step(word: &impl Atomic<u64>, to: State, flags: u64) -> Word {
    let now = Word(word.load(Relaxed));
    debug_assert!(is_legal(now.state(), to), "{now:?} may not become {}", to.name());
    let then = now.with(to, flags);
    word.store(then.0, Release);
    then
}

/// Makes a free slot's record a coroutine's; `fill_in` stores who it is.
#[inline]
pub(crate) fn publish<A: Atomic<u64>>(word: &A, fill_in: impl FnOnce()) {
    debug_assert_eq!(Word(word.load(Relaxed)).state(), State::Free);
    // Release: pairs with the fence in `read`. Who sees any of what is stored below sees the new generation.
    A::fence(Release);
    fill_in();
    // Release in there: whoever sees `New` sees all of the above.
    step(word, State::New, 0);
}

/// What `look` reads of a record that another thread may be giving to its next tenant, with the state word it had;
/// `None` if it has no tenant, or has got another one meanwhile: so all that is returned is of one.
#[inline]
pub(crate) fn read<A: Atomic<u64>, R>(word: &A, look: impl FnOnce() -> R) -> Option<(Word, R)> {
    // Acquire: pairs with `publish`'s last store.
    let before = Word(word.load(Acquire));
    if before.state() == State::Free {
        return None;
    }
    let seen = look();
    // Acquire: pairs with `publish`'s fence.
    A::fence(Acquire);
    let after = Word(word.load(Relaxed));
    (after.generation() == before.generation()).then_some((before, seen))
}

/// Makes a new coroutine one that may run; returns the word for its queue entry.
#[inline]
pub(crate) fn ready(word: &impl Atomic<u64>) -> Word {
    step(word, State::Ready, 0)
}

/// Before a switch to it. Keeps TIMED_OUT, which its wait is to find.
#[inline]
pub(crate) fn run(word: &impl Atomic<u64>) {
    let timed_out = word.load(Relaxed) & flag::TIMED_OUT;
    step(word, State::Running, timed_out);
}

/// After a switch away from one that wants to go on; returns the word for its queue entry. The epoch moves on too,
/// so that an entry from an earlier turn, which the coroutine got without it, is stale.
#[inline]
pub(crate) fn requeue(word: &impl Atomic<u64>) -> Word {
    let now = Word(word.load(Relaxed));
    debug_assert_eq!(now.state(), State::Running);
    let ready = now.next_epoch().with(State::Ready, 0);
    word.store(ready.0, Release);
    ready
}

/// After a switch away from one that has lent its worker to a coroutine it started.
#[inline]
pub(crate) fn lend(word: &impl Atomic<u64>) {
    step(word, State::Ready, flag::LENT);
}

/// After a switch away from io or switch, which wait for their next turn.
#[inline]
pub(crate) fn rest(word: &impl Atomic<u64>) {
    step(word, State::Parked, 0);
}

/// After a switch away from one that has ended; or for one that is never to run.
#[inline]
pub(crate) fn exit(word: &impl Atomic<u64>) {
    step(word, State::Exited, 0);
}

/// Opens the running coroutine's next wait. From here on the returned key wakes it.
#[inline]
pub(crate) fn open_wait(word: &impl Atomic<u64>) -> Key {
    let now = Word(word.load(Relaxed));
    debug_assert_eq!(now.state(), State::Running);
    let opened = now.next_epoch().with(State::Running, flag::WAITING);
    // A store and not a compare-exchange: no wait was open, so nobody else may write.
    word.store(opened.0, Release);
    opened.key()
}

/// Ends the running coroutine's wait, parked or not; says whether its deadline was what woke it. A waker that
/// comes now finds no WAITING; one that came just before has set NOTIFIED for nothing.
#[inline]
pub(crate) fn close_wait(word: &impl Atomic<u64>) -> bool {
    let now = Word(word.load(Relaxed));
    debug_assert_eq!(now.state(), State::Running);
    // A store may overwrite a NOTIFIED that is being set: it is of this wait, which is over.
    word.store(now.next_epoch().with(State::Running, 0).0, Release);
    now.has(flag::TIMED_OUT)
}

/// Whether the running coroutine's open wait has been woken already.
#[inline]
pub(crate) fn is_notified(word: &impl Atomic<u64>) -> bool {
    // Acquire: pairs with the waker's Release, what it did before is seen.
    Word(word.load(Acquire)).has(flag::NOTIFIED)
}

/// After a switch away from a coroutine with an open wait: parks it, unless it has been woken meanwhile. Then it
/// is `Ready`, and the caller's to queue, with the word that is returned.
#[inline]
pub(crate) fn park(word: &impl Atomic<u64>) -> Option<Word> {
    let now = Word(word.load(Relaxed));
    debug_assert!(now.state() == State::Running && (now.has(flag::WAITING) || now.has(flag::NOTIFIED)));
    if !now.has(flag::NOTIFIED) {
        // Release: a waker (or reader) that sees `Parked` sees the saved sp. Acquire on failure: what the waker
        // did before it woke us is seen when we run.
        let parked = now.with(State::Parked, 0);
        // SeqCst: whoever asks something of the coroutine after this finds it parked; who did before is found by our
        // caller: see `scheduler::cancel`.
        match word.compare_exchange(now.0, parked.0, SeqCst, Acquire) {
            Ok(_) => return None,
            Err(changed) => debug_assert!(Word(changed).has(flag::NOTIFIED)),
        }
    }
    // NOTIFIED is final for this wait, so a store will do.
    let timed_out = word.load(Acquire) & flag::TIMED_OUT;
    Some(step(word, State::Ready, timed_out))
}

/// Wakes the coroutine whose wait `key` is, if that wait is still open. `flags` (TIMED_OUT or nothing) are
/// set only by the wake-up that counts.
#[inline]
pub(crate) fn wake(word: &impl Atomic<u64>, key: Key, flags: u64) -> Wake {
    let mut seen = Word(word.load(Acquire));
    loop {
        if seen.key() != key {
            return Wake::Stale;
        }
        let (woken, outcome) = match seen.state() {
            State::Parked => {
                let ready = seen.with(State::Ready, flags);
                (ready, Wake::Queue(ready))
            }
            State::Running if seen.has(flag::WAITING) => {
                (seen.with(State::Running, flag::NOTIFIED | flags), Wake::Kept)
            }
            _ => return Wake::Stale,
        };
        // Release: what the waker did is seen by the woken. Acquire: the saved sp is seen by who runs it.
        match word.compare_exchange(seen.0, woken.0, AcqRel, Acquire) {
            Ok(_) => return outcome,
            Err(now) => seen = Word(now),
        }
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn running() -> AtomicU64 {
        let word = AtomicU64::new(0);
        publish(&word, || ());
        ready(&word);
        run(&word);
        word
    }

    fn state(word: &AtomicU64) -> State {
        Word(word.load(Relaxed)).state()
    }

    #[test]
    fn wake_before_park_is_kept() {
        let word = running();
        let key = open_wait(&word);
        assert_eq!(wake(&word, key, 0), Wake::Kept);
        assert_eq!(wake(&word, key, 0), Wake::Stale, "a second waker comes too late");
        assert!(park(&word).is_some());
        assert_eq!(state(&word), State::Ready);
    }

    #[test]
    fn wake_after_park_queues_once() {
        let word = running();
        let key = open_wait(&word);
        assert!(park(&word).is_none());
        assert_eq!(state(&word), State::Parked);
        assert!(matches!(wake(&word, key, flag::TIMED_OUT), Wake::Queue(_)));
        assert_eq!(wake(&word, key, 0), Wake::Stale);
        run(&word);
        assert!(close_wait(&word), "it was the deadline that woke it");
    }

    #[test]
    fn a_stale_key_touches_neither_the_next_wait_nor_the_next_tenant() {
        let word = running();
        let old = open_wait(&word);
        assert!(!close_wait(&word));
        assert_eq!(wake(&word, old, 0), Wake::Stale);
        let next = open_wait(&word);
        assert_eq!(wake(&word, old, 0), Wake::Stale);
        assert!(park(&word).is_none());
        assert_eq!(wake(&word, old, 0), Wake::Stale);
        assert!(matches!(wake(&word, next, 0), Wake::Queue(_)));
        run(&word);
        close_wait(&word);
        exit(&word);
        // The slot's next tenant, at a wait of the same epoch.
        word.store(Word(word.load(Relaxed)).next_generation().with(State::Free, 0).0, Relaxed);
        publish(&word, || ());
        run(&word);
        let mut key = open_wait(&word);
        while Word(word.load(Relaxed)).epoch() < 3 {
            close_wait(&word);
            key = open_wait(&word);
        }
        assert!(park(&word).is_none());
        assert_eq!(wake(&word, next, 0), Wake::Stale);
        assert!(matches!(wake(&word, key, 0), Wake::Queue(_)));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "may not become parked")]
    fn an_illegal_edge_is_caught() {
        let word = AtomicU64::new(0);
        rest(&word);
    }
}
