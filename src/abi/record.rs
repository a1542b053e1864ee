//! One coroutine's record: all that a reader needs to name it, say what it waits for and unwind it.
//!
//! Three cache lines: what each switch touches; the rest, who the coroutine is above all; and what belongs to the
//! runtime alone.
//! Every field is atomic because readers on other threads may look at any time; on the hot path they are
//! plain loads and stores. A record lives for ever at its place in the region: its slot's index is its own.

use std::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::state::Word;
use crate::arch::Context;

/// Bytes of a name that are kept.
pub(crate) const NAME_LENGTH: usize = 32;

/// What a coroutine is for.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User = 0,
    Main = 1,
    Switch = 2,
    Io = 3,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub(crate) const ALL: [Kind; 4] = [Kind::User, Kind::Main, Kind::Switch, Kind::Io];

    /// The name that every reader shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Main => "main",
            Kind::Switch => "switch",
            Kind::Io => "io",
        }
    }
}

/// In `Record::worker`: on none.
pub(crate) const NO_WORKER: u32 = u32::MAX;
/// In `Record::next_free`: the last of its queue.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// A coroutine, or a free slot's last tenant. All zero is a slot that never had one.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Record {
    // What a switch touches.
    /// Where the backtrace goes on behind `entry`, whose CFI reads it: the first field.
    pub(crate) link: AtomicPtr<Context>,
    /// Where it was left. Stale while it runs.
    pub(crate) context: Context,
    /// The state word; `registry::transition` says who may write it when.
    pub(crate) state: AtomicU64,
    /// What it waits for, stored before it parks.
    pub(crate) wait_reason: AtomicU32,
    /// The worker it lives on.
    pub(crate) worker: AtomicU32,
    pub(crate) wait_object: AtomicU64,
    /// Its worker's clock when it last parked, got ready, or was spawned.
    pub(crate) since: AtomicU64,
    /// What others ask of it, and how it takes that: bits of `request` in the lowest byte. Above them its id, so that who
    /// asks by a compare-exchange never asks it of the slot's next tenant.
    pub(crate) requests: AtomicU64,
    // What not every wait touches.
    /// Nanoseconds of CLOCK_MONOTONIC; 0 = it may wait for ever.
    pub(crate) wait_deadline: AtomicU64,
    // Who it is.
    /// Counted from 1 over the process's life, never reused; kept when the slot is free.
    pub(crate) id: AtomicU64,
    /// The id of its creator; 0 = none.
    pub(crate) parent: AtomicU64,
    /// Its stack: [limit, top).
    pub(crate) stack_limit: AtomicU64,
    pub(crate) stack_top: AtomicU64,
    /// Where it was spawned: a path in read-only data, not NUL-terminated.
    pub(crate) spawn_file: AtomicPtr<u8>,
    pub(crate) spawn_file_length: AtomicU32,
    pub(crate) spawn_line: AtomicU32,
    /// As much of it as there is room for.
    pub(crate) spawn_column: AtomicU16,
    /// A number of the table `kinds`.
    pub(crate) kind: AtomicU16,
    /// While free: the next free slot of its class.
    pub(crate) next_free: AtomicU32,
    /// Its worker's clock when it was spawned.
    pub(crate) spawned_at: AtomicU64,
    /// UTF-8, filled up with NULs; cut at a character's end when longer.
    pub(crate) name: [AtomicU64; NAME_LENGTH / 8],
    // The runtime's own, but for how `extra` begins.
    /// What it is to run: the two words of a `coroutine::entry::Task` pointer.
    pub(crate) task: [AtomicPtr<()>; 2],
    /// What only some have, a `coroutine::extra::Extra`, which begins with an `abi::lifetimes::ExtraHead`; or null.
    pub(crate) extra: AtomicPtr<()>,
}

const _: () = assert!(size_of::<Record>() == 192, "records are three cache lines");
const _: () = assert!(std::mem::offset_of!(Record, link) == 0, "`entry`'s CFI reads the first word");

/// Bits of `Record::requests`.
pub(crate) mod request {
    /// Unwind at the next wait.
    pub(crate) const CANCEL: u64 = 1;
    /// It has begun to unwind because of that, or of a timeout.
    pub(crate) const UNWINDING: u64 = 2;
    /// It is in a timeout scope: its waits end with that.
    pub(crate) const TIMEOUT: u64 = 4;
    /// It holds back what is asked of it.
    pub(crate) const SHIELD: u64 = 8;

    /// Above these bits lies the coroutine's id.
    pub(crate) const BITS: u32 = 8;

    /// All requests with the names that readers show.
    pub(crate) const ALL: [(u64, &str); 4] =
        [(CANCEL, "cancel"), (UNWINDING, "unwinding"), (TIMEOUT, "timeout"), (SHIELD, "shield")];

    /// The word of a coroutine of which nothing is asked.
    pub(crate) const fn nothing(id: u64) -> u64 {
        id << BITS
    }
}

impl Record {
    /// The state word, as it is now. Acquire: pairs with the Release of whoever stored it, so that what was
    /// stored before the state (saved sp, wait reason, identity) is seen with it.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.state.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            1 => Kind::Main,
            2 => Kind::Switch,
            3 => Kind::Io,
            _ => Kind::User,
        }
    }

    /// The name, if it was given one.
    pub(crate) fn name(&self) -> Option<String> {
        let bytes: Vec<u8> = self
            .name
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
            .take_while(|b| *b != 0)
            .collect();
        if bytes.is_empty() { None } else { Some(String::from_utf8_lossy(&bytes).into_owned()) }
    }

    /// Stores as much of a name as there is room for.
    #[inline]
    pub(crate) fn set_name(&self, name: &str) {
        if name.is_empty() {
            self.name.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            return;
        }
        let mut bytes = [0; NAME_LENGTH];
        let kept = &name[..name.floor_char_boundary(NAME_LENGTH)];
        bytes[..kept.len()].copy_from_slice(kept.as_bytes());
        for (word, chunk) in self.name.iter().zip(bytes.chunks_exact(8)) {
            word.store(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")), Ordering::Relaxed);
        }
    }
}
