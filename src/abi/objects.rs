//! What coroutines wait for: the heads of locks and channels, and the rows of file descriptors.
//!
//! A wait's object (`Record::wait_object`) is the address of a head, or the number of a row. So a reader learns who
//! has the lock, who is at the other end of the channel or the connection, from memory alone.
//!
//! Whoever did something to an object is told as an *owner*: a coroutine's id; or, of a plain thread outside any runtime,
//! [`OWNER_IS_THREAD`] and its thread id; 0 = nobody.

use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// The bit of an owner that is no coroutine: the low 32 bits are the id of an OS thread.
pub(crate) const OWNER_IS_THREAD: u64 = 1 << 63;

/// The head of a mutex; its address is the object of the reason `mutex`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct MutexHead {
    /// 0: free, 1: locked, 2: locked, and others may wait, 3: handed over to `owner`, who has waited and doesn't run yet.
    pub(crate) word: AtomicU32,
    /// 1: somebody panicked with the lock.
    pub(crate) poisoned: AtomicU32,
    /// Who has the lock. Stored after `word` says that it is taken, and cleared before `word` says that it is free.
    pub(crate) owner: AtomicU64,
}

impl MutexHead {
    /// That of a mutex which nobody has locked.
    pub(crate) const fn new() -> MutexHead {
        MutexHead { word: AtomicU32::new(0), poisoned: AtomicU32::new(0), owner: AtomicU64::new(0) }
    }
}

/// The head of a channel; its address is the object of the reasons `send` and `receive`. A copy for readers of what
/// the channel keeps under its lock, stored there.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ChannelHead {
    pub(crate) capacity: AtomicU64,
    /// How many values are in it.
    pub(crate) length: AtomicU64,
    pub(crate) senders: AtomicU32,
    pub(crate) receivers: AtomicU32,
    /// The owner who last put a value in, or began to wait for room.
    pub(crate) last_sender: AtomicU64,
    /// The owner who last took a value out, or began to wait for one.
    pub(crate) last_receiver: AtomicU64,
}

impl ChannelHead {
    /// That of an empty channel with one sender and one receiver.
    pub(crate) const fn new(capacity: u64) -> ChannelHead {
        ChannelHead {
            capacity: AtomicU64::new(capacity),
            length: AtomicU64::new(0),
            senders: AtomicU32::new(1),
            receivers: AtomicU32::new(1),
            last_sender: AtomicU64::new(0),
            last_receiver: AtomicU64::new(0),
        }
    }
}

/// The head of what is neither a mutex nor a channel; its address is the object of its reason. What the numbers are
/// depends on that:
///
/// | reason | `count` | `limit` | `owner` |
/// |---|---|---|---|
/// | `condvar` | – | – | who last notified |
/// | `read lock`, `write lock` | who read | 1: somebody writes | the writer, else the last who began to read |
/// | `semaphore` | permits left | permits at the start | the last who took one |
/// | `barrier` | who have come | how many are to come | the last who came |
/// | `wait group` | members not done | – | – |
/// | `once` | 0: to be made, 1: being made, 2: made, 3: poisoned | – | who makes it |
/// | `event` | 1: set | – | who last set it |
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SyncHead {
    pub(crate) count: AtomicU64,
    pub(crate) limit: AtomicU64,
    pub(crate) owner: AtomicU64,
}

impl SyncHead {
    pub(crate) const fn new(count: u64, limit: u64) -> SyncHead {
        SyncHead { count: AtomicU64::new(count), limit: AtomicU64::new(limit), owner: AtomicU64::new(0) }
    }
}

/// What a coroutine waits for that waits for several things; on its own stack, for as long as it waits.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SelectHead {
    /// How many.
    pub(crate) count: u64,
    /// The first of them, the others behind it.
    pub(crate) things: *const Thing,
}

/// One of several things that are waited for: a reason and its object, as in a record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thing {
    pub(crate) reason: u64,
    pub(crate) object: u64,
}

/// Work that another thread does for a coroutine; its address is the object of the reason `offload`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct JobHead {
    /// Where it was asked for: a path in read-only data, not NUL-terminated.
    pub(crate) file: *const u8,
    pub(crate) file_length: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// The OS thread that does it; 0 = none does yet, or any more.
    pub(crate) thread: AtomicU32,
}

// SAFETY: the path is static and read-only.
unsafe impl Send for JobHead {}
// SAFETY: as above; what changes is atomic.
unsafe impl Sync for JobHead {}

impl JobHead {
    /// That of work which nobody has begun.
    pub(crate) fn new(caller: &'static Location<'static>) -> JobHead {
        JobHead {
            file: caller.file().as_ptr(),
            file_length: caller.file().len() as u32,
            line: caller.line(),
            column: caller.column(),
            thread: AtomicU32::new(0),
        }
    }
}

/// What a file descriptor is to the runtime.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing, or nothing that the runtime knows of.
    None = 0,
    Stream = 1,
    Listener = 2,
    Datagram = 3,
    /// Somebody else's, which a coroutine waits for at the moment.
    Other = 4,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub(crate) const ALL: [Role; 5] = [Role::None, Role::Stream, Role::Listener, Role::Datagram, Role::Other];

    /// The name that every reader shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Stream => "stream",
            Role::Listener => "listener",
            Role::Datagram => "datagram",
            Role::Other => "other",
        }
    }
}

/// Bytes of a socket address that are kept: all of a `sockaddr_in6`, and of a `sockaddr_un` a path of 94.
pub(crate) const ADDRESS_LENGTH: usize = 96;

/// One file descriptor: the row of its number. Two lines each, the first with what changes: two workers' descriptors may
/// be neighbours. All zero is one that the runtime doesn't know.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// A number of the table `descriptor roles`. Stored last when it is opened, first when it is closed; Release: pairs
    /// with the Acquire of a reader, which then sees the rest.
    pub(crate) role: AtomicU32,
    /// Bytes of `address` that count; 0 = it is not known.
    pub(crate) address_length: AtomicU32,
    /// The id of the coroutine that last waited for it, or opened it; 0 = none has.
    pub(crate) last_user: AtomicU64,
    /// Bytes that a `BufferedSender` holds for it.
    pub(crate) buffered: AtomicU64,
    /// The sender's watermarks; 0 = the descriptor has no `BufferedSender`.
    pub(crate) low_watermark: AtomicU32,
    pub(crate) high_watermark: AtomicU32,
    /// A `sockaddr_in`, `sockaddr_in6` or `sockaddr_un`: of a stream the peer's, of a listener or a datagram socket its own.
    pub(crate) address: [AtomicU32; ADDRESS_LENGTH / 4],
}

const _: () = assert!(size_of::<Descriptor>() == 128, "descriptors are two cache lines");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (number, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role as usize, number);
        }
    }
}
