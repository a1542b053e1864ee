//! New coroutines.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

use super::handle::JoinHandle;
use super::monitor;
use crate::abi::layout::ClassName;
use crate::abi::record::Kind as CoroutineKind;
use crate::arch;
use crate::coroutine::cancel::Target;
use crate::coroutine::entry;
use crate::coroutine::join::{TaskHalf, packet};
use crate::error::{Kind, Result};
use crate::registry::{self, Identity};
use crate::scheduler::admit::{self, Home};
use crate::scheduler::main::prepare_stack;
use crate::scheduler::park;
use crate::scheduler::worker::Worker;
use crate::stack::geometry::{LARGEST_STACK, SlotIndex, class_for};
use crate::stack::region::Region;

/// Starts a coroutine that runs `f`; as `std::thread::spawn`.
///
/// It runs when this coroutine waits (under `Policy::Backtrack`: at once), or sooner, on another thread, if there are
/// [several](crate::Builder::workers) and one has nothing to do. Where it has begun it stays. A panic in it ends nothing
/// else: `join` tells of it. Dropping the handle detaches it.
///
/// # Panics
/// If it can't be spawned: outside a runtime, when main has returned, or when there is no stack left.
/// [`CoroutineBuilder::spawn`] gives an error instead.
///
/// ```
/// coro::run(|| {
///     let handle = coro::spawn(|| "done");
///     assert_eq!(handle.join().unwrap(), "done");
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // Not in a closure, here and wherever a caller is tracked: what panics there names the closure's own place.
    match CoroutineBuilder::new().spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("coro::spawn: {error}"),
    }
}

/// Starts a coroutine that stays on this thread, and so may use what is not `Send`: as
/// [`spawn`](crate::spawn), but that no other worker takes it.
///
/// While another coroutine keeps this thread busy it waits, even where other workers have nothing to do. Its handle can be
/// given away if the result is `Send`.
///
/// # Panics
/// As [`spawn`](crate::spawn).
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// let sum = coro::Builder::new().workers(2).run(|| {
///     let sum = Rc::new(Cell::new(0));
///     let parts = [1, 2, 3].map(|n| {
///         let sum = sum.clone();
///         coro::spawn_local(move || sum.set(sum.get() + n))
///     });
///     parts.into_iter().for_each(|part| part.join().unwrap());
///     sum.get()
/// })?;
/// assert_eq!(sum, 6);
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match CoroutineBuilder::new().spawn_local(f) {
        Ok(handle) => handle,
        Err(error) => panic!("coro::spawn_local: {error}"),
    }
}

/// A coroutine to be spawned with a name, or on a stack of another size; as `std::thread::Builder`.
///
/// ```
/// coro::run(|| {
///     let parser = coro::CoroutineBuilder::new().name("parser").stack_size(1 << 20).spawn(|| [0_u8; 500_000].len())?;
///     assert_eq!(parser.join().unwrap(), 500_000);
///     Ok::<(), coro::Error>(())
/// })??;
/// # Ok::<(), coro::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a CoroutineBuilder starts nothing before its `spawn` is called"]
pub struct CoroutineBuilder {
    name: String,
    stack_size: Option<usize>,
}

impl CoroutineBuilder {
    /// No name, and the default stack of 192 KiB.
    pub fn new() -> CoroutineBuilder {
        CoroutineBuilder::default()
    }

    /// A name for debuggers and panic reports. The first 32 bytes are kept.
    pub fn name(mut self, name: impl Into<String>) -> CoroutineBuilder {
        self.name = name.into();
        self
    }

    /// At least so many bytes of stack, a few hundred of which the runtime may use. Up to 192 KiB costs nothing
    /// extra; there are fewer of the larger ones, of 8 MiB. Memory is used as pages are touched.
    pub fn stack_size(mut self, bytes: usize) -> CoroutineBuilder {
        self.stack_size = Some(bytes);
        self
    }

    /// Whose stacks it gets, and whether it can be as it was asked for.
    #[inline(always)]
    pub(super) fn class(&self) -> Result<ClassName> {
        if self.name.contains('\0') {
            return Err(Kind::Name { name: self.name.clone() }.into());
        }
        match self.stack_size {
            None => Ok(ClassName::Default),
            Some(asked) => Ok(class_for(asked).ok_or(Kind::StackSize { asked, largest: LARGEST_STACK })?),
        }
    }

    /// Starts the coroutine: see [`spawn`](crate::spawn).
    ///
    /// # Errors
    /// Outside a runtime; when main has returned; when there is no stack left, or no memory for its redzone; for
    /// a stack size of zero or above 8 MiB; for a name with a NUL byte.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_at(f, Location::caller())
    }

    /// The same, for callers who have the place.
    pub(super) fn spawn_at<F, T>(self, f: F, caller: &'static Location<'static>) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (task, half) = packet(f);
        let target = start(&self, task, Home::Any, caller)?;
        Ok(JoinHandle::new(half, target))
    }

    /// The same, with something to be done when the coroutine has its record and is not queued yet: it can't have begun.
    pub(super) fn spawn_introduced<F, T>(
        self,
        f: F,
        caller: &'static Location<'static>,
        introduce: impl FnOnce(Target),
    ) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (task, half) = packet(f);
        let (worker, target) = prepare(&self, task, Home::Any, caller)?;
        introduce(target);
        admit::admit(worker, target.record, Home::Any);
        Ok(JoinHandle::new(half, target))
    }

    /// Starts the coroutine on this thread, where it stays: see [`spawn_local`](crate::spawn_local).
    ///
    /// # Errors
    /// As [`spawn`](CoroutineBuilder::spawn).
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let caller = Location::caller();
        let (task, half) = packet(f);
        let target = start(&self, task, Home::Here, caller)?;
        Ok(JoinHandle::new(half, target))
    }
}

/// Spawns what is no longer generic.
fn start(
    options: &CoroutineBuilder,
    task: TaskHalf,
    home: Home,
    caller: &'static Location<'static>,
) -> Result<Target> {
    let (worker, target) = prepare(options, task, home, caller)?;
    admit::admit(worker, target.record, home);
    Ok(target)
}

/// Makes a coroutine, which is to be admitted then.
#[inline(always)]
fn prepare<'a>(
    options: &CoroutineBuilder,
    task: TaskHalf,
    home: Home,
    caller: &'static Location<'static>,
) -> Result<(&'a Worker, Target)> {
    let class = options.class()?;
    let worker = admit::spawner(home)?;
    if worker.row.spawns.load(Relaxed) == 0 {
        // From now on there is somebody whom another one could keep waiting.
        monitor::start();
    }
    let slot = worker.slots.acquire(class)?;
    let who = Who {
        id: worker.next_id(),
        parent: worker.running().id(),
        worker: home.of_new(worker),
        now: worker.clock(),
    };
    Ok((worker, settle(worker.region, slot, &who, options, task, caller)))
}

/// Who a new coroutine is.
pub(super) struct Who {
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) worker: u32,
    pub(super) now: u64,
}

/// Makes a slot that was just acquired a coroutine's, with what that is to do.
#[inline(always)]
pub(super) fn settle(
    region: &'static Region,
    slot: SlotIndex,
    who: &Who,
    options: &CoroutineBuilder,
    task: TaskHalf,
    caller: &'static Location<'static>,
) -> Target {
    let record = region.record(slot);
    let bounds = region.geometry.bounds(slot).expect("user classes have stacks");
    prepare_stack(record, bounds.coloured_top(slot));
    registry::publish(
        record,
        &Identity {
            id: who.id,
            kind: CoroutineKind::User,
            name: &options.name,
            parent: who.parent,
            worker: who.worker,
            spawned: caller,
            bounds,
            now: who.now,
        },
    );
    arch::spawned(ptr::from_ref(record).cast());
    entry::put_task(record, task);
    Target::of(record)
}

/// Lets the others who are ready have a turn; returns at once when there are none.
///
/// # Panics
/// Outside a runtime.
///
/// ```
/// coro::run(|| {
///     let other = coro::spawn(|| ());
///     coro::yield_now();
///     assert!(other.is_finished());
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn yield_now() {
    // In two steps: else the caller's place would be carried through the switch, for a failure that comes before it.
    match park::yielder() {
        Ok(worker) => park::yield_on(worker),
        Err(error) => panic!("{error}"),
    }
}
