//! Which coroutine runs on this thread, and what it can be asked.

use std::cell::Cell;
use std::fmt;
use std::ptr;

use crate::abi::objects::OWNER_IS_THREAD;
use crate::abi::record::Record;
use crate::error::Kind;
use crate::registry;
use crate::sys::{fork, process};

/// A coroutine's number: counted from 1 over the process's life, and never used again.
///
/// It is what the debugger's commands, the crash report and a panic's message call the coroutine by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoroutineId(pub(crate) u64);

impl CoroutineId {
    /// The bare number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for CoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who a coroutine is: its number, its name and where it was spawned.
///
/// ```
/// coro::run(|| {
///     let worker = coro::CoroutineBuilder::new().name("worker").spawn(|| {
///         let me = coro::current().expect("inside a runtime");
///         (me.id(), me.name().map(str::to_owned))
///     })?;
///     let id = worker.id();
///     assert_eq!(worker.join().unwrap(), (id, Some("worker".into())));
///     Ok::<(), coro::Error>(())
/// })??;
/// # Ok::<(), coro::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Coroutine {
    id: CoroutineId,
    name: Option<String>,
    spawn_site: String,
}

impl Coroutine {
    /// Its number.
    pub fn id(&self) -> CoroutineId {
        self.id
    }

    /// Its name, if it was given one: at most 32 bytes of it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it was spawned, as `file:line:column`.
    pub fn spawn_site(&self) -> &str {
        &self.spawn_site
    }
}

/// The coroutine which calls this; `None` outside a runtime.
pub fn current() -> Option<Coroutine> {
    running().map(|record| Coroutine {
        id: CoroutineId(record.id()),
        name: record.name(),
        spawn_site: registry::spawn_site(record),
    })
}

thread_local! {
    /// Where this thread's worker keeps who runs; null outside a runtime. A switch then has one place to set.
    static RUNNING: Cell<*const Cell<&'static Record>> = const { Cell::new(ptr::null()) };
}

/// The record of the coroutine that runs on this thread.
///
/// Never inlined: optimised code keeps a thread-local's address in a register over a call, and a coroutine
/// that were to go on on another thread would use the first one's.
#[inline(never)]
pub(crate) fn running() -> Option<&'static Record> {
    // SAFETY: `follow`'s caller promises that the cell lives until it is told otherwise.
    unsafe { RUNNING.get().as_ref() }.map(Cell::get)
}

/// Why there is no coroutine that could do what was `tried`.
#[cold]
pub(crate) fn outside(tried: &'static str) -> Kind {
    if fork::is_child() { Kind::Forked { tried } } else { Kind::Outside { tried } }
}

/// Who runs on this thread, as `abi::objects` tells an owner: the coroutine, or outside a runtime the thread.
#[inline]
pub(crate) fn owner() -> u64 {
    match running() {
        Some(record) => record.id(),
        None => OWNER_IS_THREAD | u64::from(process::known_thread_id()),
    }
}

/// Says where this thread's worker keeps who runs, or that there is none any more.
///
/// # Safety
/// The cell lives until this is called again on the same thread.
pub(crate) unsafe fn follow(running: Option<&Cell<&'static Record>>) {
    RUNNING.set(running.map_or(ptr::null(), ptr::from_ref));
}
