//! The monitor: a thread which looks at all workers of the process, and names a coroutine that keeps its worker from all
//! others.
//!
//! A coroutine isn't preempted, so one that computes for long stops its worker: nobody else there gets a turn, no event
//! and no timer is looked at. Nothing in the worker itself can notice. What is measured is the CPU time that the worker's
//! thread has used since its last switch: a thread that waits for a CPU, blocks in a system call, or is stopped by a
//! debugger or by SIGSTOP, uses none. Under a debugger that steps it, it does use some; but then the monitor was stopped
//! as well, for most of the time, and after a gap between its own looks it starts anew.
//!
//! Behind the line that names it stand its frames, which its own thread collects ([`sample`]); unless it has given way
//! meanwhile, or the program has a handler of its own for SIGURG.
//!
//! `CORO_MONITOR=off` does without: for tools which run every thread step by step.
//!
//! It also names those who keep a runtime from ending when its main has returned, and the grace period is over, if one of
//! them keeps its worker busy ([`ending`]); and answers SIGQUIT, for programs that want a dump of their coroutines then, if no worker has between two looks.
//!
//! One thread for the process, from the first spawn on. A look costs a few microseconds; while all workers are idle it
//! comes three times a second.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread;
use std::time::Duration;

use crate::abi::layout;
use crate::abi::record::Kind as CoroutineKind;
use crate::abi::state::State;
use crate::abi::wait::WaitReason;
use crate::debug::{crash, quit, sample};
use crate::error::{Kind, Result};
use crate::registry::{self, Tenant, transition};
use crate::scheduler::stuck::MONITOR;
use crate::scheduler::{ending, remote};
use crate::stack::geometry::SlotIndex;
use crate::stack::region::{self, Region};
use crate::sys::{self, clock, environment, signal};

/// More CPU time than this (in nanoseconds) without a switch makes a hog.
const MUCH: u64 = 100_000_000;
/// Between two looks, in nanoseconds: while somebody works, and while nobody does.
const BUSY: u64 = 60_000_000;
const IDLE: u64 = 300_000_000;
/// A look that comes so much too late was held up: the process was stopped, or the machine has other things to do.
const GAP: u64 = 200_000_000;
/// The monitor's stack, in bytes: the symbols of a backtrace are looked for on it.
const STACK: usize = 1 << 20;
/// How many of those that were named are remembered, so that each is named once.
const REMEMBERED: usize = 256;

/// Whether the environment wants a monitor.
pub(super) fn is_wanted() -> Result<bool> {
    match environment::value("CORO_MONITOR") {
        None => Ok(true),
        Some(value) if value == "off" => Ok(false),
        Some(value) => Err(Kind::MonitorSwitch { value: value.to_string_lossy().into_owned() }.into()),
    }
}

/// Starts the monitor, if it doesn't run yet, and is wanted.
#[cold]
pub(super) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It was in order when the runtime started.
        if !is_wanted().unwrap_or(true) {
            return;
        }
        // What it finds is a help, which a program that can have no more threads does without.
        let _ = sys::thread::start(MONITOR, STACK, watch);
    });
}

/// The monitor's life. It allocates nothing before its first look: see `sys::thread`.
fn watch() {
    signal::block_all();
    let region = region::get().expect("a runtime has started it");
    let mut watched = Vec::new();
    let mut named = VecDeque::new();
    let mut pause = BUSY;
    loop {
        let before = clock::now();
        let was_asked = quit::is_asked();
        thread::sleep(Duration::from_nanos(pause));
        // A long report is no hog, and a record that a crash is about may name its spawn site by anything.
        if crash::is_telling() {
            continue;
        }
        watched.resize(region.workers().len(), Watched::default());
        if was_asked {
            // Unless a worker was faster.
            quit::answer();
        }
        if clock::now() - before > pause + GAP {
            watched.fill(Watched::default());
        }
        ending::look_at_all(region);
        pause = IDLE;
        for ((index, row), watched) in (0..).zip(region.workers()).zip(&mut watched) {
            let Some(now) = Seen::of(index, row) else {
                *watched = Watched::default();
                continue;
            };
            match watched.look(now) {
                Turn::Idle => {}
                Turn::Busy => pause = BUSY,
                Turn::Long(used) => {
                    pause = BUSY;
                    report(region, index, now, used, &mut named);
                }
            }
        }
    }
}

/// What is seen of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    thread: u32,
    /// Switches, and yields for which nobody was ready.
    turns: u64,
    cpu_time: u64,
}

impl Seen {
    fn of(index: u32, row: &layout::Worker) -> Option<Seen> {
        // Acquire: pairs with the worker's start, so that its counters are seen.
        let thread = row.thread.load(Acquire);
        // Before the CPU time: a switch that comes between is taken for none, and seen the next time.
        let turns = row.switches.load(Relaxed).wrapping_add(remote::vain_yields(index));
        if thread == 0 {
            return None;
        }
        Some(Seen { thread, turns, cpu_time: clock::cpu_time(thread)? })
    }

    fn is_of_same_turn(&self, now: &Seen) -> bool {
        (self.thread, self.turns) == (now.thread, now.turns)
    }
}

/// How long a worker's running coroutine has had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It has used no CPU time since the last look.
    Idle,
    Busy,
    /// So much CPU time, in nanoseconds, at least.
    Long(u64),
}

/// What was seen of a worker at the last look, and when its present turn was first seen.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    last: Seen,
    first: Seen,
}

impl Watched {
    fn look(&mut self, now: Seen) -> Turn {
        if !self.first.is_of_same_turn(&now) {
            self.first = now;
        }
        let is_idle = now == self.last;
        self.last = now;
        let used = now.cpu_time - self.first.cpu_time;
        match used {
            _ if is_idle => Turn::Idle,
            _ if used > MUCH => Turn::Long(used),
            _ => Turn::Busy,
        }
    }
}

/// Names the hog of a worker, in whose turn it was `seen`, unless that was done before, or it keeps nobody waiting.
fn report(region: &'static Region, index: u32, seen: Seen, used: u64, named: &mut VecDeque<u64>) {
    let row = &region.workers()[index as usize];
    // By state and kind first: what else is known of a record costs a system call, and there may be a million of them.
    let runs = |state: State, kind: CoroutineKind| {
        state == State::Running && matches!(kind, CoroutineKind::User | CoroutineKind::Main)
    };
    let record = registry::of_worker(region, index).find(|one| runs(one.word().state(), one.kind()));
    let tenant = record.and_then(|record| registry::tenant(record).map(|tenant| (record, tenant)));
    // Perhaps it has just ended.
    let Some((record, hog)) = tenant.filter(|(_, hog)| runs(hog.word.state(), hog.kind)) else { return };
    let mut others = row.alive.load(Relaxed);
    if hog.kind == CoroutineKind::User {
        others = others.saturating_sub(1) + u64::from(keeps_main_waiting(region, row));
    }
    if others == 0 || named.contains(&hog.id) {
        return;
    }
    if named.len() == REMEMBERED {
        named.pop_front();
    }
    named.push_back(hog.id);
    // Of this turn: when there was a switch after it was seen, the frames may be of another one.
    let frames = sample::take(record, hog.word, seen.thread)
        .filter(|_| Seen::of(index, row).is_some_and(|now| seen.is_of_same_turn(&now)));
    let frames = frames.map_or(String::new(), |frames| frames.to_string());
    // At once, so that nothing comes between; and not `eprintln!`, which panics when nobody reads it.
    let _ = io::stderr().write_all(format!("{}\n{frames}", sentence(&hog, index, used, others)).as_bytes());
}

/// Whether a worker's main could go on: it is ready, or waits for what the worker itself has to look at. If it waits for
/// another coroutine, as for the end of one that computes, that may be as it should be.
fn keeps_main_waiting(region: &Region, row: &layout::Worker) -> bool {
    let record = region.record(SlotIndex(row.main.load(Relaxed)));
    let seen = transition::read(&record.state, || {
        let reason = record.wait_reason.load(Relaxed);
        let reason = WaitReason::ALL.into_iter().find(|known| *known as u32 == reason);
        reason.is_some_and(WaitReason::is_reactors) || record.wait_deadline.load(Relaxed) != 0
    });
    seen.is_some_and(|(word, is_reactors)| match word.state() {
        State::Ready => true,
        State::Parked => is_reactors,
        _ => false,
    })
}

fn sentence(hog: &Tenant, worker: u32, used: u64, others: u64) -> String {
    let Tenant { id, kind, name, spawn_site, .. } = hog;
    let name = name.as_deref().filter(|_| *kind == CoroutineKind::User);
    let who = match name {
        Some(name) => format!("coroutine #{id} '{name}', spawned at {spawn_site},"),
        None if *kind == CoroutineKind::Main => format!("main (coroutine #{id})"),
        None => format!("coroutine #{id}, spawned at {spawn_site},"),
    };
    let waiting = match others {
        1 => format!("1 other of worker {worker}, which has begun"),
        others => format!("{others} others of worker {worker}, which have begun"),
    };
    format!(
        "coro: {who} has computed for {} ms without a switch: {waiting}, and all I/O and timers there wait for it; let it call coro::yield_now now and then, or compute in coro::offload",
        used / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(turns: u64, milliseconds: u64) -> Seen {
        Seen { thread: 1, turns, cpu_time: milliseconds * 1_000_000 }
    }

    #[test]
    fn turn_is_long_by_its_own_cpu_time() {
        let mut watched = Watched::default();
        // Busy for long, but with switches.
        for n in 1..100 {
            assert_eq!(watched.look(seen(n, n * 60)), Turn::Busy);
        }
        // The first that is seen of a turn may be its end.
        assert_eq!(watched.look(seen(100, 7_000)), Turn::Busy);
        assert_eq!(watched.look(seen(100, 7_000)), Turn::Idle, "stopped, or waiting for a CPU");
        assert_eq!(watched.look(seen(100, 7_060)), Turn::Busy);
        assert_eq!(watched.look(seen(100, 7_100)), Turn::Busy);
        assert_eq!(watched.look(seen(100, 7_120)), Turn::Long(120_000_000));
        assert_eq!(watched.look(seen(101, 7_180)), Turn::Busy);
        assert_eq!(watched.look(seen(101, 7_180)), Turn::Idle);
    }

    #[test]
    fn another_thread_with_the_same_count_is_another_turn() {
        let mut watched = Watched::default();
        assert_eq!(watched.look(seen(5, 50)), Turn::Busy);
        assert_eq!(watched.look(Seen { thread: 2, ..seen(5, 500) }), Turn::Busy);
    }
}
