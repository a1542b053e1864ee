//! A runtime whose end takes long: when its main has returned, and the grace period is over, those who have not ended are
//! named, once; and the process exits without them, if it wants to.
//!
//! A worker looks by itself whenever main has it back, which is between the others' turns. The monitor looks, too, for a
//! coroutine that computes gives nothing back; but it leaves it to the workers for a moment, so that a process isn't
//! ended amid the turn of one who does give way.
//!
//! Only time in which the process could run counts. One that is stopped, by a debugger or by SIGSTOP, is looked at by
//! nobody: so a look that comes much too late tells of a stop, or of a machine that has other things to do. What counts
//! then is the CPU time that was used meanwhile ([`Patience`]).

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::worker;
use crate::abi::layout::WORKER_COUNT;
use crate::abi::record::{Kind, Record, request};
use crate::abi::state::State;
use crate::abi::wait::WaitReason;
use crate::debug::sample;
use crate::registry::{self, Tenant};
use crate::stack::region::Region;
use crate::sys::{clock, lock, process as own};

/// How many are named.
const NAMED: usize = 10;
const NONE: u32 = u32::MAX;
/// Between two looks of a worker, in nanoseconds. The monitor's are at most a little further apart.
const LOOK: u64 = 250_000_000;
/// When nobody has looked for so long, everybody was held up.
const LATE: u64 = 500_000_000;
/// For so long after the grace period the monitor leaves it to the workers.
const HEAD_START: u64 = 250_000_000;

/// The end of a runtime.
struct Ending {
    grace: u64,
    patience: Patience,
    /// With which the process exits when the grace period is over; `None`: it goes on.
    status: Option<i32>,
    is_told: bool,
}

impl Ending {
    /// When to look again, after this look; `None`: the grace period, and what comes `later`, is over.
    fn next_look(&mut self, now: u64, computed: u64, later: u64) -> Option<u64> {
        let spent = self.patience.look(now, computed);
        let rest = self.grace.saturating_add(later).saturating_sub(spent);
        (rest > 0).then(|| now.saturating_add(rest.min(LOOK)))
    }
}

/// Those that go on; the place of each is that of its runtime's first worker.
static ENDINGS: [Mutex<Option<Ending>>; WORKER_COUNT] = [const { Mutex::new(None) }; WORKER_COUNT];

/// Of each worker, the first one of its runtime, while that ends.
static RUNTIMES: [AtomicU32; WORKER_COUNT] = [const { AtomicU32::new(NONE) }; WORKER_COUNT];

/// A runtime's end, from main's return until this is dropped.
pub(crate) struct Begun {
    workers: Vec<u32>,
}

/// Main has returned. `workers`: the runtime's; `status`: with which the process exits when the grace period is over.
pub(crate) fn begin(workers: Vec<u32>, grace: u64, status: Option<i32>) -> Begun {
    if let Some(first) = workers.first() {
        workers.iter().for_each(|worker| RUNTIMES[*worker as usize].store(*first, Relaxed));
        let patience = Patience::new(clock::now(), clock::process_cpu_time());
        *ending_of(*first) = Some(Ending { grace, patience, status, is_told: false });
    }
    Begun { workers }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(first) = self.workers.first() {
            *ending_of(*first) = None;
        }
        self.workers.iter().for_each(|worker| RUNTIMES[*worker as usize].store(NONE, Relaxed));
    }
}

/// Looks whether the end of a worker's runtime takes longer than it may; then says so, if nobody has yet. Returns when
/// this worker is to look again, if it is.
pub(crate) fn look(region: &'static Region, worker: u32) -> Option<u64> {
    match RUNTIMES[worker as usize].load(Relaxed) {
        NONE => None,
        runtime => look_at(region, runtime, 0),
    }
}

/// The monitor's look, at all runtimes of the process.
pub(crate) fn look_at_all(region: &'static Region) {
    for runtime in 0..WORKER_COUNT as u32 {
        look_at(region, runtime, HEAD_START);
    }
}

/// `later`: who looks leaves it to others for so long.
fn look_at(region: &'static Region, runtime: u32, later: u64) -> Option<u64> {
    let mut place = ending_of(runtime);
    let ending = place.as_mut().filter(|ending| !ending.is_told)?;
    let now = clock::now();
    if let Some(next) = ending.next_look(now, clock::process_cpu_time(), later) {
        return Some(next);
    }
    let left = left(region, runtime);
    if left.is_empty() {
        return Some(now.saturating_add(LOOK));
    }
    ending.is_told = true;
    let (grace, status) = (ending.grace, ending.status);
    drop(place);
    // Not `eprintln!`, which panics when nobody reads it.
    let _ = io::stderr().write_all(sentence(region, &left, grace, status).as_bytes());
    if let Some(status) = status {
        // The destructors of this thread's thread-locals run now, while coroutines may be parked that use them: they find no
        // worker, so that they can't let one of those go on.
        // SAFETY: none is set.
        unsafe { worker::set_current(None) };
        process::exit(status);
    }
    None
}

fn ending_of(runtime: u32) -> MutexGuard<'static, Option<Ending>> {
    lock::of(&ENDINGS[runtime as usize])
}

/// How much of a grace period is over: the time from look to look; and where a look comes [late](LATE), the CPU time that
/// the process has used since the one before, which is none while it is stopped.
struct Patience {
    looked: u64,
    computed: u64,
    spent: u64,
}

impl Patience {
    fn new(now: u64, computed: u64) -> Patience {
        Patience { looked: now, computed, spent: 0 }
    }

    /// `computed`: the process's CPU time until now. All in nanoseconds.
    fn look(&mut self, now: u64, computed: u64) -> u64 {
        let passed = now.saturating_sub(self.looked);
        let used = computed.saturating_sub(self.computed);
        // No more than `LATE`: several threads use more than the time that passes.
        self.spent += if passed > LATE { used.min(LATE) } else { passed };
        (self.looked, self.computed) = (now, computed);
        self.spent
    }
}

/// The runtime's coroutines.
fn left(region: &'static Region, runtime: u32) -> Vec<(&'static Record, Tenant)> {
    let is_its = |record: &Record| {
        let worker = record.worker.load(Relaxed) as usize;
        RUNTIMES.get(worker).is_some_and(|its| its.load(Relaxed) == runtime)
    };
    let tenants = registry::iterate(region)
        .filter(|record| is_its(record))
        .filter_map(|record| registry::tenant(record).map(|tenant| (record, tenant)));
    tenants.filter(|(_, tenant)| tenant.kind == Kind::User && tenant.word.state() != State::Exited).collect()
}

fn sentence(region: &Region, left: &[(&'static Record, Tenant)], grace: u64, status: Option<i32>) -> String {
    let count = match left.len() {
        1 => "1 coroutine has".to_owned(),
        count => format!("{count} coroutines have"),
    };
    let what = match status {
        Some(_) => "the process exits without them",
        None => "main waits for them",
    };
    let mut text = format!(
        "coro: main has returned, but {count} not ended in {:?}, and {what}:\n",
        Duration::from_nanos(grace)
    );
    for (record, tenant) in left.iter().take(NAMED) {
        let name = tenant.name.as_deref().map_or(String::new(), |name| format!(" '{name}'"));
        let _ = write!(text, "  #{}{name} (spawned at {}) ", tenant.id, tenant.spawn_site);
        let _ = text.write_str(&doing(record, tenant));
        text.push('\n');
        if tenant.word.state() == State::Running {
            let worker = record.worker.load(Relaxed) as usize;
            let thread = region.workers().get(worker).map_or(0, |row| row.thread.load(Relaxed));
            // Not our own thread: there is nobody else then who runs.
            let frames = (thread != 0 && thread != own::thread_id())
                .then(|| sample::take(record, tenant.word, thread))
                .flatten();
            let _ = text.write_str(&frames.map_or(String::new(), |frames| frames.to_string()));
        }
    }
    if left.len() > NAMED {
        let _ = writeln!(text, "  ... and {} more", left.len() - NAMED);
    }
    text
}

/// What one does instead of ending.
fn doing(record: &Record, tenant: &Tenant) -> String {
    let mut text = match tenant.word.state() {
        State::Running => "runs, and doesn't wait".to_owned(),
        State::Parked => {
            let reason = WaitReason::ALL.get(record.wait_reason.load(Relaxed) as usize);
            format!("waits: {}", reason.map_or("?", |reason| reason.name()))
        }
        _ => "is about to run".to_owned(),
    };
    if record.requests.load(Relaxed) & request::SHIELD != 0 {
        text.push_str(", and holds the cancel back (coro::shield)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const HOUR: u64 = 3_600_000 * MS;

    #[test]
    fn looks_are_close_together_and_the_monitors_come_after_the_workers() {
        let mut ending =
            Ending { grace: 600 * MS, patience: Patience::new(0, 0), status: None, is_told: false };
        let mut next = |now: u64, later| ending.next_look(now * MS, 0, later).map(|next| next / MS);
        assert_eq!([next(0, 0), next(250, 0), next(500, 0)], [Some(250), Some(500), Some(600)]);
        assert_eq!([next(600, HEAD_START), next(600, 0)], [Some(850), None]);
        assert_eq!([next(849, HEAD_START), next(850, HEAD_START)], [Some(850), None]);
        const { assert!(LOOK < LATE, "a look that comes in time is not late") };
    }

    #[test]
    fn time_passes_from_look_to_look() {
        let mut patience = Patience::new(HOUR, 7);
        let looks = [0, 1, 250, 550, 1050].map(|ms| patience.look(HOUR + ms * MS, 7) / MS);
        assert_eq!(looks, [0, 1, 250, 550, 1050]);
    }

    #[test]
    fn stop_is_no_time_however_often_it_comes() {
        let mut patience = Patience::new(0, 0);
        patience.look(300 * MS, 0);
        for stops in 1..=100 {
            assert_eq!(patience.look(300 * MS + stops * HOUR, 0), 300 * MS);
        }
        assert_eq!(patience.look(301 * MS + 100 * HOUR, 0), 301 * MS);
    }

    #[test]
    fn who_computes_spends_time_though_all_looks_come_late() {
        let mut patience = Patience::new(0, 0);
        let spent = [1, 2, 3].map(|looks| patience.look(looks * 600 * MS, looks * 100 * MS) / MS);
        assert_eq!(spent, [100, 200, 300]);
        // Sixteen threads, and a stop.
        assert_eq!(patience.look(HOUR, 16 * 300 * MS) / MS, 300 + LATE / MS);
    }
}
