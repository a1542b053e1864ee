//! A channel: senders wait while it is full, receivers while it is empty. Both ends can be cloned. [`protocol`] says who gets
//! what, and [`waiting`], who waits; [`line`], how one waits, and where a value goes from hand to hand.

pub(super) mod arms;
mod line;
mod protocol;
mod receiver;
mod sender;
mod waiting;

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

pub use self::arms::{Receive, Send};
pub use self::receiver::{IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, TryIter, TryRecvError};
pub use self::sender::{SendError, SendTimeoutError, Sender, TrySendError};

use self::protocol::{Core, PartyOf, Side, State, StateOf};
use super::select::Told;
use crate::abi::objects::ChannelHead;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::lock::{Guard, Lock};

/// A channel for `capacity` values at a time; interface and errors as `std::sync::mpsc::sync_channel`, but that receivers
/// can be cloned, too: each value goes to one of them.
///
/// With a capacity of 0, sender and receiver meet: `send` returns when a receiver has taken the value, and `try_send` succeeds
/// only if one waits for it. If the channel is closed before, or nobody comes in time, the sender has its value back.
///
/// ```
/// coro::run(|| {
///     let (sender, receiver) = coro::sync::channel(2);
///     coro::spawn(move || {
///         for n in 1..=3 {
///             sender.send(n).unwrap();
///         }
///     });
///     assert_eq!(receiver.iter().sum::<i32>(), 6);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
///
/// ```
/// use std::time::Duration;
/// use coro::sync::{SendTimeoutError, channel};
///
/// let (sender, receiver) = channel(0);
/// assert_eq!(sender.send_timeout(1, Duration::from_millis(1)), Err(SendTimeoutError::Timeout(1)));
/// let receives = std::thread::spawn(move || receiver.recv());
/// sender.send(2).unwrap();
/// assert_eq!(receives.join().unwrap(), Ok(2));
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends(capacity)
}

/// A channel for as many values as there is memory for; as `std::sync::mpsc::channel`. No sender ever waits, so nothing keeps
/// one that is faster than its receivers from using up memory.
///
/// ```
/// let (sender, receiver) = coro::sync::unbounded();
/// (0..1000).for_each(|n| sender.send(n).unwrap());
/// drop(sender);
/// assert_eq!(receiver.into_iter().count(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(usize::MAX)
}

fn ends<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        head: ChannelHead::new(capacity as u64),
        capacity,
        state: Lock::new(State::new()),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

#[repr(C)]
struct Shared<T> {
    /// For readers: a copy of what is in the state, stored under its lock.
    head: ChannelHead,
    capacity: usize,
    state: Lock<State<T, Waiters, AtomicU32>>,
}

impl<T> Core for Shared<T> {
    type Value = T;
    type List = Waiters;
    type Word = AtomicU32;

    type Guard<'a>
        = Guard<'a, StateOf<Shared<T>>>
    where
        T: 'a;

    #[inline(always)]
    fn lock(&self) -> Guard<'_, StateOf<Shared<T>>> {
        self.state.lock()
    }

    #[inline(always)]
    fn wake(&self, who: &Waiter) {
        park::wake(who);
    }

    #[inline(always)]
    fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline(always)]
    fn seems_empty(&self) -> bool {
        self.head.length.load(Relaxed) == 0
    }

    #[inline(always)]
    fn note(&self, side: Side) {
        let place = match side {
            Side::Sender => &self.head.last_sender,
            Side::Receiver => &self.head.last_receiver,
        };
        place.store(current::owner(), Relaxed);
    }

    #[inline(always)]
    fn tell(&self, state: &StateOf<Shared<T>>) {
        self.head.length.store(state.values.len() as u64, Relaxed);
    }

    fn tell_ends(&self, state: &StateOf<Shared<T>>) {
        self.head.senders.store(state.ends[Side::Sender as usize] as u32, Relaxed);
        self.head.receivers.store(state.ends[Side::Receiver as usize] as u32, Relaxed);
    }
}

impl<T> Shared<T> {
    /// Waits, once, until the value has been taken, until the deadline at the longest.
    #[inline(always)]
    fn wait_to_send(&self, party: &PartyOf<Shared<T>>, deadline: Option<u64>) -> Woken {
        self.block(Side::Sender, &Sends { shared: self, party }, deadline)
    }

    /// Waits, once, until a value has been given, until the deadline at the longest.
    #[inline(always)]
    fn wait_to_receive(&self, party: &PartyOf<Shared<T>>, deadline: Option<u64>) -> Woken {
        self.block(Side::Receiver, &Receives { shared: self, party }, deadline)
    }

    #[inline(always)]
    fn block(&self, side: Side, list: &impl WaitList, deadline: Option<u64>) -> Woken {
        match park::block_until(side.reason(), self.object(), list, deadline) {
            Ok(woken) => woken,
            Err(error) => park::abort_unwinding_wait(side.reason(), self.object(), &error),
        }
    }

    fn object(&self) -> u64 {
        ptr::from_ref(&self.head).addr() as u64
    }

    /// What `select!` tells of one who waits for it.
    fn told(&self, side: Side) -> Told {
        Told::new(side.reason(), self.object())
    }

    /// How many values are in it.
    fn len(&self) -> usize {
        self.head.length.load(Relaxed) as usize
    }

    /// For how many there is room; `None`: for any number.
    fn room(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    fn is_ready(&self, side: Side) -> bool {
        !self.lock().must_wait(side, self.capacity, None)
    }

    /// One end more.
    fn attach(&self, side: Side) {
        let mut state = self.lock();
        state.ends[side as usize] += 1;
        self.tell_ends(&state);
    }

    /// One end less.
    fn detach(&self, side: Side) {
        drop(protocol::detach(self, side));
    }
}

/// One who waits to send, for `park::block`.
struct Sends<'a, T> {
    shared: &'a Shared<T>,
    party: &'a PartyOf<Shared<T>>,
}

impl<T> WaitList for Sends<'_, T> {
    #[inline(always)]
    fn enlist(&self, waiter: Waiter) -> bool {
        waiting::enlist(self.shared, Side::Sender, self.party, waiter, None)
    }

    fn delist(&self, _: &Waiter) -> bool {
        waiting::delist(self.shared, Side::Sender, self.party)
    }

    fn was_granted(&self) -> bool {
        !self.party.has_value()
    }
}

/// One who waits to receive, for `park::block`.
struct Receives<'a, T> {
    shared: &'a Shared<T>,
    party: &'a PartyOf<Shared<T>>,
}

impl<T> WaitList for Receives<'_, T> {
    #[inline(always)]
    fn enlist(&self, waiter: Waiter) -> bool {
        waiting::enlist(self.shared, Side::Receiver, self.party, waiter, None)
    }

    fn delist(&self, _: &Waiter) -> bool {
        waiting::delist(self.shared, Side::Receiver, self.party)
    }

    fn was_granted(&self) -> bool {
        self.party.has_value()
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("head", &self.head).finish_non_exhaustive()
    }
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
pub(super) mod models;
