//! The end of a coroutine, for those who wait for it.
//!
//! One word says whether it has ended and whether its handle is gone, and is the lock of the list of waiters: so an
//! end costs one read-modify-write, and so does a wait for it. The lock is held for a few instructions and never over
//! a switch; who finds it taken gives way to the other thread.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

use super::waiter::{Waiter, Waiters};

/// Somebody looks at the list.
const LOCKED: u32 = 1;
/// The coroutine has ended, and will not touch the packet any more. Final: the list is empty, nobody locks it.
const DONE: u32 = 2;
/// The handle is gone, and will not touch the packet any more.
const DETACHED: u32 = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Completion {
    word: AtomicU32,
    waiters: UnsafeCell<Waiters>,
}

// SAFETY: the list is reached only with the word locked; waiters may be told from any thread.
unsafe impl Sync for Completion {}
// SAFETY: a waiter is an id, or a handle of a thread.
unsafe impl Send for Completion {}

impl Completion {
    #[inline]
    pub(super) fn new() -> Completion {
        Completion { word: AtomicU32::new(0), waiters: UnsafeCell::new(Waiters::new()) }
    }

    /// Whether it has ended. Acquire: pairs with `complete`'s Release, so that the result is seen.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.word.load(Acquire) & DONE != 0
    }

    /// Puts one on the list; says `false` if it has ended, and the waiter need not wait.
    #[inline(always)]
    pub(crate) fn enlist(&self, waiter: Waiter) -> bool {
        // Under the lock, as `complete` is: either we see DONE, or it sees us.
        let Some(mut list) = self.list() else { return false };
        list.push(waiter);
        true
    }

    /// Takes one off the list; says whether it was still there.
    pub(crate) fn delist(&self, waiter: &Waiter) -> bool {
        self.list().is_some_and(|mut list| list.remove(waiter))
    }

    /// Marks the end; returns whom to wake, and whether the handle is gone, so that the packet is the caller's. To be
    /// called once.
    ///
    /// # Safety
    /// `this` may be used until DONE is seen; after that the handle's owner may free it at any time. (So it is no
    /// reference: that would have to be good until the end of the call.)
    #[inline]
    pub(super) unsafe fn complete(this: *const Completion) -> (Waiters, bool) {
        // SAFETY: it is not done yet, so it lives; both are used for the length of a call only.
        let (word, before) = unsafe { (&raw const (*this).word, (*this).word.lock()) };
        let before = before.expect("a coroutine ends once");
        // SAFETY: it is locked, so nobody else has a reference to the list.
        let waiters = unsafe { std::mem::take(&mut *(*this).waiters.get()) };
        // SAFETY: the handle's owner waits for this store before he frees it. Release: pairs with `is_done`'s
        // Acquire, and unlocks.
        unsafe { (*word).store(before | DONE, Release) };
        (waiters, before & DETACHED != 0)
    }

    /// Says that the handle is gone; whether the coroutine has ended, so that the packet is the caller's. To be
    /// called once, as the last thing.
    #[inline]
    pub(super) fn detach(&self) -> bool {
        match self.word.lock() {
            None => true,
            Some(before) => {
                self.word.store(before | DETACHED, Release);
                false
            }
        }
    }

    /// The list, locked; `None` if it has ended.
    #[inline(always)]
    fn list(&self) -> Option<List<'_>> {
        Some(List { before: self.word.lock()?, completion: self })
    }
}

/// The list of a completion whose word is locked; unlocks it when dropped.
struct List<'a> {
    completion: &'a Completion,
    /// The word's other bits.
    before: u32,
}

impl Deref for List<'_> {
    type Target = Waiters;

    #[inline(always)]
    fn deref(&self) -> &Waiters {
        // SAFETY: it is locked, so nobody else has a reference to the list.
        unsafe { &*self.completion.waiters.get() }
    }
}

impl DerefMut for List<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Waiters {
        // SAFETY: as above.
        unsafe { &mut *self.completion.waiters.get() }
    }
}

impl Drop for List<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.completion.word.store(self.before, Release);
    }
}

trait Lock {
    /// Locks; returns the other bits, which are to be stored to unlock. `None` if it is done.
    fn lock(&self) -> Option<u32>;
}

impl Lock for AtomicU32 {
    #[inline]
    fn lock(&self) -> Option<u32> {
        loop {
            // Acquire: pairs with the Release of who was here before, or has ended it.
            let seen = self.load(Acquire);
            if seen & DONE != 0 {
                return None;
            }
            if seen & LOCKED == 0 && self.compare_exchange_weak(seen, seen | LOCKED, Acquire, Relaxed).is_ok()
            {
                return Some(seen);
            }
            if seen & LOCKED != 0 {
                // Another thread's, in the middle of a few instructions. Perhaps it doesn't run.
                thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::super::waiter::ThreadWait;
    use super::*;

    #[test]
    fn who_comes_after_the_end_does_not_wait() {
        let completion = Completion::new();
        let [early, late] = [(); 2].map(|()| Waiter::Thread(ThreadWait::new()));
        assert!(completion.enlist(early.clone()));
        // SAFETY: it lives until this function's end.
        let (mut waiters, is_detached) = unsafe { Completion::complete(&raw const completion) };
        assert_eq!((waiters.pop(), is_detached), (Some(early.clone()), false));
        assert!(!completion.enlist(late) && !completion.delist(&early));
        assert!(completion.detach(), "it has ended, so the packet is the handle's");
    }

    #[test]
    fn packet_of_a_detached_coroutine_is_the_coroutines() {
        let completion = Completion::new();
        assert!(!completion.detach());
        // SAFETY: it lives until this function's end.
        let (_, is_detached) = unsafe { Completion::complete(&raw const completion) };
        assert!(is_detached);
    }

    #[test]
    fn exactly_one_half_is_the_last_and_no_waiter_is_lost() {
        for _ in 0..2000 {
            let completion = Arc::new(Completion::new());
            let told = Arc::new(AtomicUsize::new(0));
            let waiting: Vec<_> = (0..2)
                .map(|_| {
                    let (completion, told) = (completion.clone(), told.clone());
                    thread::spawn(move || {
                        let wait = ThreadWait::new();
                        if completion.enlist(Waiter::Thread(wait.clone())) {
                            wait.wait_until(None);
                        }
                        assert!(completion.is_done());
                        told.fetch_add(1, Relaxed);
                    })
                })
                .collect();
            let detacher = thread::spawn({
                let completion = completion.clone();
                move || completion.detach()
            });
            // SAFETY: the Arc keeps it.
            let (mut waiters, is_last) = unsafe { Completion::complete(&raw const *completion) };
            while let Some(Waiter::Thread(wait)) = waiters.pop() {
                wait.wake();
            }
            assert_ne!(detacher.join().unwrap(), is_last, "one of the two frees the packet");
            waiting.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(told.load(Relaxed), 2);
        }
    }
}
