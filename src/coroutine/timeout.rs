//! Timeout scopes of a coroutine: which parts of it are to end when.
//!
//! Each wait looks for the scope that ends first, and ends with it; the unwinding carries the scope's number, so that
//! inner scopes pass it on to the one whom it is for.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::cancel;
use super::extra::{self, Extra};
use crate::abi::record::{Record, request};
use crate::sys::clock;

/// A timeout scope's number: counted from 1 over the process's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeId(u64);

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeId({})", self.0)
    }
}

/// What unwinds to a scope whose time has passed.
pub(crate) struct TimedOut(pub(crate) ScopeId);

/// A part of a coroutine that has a deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    id: ScopeId,
    deadline: u64,
    /// How many shields there were when it began: further ones hold it back.
    shields: u32,
}

/// A scope that has begun; it ends when this is dropped.
pub(crate) struct Begun {
    record: &'static Record,
    pub(crate) id: ScopeId,
}

/// Begins a scope of the running coroutine.
pub(crate) fn begin(record: &'static Record, deadline: u64) -> Begun {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = ScopeId(NEXT.fetch_add(1, Relaxed));
    let extra = extra::get_or_make(record);
    extra.scopes.borrow_mut().push(Scope { id, deadline, shields: extra.shields.get() });
    tell(record, extra);
    Begun { record, id }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let extra = extra::get_or_make(self.record);
        let ended = extra.scopes.borrow_mut().pop();
        debug_assert!(ended.is_some_and(|scope| scope.id == self.id), "scopes end in the order of a stack");
        tell(self.record, extra);
    }
}

/// Says in the record whether there is a scope.
fn tell(record: &Record, extra: &Extra) {
    if extra.scopes.borrow().is_empty() {
        cancel::note(record, 0, request::TIMEOUT);
    } else {
        cancel::note(record, request::TIMEOUT, 0);
    }
}

/// Until when a wait of the running coroutine may last, whose own deadline is `own`.
#[inline]
pub(crate) fn limit(record: &Record, own: Option<u64>) -> Option<u64> {
    if record.requests.load(Relaxed) & request::TIMEOUT == 0 { own } else { limit_by_scopes(record, own) }
}

#[cold]
#[inline(never)]
fn limit_by_scopes(record: &Record, own: Option<u64>) -> Option<u64> {
    // Nothing unwinds twice: the scopes end the next wait.
    let Some(extra) = extra::get(record).filter(|_| !std::thread::panicking()) else { return own };
    let shields = extra.shields.get();
    let scopes = extra.scopes.borrow();
    let open = scopes.iter().filter(|scope| scope.shields == shields).map(|scope| scope.deadline);
    open.chain(own).min()
}

/// The outermost scope whose time has passed, and which isn't held back.
pub(super) fn passed(extra: &Extra) -> Option<ScopeId> {
    let now = clock::now();
    let shields = extra.shields.get();
    let scopes = extra.scopes.borrow();
    scopes.iter().find(|scope| scope.shields == shields && scope.deadline <= now).map(|scope| scope.id)
}
