//! A worker: what one OS thread needs to run coroutines.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Mutex};

use super::door::Door;
use super::policy::{self, Policy};
use super::queue::{Entry, Queue};
use super::remote::Remote;
use super::rhythm::Rhythm;
use super::spin;
use super::stuck::Stillness;
use super::switch::After;
use super::team::Seat;
use super::trace::Trace;
use crate::abi::layout;
use crate::abi::record::Record;
use crate::abi::state::{State, Word, flag};
use crate::coroutine::current;
use crate::error::{Error, Kind, Result};
use crate::reactor::Reactor;
use crate::registry::{WakeToken, transition};
use crate::stack::cache::Cache;
use crate::stack::region::Region;
use crate::sys::errno::Errno;
use crate::sys::{fork, lock};

/// Ids that a worker takes at a time, so that a spawn touches no line which all workers share.
const ID_BLOCK: u64 = 64;

/// A thread's worker. Only that thread uses it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: u32,
    pub(crate) policy: Policy,
    pub(crate) region: &'static Region,
    /// What readers see of this worker.
    pub(crate) row: &'static layout::Worker,
    pub(crate) parked: &'static layout::Parked,
    pub(crate) remote: &'static Remote,
    pub(crate) reactor: Reactor,
    pub(crate) queue: Queue,
    /// Its place among the runtime's workers; none: it is the only one.
    pub(crate) seat: Option<Seat>,
    /// Stacks for those to come.
    pub(crate) slots: Cache,
    pub(crate) trace: Trace,
    pub(crate) main: &'static Record,
    pub(crate) switch: &'static Record,
    pub(crate) io: &'static Record,
    /// Who runs.
    pub(super) current: Cell<&'static Record>,
    /// Who was left last, and what is to be done about it: see `switch::transfer`.
    pub(super) left: Cell<(&'static Record, After)>,
    pub(crate) rhythm: Rhythm,
    pub(super) spin: spin::sleep::Spin,
    pub(super) lock_spin: spin::lock::Spin,
    /// Operations that may still succeed without a wait: see `park::spend`.
    pub(super) budget: Cell<u32>,
    /// Whether it says so when nobody can go on, and what it saw when it last looked.
    pub(super) notices_deadlocks: bool,
    pub(super) stillness: Cell<Stillness>,
    /// main has returned: nothing new is spawned.
    pub(crate) is_ending: Cell<bool>,
    /// All others have ended: io and switch are to end, too.
    pub(super) is_stopping: Cell<bool>,
    /// Whom the end of the last coroutine wakes.
    pub(super) last_one_out: Cell<Option<WakeToken>>,
    /// How others come into its runtime.
    pub(crate) door: Arc<Door>,
    pub(super) errno: Errno,
    pub(super) ids: Cell<(u64, u64)>,
    #[cfg(test)]
    pub(super) io_probe: Cell<Option<fn()>>,
    #[cfg(test)]
    pub(super) switch_probe: Cell<Option<fn()>>,
}

thread_local! {
    static WORKER: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// This thread's worker.
///
/// The reference is good as long as the coroutine that asks lives: its worker outlives every coroutine. It is not
/// to be stored. Never inlined: see `coroutine::current::running`.
#[inline(never)]
pub(crate) fn current<'a>() -> Option<&'a Worker> {
    // SAFETY: set by `main::Running` to a worker that it owns, and cleared by it before the worker is dropped;
    // that happens on main, after all other coroutines have ended, so none of them holds the reference then.
    unsafe { WORKER.get().as_ref() }
}

/// This thread's worker, if the caller is one who may spawn and wait: main or a user coroutine. `tried` is what it
/// is about to do.
#[inline]
pub(crate) fn of_user<'a>(tried: &'static str) -> Result<&'a Worker> {
    match current() {
        Some(worker) => worker.for_user(tried),
        None => Err(refusal(tried)),
    }
}

/// What the caller is told who is none who may spawn and wait.
#[cold]
pub(super) fn refusal(tried: &'static str) -> Error {
    match current() {
        Some(worker) => Kind::Service { tried, service: worker.running().kind().name() }.into(),
        None => current::outside(tried).into(),
    }
}

/// Has children by `fork` find themselves outside a runtime.
pub(crate) fn watch_forks() -> io::Result<()> {
    extern "C" fn forget() {
        WORKER.set(ptr::null());
        // SAFETY: none is set.
        unsafe { current::follow(None) };
    }
    // SAFETY: it stores to thread-locals that need no initialisation.
    unsafe { fork::watch(forget) }
}

/// Makes a worker this thread's, or none.
///
/// # Safety
/// The worker lives, where it is, until this is called again on the same thread.
pub(super) unsafe fn set_current(worker: Option<&Worker>) {
    WORKER.set(worker.map_or(ptr::null(), ptr::from_ref));
    // SAFETY: the cell is the worker's.
    unsafe { current::follow(worker.map(|worker| &worker.current)) };
}

/// The next ids of the process.
pub(super) fn id_block() -> (u64, u64) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let first = NEXT.fetch_add(ID_BLOCK, Relaxed);
    (first, first + ID_BLOCK)
}

/// An id that no coroutine of the process has had, for a thread that is no worker.
pub(crate) fn outside_id() -> u64 {
    static IDS: Mutex<(u64, u64)> = Mutex::new((0, 0));
    let mut ids = lock::of(&IDS);
    if ids.0 == ids.1 {
        *ids = id_block();
    }
    ids.0 += 1;
    ids.0 - 1
}

impl Worker {
    /// An id that no coroutine of the process has had.
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        let (mut next, mut end) = self.ids.get();
        if next == end {
            (next, end) = id_block();
        }
        self.ids.set((next + 1, end));
        next
    }

    /// The coroutine that runs.
    #[inline]
    pub(crate) fn running(&self) -> &'static Record {
        self.current.get()
    }

    /// The same worker, if the one who runs may spawn and wait: see [`of_user`].
    #[inline]
    pub(super) fn for_user(&self, tried: &'static str) -> Result<&Worker> {
        if self.is_service(self.running()) { Err(refusal(tried)) } else { Ok(self) }
    }

    /// The worker's clock, nanoseconds of CLOCK_MONOTONIC at io's last poll.
    #[inline]
    pub(crate) fn clock(&self) -> u64 {
        self.reactor.clock()
    }

    /// How many coroutines live here, main, switch and io not counted.
    pub(crate) fn alive(&self) -> u64 {
        self.row.alive.load(Relaxed)
    }

    /// Whether it is the one which runs the program's main function.
    pub(super) fn is_first(&self) -> bool {
        self.seat.as_ref().is_none_or(Seat::is_first)
    }

    /// Counts a coroutine that was just published.
    #[inline]
    pub(super) fn count_spawn(&self) {
        self.row.spawns.store(self.row.spawns.load(Relaxed) + 1, Relaxed);
    }

    /// Makes one that nobody has begun, and that the caller has taken, this worker's.
    pub(super) fn adopt(&self, fresh: &'static Record) {
        fresh.worker.store(self.index, Relaxed);
        if fresh.word().state() == State::New {
            self.welcome(fresh);
        }
        self.count_in();
    }

    /// Of one that was made outside: does what a spawn on a worker does.
    #[cold]
    #[inline(never)]
    fn welcome(&self, fresh: &'static Record) {
        self.count_spawn();
        if self.policy == Policy::Backtrack {
            policy::note_lineage(fresh, self.main);
        }
        transition::ready(&fresh.state);
    }

    /// Counts a coroutine that lives here from now on.
    #[inline]
    pub(super) fn count_in(&self) {
        let alive = self.alive() + 1;
        self.row.alive.store(alive, Relaxed);
        if alive > self.row.most_alive.load(Relaxed) {
            self.row.most_alive.store(alive, Relaxed);
        }
    }

    /// Counts one that has ended.
    #[inline]
    pub(super) fn count_out(&self) {
        let alive = self.alive() - 1;
        self.row.alive.store(alive, Relaxed);
        // Release: pairs with `team::alive`.
        self.row.exits.store(self.row.exits.load(Relaxed) + 1, Release);
        if alive == 0
            && let Some(token) = self.last_one_out.take()
        {
            super::park::unpark(token, 0);
        }
    }

    /// Queues a coroutine of this worker that was made ready, with the state word that it got.
    #[inline]
    pub(crate) fn enqueue(&self, record: &'static Record, word: Word) {
        self.queue.push(Entry { record, word });
    }

    /// Takes the next who is to run.
    #[inline]
    pub(super) fn next_ready(&self) -> Option<&'static Record> {
        match &self.seat {
            None => self.queue.pop(),
            Some(seat) => seat.next(self, || self.queue.pop()),
        }
    }

    /// Whether nobody here is to run. A stale entry counts as somebody.
    pub(super) fn has_nobody_ready(&self) -> bool {
        self.queue.is_empty() && self.seat.as_ref().is_none_or(Seat::is_empty)
    }

    /// Queues what other threads have woken, or made.
    pub(super) fn empty_inbox(&self) {
        while let Some(entry) = self.remote.receive() {
            if entry.word.state() == State::New {
                self.adopt(entry.record);
                self.enqueue(entry.record, entry.record.word());
                continue;
            }
            // An earlier runtime of this number may have left some behind, under `panic = "abort"`.
            if entry.record.worker.load(Relaxed) == self.index {
                self.queue.push(entry);
            }
        }
    }

    /// main, if it has lent the worker to io or switch: at the start, when each shows that it is there.
    pub(super) fn lender(&self) -> Option<&'static Record> {
        self.main.word().has(flag::LENT).then_some(self.main)
    }

    /// Whether `record` is one of this worker's own three.
    #[inline]
    pub(super) fn is_service(&self, record: &Record) -> bool {
        ptr::eq(record, self.switch) || ptr::eq(record, self.io)
    }
}
