//! A channel: senders wait while it is full, receivers while it is empty. Both ends can be cloned.

mod arms;
mod receiver;
mod sender;

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::arms::{Receive, Send};
pub use self::receiver::{IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, TryIter, TryRecvError};
pub use self::sender::{SendError, SendTimeoutError, Sender, TrySendError};

use super::select::Told;
use crate::abi::objects::ChannelHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};

/// A channel for `capacity` values at a time; interface and errors as `std::sync::mpsc::sync_channel`, but that receivers
/// can be cloned, too: each value goes to one of them.
///
/// # Panics
/// If `capacity` is zero: there is no place for a value to be in.
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
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "coro::sync::channel: a channel needs room for at least one value");
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
        state: Mutex::new(State {
            values: VecDeque::new(),
            ends: [1, 1],
            is_closed: false,
            waiting: [Waiters::new(), Waiters::new()],
        }),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

#[repr(C)]
struct Shared<T> {
    /// For readers: a copy of what is in the state, stored under its lock.
    head: ChannelHead,
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    values: VecDeque<T>,
    /// How many senders and receivers there are: by `Side`.
    ends: [usize; 2],
    is_closed: bool,
    /// By `Side`.
    waiting: [Waiters; 2],
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// For room.
    Sender = 0,
    /// For a value.
    Receiver = 1,
}

impl Side {
    fn other(self) -> Side {
        if self == Side::Sender { Side::Receiver } else { Side::Sender }
    }

    fn reason(self) -> WaitReason {
        if self == Side::Sender { WaitReason::Send } else { WaitReason::Receive }
    }
}

/// The waiters of one side, for `park::block`.
struct List<'a, T> {
    shared: &'a Shared<T>,
    side: Side,
}

impl<T> State<T> {
    /// Whether the other side is gone for good.
    fn is_over(&self, side: Side) -> bool {
        self.is_closed || self.ends[side.other() as usize] == 0
    }

    fn must_wait(&self, side: Side, capacity: usize) -> bool {
        let has_nothing = match side {
            Side::Sender => self.values.len() >= capacity,
            Side::Receiver => self.values.is_empty(),
        };
        has_nothing && !self.is_over(side)
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code of the user's runs under the lock, so a panic under it left the state in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells readers who was the last of a side to come. Under the lock.
    fn note(&self, side: Side) {
        let place = match side {
            Side::Sender => &self.head.last_sender,
            Side::Receiver => &self.head.last_receiver,
        };
        place.store(current::owner(), Relaxed);
    }

    /// Waits until the side may go on, until the deadline at the longest.
    #[inline(always)]
    fn wait(&self, side: Side, deadline: Option<u64>) -> Woken {
        match park::block_until(side.reason(), self.object(), &List { shared: self, side }, deadline) {
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

    fn is_ready(&self, side: Side) -> bool {
        !self.state().must_wait(side, self.capacity)
    }

    fn enlist(&self, side: Side, waiter: Waiter) -> bool {
        let mut state = self.state();
        // Under the lock under which values come and go.
        let waits = state.must_wait(side, self.capacity);
        if waits {
            state.waiting[side as usize].push(waiter);
            self.note(side);
        }
        waits
    }

    fn delist(&self, side: Side, waiter: &Waiter) -> bool {
        self.state().waiting[side as usize].remove(waiter)
    }

    /// Unlocks, and wakes the first of a side who still waits.
    #[inline]
    fn wake_one<'a>(&'a self, mut state: MutexGuard<'a, State<T>>, side: Side) {
        loop {
            let next = state.waiting[side as usize].pop();
            drop(state);
            match next {
                Some(waiter) if !park::wake(&waiter) => state = self.state(),
                _ => return,
            }
        }
    }

    /// One end more.
    fn attach(&self, side: Side) {
        let mut state = self.state();
        state.ends[side as usize] += 1;
        self.count_ends(&state);
    }

    /// One end less; the last one of a side is the end for the other side.
    fn detach(&self, side: Side) {
        let mut state = self.state();
        state.ends[side as usize] -= 1;
        self.count_ends(&state);
        if state.ends[side as usize] > 0 {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting[side.other() as usize]);
        // Values that nobody will take are dropped here, and not under the lock: their destructors are the user's.
        let left = (side == Side::Receiver).then(|| std::mem::take(&mut state.values));
        self.head.length.store(state.values.len() as u64, Relaxed);
        drop(state);
        park::wake_all(waiting);
        drop(left);
    }

    /// Nothing goes in any more, whoever has an end.
    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(park::wake_all);
    }

    fn count_ends(&self, state: &State<T>) {
        self.head.senders.store(state.ends[Side::Sender as usize] as u32, Relaxed);
        self.head.receivers.store(state.ends[Side::Receiver as usize] as u32, Relaxed);
    }
}

impl<T> WaitList for List<'_, T> {
    fn enlist(&self, waiter: Waiter) -> bool {
        self.shared.enlist(self.side, waiter)
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        self.shared.delist(self.side, waiter)
    }

    fn pass_on(&self) {
        self.shared.wake_one(self.shared.state(), self.side);
    }
}
