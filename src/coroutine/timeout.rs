//! Timeout scopes of a coroutine: which parts of it are to end when.
//!
//! Each wait looks for the scope that ends first, and ends with it; the unwinding carries the scope's number, so that
//! inner scopes pass it on to the one whom it is for.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::cancel;
use super::extra::{self, Extra};
use crate::abi::lifetimes::{TimeoutRow, pop_row, push_row};
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
    let row = TimeoutRow { scope: id.0, deadline, shields: shields(extra) };
    push_row(&mut extra.timeouts.borrow_mut(), row, &extra.head.timeouts, &extra.head.timeout_count);
    tell(record, extra);
    Begun { record, id }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let extra = extra::get_or_make(self.record);
        let ended = pop_row(&mut extra.timeouts.borrow_mut(), &extra.head.timeout_count);
        debug_assert!(ended.is_some_and(|row| row.scope == self.id.0), "scopes end in the order of a stack");
        tell(self.record, extra);
    }
}

/// In how many shields the coroutine is: more than at a scope's beginning hold that back.
fn shields(extra: &Extra) -> u64 {
    extra.head.shields.load(Relaxed).into()
}

/// Says in the record whether there is a scope.
fn tell(record: &Record, extra: &Extra) {
    if extra.timeouts.borrow().is_empty() {
        cancel::note(&record.requests, 0, request::TIMEOUT);
    } else {
        cancel::note(&record.requests, request::TIMEOUT, 0);
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
    let shields = shields(extra);
    let scopes = extra.timeouts.borrow();
    let open = scopes.iter().filter(|row| row.shields == shields).map(|row| row.deadline);
    open.chain(own).min()
}

/// The outermost scope whose time has passed, and which isn't held back.
pub(super) fn passed(extra: &Extra) -> Option<ScopeId> {
    let now = clock::now();
    let shields = shields(extra);
    let scopes = extra.timeouts.borrow();
    scopes.iter().find(|row| row.shields == shields && row.deadline <= now).map(|row| ScopeId(row.scope))
}
