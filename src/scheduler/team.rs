//! The workers of one runtime, where there are several: what they share, and how coroutines that have not begun are
//! spread over them.
//!
//! A coroutine that has begun stays with its worker: safe code may rely on its thread. One that has not is nobody's yet
//! (its record says so): it is a closure that is `Send`, on a stack that nobody has used.
//! It lies in its creator's *deque*, from which it takes what it runs, and others steal, or in the *injector*, where all
//! look: never in one worker's inbox, where it would be stuck behind a coroutine that computes for long.
//!
//! *Nobody sleeps while there is something to take:* who has spawned wakes a sleeper, and who is about to sleep looks
//! once more at the injector and all deques ([`sleep`](super::sleep) has the argument, and models it).
//!
//! *Placement:* since those who have begun can't be moved, a worker that has more of them than the others gives what it
//! spawns to the injector, and holds back a while before it takes something itself. A server that accepts on one worker
//! so gets its connections spread.

use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_deque::{Injector, Steal, Stealer, Worker as Deque};
use fastrand::Rng;

use super::gate::{Gate, Pool};
use super::park::{self, WaitList};
use super::remote::{self, Place, Remote};
use super::sleep::{self, Set};
use super::worker::Worker;
use crate::abi::layout;
use crate::abi::record::Record;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::stack::region::Region;
use crate::sys::{clock, explore, lock};

/// How long a worker that has many coroutines leaves new ones to others who are busy (in nanoseconds).
const RESTRAINT: u64 = 1_000_000;
/// The same, when one of the others has nothing to do and only has to get a CPU from the system.
const LONG_RESTRAINT: u64 = 20_000_000;
/// How many it takes at a time after that.
const HANDFUL: usize = 8;
/// Spawns until the others' loads are looked at again, whose cache lines are theirs.
const SPAWNS_A_LOOK: u32 = 16;

/// A coroutine that nobody has begun.
type Fresh = &'static Record;

/// What the workers of a runtime share.
#[derive(Debug)]
pub(crate) struct Team {
    injector: Injector<Fresh>,
    members: Box<[Member]>,
    end: Mutex<End>,
}

/// One of them, as the others see it.
#[derive(Debug)]
struct Member {
    index: u32,
    row: &'static layout::Worker,
    remote: &'static Remote,
    deque: Stealer<Fresh>,
}

/// Whether main has returned, and the other workers' mains, which wait for that.
#[derive(Debug, Default)]
struct End {
    has_come: bool,
    waiting: Waiters,
}

/// A worker's own place in its team. Only its thread uses it.
#[derive(Debug)]
pub(crate) struct Seat {
    gate: Gate<Arc<Team>>,
    position: usize,
    deque: Deque<Fresh>,
    others: Set,
    /// Whether the deque has its turn before the queue.
    is_deques_turn: Cell<bool>,
    /// How many coroutines had begun on all workers at the last look, and when the next one is.
    begun: Cell<u64>,
    spawns_to_look: Cell<u32>,
    /// Since when it has left others something to take; 0: it hasn't.
    restrained_since: Cell<u64>,
    random: Cell<u64>,
}

/// What a worker sees that looks for something to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Nothing,
    Something,
    /// Something which it leaves to others for a while, so many nanoseconds at most.
    NotYet(u64),
}

impl Team {
    /// A team of the workers at these places: a seat for each.
    pub(crate) fn form(region: &'static Region, places: &[Place]) -> Vec<Seat> {
        let deques: Vec<_> = places.iter().map(|_| Deque::new_fifo()).collect();
        let members = places.iter().zip(&deques).map(|(place, deque)| Member {
            index: place.index,
            row: &region.workers()[place.index as usize],
            remote: place.remote,
            deque: deque.stealer(),
        });
        let members: Box<[Member]> = members.collect();
        let team = Arc::new(Team { injector: Injector::new(), members, end: Mutex::default() });
        let seats = deques.into_iter().enumerate().map(|(position, deque)| {
            let mut others = Set::default();
            for (_, place) in places.iter().enumerate().filter(|(other, _)| *other != position) {
                others.iter_mut().zip(sleep::only(place.index)).for_each(|(all, one)| *all |= one);
            }
            Seat {
                gate: Gate::new(team.clone()),
                position,
                deque,
                others,
                is_deques_turn: Cell::new(true),
                begun: Cell::new(0),
                spawns_to_look: Cell::new(0),
                restrained_since: Cell::new(0),
                random: Cell::new(position as u64),
            }
        });
        seats.collect()
    }

    /// The numbers of its workers.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> {
        self.members.iter().map(|member| member.index)
    }

    /// Takes in a coroutine that a thread outside has made, and sees to it that somebody is awake to run it.
    pub(super) fn admit(self: &Arc<Team>, fresh: Fresh) {
        self.put(fresh);
        let mut all = Set::default();
        for member in &self.members {
            all.iter_mut().zip(sleep::only(member.index)).for_each(|(all, one)| *all |= one);
        }
        remote::wake_one_of(&all, |index| self.load(index));
    }

    /// How many coroutines have begun on a worker.
    fn load(&self, index: u32) -> u64 {
        let member = self.members.iter().find(|member| member.index == index);
        member.map_or(0, |member| member.row.alive.load(Relaxed))
    }

    /// Says that main has returned.
    pub(crate) fn announce_end(&self) {
        let waiting = {
            let mut end = self.end();
            end.has_come = true;
            std::mem::take(&mut end.waiting)
        };
        park::wake_all(waiting);
    }

    /// Waits, on another worker's main, until main has returned.
    pub(crate) fn wait_for_end(&self) {
        while !self.end().has_come {
            park::block(WaitReason::Shutdown, 0, self)
                .expect("a worker's main may wait, and isn't unwinding");
        }
    }

    fn end(&self) -> MutexGuard<'_, End> {
        lock::of(&self.end)
    }
}

impl Pool for Arc<Team> {
    type Item = Fresh;

    fn put(&self, item: Fresh) {
        explore::point();
        self.injector.push(item);
    }

    fn take(&self) -> Option<Fresh> {
        loop {
            explore::point();
            match self.injector.steal() {
                Steal::Success(fresh) => return Some(fresh),
                Steal::Empty => return None,
                // Another one took something in the same moment.
                Steal::Retry => {}
            }
        }
    }
}

impl WaitList for Team {
    fn enlist(&self, waiter: Waiter) -> bool {
        // Under the lock, as the announcement is: either we see it, or it sees us.
        let mut end = self.end();
        if !end.has_come {
            end.waiting.push(waiter);
        }
        !end.has_come
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        self.end().waiting.remove(waiter)
    }
}

impl Seat {
    /// Takes in a coroutine that the worker has spawned, and sees to it that somebody is awake to run it.
    pub(super) fn admit(&self, worker: &Worker, fresh: Fresh) {
        let left = self.spawns_to_look.get();
        if left == 0 {
            self.look_at_loads();
        } else {
            self.spawns_to_look.set(left - 1);
        }
        if worker.alive() * self.size() > self.begun.get() {
            self.gate.put(fresh);
        } else {
            explore::point();
            self.deque.push(fresh);
        }
        self.wake_another();
    }

    /// Of a worker that has slept and can take nobody now: another one is woken, if there is somebody to be taken. It may have been
    /// this one's bell that was rung for that.
    pub(super) fn pass_on(&self, worker: &Worker) {
        if self.sight(worker) != Sight::Nothing {
            self.wake_another();
        }
    }

    /// Wakes one of the others, if one sleeps.
    fn wake_another(&self) {
        remote::wake_one_of(&self.others, |index| self.team().load(index));
    }

    /// Who is to run next of those that have begun (which `begun` gives) and those that have not: they take turns.
    #[inline]
    pub(super) fn next(
        &self,
        worker: &Worker,
        begun: impl Fn() -> Option<&'static Record>,
    ) -> Option<&'static Record> {
        let is_deques_turn = self.is_deques_turn.replace(!self.is_deques_turn.get());
        if is_deques_turn { self.pop(worker).or_else(begun) } else { begun().or_else(|| self.pop(worker)) }
    }

    /// The next of the deque, which is the worker's from here on.
    fn pop(&self, worker: &Worker) -> Option<&'static Record> {
        explore::point();
        let fresh = self.deque.pop()?;
        worker.adopt(fresh);
        Some(fresh)
    }

    /// Whether it is the worker of the program's main function.
    pub(super) fn is_first(&self) -> bool {
        self.position == 0
    }

    /// Whether its deque is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.deque.is_empty()
    }

    /// Fills the deque from the injector, if it may take something.
    fn look_at_injector(&self, worker: &Worker) {
        if !self.gate.is_shut() && !self.team().injector.is_empty() && self.restraint(worker) == 0 {
            // No more than it may have.
            let room = (self.share() / self.size()).saturating_sub(worker.alive()) as usize;
            take(|| self.team().injector.steal_batch_with_limit(&self.deque, room.max(HANDFUL)));
        }
    }

    /// Fills an empty deque from the injector, or else with half of what another one's has. Also a worker that always has
    /// somebody ready does so from time to time: those who have not begun may lie behind one that computes for ever.
    pub(super) fn find(&self, worker: &Worker) {
        if !self.is_empty() {
            return;
        }
        self.look_at_injector(worker);
        if !self.is_empty() || self.gate.is_shut() || self.restraint(worker) > 0 {
            return;
        }
        // From a random one on, so that not all rob the same.
        let first = self.next_random() as usize;
        for i in 0..self.team().members.len() {
            let victim = (first + i) % self.team().members.len();
            if victim == self.position {
                continue;
            }
            let deque = &self.team().members[victim].deque;
            if take(|| deque.steal_batch_with_limit(&self.deque, usize::MAX)) {
                let count = self.deque.len() as u64;
                worker.row.steals.store(worker.row.steals.load(Relaxed) + count, Relaxed);
                return;
            }
        }
    }

    /// Whether there is something that the worker could take from others.
    pub(super) fn sight(&self, worker: &Worker) -> Sight {
        explore::point();
        let is_there = !self.gate.is_shut()
            && (!self.team().injector.is_empty()
                || (self.team().members.iter().any(|one| !one.deque.is_empty())
                    && !explore::is_planted("overlooks what others have")));
        if !is_there {
            self.restrained_since.set(0);
            return Sight::Nothing;
        }
        match self.restraint(worker) {
            0 => Sight::Something,
            left => Sight::NotYet(left),
        }
    }

    /// How long the worker leaves what there is to the others: 0, unless it has clearly more that have begun than they.
    fn restraint(&self, worker: &Worker) -> u64 {
        self.look_at_loads();
        if worker.alive() * self.size() <= self.share() {
            self.restrained_since.set(0);
            return 0;
        }
        let now = clock::now();
        if self.restrained_since.get() == 0 {
            self.restrained_since.set(now);
        }
        let is_anybody_coming = self.team().members.iter().enumerate().any(|(position, member)| {
            let is_lighter = member.row.alive.load(Relaxed) < worker.alive();
            position != self.position && is_lighter && member.remote.is_blocked()
        });
        let patience = if is_anybody_coming { LONG_RESTRAINT } else { RESTRAINT };
        (self.restrained_since.get() + patience).saturating_sub(now)
    }

    /// How many it may have that have begun, times the workers: an eighth more than the others, and four, are not worth
    /// leaving a thread idle.
    fn share(&self) -> u64 {
        let begun = self.begun.get();
        begun + begun / 8 + 4 * self.size()
    }

    /// Takes all that it finds, for a worker that ends: from here on it neither spawns nor takes anything to run.
    pub(super) fn adopt_all(&self, worker: &Worker) {
        if self.is_first() || !explore::is_planted("leaves what is left to the first worker") {
            self.gate.shut(|fresh| worker.adopt(fresh));
        }
        while self.pop(worker).is_some() {}
    }

    /// What it shares with the others.
    pub(crate) fn team(&self) -> &Arc<Team> {
        &self.gate.pool
    }

    pub(super) fn size(&self) -> u64 {
        self.team().members.len() as u64
    }

    fn look_at_loads(&self) {
        self.begun.set(self.team().members.iter().map(|member| member.row.alive.load(Relaxed)).sum());
        self.spawns_to_look.set(SPAWNS_A_LOOK);
    }

    fn next_random(&self) -> u64 {
        let mut random = Rng::with_seed(self.random.get());
        let number = random.u64(..);
        self.random.set(random.get_seed());
        number
    }
}

/// Tries until it is known whether there was something to take.
fn take(attempt: impl Fn() -> Steal<()>) -> bool {
    loop {
        explore::point();
        match attempt() {
            Steal::Success(()) => return true,
            Steal::Empty => return false,
            // Another one took something in the same moment.
            Steal::Retry => {}
        }
    }
}

/// How many of these workers' coroutines have not ended, those that nobody has begun among them.
///
/// Never too few: an end is counted after all that was spawned before it, and is read before.
pub(crate) fn alive<'a>(rows: impl Iterator<Item = &'a layout::Worker> + Clone) -> u64 {
    // Acquire: pairs with the Release of `count_out`.
    let ended: u64 = rows.clone().map(|row| row.exits.load(Acquire)).sum();
    let spawned: u64 = rows.map(|row| row.spawns.load(Relaxed)).sum();
    spawned - ended
}
