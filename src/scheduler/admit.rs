//! New coroutines: who may make them, and when they get their first turn.

use std::thread;

use super::policy::{self, Policy};
use super::switch::{After, transfer};
use super::worker::{self, Worker};
use crate::abi::record::{NO_WORKER, Record};
use crate::error::{Error, Kind, Result};
use crate::registry::transition;

/// Where a new coroutine may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On whichever worker begins it.
    Any,
    /// On that of its creator: what it is to do isn't Send.
    Here,
}

impl Home {
    /// The worker of a coroutine that nobody has begun: where there are several, none, if any may begin it.
    #[inline]
    pub(crate) fn of_new(self, worker: &Worker) -> u32 {
        if self == Home::Any && worker.seat.is_some() { NO_WORKER } else { worker.index }
    }

    /// Why the caller may not spawn.
    #[cold]
    fn refusal(self) -> Error {
        worker::refusal(match self {
            Home::Any => "coro::spawn",
            Home::Here => "coro::spawn_local",
        })
    }
}

/// The worker on which the caller may spawn.
#[inline]
pub(crate) fn spawner<'a>(home: Home) -> Result<&'a Worker> {
    let Some(worker) = worker::current().filter(|worker| !worker.is_service(worker.running())) else {
        return Err(home.refusal());
    };
    if worker.is_ending.get() {
        return Err(Kind::ShuttingDown.into());
    }
    Ok(worker)
}

/// Takes in a coroutine that was just published.
#[inline]
pub(crate) fn admit(worker: &Worker, record: &'static Record, home: Home) {
    worker.count_spawn();
    if home == Home::Any
        && let Some(seat) = &worker.seat
    {
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
