//! What coroutines wait for: the heads of locks and channels, and the rows of file descriptors.
//!
//! A wait's object (`Record::wait_object`) is the address of a head, or the number of a row. So a reader learns who
//! has the lock, who is at the other end of the channel or the connection, from memory alone.
//!
//! Whoever did something to an object is told as an *owner*: a coroutine's id; or, of a plain thread outside any runtime,
//! [`OWNER_IS_THREAD`] and its thread id; 0 = nobody.

use std::panic::Location;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// The bit of an owner that is no coroutine: the low 32 bits are the id of an OS thread.
pub(crate) const OWNER_IS_THREAD: u64 = 1 << 63;

/// The head of a mutex; its address is the object of the reason `mutex`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct MutexHead {
    /// 0: free, 1: locked, 2: locked, and others may wait.
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

/// The head of a job on another thread; its address is the object of the reason `offload`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct OffloadHead {
    /// Where it was asked for: a path in read-only data, not NUL-terminated.
    pub(crate) file: AtomicPtr<u8>,
    pub(crate) file_length: AtomicU32,
    pub(crate) line: AtomicU32,
    /// The OS thread that runs it; 0 = none does yet.
    pub(crate) thread: AtomicU32,
}

impl OffloadHead {
    /// That of a job which no thread has begun.
    pub(crate) const fn new(place: &'static Location<'static>) -> OffloadHead {
        OffloadHead {
            file: AtomicPtr::new(place.file().as_ptr().cast_mut()),
            file_length: AtomicU32::new(place.file().len() as u32),
            line: AtomicU32::new(place.line()),
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
    /// Somebody else's, which a coroutine waits for at the moment.
    Other = 3,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub(crate) const ALL: [Role; 4] = [Role::None, Role::Stream, Role::Listener, Role::Other];

    /// The name that every reader shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Stream => "stream",
            Role::Listener => "listener",
            Role::Other => "other",
        }
    }
}

/// Bytes of the largest socket address that is kept: a `sockaddr_in6`.
pub(crate) const ADDRESS_LENGTH: usize = 28;

/// One file descriptor: the row of its number. One line each: two workers' descriptors may be neighbours. All zero is
/// one that the runtime doesn't know.
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
    /// A `sockaddr_in` or `sockaddr_in6`: of a stream the peer's, of a listener its own.
    pub(crate) address: [AtomicU32; ADDRESS_LENGTH / 4],
}

const _: () = assert!(size_of::<Descriptor>() == 64, "descriptors are one cache line");

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
