//! What other threads send to a worker: coroutines that they have woken.
//!
//! Each worker row of the process has an inbox and a bell for ever; runtimes come and go on them. So a thread
//! that woke a coroutine, and was held up before it rang, rings a bell that is still there.
//!
//! *No wake-up is lost:* a sender puts the entry into the inbox, then looks whether the worker sleeps; the
//! worker says that it is going to sleep, then looks into the inbox. Both pairs are ordered by a SeqCst fence, so
//! one of the two sees the other (Dekker). The bell is rung only for a sleeper: it costs a system call.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use std::sync::atomic::fence;

use crossbeam_queue::SegQueue;

use super::queue::Entry;
use crate::abi::layout::WORKER_COUNT;
use crate::error::{Kind, Result};
use crate::sys::eventfd::Eventfd;

/// What is shared of a worker.
#[derive(Debug)]
pub(crate) struct Remote {
    taken: AtomicBool,
    asleep: AtomicBool,
    inbox: SegQueue<Entry>,
    bell: OnceLock<Eventfd>,
}

static REMOTES: [Remote; WORKER_COUNT] = [const {
    Remote {
        taken: AtomicBool::new(false),
        asleep: AtomicBool::new(false),
        inbox: SegQueue::new(),
        bell: OnceLock::new(),
    }
}; WORKER_COUNT];

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
    // Between the push and the look: see the module.
    fence(SeqCst);
    if remote.asleep.load(Relaxed)
        && remote.asleep.swap(false, AcqRel)
        && let Some(bell) = remote.bell.get()
    {
        bell.notify();
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

    /// Before the worker blocks: says so, and whether it may.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Relaxed);
        // Between saying and looking: see the module.
        fence(SeqCst);
        let may_sleep = self.inbox.is_empty();
        if !may_sleep {
            self.wake_up();
        }
        may_sleep
    }

    /// After the worker has blocked.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Relaxed);
    }
}
