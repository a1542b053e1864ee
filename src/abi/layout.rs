//! Rows of the tables `classes` and `workers`: how the region is divided, and who runs coroutines.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::wait::WaitReason;

/// Workers that one process can have at a time.
pub(crate) const WORKER_COUNT: usize = 256;

/// The stack classes, in the order of their rows.
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassName {
    /// main coroutines: no stacks of the region's, only records.
    Native = 0,
    /// switch and io, which have slots of their own, so that user coroutines can't take them all.
    Service = 1,
    Default = 2,
    Large = 3,
}

/// How many classes there are.
pub(crate) const CLASS_COUNT: usize = 4;

impl ClassName {
    /// All classes, in the order of their rows.
    pub(crate) const ALL: [ClassName; CLASS_COUNT] =
        [ClassName::Native, ClassName::Service, ClassName::Default, ClassName::Large];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            ClassName::Native => "native",
            ClassName::Service => "service",
            ClassName::Default => "default",
            ClassName::Large => "large",
        }
    }
}

/// One class of stacks: slot i lies at `base + i * stride`, its redzone first.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) name: [AtomicU64; 2],
    pub(crate) base: AtomicU64,
    /// Bytes from slot to slot; 0 = no stacks.
    pub(crate) stride: AtomicU64,
    /// Bytes of redzone at each slot's low end, and once more behind the last slot.
    pub(crate) redzone: AtomicU64,
    pub(crate) first_record: AtomicU32,
    pub(crate) count: AtomicU32,
    /// High-water mark: slots from here on never had a tenant.
    pub(crate) used: AtomicU32,
    /// Free slots which keep their pages: those used last come first.
    pub(crate) free: FreeQueue,
    /// Free slots whose pages are to be given back.
    pub(crate) cooling: FreeQueue,
    /// Free slots without pages.
    pub(crate) cold: FreeQueue,
    /// The fewest that were in `free` since the last look.
    pub(crate) least_free: AtomicU32,
    pub(crate) _unused: AtomicU32,
}

/// A queue of free slots, threaded through their records.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct FreeQueue {
    /// tag << 32 | (record index of the first + 1).
    pub(crate) head: AtomicU64,
    /// How many there are, about.
    pub(crate) count: AtomicU32,
    pub(crate) _unused: AtomicU32,
}

impl Class {
    /// Its queues, in the order in which slots are taken from them.
    pub(crate) fn free_queues(&self) -> [&FreeQueue; 3] {
        [&self.free, &self.cooling, &self.cold]
    }
}

/// One worker: an OS thread with its main, switch and io coroutines.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Worker {
    /// The thread; 0 = the row is not in use.
    pub(crate) thread: AtomicU32,
    /// Record indices of its three coroutines.
    pub(crate) main: AtomicU32,
    pub(crate) switch: AtomicU32,
    pub(crate) io: AtomicU32,
    /// Nanoseconds of CLOCK_MONOTONIC, as of its last look at the clock.
    pub(crate) clock: AtomicU64,
    /// Coroutines that live on it, its own three not counted; and the most there were. With several workers one lives
    /// on none before it begins.
    pub(crate) alive: AtomicU64,
    pub(crate) most_alive: AtomicU64,
    pub(crate) switches: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) spawns: AtomicU64,
    /// How often io's permanent timer has fired.
    pub(crate) heartbeats: AtomicU64,
    /// A number of the table `policies`.
    pub(crate) policy: AtomicU32,
    /// Free slots which it keeps for itself, in no queue.
    pub(crate) free_slots: AtomicU32,
    /// Coroutines that have ended on it.
    pub(crate) exits: AtomicU64,
    /// Coroutines that it has stolen from other workers, before they began.
    pub(crate) steals: AtomicU64,
}

/// How many coroutines are parked on a worker, its main among them, by wait reason: a row of the table `parked`. A row of
/// its own, since it grows with the reasons.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Parked(pub(crate) [AtomicU32; WaitReason::ALL.len()]);

impl Worker {
    /// For another runtime's worker, which starts with none.
    pub(crate) fn clear_counters(&self) {
        let Worker { alive, most_alive, switches, polls, spawns, heartbeats, exits, steals, .. } = self;
        for counter in [alive, most_alive, switches, polls, spawns, heartbeats, exits, steals] {
            counter.store(0, Relaxed);
        }
    }
}
