//! A bounded channel: senders wait while it is full, the receiver while it is empty.

use std::collections::VecDeque;
use std::fmt;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use std::sync::mpsc::{RecvError, SendError, TryRecvError, TrySendError};

use crate::abi::objects::ChannelHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList};

/// A channel for `capacity` values at a time; interface and errors as `std::sync::mpsc::sync_channel`.
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
    let shared = Arc::new(Shared {
        head: ChannelHead::new(capacity as u64),
        capacity,
        state: Mutex::new(State {
            values: VecDeque::new(),
            senders: 1,
            has_receiver: true,
            waiting: [Waiters::new(), Waiters::new()],
        }),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// The end into which values go; clones share it.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end from which values come.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
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
    senders: usize,
    has_receiver: bool,
    /// By `Side`.
    waiting: [Waiters; 2],
}

/// Who waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// For room.
    Sender = 0,
    /// For a value.
    Receiver = 1,
}

/// The waiters of one side, for `park::block`.
struct List<'a, T> {
    shared: &'a Shared<T>,
    side: Side,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code of the user's runs under the lock, so a panic under it left the state in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn must_wait(&self, state: &State<T>, side: Side) -> bool {
        match side {
            Side::Sender => state.has_receiver && state.values.len() >= self.capacity,
            Side::Receiver => state.senders > 0 && state.values.is_empty(),
        }
    }

    /// Tells readers who was the last of a side to come. Under the lock.
    fn note(&self, side: Side) {
        let place = match side {
            Side::Sender => &self.head.last_sender,
            Side::Receiver => &self.head.last_receiver,
        };
        place.store(current::owner(), Relaxed);
    }

    fn wait(&self, side: Side) {
        let reason = if side == Side::Sender { WaitReason::Send } else { WaitReason::Receive };
        let object = ptr::from_ref(&self.head).addr() as u64;
        if let Err(error) = park::block(reason, object, &List { shared: self, side }) {
            park::abort_unwinding_wait(&error.to_string());
        }
    }

    /// Wakes the first of a side who still waits.
    fn wake_one(&self, side: Side) {
        loop {
            let next = self.state().waiting[side as usize].pop();
            match next {
                Some(waiter) if !park::wake(&waiter) => {}
                _ => return,
            }
        }
    }

    fn wake_all(&self, side: Side) {
        let all = std::mem::take(&mut self.state().waiting[side as usize]);
        park::wake_all(all);
    }
}

impl<T> WaitList for List<'_, T> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut state = self.shared.state();
        // Under the lock under which values come and go.
        let waits = self.shared.must_wait(&state, self.side);
        if waits {
            state.waiting[self.side as usize].push(waiter);
            self.shared.note(self.side);
        }
        waits
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        self.shared.state().waiting[self.side as usize].remove(waiter)
    }

    fn pass_on(&self) {
        self.shared.wake_one(self.side);
    }
}

impl<T> Sender<T> {
    /// Puts a value in; waits as long as the channel is full.
    ///
    /// # Errors
    /// If the receiver is gone; the value is in the error.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = value;
        loop {
            match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(value)) => return Err(SendError(value)),
                Err(TrySendError::Full(back)) => value = back,
            }
            self.shared.wait(Side::Sender);
        }
    }

    /// Puts a value in if there is room.
    ///
    /// # Errors
    /// `Full` if there is none, `Disconnected` if the receiver is gone; the value is in the error.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.shared.state();
        if !state.has_receiver {
            return Err(TrySendError::Disconnected(value));
        }
        if state.values.len() >= self.shared.capacity {
            return Err(TrySendError::Full(value));
        }
        state.values.push_back(value);
        self.shared.head.length.store(state.values.len() as u64, Relaxed);
        self.shared.note(Side::Sender);
        drop(state);
        self.shared.wake_one(Side::Receiver);
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes a value out; waits as long as there is none.
    ///
    /// # Errors
    /// If there is none and all senders are gone.
    pub fn recv(&self) -> Result<T, RecvError> {
        loop {
            match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) => self.shared.wait(Side::Receiver),
            }
        }
    }

    /// Takes a value out if there is one.
    ///
    /// # Errors
    /// `Empty` if there is none, `Disconnected` if there will be none.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.shared.state();
        let Some(value) = state.values.pop_front() else {
            return Err(if state.senders == 0 { TryRecvError::Disconnected } else { TryRecvError::Empty });
        };
        self.shared.head.length.store(state.values.len() as u64, Relaxed);
        self.shared.note(Side::Receiver);
        drop(state);
        self.shared.wake_one(Side::Sender);
        Ok(value)
    }

    /// The values as they come, until all senders are gone.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

/// The values of a channel as they come: see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        let mut state = self.shared.state();
        state.senders += 1;
        self.shared.head.senders.store(state.senders as u32, Relaxed);
        drop(state);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.senders -= 1;
        self.shared.head.senders.store(state.senders as u32, Relaxed);
        let was_last = state.senders == 0;
        drop(state);
        if was_last {
            self.shared.wake_all(Side::Receiver);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.has_receiver = false;
        // Values that nobody will take are dropped here, and not under the lock: their destructors are the user's.
        let values = std::mem::take(&mut state.values);
        self.shared.head.receivers.store(0, Relaxed);
        self.shared.head.length.store(0, Relaxed);
        drop(state);
        self.shared.wake_all(Side::Sender);
        drop(values);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
