//! Waiting for each other: locks, channels, and [`select!`](crate::select) over several things.
//!
//! | for | there is | as |
//! |---|---|---|
//! | one at a time | [`Mutex`], [`Condvar`] | std's |
//! | many to read, one to write | [`RwLock`] | std's |
//! | so many at a time | [`Semaphore`] | |
//! | values from one to another | [`channel`], [`unbounded`], [`oneshot`] | std's `sync_channel` (also without room), `channel` |
//! | something that happens | [`Event`] | gevent's |
//! | something done once | [`Once`], [`OnceLock`], [`LazyLock`] | std's |
//! | each other | [`Barrier`], [`WaitGroup`] | std's, crossbeam's |
//!
//! They park the coroutine and not its thread. Plain OS threads can use them, too, and then do block. Names,
//! arguments and errors are std's; each wait has a form with a timeout, but for those that may have to do themselves what is
//! done once ([`coro::timeout`](crate::timeout) is for any code). What a coroutine waits for is in its record, so that a
//! debugger can show it, and who would have to act.

mod barrier;
mod channel;
mod condvar;
mod event;
mod granting;
mod ground;
mod inflate;
mod lazy;
// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
mod mutex;
mod once;
mod oneshot;
mod rwlock;
#[doc(hidden)]
pub mod select;
mod semaphore;
#[cfg(test)]
mod tests;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use channel::{
    IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryIter,
    TryRecvError, TrySendError, channel, unbounded,
};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use lazy::LazyLock;
pub use mutex::{LockResult, Mutex, MutexGuard, PoisonError, TryLockError, TryLockResult};
pub use once::{Once, OnceLock};
pub use oneshot::{OneshotReceiver, OneshotSender, oneshot};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use select::{After, Waitable, after, at};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use wait_group::WaitGroup;
