//! What other threads send to a worker: coroutines that they have woken.
//!
//! Each worker row of the process has an inbox and a bell for ever; runtimes come and go on them. So a thread
//! that woke a coroutine, and was held up before it rang, rings a bell that is still there.
//!
//! That no wake-up is lost is shown in [`sleep`](super::sleep).

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};

use crossbeam_queue::SegQueue;

use super::queue::Entry;
use super::sleep::{Set, Sleepers};
use crate::abi::layout::WORKER_COUNT;
use crate::error::{Kind, Result};
use crate::sys::eventfd::Eventfd;
use crate::sys::{explore, fork};

/// What is shared of a worker.
#[derive(Debug)]
pub(crate) struct Remote {
    taken: AtomicBool,
    /// Its thread blocks, or is about to, or hasn't gone on yet though its bell was rung.
    is_blocked: AtomicBool,
    /// How often a coroutine wanted to give way, and nobody was ready: those turns end, too.
    vain_yields: AtomicU64,
    inbox: SegQueue<Entry>,
    bell: OnceLock<Eventfd>,
}

static REMOTES: [Remote; WORKER_COUNT] = [const {
    Remote {
        taken: AtomicBool::new(false),
        is_blocked: AtomicBool::new(false),
        vain_yields: AtomicU64::new(0),
        inbox: SegQueue::new(),
        bell: OnceLock::new(),
    }
}; WORKER_COUNT];

/// Who of them sleeps.
static SLEEPERS: Sleepers = Sleepers::new();

/// A worker's number in the process, with its inbox; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) remote: &'static Remote,
}

impl Drop for Place {
    /// Lets another runtime have the number.
    fn drop(&mut self) {
        self.remote.taken.store(false, SeqCst);
    }
}

/// Takes the first free worker number.
pub(crate) fn acquire() -> Result<Place> {
    let free = REMOTES.iter().enumerate().find(|(_, remote)| !remote.taken.swap(true, AcqRel));
    let (index, remote) = free.ok_or(Kind::Workers { most: WORKER_COUNT })?;
    let place = Place { index: index as u32, remote };
    let bell = remote.bell();
    bell.map_err(|source| Kind::System { tried: "making a worker's eventfd", source })?;
    Ok(place)
}

/// Of a worker: how often a coroutine wanted to give way, and nobody was ready.
pub(crate) fn vain_yields(worker: u32) -> u64 {
    REMOTES[worker as usize].vain_yields.load(Relaxed)
}

/// Sends a coroutine, which the caller has made ready, to its worker.
pub(crate) fn send(worker: u32, entry: Entry) {
    let Some(remote) = REMOTES.get(worker as usize) else { return };
    // The bell is the parent's, too.
    if fork::is_child() {
        return;
    }
    let early = explore::is_planted("looks before it sends").then(|| SLEEPERS.is_to_be_woken(worker));
    explore::point();
    remote.inbox.push(entry);
    if early.unwrap_or_else(|| SLEEPERS.is_to_be_woken(worker)) {
        remote.ring();
    }
}

impl Remote {
    /// What ends the worker's wait.
    pub(crate) fn bell(&self) -> io::Result<&Eventfd> {
        if let Some(bell) = self.bell.get() {
            return Ok(bell);
        }
        let bell = Eventfd::new()?;
        Ok(self.bell.get_or_init(|| bell))
    }

    /// The next coroutine that another thread has woken.
    pub(crate) fn receive(&self) -> Option<Entry> {
        explore::point();
        self.inbox.pop()
    }

    /// Whether there is one.
    pub(super) fn has_somebody(&self) -> bool {
        explore::point();
        !self.inbox.is_empty()
    }

    /// Whether the worker has nothing to do, as far as it knows.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Relaxed)
    }

    /// Counts a yield for which nobody was ready.
    pub(super) fn note_vain_yield(&self) {
        self.vain_yields.store(self.vain_yields.load(Relaxed).wrapping_add(1), Relaxed);
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.notify();
        }
    }
}

/// Wakes a worker if it sleeps: its running coroutine, which waits in place, has been woken.
pub(super) fn ring_if_asleep(worker: u32) {
    let Some(remote) = REMOTES.get(worker as usize) else { return };
    if !fork::is_child() && SLEEPERS.is_to_be_woken(worker) {
        remote.ring();
    }
}

/// Wakes one of the workers if it sleeps: somebody may have something for any of them. Of the sleepers, the one for whom
/// `rank` is least.
pub(super) fn wake_one_of(workers: &Set, rank: impl Fn(u32) -> u64) {
    if let Some(worker) = SLEEPERS.one_to_be_woken(workers, rank) {
        REMOTES[worker as usize].ring();
    }
}

/// Wakes a worker of the process if one sleeps. May be called in a signal's handler.
pub(crate) fn wake_any() {
    wake_one_of(&[u64::MAX; _], |_| 0);
}

/// Before a worker blocks: says so, and whether it may: not if somebody was sent to it, or if `finds_something`.
pub(super) fn fall_asleep(worker: u32, finds_something: impl FnOnce() -> bool) -> bool {
    let remote = &REMOTES[worker as usize];
    let may_sleep = SLEEPERS.fall_asleep(worker, || remote.has_somebody() || finds_something());
    remote.is_blocked.store(may_sleep, Relaxed);
    may_sleep
}

/// After a worker has blocked.
pub(super) fn wake_up(worker: u32) {
    REMOTES[worker as usize].is_blocked.store(false, Relaxed);
    SLEEPERS.wake_up(worker);
}
