//! What a debugger may rely on: the debug ABI.
//!
//! The process describes itself. A reader finds the [`DebugHeader`] by its symbol (`coro_debug_v1`) or by the
//! ELF note of the same content, and from it *tables*: arrays of rows with a name, an address, a stride and a
//! count. Some tables say where the fields of the other tables' rows lie and what the numbers in them mean.
//! So no reader holds an offset, a state's number or a register's position of its own: what it has to know is
//! the header's first 40 bytes and the shapes of three kinds of row ([`descriptor`]).
//!
//! - [`state`]: the state word, its states and flags
//! - [`wait`]: what a coroutine can wait for
//! - [`record`]: one coroutine
//! - [`layout`]: the stack classes and the workers
//! - [`objects`]: what coroutines wait for: mutexes, channels, other means to wait for each other, file descriptors
//! - [`lifetimes`]: to what family a coroutine belongs, and what ends it early
//! - [`descriptor`]: all of it as data
//!
//! Nothing here touches the machine. A change that a reader could notice raises `MINOR` (new fields, new
//! names) or `MAJOR` (what an old reader would misread), and is told in the CHANGELOG.

pub(crate) mod descriptor;
pub(crate) mod layout;
pub(crate) mod lifetimes;
pub(crate) mod objects;
pub(crate) mod record;
pub(crate) mod state;
pub(crate) mod wait;

use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::arch::DEBUG_HEADER_SIZE;

/// `COROABI` and a NUL, as the header's first eight bytes.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"COROABI\0");
/// Raised when a reader of an older version would misread this one.
pub(crate) const MAJOR: u32 = 1;
/// Raised when there is more to read.
pub(crate) const MINOR: u32 = 4;

/// Where reading starts. All zero until the first runtime of the process has laid out the region; the magic
/// is stored last.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct DebugHeader {
    /// [`MAGIC`]. Release: pairs with a reader's Acquire, or with its stopping the process.
    pub(crate) magic: AtomicU64,
    /// This header's own address, by which a stray copy of the magic is told from the header.
    pub(crate) self_address: AtomicU64,
    pub(crate) version_major: AtomicU32,
    pub(crate) version_minor: AtomicU32,
    /// Bytes of this header.
    pub(crate) header_size: AtomicU32,
    /// Rows of the table of tables.
    pub(crate) table_count: AtomicU32,
    /// The table of tables: an array of `descriptor::Table`.
    pub(crate) tables: AtomicU64,
    // From here on the table `header` says what there is.
    /// The process which laid out the region, as it saw itself. A different one reads this after a fork.
    pub(crate) pid: AtomicU32,
    /// How redzones are made: a number of the table `redzone methods`.
    pub(crate) redzone_method: AtomicU32,
    pub(crate) region_base: AtomicU64,
    pub(crate) region_length: AtomicU64,
    /// The address in `switch` at which every stack that was left goes on.
    pub(crate) resume_pc: AtomicU64,
    /// The context to which a coroutine that doesn't run is linked.
    pub(crate) end_context: AtomicU64,
    /// The path prefix of the runtime's own source files, by which a reader tells its frames from the user's.
    pub(crate) source_prefix: AtomicU64,
    pub(crate) source_prefix_length: AtomicU64,
}

const _: () =
    assert!(size_of::<DebugHeader>() <= DEBUG_HEADER_SIZE, "arch sets aside too little for the header");

unsafe extern "C" {
    /// Defined in the assembly of `arch::switch`, so that no linker can drop it.
    #[link_name = "coro_debug_v1"]
    pub(crate) safe static HEADER: DebugHeader;
}
