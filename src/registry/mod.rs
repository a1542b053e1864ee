//! The registry: who lives in which slot.
//!
//! `publish` makes a slot's record readable as a new coroutine, `retire` as an ended one; in between
//! [`transition`] moves it from state to state. A reader may look at any instruction: identity is stored before
//! the state that makes it valid.

pub(crate) mod descriptors;
pub(crate) mod transition;

use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::abi::layout::ClassName;
use crate::abi::record::{Kind, Record};
use crate::abi::state::{Key, State};
use crate::arch::END;
use crate::stack::geometry::{SlotIndex, StackBounds};
use crate::stack::region::{self, Region};

/// Who a new coroutine is.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) parent: u64,
    pub(crate) worker: u32,
    pub(crate) spawned: &'static Location<'static>,
    pub(crate) bounds: StackBounds,
    pub(crate) now: u64,
}

/// Makes the record of a slot that was just acquired readable as a new coroutine.
#[inline]
pub(crate) fn publish(record: &Record, identity: &Identity<'_>) {
    debug_assert_eq!(record.word().state(), State::Free);
    // A planted bug: see tests/stepping/plants.rs.
    if cfg!(coro_plant = "identity_last") {
        transition::publish(&record.state);
    }
    record.link.store((&raw const END).cast_mut(), Relaxed);
    record.id.store(identity.id, Relaxed);
    record.kind.store(identity.kind as u32, Relaxed);
    record.set_name(identity.name);
    record.parent.store(identity.parent, Relaxed);
    record.worker.store(identity.worker, Relaxed);
    let file = identity.spawned.file();
    record.spawn_file.store(file.as_ptr().cast_mut(), Relaxed);
    record.spawn_file_length.store(file.len() as u32, Relaxed);
    record.spawn_line.store(identity.spawned.line(), Relaxed);
    record.spawn_column.store(identity.spawned.column(), Relaxed);
    record.stack_limit.store(identity.bounds.limit as u64, Relaxed);
    record.stack_top.store(identity.bounds.top as u64, Relaxed);
    record.spawned_at.store(identity.now, Relaxed);
    record.since.store(identity.now, Relaxed);
    record.wait_reason.store(0, Relaxed);
    record.wait_object.store(0, Relaxed);
    record.wait_deadline.store(0, Relaxed);
    record.requests.store(0, Relaxed);
    record.extra.store(ptr::null_mut(), Relaxed);
    // Release in there: whoever sees `New` sees all of the above.
    if !cfg!(coro_plant = "identity_last") {
        transition::publish(&record.state);
    }
}

/// Where a coroutine was spawned, as a person writes it.
pub(crate) fn spawn_site(record: &Record) -> String {
    let file = record.spawn_file.load(Relaxed);
    if file.is_null() {
        return "?".into();
    }
    let length = record.spawn_file_length.load(Relaxed) as usize;
    // SAFETY: `publish` stored pointer and length of a `Location`'s file, which is 'static. Two tenants' values
    // could mix only for a caller that doesn't own the coroutine or run in it; all callers do.
    let file = unsafe { std::slice::from_raw_parts(file, length) };
    let (line, column) = (record.spawn_line.load(Relaxed), record.spawn_column.load(Relaxed));
    format!("{}:{line}:{column}", String::from_utf8_lossy(file))
}

/// Whom to wake: one wait of one tenant of one slot. A value; it may outlive all three, and does nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WakeToken {
    pub(crate) slot: SlotIndex,
    pub(crate) key: Key,
}

/// The records of all slots that ever had a tenant, class by class in slot order.
pub(crate) fn iterate(region: &'static Region) -> impl Iterator<Item = &'static Record> {
    ClassName::ALL.into_iter().flat_map(move |name| {
        // Acquire: pairs with `take_fresh`'s Release.
        let used = region.class(name).used.load(Acquire);
        let first = region.geometry.class(name).first;
        (first..first + used).map(move |index| region.record(SlotIndex(index)))
    })
}

/// The record of a token's slot.
pub(crate) fn record_of(token: WakeToken) -> Option<&'static Record> {
    region::get().map(|region| region.record(token.slot))
}
