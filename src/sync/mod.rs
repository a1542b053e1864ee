//! Waiting for each other: a [`Mutex`] and a bounded [`channel`].
//!
//! They park the coroutine and not its thread. Plain OS threads can use them, too, and then do block. Names,
//! arguments and errors are std's. What a coroutine waits for is in its record, so that a debugger can show it.

mod channel;
mod mutex;
#[cfg(test)]
mod tests;

pub use channel::{Iter, Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, channel};
pub use mutex::{LockResult, Mutex, MutexGuard, PoisonError, TryLockError, TryLockResult};
