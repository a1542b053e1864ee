//! How a worker starts and ends: main's part of the scheduler.
//!
//! ```text
//!   start   main -> io (sets up its permanent timer) -> main -> switch (gives back) -> main -> user code
//!   end     main's function has returned; all others are cancelled and run until they have ended; then io and
//!           switch end; then main
//! ```

use std::cell::Cell;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::{io, marker, thread};

use super::cancel;
use super::door::Door;
use super::ending;
use super::park::{self, Wait};
use super::policy::Policy;
use super::queue::Queue;
use super::remote::Place;
use super::rhythm::Rhythm;
use super::spin;
use super::switch::{self, After, transfer};
use super::team::{Seat, Team};
use super::trace::Trace;
use super::worker::{self, Worker};
use crate::abi::layout::ClassName;
use crate::abi::record::{Kind as CoroutineKind, NO_WORKER, Record};
use crate::abi::state::State;
use crate::abi::wait::WaitReason;
use crate::arch;
use crate::coroutine::cancel::Target;
use crate::coroutine::join::TaskHalf;
use crate::coroutine::{entry, extra};
use crate::error::{Error, Kind, Result};
use crate::reactor::Reactor;
use crate::registry::{self, Identity, transition};
use crate::stack::cache::Cache;
use crate::stack::geometry::{SlotIndex, StackBounds};
use crate::stack::region::Region;
use crate::stack::slots;
use crate::sys::errno::Errno;
use crate::sys::{clock, process};

/// How many were left parked, with their stacks, by all runtimes of the process: under `panic = "abort"`.
static LEAKED: AtomicU64 = AtomicU64::new(0);

/// See [`LEAKED`].
pub(crate) fn leaked() -> u64 {
    LEAKED.load(Relaxed)
}

/// What all workers of a runtime start with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) region: &'static Region,
    pub(crate) policy: Policy,
    /// How many switches are kept for the trace.
    pub(crate) trace: usize,
    /// Whether it is said when nobody can go on.
    pub(crate) notices_deadlocks: bool,
    /// How long the end waits (in nanoseconds) before it says, once, whom it waits for.
    pub(crate) grace: u64,
    /// Where the runtime was started.
    pub(crate) caller: &'static Location<'static>,
}

/// A worker that runs on this thread, from its start until it is dropped.
pub(crate) struct Running {
    worker: Box<Worker>,
    /// Behind the worker, so that it is given back last.
    _place: Place,
    /// It is the thread's own.
    _not_send: marker::PhantomData<*const ()>,
}

impl Running {
    /// Makes this thread a worker, with main as its running coroutine. `seat`: its place among several.
    pub(crate) fn start(
        settings: Settings,
        place: Place,
        seat: Option<Seat>,
        door: Arc<Door>,
    ) -> Result<Running> {
        let Settings { region, policy, trace, notices_deadlocks, caller, .. } = settings;
        let Place { index, remote, .. } = place;
        let acquired = Acquired { region, slots: Cell::default() };
        let system =
            |tried: &'static str| move |source: io::Error| Error::from(Kind::System { tried, source });
        let bell = remote.bell().map_err(system("making a worker's eventfd"))?;
        let reactor = Reactor::new(bell).map_err(system("making a worker's epoll set"))?;
        let (first_id, end_id) = worker::id_block();
        let [main, switch, io] =
            [ClassName::Native, ClassName::Service, ClassName::Service].map(|name| acquired.slot(name));
        let [main, switch, io] = [main?, switch?, io?].map(|slot| region.record(slot));

        let now = reactor.clock();
        let native = process::native_stack();
        let identity = |id, kind, name, bounds| Identity {
            id,
            kind,
            name,
            parent: 0,
            worker: index,
            spawned: caller,
            bounds,
            now,
        };
        registry::publish(
            main,
            &identity(first_id, CoroutineKind::Main, "main", StackBounds { limit: native.0, top: native.1 }),
        );
        // Its stack is the thread's: there is nothing to prepare, but where it goes on when it was left.
        main.context.prepare(0);
        for (record, kind, name, id) in [
            (io, CoroutineKind::Io, "io", first_id + 1),
            (switch, CoroutineKind::Switch, "switch", first_id + 2),
        ] {
            let slot = region.slot(record);
            let bounds = region.geometry.bounds(slot).expect("service slots have stacks");
            prepare_stack(record, bounds.coloured_top(slot));
            registry::publish(record, &Identity { parent: first_id, ..identity(id, kind, name, bounds) });
        }
        let row = &region.workers()[index as usize];
        for (place, record) in [(&row.main, main), (&row.switch, switch), (&row.io, io)] {
            place.store(region.slot(record).0, Relaxed);
        }
        row.clear_counters();
        let parked = &region.parked()[index as usize];
        parked.0.iter().for_each(|count| count.store(0, Relaxed));
        row.clock.store(now, Relaxed);
        row.policy.store(policy.number(), Relaxed);
        row.thread.store(process::thread_id(), Relaxed);
        let has_cpu = spin::have_cpus(seat.as_ref().map_or(1, |seat| seat.size() as usize));
        let worker = Box::new(Worker {
            index,
            policy,
            region,
            row,
            parked,
            remote,
            reactor,
            queue: Queue::default(),
            seat,
            slots: Cache::new(region, &row.free_slots),
            trace: Trace::new(trace),
            main,
            switch,
            io,
            current: Cell::new(main),
            left: Cell::new((main, After::Lend)),
            rhythm: Rhythm::new(),
            spin: spin::sleep::Spin::new(has_cpu),
            lock_spin: spin::lock::Spin::new(has_cpu),
            budget: Cell::new(park::BUDGET),
            notices_deadlocks,
            stillness: Cell::default(),
            is_ending: Cell::new(false),
            is_stopping: Cell::new(false),
            last_one_out: Cell::new(None),
            door,
            errno: Errno::of_this_thread(),
            ids: Cell::new((first_id + 3, end_id)),
            #[cfg(test)]
            io_probe: Cell::new(None),
            #[cfg(test)]
            switch_probe: Cell::new(None),
        });
        acquired.keep();
        // SAFETY: it is boxed, and `drop` unsets it before the box goes.
        unsafe { worker::set_current(Some(&worker)) };
        transition::run(&main.state);
        transfer(&worker, io, After::Lend);
        transfer(&worker, switch, After::Lend);
        Ok(Running { worker, _place: place, _not_send: marker::PhantomData })
    }

    /// What it shares with the runtime's other workers, if there are any.
    pub(crate) fn team(&self) -> Option<&Arc<Team>> {
        self.worker.seat.as_ref().map(Seat::team)
    }

    /// Ends all coroutines but main: those that never ran are dropped, the others unwound at their waits.
    fn end_others(&self) {
        let worker = &*self.worker;
        worker.is_ending.set(true);
        match &worker.seat {
            Some(seat) => seat.adopt_all(worker),
            // Those from outside who came in before the door was shut.
            None => worker.empty_inbox(),
        }
        let mut never_ran = Vec::new();
        for record in self.users() {
            never_ran.extend(self.end(record));
        }
        // Only now, when none of them is queued any more: a value's destructor may wait, and so lets others run.
        for task in never_ran {
            park::wake_all(entry::abandon(task));
        }
        if cfg!(panic = "abort") {
            // Nothing can be unwound: what is parked stays, with its values.
            return;
        }
        // At once, and yet behind the others' first turn: they are to have one, however short the grace period is.
        let mut next_look = Some(clock::now());
        while worker.alive() > 0 {
            let Ok(wait) = Wait::open(WaitReason::Shutdown, 0) else { return };
            worker.last_one_out.set(Some(wait.token()));
            wait.park_until(next_look);
            next_look = ending::look(worker.region, worker.index);
        }
    }

    /// The user coroutines that live here.
    fn users(&self) -> impl Iterator<Item = &'static Record> {
        registry::of_worker(self.worker.region, self.worker.index)
            .filter(|record| record.kind() == CoroutineKind::User && record.word().state() != State::Exited)
    }

    /// Ends one; returns what it was to run, if it never ran.
    fn end(&self, record: &'static Record) -> Option<TaskHalf> {
        if let Some(task) = entry::take_task(record) {
            switch::retire(&self.worker, record);
            return Some(task);
        }
        if cfg!(panic = "abort") {
            // It stays as it is, and belongs to no worker any more.
            record.worker.store(NO_WORKER, Relaxed);
            LEAKED.fetch_add(1, Relaxed);
        } else {
            cancel::cancel(Target::of(record));
        }
        None
    }
}

impl Drop for Running {
    /// Ends everything, also when main's function has panicked (its unwinding has been caught before).
    fn drop(&mut self) {
        debug_assert!(!thread::panicking(), "main's panic is caught, and resumed after this");
        let _whole = WholeEnd;
        let worker = &*self.worker;
        entry::wind_up(worker.main);
        self.end_others();
        // What was deferred by the values of those who never ran: they were dropped here.
        entry::wind_up(worker.main);
        worker.is_stopping.set(true);
        transfer(worker, worker.io, After::Lend);
        transfer(worker, worker.switch, After::Lend);
        let mut orphans = Vec::new();
        worker.reactor.poller.close(&mut orphans);
        // SAFETY: none is set.
        unsafe { worker::set_current(None) };
        for orphan in orphans {
            if let crate::reactor::Ready::Event(waiter) = orphan {
                park::wake(&waiter);
            }
        }
        worker.slots.empty();
        // The state first: one that still says `running`, of a worker without a thread, would be looked for in vain, and
        // be unwound from where main was left the last time.
        transition::exit(&worker.main.state);
        worker.row.thread.store(0, Release);
        extra::free(worker.main);
        // SAFETY: a native slot has no stack; main's is the thread's own.
        unsafe { slots::release(worker.region, worker.region.slot(worker.main)) };
    }
}

/// A runtime's end. What unwinds out of it, which nothing should, would leave parked coroutines to a worker that is gone.
struct WholeEnd;

impl Drop for WholeEnd {
    fn drop(&mut self) {
        if thread::panicking() {
            park::last_words(format_args!("a panic, told of above, has cut a runtime's end short"));
        }
    }
}

/// Puts the frame that `arch`'s entry expects on a stack on which nobody has run, below its coloured top.
pub(crate) fn prepare_stack(record: &Record, top: usize) {
    // SAFETY: the slot was acquired, so that its stack is mapped, writable and ours; the coloured top is
    // 64-byte aligned and at least a page above the limit.
    let sp = unsafe { arch::init_stack(top, std::ptr::from_ref(record).expose_provenance(), switch::start) };
    record.context.prepare(sp);
}

/// What a start has acquired; given back if it fails.
struct Acquired {
    region: &'static Region,
    slots: Cell<[Option<SlotIndex>; 3]>,
}

impl Acquired {
    fn slot(&self, name: ClassName) -> Result<SlotIndex> {
        let slot = slots::acquire(self.region, name)?;
        let mut slots = self.slots.get();
        *slots.iter_mut().find(|place| place.is_none()).expect("a worker has three slots") = Some(slot);
        self.slots.set(slots);
        Ok(slot)
    }

    /// The start has succeeded.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Acquired {
    fn drop(&mut self) {
        for slot in self.slots.get().into_iter().flatten() {
            // SAFETY: nobody has run on it.
            unsafe { slots::release(self.region, slot) };
        }
    }
}
