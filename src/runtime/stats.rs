//! What a program may know of its runtime.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::abi::layout;
use crate::error::{Kind, Result};
use crate::scheduler::team;
use crate::scheduler::trace::Switch;
use crate::scheduler::worker;
use crate::stack::slots;

/// Counts of the runtime that the caller runs in, of all its workers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    let worker = worker::current().ok_or(Kind::Outside { tried: "coro::stats" })?;
    let rows: Vec<&layout::Worker> = match &worker.seat {
        Some(seat) => seat.team().rows().collect(),
        None => vec![worker.row],
    };
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
    })
}

/// The switches since the last call, if the Builder asked for a [trace](crate::Builder::trace); the oldest first.
///
/// # Errors
/// Outside a runtime.
pub fn take_trace() -> Result<Vec<Switch>> {
    let worker = worker::current().ok_or(Kind::Outside { tried: "coro::take_trace" })?;
    Ok(worker.trace.take())
}
