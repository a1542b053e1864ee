//! New coroutines: who may make them, and when they get their first turn.

use std::thread;

use super::policy::{self, Policy};
use super::switch::{After, transfer};
use super::worker::{self, Worker};
use crate::abi::record::Record;
use crate::error::{Kind, Result};
use crate::registry::transition;

/// The worker on which the caller may spawn.
#[inline]
pub(crate) fn spawner<'a>() -> Result<&'a Worker> {
    let worker = worker::of_user("coro::spawn")?;
    if worker.is_ending.get() {
        return Err(Kind::ShuttingDown.into());
    }
    Ok(worker)
}

/// Takes in a coroutine that was just published.
#[inline]
pub(crate) fn admit(worker: &Worker, record: &'static Record) {
    worker.count_spawn();
    if let Some(seat) = &worker.seat {
        transition::ready(&record.state);
        seat.admit(worker, record);
        return;
    }
    worker.count_in();
    if worker.policy == Policy::Backtrack {
        policy::note_lineage(record, worker.running());
        // A destructor during a panic may spawn, but nobody switches while it unwinds.
        if !thread::panicking() {
            transfer(worker, record, After::Lend);
            return;
        }
    }
    worker.enqueue(record, transition::ready(&record.state));
}
