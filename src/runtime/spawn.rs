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
use crate::scheduler::admit;
use crate::scheduler::main::prepare_stack;
use crate::scheduler::park;
use crate::stack::geometry::{LARGEST_STACK, class_for};

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
    CoroutineBuilder::new().spawn(f).unwrap_or_else(|error| panic!("coro::spawn: {error}"))
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
        let target = start(&self, task, caller)?;
        Ok(JoinHandle::new(half, target))
    }
}

/// Spawns what is no longer generic.
fn start(options: &CoroutineBuilder, task: TaskHalf, caller: &'static Location<'static>) -> Result<Target> {
    if options.name.contains('\0') {
        return Err(Kind::Name { name: options.name.clone() }.into());
    }
    let class = match options.stack_size {
        None => ClassName::Default,
        Some(asked) => class_for(asked).ok_or(Kind::StackSize { asked, largest: LARGEST_STACK })?,
    };
    let worker = admit::spawner()?;
    if worker.row.spawns.load(Relaxed) == 0 {
        // From now on there is somebody whom another one could keep waiting.
        monitor::start();
    }
    let slot = worker.slots.acquire(class)?;
    let record = worker.region.record(slot);
    let bounds = worker.region.geometry.bounds(slot).expect("user classes have stacks");
    prepare_stack(record, bounds.coloured_top(slot));
    let id = worker.next_id();
    registry::publish(
        record,
        &Identity {
            id,
            kind: CoroutineKind::User,
            name: &options.name,
            parent: worker.running().id(),
            worker: worker.home_of_new(),
            spawned: caller,
            bounds,
            now: worker.clock(),
        },
    );
    arch::spawned(ptr::from_ref(record).cast());
    entry::put_task(record, task);
    let target = Target::of(record);
    admit::admit(worker, record);
    Ok(target)
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
    park::yield_now().unwrap_or_else(|error| panic!("{error}"));
}
