//! Coroutines that belong together: the members of a scope, a group, a pool.
//!
//! The list is under a lock of the system's, held for a few instructions and never over a switch. A member leaves it as
//! the last thing that its coroutine does, when its result has its place and all that it has deferred has run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::wait::WaitReason;
use crate::coroutine::cancel::Target;
use crate::coroutine::waiter::Waiter;
use crate::coroutine::{current, extra};
use crate::error::{Kind, Result};
use crate::scheduler::cancel;
use crate::scheduler::park::{self, WaitList};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next_key: u64,
    /// `None`: it is being spawned.
    alive: HashMap<u64, Option<Target>>,
    /// Those who wait until so few are left.
    waiting: Vec<(usize, Waiter)>,
    /// Whoever comes from now on is cancelled, too.
    is_over: bool,
    /// How many have panicked without anybody having been told yet.
    panics: usize,
}

/// A place in a family; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Member {
    family: Arc<Family>,
    key: u64,
}

impl Family {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.lock().alive.len()
    }

    /// Takes in one more.
    pub(super) fn enter(self: &Arc<Family>) -> Member {
        self.enter_if_below(usize::MAX).expect("there is always room")
    }

    /// Takes in one more if there are fewer than `limit`.
    pub(super) fn enter_if_below(self: &Arc<Family>, limit: usize) -> Option<Member> {
        let mut members = self.lock();
        if members.alive.len() >= limit {
            return None;
        }
        let key = members.next_key;
        members.next_key += 1;
        members.alive.insert(key, None);
        Some(Member { family: Arc::clone(self), key })
    }

    /// Waits until there are at most so many members.
    pub(super) fn wait_until_at_most(&self, limit: usize) -> Result<()> {
        while self.len() > limit {
            park::block(WaitReason::Group, 0, &FewerThan { family: self, limit })?;
        }
        Ok(())
    }

    /// Waits until there are none, or something else wakes this coroutine.
    pub(super) fn wait_once(&self) -> Result<()> {
        park::block(WaitReason::Group, 0, &FewerThan { family: self, limit: 0 })
    }

    /// Cancels all who are members now.
    pub(super) fn cancel(&self) {
        // Collected first: who is woken on this worker is only queued, but the lock isn't needed for it.
        let targets: Vec<Target> = self.lock().alive.values().flatten().copied().collect();
        targets.into_iter().for_each(cancel::cancel);
    }

    /// The same, and all who come later.
    pub(super) fn cancel_for_good(&self) {
        self.lock().is_over = true;
        self.cancel();
    }

    /// Cancels as a program asks for it.
    pub(super) fn try_cancel(&self, tried: &'static str) -> Result<()> {
        if cfg!(panic = "abort") {
            return Err(Kind::Unsupported { tried }.into());
        }
        self.cancel();
        Ok(())
    }

    /// Counts a panic, or one that somebody was told of.
    pub(super) fn note_panic(&self, told: bool) {
        let panics = &mut self.lock().panics;
        *panics = if told { panics.saturating_sub(1) } else { *panics + 1 };
    }

    /// Whether somebody has panicked, and nobody was told.
    pub(super) fn has_panicked(&self) -> bool {
        self.lock().panics > 0
    }
}

impl Member {
    /// By what it can be [introduced](introduce) when it has gone to its coroutine.
    pub(super) fn key_of(&self) -> (Arc<Family>, u64) {
        (Arc::clone(&self.family), self.key)
    }

    /// Keeps the place until the running coroutine has ended.
    pub(super) fn keep(self) {
        if let Some(record) = current::running() {
            extra::get_or_make(record).kept.borrow_mut().push(Box::new(self));
        }
    }
}

/// Says which coroutine has a place, if it still has it.
pub(super) fn introduce((family, key): &(Arc<Family>, u64), target: Target) {
    let mut members = family.lock();
    let Some(place) = members.alive.get_mut(key) else { return };
    *place = Some(target);
    let is_over = members.is_over;
    drop(members);
    if is_over {
        cancel::cancel(target);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.family.lock();
        members.alive.remove(&self.key);
        let left = members.alive.len();
        let (woken, waiting) = members.waiting.drain(..).partition(|(limit, _)| left <= *limit);
        members.waiting = waiting;
        drop(members);
        let woken: Vec<(usize, Waiter)> = woken;
        for (_, waiter) in woken {
            park::wake(&waiter);
        }
    }
}

/// Those who wait until there are few enough.
struct FewerThan<'a> {
    family: &'a Family,
    limit: usize,
}

impl WaitList for FewerThan<'_> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut members = self.family.lock();
        let must_wait = members.alive.len() > self.limit;
        if must_wait {
            members.waiting.push((self.limit, waiter));
        }
        must_wait
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        let waiting = &mut self.family.lock().waiting;
        let at = waiting.iter().position(|(_, other)| other == waiter);
        at.is_some_and(|at| {
            waiting.remove(at);
            true
        })
    }
}
