//! A runtime whose end takes long: when its main has returned, and the grace period is over, those who have not ended are
//! named, once; and the process exits without them, if it wants to.
//!
//! A worker looks by itself when main has it back; the monitor looks, too, for a coroutine that computes gives nothing back.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};
use std::time::Duration;

use crate::abi::layout::WORKER_COUNT;
use crate::abi::record::{Kind, Record, request};
use crate::abi::state::State;
use crate::abi::wait::WaitReason;
use crate::debug::sample;
use crate::registry::{self, Tenant};
use crate::stack::region::Region;
use crate::sys::{clock, process as own};

/// How many are named.
const NAMED: usize = 10;
/// No status: the process goes on.
const GOES_ON: i64 = i64::MAX;
const NONE: u32 = u32::MAX;

/// The end of a runtime; its place is that of its first worker.
struct Ending {
    /// When main had returned (`sys::clock`); 0: it hasn't.
    since: AtomicU64,
    grace: AtomicU64,
    status: AtomicI64,
    is_told: AtomicBool,
}

static ENDINGS: [Ending; WORKER_COUNT] = [const {
    Ending {
        since: AtomicU64::new(0),
        grace: AtomicU64::new(0),
        status: AtomicI64::new(GOES_ON),
        is_told: AtomicBool::new(false),
    }
}; WORKER_COUNT];

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
        let ending = &ENDINGS[*first as usize];
        ending.grace.store(grace, Relaxed);
        ending.status.store(status.map_or(GOES_ON, i64::from), Relaxed);
        ending.is_told.store(false, Relaxed);
        // Release: whoever sees it sees the above.
        ending.since.store(clock::now().max(1), Release);
    }
    Begun { workers }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(first) = self.workers.first() {
            ENDINGS[*first as usize].since.store(0, Release);
        }
        self.workers.iter().for_each(|worker| RUNTIMES[*worker as usize].store(NONE, Relaxed));
    }
}

/// Looks whether the end of a worker's runtime takes longer than it may; then says so, if nobody has yet.
pub(crate) fn look(region: &'static Region, worker: u32) {
    let runtime = RUNTIMES[worker as usize].load(Relaxed);
    if runtime != NONE {
        look_at(region, runtime);
    }
}

/// The same, of all runtimes of the process.
pub(crate) fn look_at_all(region: &'static Region) {
    (0..WORKER_COUNT as u32).for_each(|runtime| look_at(region, runtime));
}

fn look_at(region: &'static Region, runtime: u32) {
    let ending = &ENDINGS[runtime as usize];
    // Acquire: pairs with `begin`'s.
    let since = ending.since.load(Acquire);
    let grace = ending.grace.load(Relaxed);
    if since == 0 || clock::now().saturating_sub(since) < grace {
        return;
    }
    let left = left(region, runtime);
    if left.is_empty() || ending.is_told.swap(true, AcqRel) {
        return;
    }
    let status = i32::try_from(ending.status.load(Relaxed)).ok();
    // Not `eprintln!`, which panics when nobody reads it.
    let _ = io::stderr().write_all(sentence(region, &left, grace, status).as_bytes());
    if let Some(status) = status {
        process::exit(status);
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
