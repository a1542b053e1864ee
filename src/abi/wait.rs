//! What a coroutine can wait for: a reason, and the object that the reason is about.

/// Why a coroutine is parked. What the record's `wait_object` holds depends on it.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// It waits for nothing.
    None = 0,
    /// switch and io between their turns.
    Turn = 1,
    /// Until a deadline.
    Sleep = 2,
    /// Until a coroutine ends; the object is its id.
    Join = 3,
    /// Until a file descriptor can be read; the object is the number.
    Read = 4,
    /// Until a file descriptor can be written.
    Write = 5,
    /// Until a listening socket has a connection.
    Accept = 6,
    /// Until a connection is made.
    Connect = 7,
    /// For a mutex; the object is the address of its `objects::MutexHead`.
    Mutex = 8,
    /// Until a channel has room; the object is the address of its `objects::ChannelHead`.
    Send = 9,
    /// Until a channel has a value.
    Receive = 10,
    /// main, until all other coroutines have ended.
    Shutdown = 11,
    /// To be notified; the object is the address of a condition variable's `objects::SyncHead`, as of all that follow
    /// up to `Event`.
    Condvar = 12,
    /// To read what a lock guards.
    ReadLock = 13,
    /// To write it.
    WriteLock = 14,
    /// For permits.
    Semaphore = 15,
    /// Until as many have come as a barrier wants.
    Barrier = 16,
    /// Until all members of a group are done.
    WaitGroup = 17,
    /// Until somebody else has made a value.
    Once = 18,
    /// Until an event is set.
    Event = 19,
    /// For the first of several things; the object is the address of an `objects::SelectHead`.
    Select = 20,
    /// For what another thread does; the object is the address of its `objects::JobHead`.
    Offload = 21,
    /// Until a future's waker is woken.
    Future = 22,
    /// Until the members of a scope, a group or a pool have ended; the object is the address of its
    /// `lifetimes::FamilyHead`.
    Group = 23,
    /// For a signal; the object is the number of a descriptor that says so.
    Signal = 24,
    /// Until a child process ends; the object is its pidfd's number.
    Process = 25,
    /// Until one of a pool's members ends and leaves its place; the object is as of `Group`.
    Place = 26,
}

/// What a `wait_object` is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Nothing = 0,
    CoroutineId = 1,
    FileDescriptor = 2,
    Address = 3,
}

impl WaitReason {
    /// All reasons, in the order of their numbers.
    pub(crate) const ALL: [WaitReason; 27] = [
        WaitReason::None,
        WaitReason::Turn,
        WaitReason::Sleep,
        WaitReason::Join,
        WaitReason::Read,
        WaitReason::Write,
        WaitReason::Accept,
        WaitReason::Connect,
        WaitReason::Mutex,
        WaitReason::Send,
        WaitReason::Receive,
        WaitReason::Shutdown,
        WaitReason::Condvar,
        WaitReason::ReadLock,
        WaitReason::WriteLock,
        WaitReason::Semaphore,
        WaitReason::Barrier,
        WaitReason::WaitGroup,
        WaitReason::Once,
        WaitReason::Event,
        WaitReason::Select,
        WaitReason::Offload,
        WaitReason::Future,
        WaitReason::Group,
        WaitReason::Signal,
        WaitReason::Process,
        WaitReason::Place,
    ];

    /// The name that every reader shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            WaitReason::None => "none",
            WaitReason::Turn => "turn",
            WaitReason::Sleep => "sleep",
            WaitReason::Join => "join",
            WaitReason::Read => "read",
            WaitReason::Write => "write",
            WaitReason::Accept => "accept",
            WaitReason::Connect => "connect",
            WaitReason::Mutex => "mutex",
            WaitReason::Send => "send",
            WaitReason::Receive => "receive",
            WaitReason::Shutdown => "shutdown",
            WaitReason::Condvar => "condvar",
            WaitReason::ReadLock => "read lock",
            WaitReason::WriteLock => "write lock",
            WaitReason::Semaphore => "semaphore",
            WaitReason::Barrier => "barrier",
            WaitReason::WaitGroup => "wait group",
            WaitReason::Once => "once",
            WaitReason::Event => "event",
            WaitReason::Select => "select",
            WaitReason::Offload => "offload",
            WaitReason::Future => "future",
            WaitReason::Group => "group",
            WaitReason::Signal => "signal",
            WaitReason::Process => "process",
            WaitReason::Place => "place",
        }
    }

    /// What the wait's object is.
    pub(crate) const fn object(self) -> ObjectKind {
        match self {
            WaitReason::None
            | WaitReason::Turn
            | WaitReason::Sleep
            | WaitReason::Shutdown
            | WaitReason::Future => ObjectKind::Nothing,
            WaitReason::Join => ObjectKind::CoroutineId,
            WaitReason::Read
            | WaitReason::Write
            | WaitReason::Accept
            | WaitReason::Connect
            | WaitReason::Signal
            | WaitReason::Process => ObjectKind::FileDescriptor,
            WaitReason::Mutex
            | WaitReason::Send
            | WaitReason::Receive
            | WaitReason::Condvar
            | WaitReason::ReadLock
            | WaitReason::WriteLock
            | WaitReason::Semaphore
            | WaitReason::Barrier
            | WaitReason::WaitGroup
            | WaitReason::Once
            | WaitReason::Event
            | WaitReason::Select
            | WaitReason::Offload
            | WaitReason::Group
            | WaitReason::Place => ObjectKind::Address,
        }
    }

    /// Whether the worker's own reactor ends such a wait, with no other coroutine's help.
    pub(crate) const fn is_reactors(self) -> bool {
        matches!(
            self,
            WaitReason::Sleep
                | WaitReason::Read
                | WaitReason::Write
                | WaitReason::Accept
                | WaitReason::Connect
                | WaitReason::Offload
                | WaitReason::Process
                | WaitReason::Signal
        )
    }

    /// What a person calls the wait, for error messages.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            WaitReason::None | WaitReason::Turn => "a wait",
            WaitReason::Sleep => "coro::sleep",
            WaitReason::Join => "JoinHandle::join",
            WaitReason::Read => "a read",
            WaitReason::Write => "a write",
            WaitReason::Accept => "an accept",
            WaitReason::Connect => "a connect",
            WaitReason::Mutex => "Mutex::lock",
            WaitReason::Send => "Sender::send",
            WaitReason::Receive => "Receiver::recv",
            WaitReason::Shutdown => "the end of the runtime",
            WaitReason::Condvar => "Condvar::wait",
            WaitReason::ReadLock => "RwLock::read",
            WaitReason::WriteLock => "RwLock::write",
            WaitReason::Semaphore => "Semaphore::acquire",
            WaitReason::Barrier => "Barrier::wait",
            WaitReason::WaitGroup => "WaitGroup::wait",
            WaitReason::Once => "Once::call_once",
            WaitReason::Event => "Event::wait",
            WaitReason::Select => "select!",
            WaitReason::Offload => "coro::offload",
            WaitReason::Future => "coro::wait",
            WaitReason::Group => "a wait for a group or a scope",
            WaitReason::Signal => "Signals::wait",
            WaitReason::Process => "Child::wait",
            WaitReason::Place => "a wait for a pool's place",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (number, reason) in WaitReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
