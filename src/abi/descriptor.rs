//! The debug ABI as data: the tables to which the header leads, laid out at the start of the region.
//!
//! ```text
//!   coro_debug_v1 ──> Table[] ──┬─> `records`  `classes`  `workers`          the data, grown in place
//!   (symbol, note)              ├─> `record fields`  `header fields` ...     Field[]: name, offset, size, kind
//!                               ├─> `saved registers`                        Field[]: name, offset, DWARF number
//!                               ├─> `states`  `wait reasons` ...             Name[]: name, value
//!                               ├─> `descriptors`                            rows by number, grown in place
//!                               └─> `events`                                 Name[]: name, address of code
//! ```
//!
//! The tables `mutex fields`, `channel fields`, `sync fields`, `select fields`, `job fields` and `family fields` are of rows
//! that lie anywhere: at the address for which a coroutine waits; that of `extra fields` at a record's `extra`; those of
//! `thing fields`, `member fields` and `timeout fields` are of rows to which one of these leads.
//!
//! They lie in the region and not in read-only data because a kernel core has the region's pages, but not
//! those of the executable.

use std::mem::offset_of;

use super::DebugHeader;
use super::layout::{CLASS_COUNT, Class, Parked, WORKER_COUNT, Worker};
use super::lifetimes::{ExtraHead, FamilyHead, FamilyKind, MemberRow, TimeoutRow};
use super::objects::{
    ADDRESS_LENGTH, ChannelHead, Descriptor, JobHead, MutexHead, Role, SelectHead, SyncHead, Thing,
};
use super::record::{Kind, NAME_LENGTH, Record, request};
use super::state::{self, State, flag};
use super::wait::{ObjectKind, WaitReason};
use crate::arch::{EVENTS, SAVED_REGISTERS, SavedRegister};

/// Text, filled up with NULs.
pub(crate) type Text = [u8; 24];

/// An array: where it is, how far apart its rows are, how many.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: Text,
    pub(crate) address: u64,
    pub(crate) stride: u32,
    pub(crate) count: u32,
}

/// A field of a row, or a register of a saved frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Text,
    pub(crate) offset: u32,
    pub(crate) size: u32,
    /// A number of the table `field kinds`.
    pub(crate) kind: u32,
    /// For registers: the DWARF number.
    pub(crate) extra: u32,
}

/// What a number means.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) name: Text,
    pub(crate) value: u64,
}

/// What a field's bytes are.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Unsigned = 1,
    Address = 2,
    /// UTF-8, filled up with NULs.
    Text = 3,
    CoroutineId = 4,
    /// Nanoseconds of CLOCK_MONOTONIC.
    Time = 5,
    RecordIndex = 6,
    /// Two words: saved stack pointer, resume address.
    Context = 7,
    /// The table `state word` says where its parts lie.
    StateWord = 8,
    /// A register whose value lies at saved sp + offset.
    SavedRegister = 9,
    /// A register whose value is saved sp + offset.
    RegisterValue = 10,
    /// Two words: tag and first record's index + 1 in a half each; how many there are.
    FreeQueue = 11,
    /// A coroutine id; or bit 63, and an OS thread's id in the low 32 bits; 0 = nobody.
    Owner = 12,
    /// A `sockaddr_in`, `sockaddr_in6` or `sockaddr_un`, as the kernel has it; a long path is cut off.
    SocketAddress = 13,
}

/// How redzones are made.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedzoneMethod {
    /// `madvise(MADV_GUARD_INSTALL)`: no mapping is split.
    Guard = 1,
    /// `mprotect(PROT_NONE)`: two mappings a stack.
    Mprotect = 2,
}

pub(crate) const fn text(from: &str) -> Text {
    let from = from.as_bytes();
    assert!(from.len() < 24, "a name of the debug ABI has room for 23 bytes");
    let mut to = [0; 24];
    let mut i = 0;
    while i < from.len() {
        to[i] = from[i];
        i += 1;
    }
    to
}

macro_rules! fields {
    ($row:ty: $($name:ident $size:literal $kind:ident),* $(,)?) => {
        [$(Field {
            name: text(stringify!($name)),
            offset: offset_of!($row, $name) as u32,
            size: $size,
            kind: FieldKind::$kind as u32,
            extra: 0,
        }),*]
    };
}

const HEADER_FIELDS: [Field; 9] = fields!(DebugHeader:
    pid 4 Unsigned, redzone_method 4 Unsigned, region_base 8 Address, region_length 8 Unsigned,
    resume_pc 8 Address, end_context 8 Address, source_prefix 8 Address, source_prefix_length 8 Unsigned,
    header_size 4 Unsigned,
);

const RECORD_FIELDS: [Field; 22] = fields!(Record:
    link 8 Address, context 16 Context, state 8 StateWord, wait_reason 4 Unsigned, worker 4 Unsigned,
    wait_object 8 Unsigned, wait_deadline 8 Time, since 8 Time,
    id 8 CoroutineId, parent 8 CoroutineId, stack_limit 8 Address, stack_top 8 Address,
    spawn_file 8 Address, spawn_file_length 4 Unsigned, spawn_line 4 Unsigned, spawn_column 2 Unsigned,
    kind 2 Unsigned, spawned_at 8 Time, name 32 Text, next_free 4 RecordIndex, requests 1 Unsigned, extra 8 Address,
);

const CLASS_FIELDS: [Field; 10] = fields!(Class:
    name 16 Text, base 8 Address, stride 8 Unsigned, redzone 8 Unsigned, first_record 4 RecordIndex,
    count 4 Unsigned, used 4 Unsigned, free 16 FreeQueue, cooling 16 FreeQueue, cold 16 FreeQueue,
);

const WORKER_FIELDS: [Field; 15] = fields!(Worker:
    thread 4 Unsigned, main 4 RecordIndex, switch 4 RecordIndex, io 4 RecordIndex, clock 8 Time,
    alive 8 Unsigned, most_alive 8 Unsigned, switches 8 Unsigned, polls 8 Unsigned, spawns 8 Unsigned,
    heartbeats 8 Unsigned, policy 4 Unsigned, free_slots 4 Unsigned, exits 8 Unsigned, steals 8 Unsigned,
);

/// Of a row of `parked`: a number for each wait reason, under its name.
const PARKED_FIELDS: [Field; WaitReason::ALL.len()] = {
    let kind = FieldKind::Unsigned as u32;
    let mut rows = [Field { name: text(""), offset: 0, size: 4, kind, extra: 0 }; WaitReason::ALL.len()];
    let mut i = 0;
    while i < rows.len() {
        let reason = WaitReason::ALL[i];
        rows[i].name = text(reason.name());
        rows[i].offset = offset_of!(Parked, 0) as u32 + 4 * reason as u32;
        i += 1;
    }
    rows
};

const MUTEX_FIELDS: [Field; 3] = fields!(MutexHead: word 4 Unsigned, poisoned 4 Unsigned, owner 8 Owner);

const CHANNEL_FIELDS: [Field; 6] = fields!(ChannelHead:
    capacity 8 Unsigned, length 8 Unsigned, senders 4 Unsigned, receivers 4 Unsigned,
    last_sender 8 Owner, last_receiver 8 Owner,
);

const SYNC_FIELDS: [Field; 3] = fields!(SyncHead: count 8 Unsigned, limit 8 Unsigned, owner 8 Owner);

const SELECT_FIELDS: [Field; 2] = fields!(SelectHead: count 8 Unsigned, things 8 Address);

const THING_FIELDS: [Field; 2] = fields!(Thing: reason 8 Unsigned, object 8 Unsigned);

const JOB_FIELDS: [Field; 5] = fields!(JobHead:
    file 8 Address, file_length 4 Unsigned, line 4 Unsigned, column 4 Unsigned, thread 4 Unsigned,
);

const FAMILY_FIELDS: [Field; 9] = fields!(FamilyHead:
    kind 4 Unsigned, file 8 Address, file_length 4 Unsigned, line 4 Unsigned, column 4 Unsigned,
    capacity 8 Unsigned, count 8 Unsigned, members 8 Address, places 8 Unsigned,
);

const MEMBER_FIELDS: [Field; 2] = fields!(MemberRow: coroutine 8 CoroutineId, record 8 Address);

const EXTRA_FIELDS: [Field; 5] = fields!(ExtraHead:
    timeouts 8 Address, timeout_count 8 Unsigned, family 8 Address, shields 4 Unsigned, second_family 8 Address,
);

const TIMEOUT_FIELDS: [Field; 3] = fields!(TimeoutRow: scope 8 Unsigned, deadline 8 Time, shields 8 Unsigned);

const DESCRIPTOR_FIELDS: [Field; 7] = fields!(Descriptor:
    role 4 Unsigned, address_length 4 Unsigned, address 96 SocketAddress, last_user 8 CoroutineId,
    buffered 8 Unsigned, low_watermark 4 Unsigned, high_watermark 4 Unsigned,
);

const fn registers() -> [Field; SAVED_REGISTERS.len()] {
    let mut rows = [Field { name: text(""), offset: 0, size: 8, kind: 0, extra: 0 }; SAVED_REGISTERS.len()];
    let mut i = 0;
    while i < rows.len() {
        let SavedRegister { name, dwarf, offset, in_memory } = SAVED_REGISTERS[i];
        let kind = if in_memory { FieldKind::SavedRegister } else { FieldKind::RegisterValue };
        rows[i] = Field {
            name: text(name),
            offset: offset as u32,
            size: 8,
            kind: kind as u32,
            extra: dwarf as u32,
        };
        i += 1;
    }
    rows
}

/// A table of names from an array and the two expressions that make name and value of an element.
macro_rules! names {
    ($from:expr, $item:ident => $name:expr, $value:expr) => {{
        let from = $from;
        let mut rows = [Name { name: text(""), value: 0 }; $from.len()];
        let mut i = 0;
        while i < rows.len() {
            let $item = from[i];
            rows[i] = Name { name: text($name), value: $value };
            i += 1;
        }
        rows
    }};
}

const STATES: [Name; State::ALL.len()] = names!(State::ALL, state => state.name(), state as u64);
const FLAGS: [Name; flag::ALL.len()] = names!(flag::ALL, flag => flag.1, flag.0);
const DESCRIPTOR_ROLES: [Name; Role::ALL.len()] = names!(Role::ALL, role => role.name(), role as u64);
const FAMILY_KINDS: [Name; FamilyKind::ALL.len()] = names!(FamilyKind::ALL, kind => kind.name(), kind as u64);
const KINDS: [Name; Kind::ALL.len()] = names!(Kind::ALL, kind => kind.name(), kind as u64);
const REQUESTS: [Name; request::ALL.len()] = names!(request::ALL, bit => bit.1, bit.0);
const WAIT_REASONS: [Name; WaitReason::ALL.len()] = names!(WaitReason::ALL, why => why.name(), why as u64);
/// Of each wait reason, by its name: the kind of object.
const WAIT_OBJECTS: [Name; WaitReason::ALL.len()] =
    names!(WaitReason::ALL, why => why.name(), why.object() as u64);

/// Of each part of the state word: its lowest bit, and its width in the next byte.
const STATE_WORD: [Name; 4] = {
    const fn bits(name: &str, (shift, width): (u32, u32)) -> Name {
        Name { name: text(name), value: (shift | width << 8) as u64 }
    }
    [
        bits("state", state::STATE_BITS),
        bits("flags", state::FLAG_BITS),
        bits("epoch", state::EPOCH_BITS),
        bits("generation", state::GENERATION_BITS),
    ]
};

const fn name(name: &str, value: u64) -> Name {
    Name { name: text(name), value }
}

const OBJECT_KINDS: [Name; 4] = [
    name("nothing", ObjectKind::Nothing as u64),
    name("coroutine id", ObjectKind::CoroutineId as u64),
    name("file descriptor", ObjectKind::FileDescriptor as u64),
    name("address", ObjectKind::Address as u64),
];
const FIELD_KINDS: [Name; 13] = [
    name("unsigned", FieldKind::Unsigned as u64),
    name("address", FieldKind::Address as u64),
    name("text", FieldKind::Text as u64),
    name("coroutine id", FieldKind::CoroutineId as u64),
    name("time", FieldKind::Time as u64),
    name("record index", FieldKind::RecordIndex as u64),
    name("context", FieldKind::Context as u64),
    name("state word", FieldKind::StateWord as u64),
    name("saved register", FieldKind::SavedRegister as u64),
    name("register value", FieldKind::RegisterValue as u64),
    name("free queue", FieldKind::FreeQueue as u64),
    name("owner", FieldKind::Owner as u64),
    name("socket address", FieldKind::SocketAddress as u64),
];
const REDZONE_METHODS: [Name; 2] =
    [name("guard", RedzoneMethod::Guard as u64), name("mprotect", RedzoneMethod::Mprotect as u64)];
/// The scheduling policies, in the order of their numbers.
pub(crate) const POLICIES: [Name; 2] = [name("fair", 0), name("backtrack", 1)];

/// What lies below the header's source prefix and is no part of the runtime all the same: the package's own programs. To
/// who debugs them their frames are the user's.
const SOURCE_EXCEPTIONS: [Name; 3] = [name("main.rs", 0), name("demo/", 0), name("bin/", 0)];

/// How many tables there are.
pub(crate) const TABLE_COUNT: usize = 37;

/// The start of the region: a copy of the header, by which a reader can make sure of it, and all tables but
/// the records and the descriptors, which follow.
#[repr(C, align(4096))]
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) header: DebugHeader,
    tables: [Table; TABLE_COUNT],
    header_fields: [Field; HEADER_FIELDS.len()],
    record_fields: [Field; RECORD_FIELDS.len()],
    class_fields: [Field; CLASS_FIELDS.len()],
    worker_fields: [Field; WORKER_FIELDS.len()],
    parked_fields: [Field; PARKED_FIELDS.len()],
    mutex_fields: [Field; MUTEX_FIELDS.len()],
    channel_fields: [Field; CHANNEL_FIELDS.len()],
    sync_fields: [Field; SYNC_FIELDS.len()],
    select_fields: [Field; SELECT_FIELDS.len()],
    thing_fields: [Field; THING_FIELDS.len()],
    job_fields: [Field; JOB_FIELDS.len()],
    family_fields: [Field; FAMILY_FIELDS.len()],
    member_fields: [Field; MEMBER_FIELDS.len()],
    extra_fields: [Field; EXTRA_FIELDS.len()],
    timeout_fields: [Field; TIMEOUT_FIELDS.len()],
    descriptor_fields: [Field; DESCRIPTOR_FIELDS.len()],
    registers: [Field; SAVED_REGISTERS.len()],
    states: [Name; STATES.len()],
    flags: [Name; FLAGS.len()],
    state_word: [Name; STATE_WORD.len()],
    wait_reasons: [Name; WAIT_REASONS.len()],
    wait_objects: [Name; WAIT_OBJECTS.len()],
    object_kinds: [Name; OBJECT_KINDS.len()],
    descriptor_roles: [Name; DESCRIPTOR_ROLES.len()],
    events: [Name; EVENTS.len()],
    source_exceptions: [Name; SOURCE_EXCEPTIONS.len()],
    family_kinds: [Name; FAMILY_KINDS.len()],
    kinds: [Name; KINDS.len()],
    requests: [Name; REQUESTS.len()],
    redzone_methods: [Name; REDZONE_METHODS.len()],
    policies: [Name; POLICIES.len()],
    field_kinds: [Name; FIELD_KINDS.len()],
    pub(crate) classes: [Class; CLASS_COUNT],
    pub(crate) workers: [Worker; WORKER_COUNT],
    pub(crate) parked: [Parked; WORKER_COUNT],
}

const _: () = assert!(NAME_LENGTH == 32, "the record's field table says how long names are");
const _: () = assert!(ADDRESS_LENGTH == 96, "the descriptor's field table says how long addresses are");

impl Head {
    /// Writes all tables into fresh zeroed memory. `records` and `descriptors`: address and count of each.
    ///
    /// # Safety
    /// `head` points to zeroed, writable memory of a `Head`'s size and alignment which nobody else uses.
    pub(crate) unsafe fn write(head: *mut Head, records: (u64, u32), descriptors: (u64, u32)) {
        // SAFETY: the caller gives us the memory; all zero is a valid `Head` (integers and atomics only).
        let head = unsafe { &mut *head };
        head.header_fields = HEADER_FIELDS;
        head.record_fields = RECORD_FIELDS;
        head.class_fields = CLASS_FIELDS;
        head.worker_fields = WORKER_FIELDS;
        head.parked_fields = PARKED_FIELDS;
        head.mutex_fields = MUTEX_FIELDS;
        head.channel_fields = CHANNEL_FIELDS;
        head.sync_fields = SYNC_FIELDS;
        head.select_fields = SELECT_FIELDS;
        head.thing_fields = THING_FIELDS;
        head.job_fields = JOB_FIELDS;
        head.family_fields = FAMILY_FIELDS;
        head.member_fields = MEMBER_FIELDS;
        head.extra_fields = EXTRA_FIELDS;
        head.timeout_fields = TIMEOUT_FIELDS;
        head.descriptor_fields = DESCRIPTOR_FIELDS;
        head.registers = const { registers() };
        head.states = STATES;
        head.flags = FLAGS;
        head.state_word = STATE_WORD;
        head.wait_reasons = WAIT_REASONS;
        head.wait_objects = WAIT_OBJECTS;
        head.object_kinds = OBJECT_KINDS;
        head.descriptor_roles = DESCRIPTOR_ROLES;
        // Addresses of code are known only when the program is loaded.
        head.source_exceptions = SOURCE_EXCEPTIONS;
        head.events = EVENTS.map(|(event, code)| name(event, code as *const () as u64));
        head.family_kinds = FAMILY_KINDS;
        head.kinds = KINDS;
        head.requests = REQUESTS;
        head.redzone_methods = REDZONE_METHODS;
        head.policies = POLICIES;
        head.field_kinds = FIELD_KINDS;
        head.tables = [
            table_at::<Record>("records", records),
            table_at::<Descriptor>("descriptors", descriptors),
            table("classes", &head.classes),
            table("workers", &head.workers),
            table("parked", &head.parked),
            table("header fields", &head.header_fields),
            table("record fields", &head.record_fields),
            table("class fields", &head.class_fields),
            table("worker fields", &head.worker_fields),
            table("parked fields", &head.parked_fields),
            table("mutex fields", &head.mutex_fields),
            table("channel fields", &head.channel_fields),
            table("sync fields", &head.sync_fields),
            table("select fields", &head.select_fields),
            table("thing fields", &head.thing_fields),
            table("job fields", &head.job_fields),
            table("family fields", &head.family_fields),
            table("member fields", &head.member_fields),
            table("extra fields", &head.extra_fields),
            table("timeout fields", &head.timeout_fields),
            table("descriptor fields", &head.descriptor_fields),
            table("saved registers", &head.registers),
            table("states", &head.states),
            table("flags", &head.flags),
            table("state word", &head.state_word),
            table("wait reasons", &head.wait_reasons),
            table("wait objects", &head.wait_objects),
            table("object kinds", &head.object_kinds),
            table("descriptor roles", &head.descriptor_roles),
            table("events", &head.events),
            table("source exceptions", &head.source_exceptions),
            table("family kinds", &head.family_kinds),
            table("kinds", &head.kinds),
            table("requests", &head.requests),
            table("redzone methods", &head.redzone_methods),
            table("policies", &head.policies),
            table("field kinds", &head.field_kinds),
        ];
    }

    /// The address of the table of tables, for the header.
    pub(crate) fn tables_address(&self) -> u64 {
        (&raw const self.tables).addr() as u64
    }
}

fn table<T, const N: usize>(name: &str, rows: &[T; N]) -> Table {
    table_at::<T>(name, (rows.as_ptr().addr() as u64, N as u32))
}

fn table_at<T>(name: &str, (address, count): (u64, u32)) -> Table {
    Table { name: text(name), address, stride: size_of::<T>() as u32, count }
}
