//! The workers of a runtime: the thread that has called `run`, and others, which are started before main runs and end
//! after it has returned.
//!
//! Each worker ends its own coroutines, on its own thread: so their destructors find the thread-locals that they have
//! used, and a thread ends, with its thread-locals, when none of its coroutines is left.

use std::iter;
use std::mem;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use crate::debug::crash::ThreadStack;
use crate::error::{Kind, Result};
use crate::scheduler::door::{Door, Inside};
use crate::scheduler::ending;
use crate::scheduler::main::{Running, Settings};
use crate::scheduler::remote::{self, Place};
use crate::scheduler::team::{Seat, Team};
use crate::sys::{explore, fork};

/// All workers of a runtime; ended and joined when this is dropped.
pub(super) struct Workers {
    /// The one on this thread.
    first: Option<Running>,
    others: Vec<JoinHandle<()>>,
    door: Arc<Door>,
    /// All of them, by their numbers in the process.
    indices: Vec<u32>,
    /// How long they may take to end.
    grace: u64,
    /// With which status the process exits when they take longer.
    late_status: Option<i32>,
}

impl Workers {
    /// Starts so many, the first one on this thread.
    pub(super) fn start(count: usize, settings: Settings) -> Result<Workers> {
        let places: Vec<Place> = iter::repeat_with(remote::acquire).take(count).collect::<Result<_>>()?;

        let indices = places.iter().map(|place| place.index).collect();
        let mut seats =
            if count == 1 { Vec::new() } else { Team::form(settings.region, &places) }.into_iter();
        let mut places = places.into_iter();
        let place = places.next().expect("there is at least one");
        let seat = seats.next();
        let inside = match &seat {
            None => Inside::Inbox(place.index),
            Some(seat) => Inside::Team(seat.team().clone()),
        };
        let door = Door::new(settings.region, inside);
        let first = Running::start(settings, place, seat, door.clone())?;
        // From here on a failure ends those that have started.
        let grace = settings.grace;
        let mut workers =
            Workers { first: Some(first), others: Vec::new(), door, indices, grace, late_status: None };
        let (say, started) = channel();
        for (number, (place, seat)) in places.zip(seats).enumerate() {
            let door = workers.door.clone();
            workers.others.push(start_thread(number + 1, settings, place, seat, door, say.clone())?);
        }
        drop(say);
        iter::from_fn(|| explore::receive(&started)).collect::<Result<()>>()?;
        Ok(workers)
    }
}

impl Workers {
    /// From now on, if the others have not ended when the grace period is over, the process exits with this status.
    pub(super) fn exit_when_late(&mut self, status: i32) {
        self.late_status = Some(status);
    }
}

/// Starts a thread that is a worker until main returns. `say` is told how its start went.
fn start_thread(
    number: usize,
    settings: Settings,
    place: Place,
    seat: Seat,
    door: Arc<Door>,
    say: Sender<Result<()>>,
) -> Result<JoinHandle<()>> {
    let run = move || {
        // For its crashes: dropped when nobody runs here any more.
        let _stack = ThreadStack::enter();
        match Running::start(settings, place, Some(seat), door) {
            Ok(running) => {
                // Nobody hears it when another one's start has failed.
                let _ = say.send(Ok(()));
                drop(say);
                if let Some(team) = running.team() {
                    team.wait_for_end();
                }
            }
            Err(error) => {
                let _ = say.send(Err(error));
            }
        }
    };
    let builder = thread::Builder::new().name(format!("coro-worker-{number}"));
    let thread = explore::spawn(builder, run);
    thread.map_err(|source| Kind::System { tried: "starting a worker's thread", source }.into())
}

impl Drop for Workers {
    fn drop(&mut self) {
        if fork::is_child() {
            // The coroutines and the threads are the parent's: nothing is unwound, nobody runs, nobody is joined.
            mem::forget(self.first.take());
            mem::forget(mem::take(&mut self.others));
            return;
        }
        let _ending = ending::begin(mem::take(&mut self.indices), self.grace, self.late_status);
        // Before a worker looks for the last time at those who have come in.
        self.door.shut();
        if let Some(team) = self.first.as_ref().and_then(Running::team) {
            team.announce_end();
        }
        // This thread's coroutines end; those of the others meanwhile.
        self.first = None;
        for thread in self.others.drain(..) {
            if let Err(payload) = explore::join(thread) {
                resume_unwind(payload);
            }
        }
    }
}
