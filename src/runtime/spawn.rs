//! New coroutines, and the handles by which their results are had.

use std::fmt;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::monitor;
use crate::abi::layout::ClassName;
use crate::abi::record::Kind as CoroutineKind;
use crate::abi::wait::WaitReason;
use crate::arch;
use crate::coroutine::completion::Completion;
use crate::coroutine::current::CoroutineId;
use crate::coroutine::entry;
use crate::coroutine::join::{HandleHalf, JoinError, TaskHalf, packet};
use crate::coroutine::waiter::Waiter;
use crate::error::{Kind, Result};
use crate::registry::{self, Identity};
use crate::scheduler::admit::{self, Home};
use crate::scheduler::main::prepare_stack;
use crate::scheduler::park::{self, WaitList, Woken};
use crate::stack::geometry::{LARGEST_STACK, class_for};
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::clock;

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
    CoroutineBuilder::new().spawn_local(f).unwrap_or_else(|error| panic!("coro::spawn_local: {error}"))
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
        let caller = Location::caller();
        let (task, half) = packet(f);
        let id = start(&self, task, Home::Any, caller)?;
        Ok(JoinHandle { half, id })
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
        let id = start(&self, task, Home::Here, caller)?;
        Ok(JoinHandle { half, id })
    }
}

/// Spawns what is no longer generic.
fn start(
    options: &CoroutineBuilder,
    task: TaskHalf,
    home: Home,
    caller: &'static Location<'static>,
) -> Result<CoroutineId> {
    if options.name.contains('\0') {
        return Err(Kind::Name { name: options.name.clone() }.into());
    }
    let class = match options.stack_size {
        None => ClassName::Default,
        Some(asked) => class_for(asked).ok_or(Kind::StackSize { asked, largest: LARGEST_STACK })?,
    };
    let worker = admit::spawner(home)?;
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
            worker: home.of_new(worker),
            spawned: caller,
            bounds,
            now: worker.clock(),
        },
    );
    arch::spawned(ptr::from_ref(record).cast());
    entry::put_task(record, task);
    admit::admit(worker, record, home);
    Ok(CoroutineId(id))
}

/// A coroutine whose result can be had; as `std::thread::JoinHandle`. Dropping it detaches the coroutine.
pub struct JoinHandle<T> {
    half: HandleHalf<T>,
    id: CoroutineId,
}

impl<T> JoinHandle<T> {
    /// Waits until the coroutine has ended; gives what its function returned. On a plain OS thread it blocks that.
    ///
    /// # Errors
    /// If the coroutine panicked (the payload is in the error), or was cancelled, because its runtime's main
    /// returned before it ended; or in a destructor during a panic, when it would have to wait.
    pub fn join(mut self) -> std::result::Result<T, JoinError> {
        self.wait()?;
        self.half.take()
    }

    /// Waits until the coroutine has ended, and leaves the result where it is. Any number may wait.
    ///
    /// # Errors
    /// In a destructor during a panic, when it would have to wait.
    pub fn wait(&self) -> std::result::Result<(), JoinError> {
        self.wait_until(None).map(|_| ())
    }

    /// Waits until the coroutine has ended, for `timeout` at the longest; says whether it has.
    ///
    /// # Errors
    /// In a destructor during a panic, when it would have to wait.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// coro::run(|| {
    ///     let slow = coro::spawn(|| coro::sleep(Duration::from_secs(600)));
    ///     assert!(!slow.wait_timeout(Duration::from_millis(1)).unwrap());
    /// })?;
    /// # Ok::<(), coro::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> std::result::Result<bool, JoinError> {
        if self.is_finished() {
            return Ok(true);
        }
        self.wait_until(Some(clock::after(timeout)))
    }

    /// Inlined, so that a join without a deadline knows of none.
    #[inline(always)]
    fn wait_until(&self, deadline: Option<u64>) -> std::result::Result<bool, JoinError> {
        let end = End(self.half.completion());
        while !self.is_finished() {
            let woken = park::block_until(WaitReason::Join, self.id.as_u64(), &end, deadline);
            if woken.map_err(JoinError::not_waited)? == Woken::Deadline {
                return Ok(self.is_finished());
            }
        }
        Ok(true)
    }

    /// Whether it has ended, so that `join` would not wait.
    pub fn is_finished(&self) -> bool {
        self.half.completion().is_done()
    }

    /// Its number.
    pub fn id(&self) -> CoroutineId {
        self.id
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id).field("is_finished", &self.is_finished()).finish()
    }
}

impl<T> Sealed for JoinHandle<T> {}

/// Ready when the coroutine has ended.
impl<T> Waitable for JoinHandle<T> {
    fn is_ready(&self) -> bool {
        self.is_finished()
    }
    fn enlist(&self, who: &Token) -> bool {
        self.half.completion().enlist(who.0.clone())
    }
    fn delist(&self, who: &Token) -> bool {
        self.half.completion().delist(&who.0)
    }
    fn told(&self) -> Told {
        Told::new(WaitReason::Join, self.id.as_u64())
    }
}

/// Those who wait for a coroutine's end.
struct End<'a>(&'a Completion);

impl WaitList for End<'_> {
    #[inline(always)]
    fn enlist(&self, waiter: Waiter) -> bool {
        self.0.enlist(waiter)
    }

    #[inline]
    fn delist(&self, waiter: &Waiter) -> bool {
        self.0.delist(waiter)
    }
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
