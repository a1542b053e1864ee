//! What a program may know of its runtime.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::abi::layout;
use crate::abi::wait::WaitReason;
use crate::coroutine::current::outside;
use crate::error::Result;
use crate::scheduler::main;
use crate::scheduler::team;
use crate::scheduler::trace::Switch;
use crate::scheduler::worker;
use crate::stack::slots;

/// Counts of the runtime that the caller runs in, of all its workers together.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many OS threads run coroutines.
    pub workers: usize,
    /// Coroutines that have been spawned and have not ended; main, switch and io are not counted.
    pub alive: usize,
    /// The most that were alive at a time; with several workers, the most that had begun on each, added up.
    pub most_alive: usize,
    /// Coroutines spawned so far.
    pub spawned: u64,
    /// Switches from one coroutine to another.
    pub switches: u64,
    /// Looks at I/O and timers.
    pub polls: u64,
    /// How often io's permanent timer has fired: about once a second on each worker.
    pub heartbeats: u64,
    /// Coroutines that a worker has taken from another one, before they began.
    pub steals: u64,
    /// How many coroutines may be alive at a time.
    pub capacity: usize,
    /// Bytes of the deepest stack so far of any coroutine in the process, in whole pages, as touched.
    pub deepest_stack: usize,
    /// Coroutines that were left parked for ever, with their stacks, when runtimes of the process ended: in programs with
    /// `panic = "abort"`, where they can't be unwound.
    pub leaked: u64,
    parked: [usize; WaitReason::ALL.len()],
}

impl Stats {
    /// What coroutines wait for, and how many for each: in the words of the debugger's commands. Mains count, too, also
    /// those of workers which wait for the runtime's end (`shutdown`).
    ///
    /// ```
    /// let parked: Vec<_> = coro::run(|| {
    ///     let (sender, receiver) = coro::sync::channel(1);
    ///     let waiting: Vec<_> = (0..3).map(|_| coro::spawn(|| coro::sleep(std::time::Duration::from_secs(60)))).collect();
    ///     coro::spawn(move || receiver.recv().unwrap_or(0));
    ///     coro::yield_now();
    ///     let parked = coro::stats().map(|stats| stats.parked().collect());
    ///     drop((waiting, sender));
    ///     parked
    /// })??;
    /// assert_eq!(parked, [("sleep", 3), ("receive", 1)]);
    /// # Ok::<(), coro::Error>(())
    /// ```
    pub fn parked(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let counts = WaitReason::ALL.map(WaitReason::name).into_iter().zip(self.parked);
        counts.filter(|(_, count)| *count > 0)
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Those for whom somebody is parked.
        struct Parked<'a>(&'a Stats);
        impl fmt::Debug for Parked<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.parked()).finish()
            }
        }
        f.debug_struct("Stats")
            .field("workers", &self.workers)
            .field("alive", &self.alive)
            .field("most_alive", &self.most_alive)
            .field("spawned", &self.spawned)
            .field("switches", &self.switches)
            .field("polls", &self.polls)
            .field("heartbeats", &self.heartbeats)
            .field("steals", &self.steals)
            .field("capacity", &self.capacity)
            .field("deepest_stack", &self.deepest_stack)
            .field("leaked", &self.leaked)
            .field("parked", &Parked(self))
            .finish()
    }
}

/// Counts of the runtime that the caller runs in. The deepest stack is looked for at every slot that was ever used:
/// half a microsecond each.
///
/// # Errors
/// Outside a runtime.
///
/// ```
/// let stats = coro::run(|| {
///     let sleepers: Vec<_> = (0..3).map(|_| coro::spawn(|| coro::yield_now())).collect();
///     sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
///     coro::stats()
/// })??;
/// assert_eq!((stats.alive, stats.most_alive, stats.spawned), (0, 3, 3));
/// # Ok::<(), coro::Error>(())
/// ```
pub fn stats() -> Result<Stats> {
    let worker = worker::current().ok_or_else(|| outside("coro::stats"))?;
    let indices = match &worker.seat {
        Some(seat) => seat.team().indices().collect(),
        None => vec![worker.index],
    };
    let region = worker.region;
    let rows: Vec<&layout::Worker> = indices.iter().map(|index| &region.workers()[*index as usize]).collect();
    let mut parked = [0; WaitReason::ALL.len()];
    for index in indices {
        let counts = &region.parked()[index as usize].0;
        parked.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count.load(Relaxed) as usize);
    }
    let sum = |counter: fn(&layout::Worker) -> &AtomicU64| -> u64 {
        rows.iter().map(|row| counter(row).load(Relaxed)).sum()
    };
    Ok(Stats {
        workers: rows.len(),
        alive: team::alive(rows.iter().copied()) as usize,
        most_alive: sum(|row| &row.most_alive) as usize,
        spawned: sum(|row| &row.spawns),
        switches: sum(|row| &row.switches),
        polls: sum(|row| &row.polls),
        heartbeats: sum(|row| &row.heartbeats),
        steals: sum(|row| &row.steals),
        capacity: worker.region.geometry.capacity(),
        deepest_stack: slots::deepest(worker.region),
        leaked: main::leaked(),
        parked,
    })
}

/// The switches of the caller's worker since the last call on it, if the Builder asked for a
/// [trace](crate::Builder::trace); the oldest first. With several workers the others' are not in it.
///
/// # Errors
/// Outside a runtime.
pub fn take_trace() -> Result<Vec<Switch>> {
    let worker = worker::current().ok_or_else(|| outside("coro::take_trace"))?;
    Ok(worker.trace.take())
}
