//! What other threads send to a worker: coroutines that they have woken.
//!
//! Each worker row of the process has an inbox and a bell for ever; runtimes come and go on them. So a thread
//! that woke a coroutine, and was held up before it rang, rings a bell that is still there.
//!
//! That no wake-up is lost is shown in [`sleep`](super::sleep).

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, SeqCst};

use crossbeam_queue::SegQueue;

use super::queue::Entry;
use super::sleep::Sleepers;
use crate::abi::layout::WORKER_COUNT;
use crate::error::{Kind, Result};
use crate::sys::eventfd::Eventfd;

/// What is shared of a worker.
#[derive(Debug)]
pub(crate) struct Remote {
    taken: AtomicBool,
    inbox: SegQueue<Entry>,
    bell: OnceLock<Eventfd>,
}

static REMOTES: [Remote; WORKER_COUNT] =
    [const { Remote { taken: AtomicBool::new(false), inbox: SegQueue::new(), bell: OnceLock::new() } };
        WORKER_COUNT];

/// Who of them sleeps.
static SLEEPERS: Sleepers = Sleepers::new();

/// Takes the first free worker number, with its inbox.
pub(crate) fn acquire() -> Result<(u32, &'static Remote)> {
    let free = REMOTES.iter().enumerate().find(|(_, remote)| !remote.taken.swap(true, AcqRel));
    let (index, remote) = free.ok_or(Kind::Workers { most: WORKER_COUNT })?;
    match remote.bell() {
        Ok(_) => Ok((index as u32, remote)),
        Err(source) => {
            remote.release();
            Err(Kind::System { tried: "making a worker's eventfd", source }.into())
        }
    }
}

/// Sends a coroutine, which the caller has made ready, to its worker.
pub(crate) fn send(worker: u32, entry: Entry) {
    let Some(remote) = REMOTES.get(worker as usize) else { return };
    remote.inbox.push(entry);
    if SLEEPERS.is_to_be_woken(worker) {
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

    /// Lets another runtime have the number.
    pub(crate) fn release(&self) {
        self.taken.store(false, SeqCst);
    }

    /// The next coroutine that another thread has woken.
    pub(crate) fn receive(&self) -> Option<Entry> {
        self.inbox.pop()
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.notify();
        }
    }
}

/// Before a worker blocks: says so, and whether it may.
pub(crate) fn fall_asleep(worker: u32) -> bool {
    SLEEPERS.fall_asleep(worker, || !REMOTES[worker as usize].inbox.is_empty())
}

/// After a worker has blocked.
pub(crate) fn wake_up(worker: u32) {
    SLEEPERS.wake_up(worker);
}
