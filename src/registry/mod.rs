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
use crate::abi::record::{Kind, Record, request};
use crate::abi::state::{Key, Word};
use crate::arch::END;
use crate::stack::geometry::{SlotIndex, StackBounds};
use crate::stack::region::{self, Region};
use crate::sys::peek::peek;

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
    let fill_in = || {
        record.link.store((&raw const END).cast_mut(), Relaxed);
        record.id.store(identity.id, Relaxed);
        record.kind.store(identity.kind as u16, Relaxed);
        record.set_name(identity.name);
        record.parent.store(identity.parent, Relaxed);
        record.worker.store(identity.worker, Relaxed);
        let file = identity.spawned.file();
        record.spawn_file.store(file.as_ptr().cast_mut(), Relaxed);
        record.spawn_file_length.store(file.len() as u32, Relaxed);
        record.spawn_line.store(identity.spawned.line(), Relaxed);
        record.spawn_column.store(identity.spawned.column().try_into().unwrap_or(u16::MAX), Relaxed);
        record.stack_limit.store(identity.bounds.limit as u64, Relaxed);
        record.stack_top.store(identity.bounds.top as u64, Relaxed);
        record.spawned_at.store(identity.now, Relaxed);
        record.since.store(identity.now, Relaxed);
        record.wait_reason.store(0, Relaxed);
        record.wait_object.store(0, Relaxed);
        record.wait_deadline.store(0, Relaxed);
        record.requests.store(request::nothing(identity.id), Relaxed);
        record.extra.store(ptr::null_mut(), Relaxed);
    };
    // The former is a planted bug: see tests/stepping/plants.rs.
    if cfg!(coro_plant = "identity_last") {
        transition::publish(&record.state, || ());
        fill_in();
    } else {
        transition::publish(&record.state, fill_in);
    }
}

/// Where a coroutine was spawned, as a person writes it. To be called by whoever owns the coroutine or runs in it; others
/// ask [`tenant`].
pub(crate) fn spawn_site(record: &Record) -> String {
    site_text(&site(record))
}

/// The most bytes of a source file's path that are told.
const LONGEST_PATH: usize = 4096;

/// A record's words of a spawn site: file, its length, line, column.
type Site = (*const u8, u32, u32, u16);

fn site(record: &Record) -> Site {
    let Record { spawn_file, spawn_file_length, spawn_line, spawn_column, .. } = record;
    let [length, line] = [spawn_file_length, spawn_line].map(|part| part.load(Relaxed));
    (spawn_file.load(Relaxed).cast_const(), length, line, spawn_column.load(Relaxed))
}

/// Read as what may be wrong: a record that was written over must not end the process of who only wants to tell of it.
fn site_text((file, length, line, column): &Site) -> String {
    let mut path = vec![0; (*length as usize).min(LONGEST_PATH)];
    if file.is_null() || !peek(file.expose_provenance() as u64, &mut path) {
        return "?".into();
    }
    format!("{}:{line}:{column}", String::from_utf8_lossy(&path))
}

/// Who lives in a slot, as any thread may ask.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) word: Word,
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
    pub(crate) spawn_site: String,
}

/// Who lives in a slot; `None`: nobody, or they are changing just now.
pub(crate) fn tenant(record: &Record) -> Option<Tenant> {
    let (word, (id, kind, name, site)) =
        transition::read(&record.state, || (record.id(), record.kind(), record.name(), site(record)))?;
    Some(Tenant { word, id, kind, name, spawn_site: site_text(&site) })
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

/// Those of them whose tenants are of a worker, though others may be giving slots to their next tenants meanwhile.
pub(crate) fn of_worker(region: &'static Region, worker: u32) -> impl Iterator<Item = &'static Record> {
    iterate(region).filter(move |record| {
        let whose = transition::read(&record.state, || record.worker.load(Relaxed));
        whose.is_some_and(|(_, whose)| whose == worker)
    })
}

/// The record of a token's slot.
pub(crate) fn record_of(token: WakeToken) -> Option<&'static Record> {
    region::get().map(|region| region.record(token.slot))
}
