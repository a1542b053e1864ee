//! The way into a runtime for coroutines that are made outside: by threads which are none of its workers.
//!
//! *Nobody who was let in is lost.* A coroutine is put where the workers look with the door's lock held, and at the runtime's
//! end the door is shut under the same lock, before a worker looks there for the last time (at the injector, see
//! [`gate`](super::gate); a lone worker at its inbox). So either it was put there before that look, and is found; or whoever
//! comes sees a door that is shut, and nothing was put.
//!
//! *Nobody sleeps beside one who was let in:* he is put in first, and then sleepers are looked for, as of any other
//! spawn and wake-up; [`sleep`](super::sleep) has the argument.
//!
//! Who was let in is `New` until a worker adopts him: what counts spawns is the workers' own.
//!
//! Generic over the lock and what is behind it, so that a model checker can run this very code.

use std::sync::{Arc, Mutex};

use super::queue::Entry;
use super::remote;
use super::team::Team;
use crate::abi::record::Record;
use crate::stack::region::Region;
use crate::sys::{explore, lock};

/// A lock around a value.
trait Latch<T> {
    /// Locks, looks, and unlocks. `look` may neither panic nor wait.
    fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Latch<T> for Mutex<T> {
    fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut lock::of(self))
    }
}

/// What is behind a door.
trait Room {
    type Item;
    fn put(&self, item: Self::Item);
}

/// Puts in what `make` makes; `false`: it is shut, and nothing was made.
fn enter<R: Room>(door: &impl Latch<Option<R>>, make: impl FnOnce() -> R::Item) -> bool {
    door.with(|room| match room {
        // Both under the lock: see the module.
        Some(room) => {
            room.put(make());
            true
        }
        None => false,
    })
}

/// Nothing goes in any more.
fn shut<R>(door: &impl Latch<Option<R>>) {
    drop(door.with(Option::take));
}

/// A runtime's.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) region: &'static Region,
    /// `None`: main has returned.
    inside: Mutex<Option<Inside>>,
}

/// Where those are put who come in.
#[derive(Debug)]
pub(crate) enum Inside {
    /// The inbox of the only worker, which has this number.
    Inbox(u32),
    /// The injector of several, so that none lies behind one who computes for long.
    Team(Arc<Team>),
}

impl Door {
    pub(crate) fn new(region: &'static Region, inside: Inside) -> Arc<Door> {
        Arc::new(Door { region, inside: Mutex::new(Some(inside)) })
    }

    /// Lets in a coroutine that `make` makes, which is to be published, and nobody's; `false`: main has returned, and nothing
    /// was made. `make` runs, or is dropped, under a lock: so no code of the user's may hang on that.
    pub(crate) fn enter(&self, make: impl FnOnce() -> &'static Record) -> bool {
        explore::point();
        enter(&self.inside, make)
    }

    /// Main has returned.
    pub(crate) fn shut(&self) {
        explore::point();
        shut(&self.inside);
    }
}

impl Room for Inside {
    type Item = &'static Record;

    fn put(&self, fresh: &'static Record) {
        match self {
            Inside::Inbox(worker) => remote::send(*worker, Entry { record: fresh, word: fresh.word() }),
            Inside::Team(team) => team.admit(fresh),
        }
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
