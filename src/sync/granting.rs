//! What is granted in turn: the common part of [`RwLock`](super::RwLock) and [`Semaphore`](super::Semaphore).
//!
//! A [`Machine`] is the pure part: how much there is, and who waits for how much of it, in the order of their coming. Who
//! comes off its list *has* what it waited for, whatever becomes of its wake-up: so nobody overtakes, nobody who is woken
//! has to try again, and one who gives up (its time has come, or it is cancelled) learns under the lock whether it has to
//! give something back.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard};

use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::lock;

/// See the module. `W`: one who waits.
pub(super) trait Machine<W> {
    /// What one can want.
    type Want: Copy;

    /// Takes it, if nobody waits who came before.
    fn take(&mut self, want: Self::Want) -> bool;
    /// Takes it, or puts one on the list and says `true`.
    fn enlist(&mut self, who: W, want: Self::Want) -> bool;
    /// Takes one off the list; says whether it was still there. Who gets something by that is added to `granted`.
    fn remove(&mut self, who: &W, granted: &mut Vec<W>) -> bool;
    /// Gives back what was taken; likewise. `false`, and nothing is given back: it is more than there can be.
    fn give_back(&mut self, want: Self::Want, granted: &mut Vec<W>) -> bool;
    /// The numbers that readers are told: count and limit.
    fn numbers(&self) -> (u64, u64);
}

/// A machine that coroutines and threads share.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Granting<M> {
    pub(super) head: SyncHead,
    machine: Mutex<M>,
}

impl<M> Granting<M> {
    pub(super) const fn new(machine: M, count: u64, limit: u64) -> Granting<M> {
        Granting { head: SyncHead::new(count, limit), machine: Mutex::new(machine) }
    }
}

impl<M: Machine<Waiter>> Granting<M> {
    /// Takes what is wanted, if nobody has to wait for it.
    pub(super) fn try_acquire(&self, want: M::Want) -> bool {
        let has_it = self.change(|machine| machine.take(want));
        if has_it {
            self.head.owner.store(current::owner(), Relaxed);
        }
        has_it
    }

    /// Takes what is wanted; waits for it, until the deadline at the longest; says whether it has it.
    pub(super) fn acquire(&self, want: M::Want, reason: WaitReason, deadline: Option<u64>) -> bool {
        if self.try_acquire(want) {
            return true;
        }
        let claim = Claim { granting: self, want, has_left: Cell::new(false) };
        let object = ptr::from_ref(&self.head).addr() as u64;
        loop {
            let woken = match park::block_until(reason, object, &claim, deadline) {
                Ok(woken) => woken,
                Err(error) => park::abort_unwinding_wait(reason, object, &error),
            };
            if !claim.has_left.take() {
                self.head.owner.store(current::owner(), Relaxed);
                return true;
            }
            if woken == Woken::Deadline {
                return false;
            }
        }
    }

    /// Gives back what was taken; says whether there can be so much.
    pub(super) fn release(&self, want: M::Want) -> bool {
        let mut granted = Vec::new();
        let fits = self.change(|machine| machine.give_back(want, &mut granted));
        wake(granted);
        fits
    }

    /// Changes the machine, and tells readers.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut M) -> R) -> R {
        let mut machine = self.lock();
        let result = change(&mut machine);
        let (count, limit) = machine.numbers();
        self.head.count.store(count, Relaxed);
        self.head.limit.store(limit, Relaxed);
        result
    }

    fn lock(&self) -> MutexGuard<'_, M> {
        // No code of the user's runs under the lock.
        lock::of(&self.machine)
    }
}

fn wake(granted: Vec<Waiter>) {
    for who in granted {
        // Has it, also if it has just given up.
        park::wake(&who);
    }
}

/// One who wants something, until it has it or gives up.
struct Claim<'a, M: Machine<Waiter>> {
    granting: &'a Granting<M>,
    want: M::Want,
    /// It was on the list to the end, and so has nothing.
    has_left: Cell<bool>,
}

impl<M: Machine<Waiter>> WaitList for Claim<'_, M> {
    fn enlist(&self, who: Waiter) -> bool {
        self.granting.change(|machine| machine.enlist(who, self.want))
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        let mut granted = Vec::new();
        let was_there = self.granting.change(|machine| machine.remove(waiter, &mut granted));
        self.has_left.set(was_there);
        wake(granted);
        was_there
    }

    fn pass_on(&self) {
        self.granting.release(self.want);
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
pub(super) mod models;
