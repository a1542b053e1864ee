//! The end of a channel into which values go.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub use std::sync::mpsc::{SendError, TrySendError};

use super::{Shared, Side};
use crate::scheduler::park::Woken;
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::clock;

/// The end into which values go; clones share it.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
}

/// Why a value was not sent in time; it is in the error. As `crossbeam_channel`'s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The channel was full all the time.
    Timeout(T),
    /// All receivers are gone, or the channel is closed.
    Disconnected(T),
}

impl<T> Sender<T> {
    /// Puts a value in; waits as long as the channel is full.
    ///
    /// # Errors
    /// If all receivers are gone, or the channel is closed; the value is in the error.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = value;
        loop {
            match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(value)) => return Err(SendError(value)),
                Err(TrySendError::Full(back)) => value = back,
            }
            self.shared.wait(Side::Sender, None);
        }
    }

    /// Puts a value in; waits as long as the channel is full, for `timeout` at the longest.
    ///
    /// # Errors
    /// If it was full all the time, or all receivers are gone, or the channel is closed; the value is in the error.
    ///
    /// ```
    /// use std::time::Duration;
    /// use coro::sync::SendTimeoutError;
    ///
    /// let (sender, receiver) = coro::sync::channel(1);
    /// sender.send(1).unwrap();
    /// assert_eq!(sender.send_timeout(2, Duration::from_millis(1)), Err(SendTimeoutError::Timeout(2)));
    /// # drop(receiver);
    /// ```
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        let mut value = value;
        let mut deadline = None;
        let mut is_over = false;
        loop {
            match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
                Err(TrySendError::Full(value)) if is_over => return Err(SendTimeoutError::Timeout(value)),
                Err(TrySendError::Full(back)) => value = back,
            }
            let deadline = *deadline.get_or_insert_with(|| clock::after(timeout));
            // A last look, after the time has come.
            is_over = self.shared.wait(Side::Sender, Some(deadline)) == Woken::Deadline;
        }
    }

    /// Puts a value in if there is room.
    ///
    /// # Errors
    /// `Full` if there is none, `Disconnected` if all receivers are gone or the channel is closed; the value is in the
    /// error.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.shared.state();
        if state.is_over(Side::Sender) {
            return Err(TrySendError::Disconnected(value));
        }
        if state.values.len() >= self.shared.capacity {
            return Err(TrySendError::Full(value));
        }
        state.values.push_back(value);
        self.shared.head.length.store(state.values.len() as u64, Relaxed);
        self.shared.note(Side::Sender);
        self.shared.wake_one(state, Side::Receiver);
        Ok(())
    }

    /// Closes the channel for all senders: nothing goes in any more. What is in it can still be received.
    ///
    /// ```
    /// let (sender, receiver) = coro::sync::channel(2);
    /// sender.send(1).unwrap();
    /// sender.close();
    /// assert!(sender.send(2).is_err());
    /// assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn close(&self) {
        self.shared.close();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.attach(Side::Sender);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.detach(Side::Sender);
    }
}

impl<T> Sealed for Sender<T> {}

/// Ready when a value can be sent, or never will be.
impl<T> Waitable for Sender<T> {
    fn is_ready(&self) -> bool {
        self.shared.is_ready(Side::Sender)
    }
    fn enlist(&self, who: &Token) -> bool {
        self.shared.enlist(Side::Sender, who.0.clone())
    }
    fn delist(&self, who: &Token) -> bool {
        self.shared.delist(Side::Sender, &who.0)
    }
    fn pass_on(&self) {
        self.shared.wake_one(self.shared.state(), Side::Sender);
    }
    fn told(&self) -> Told {
        self.shared.told(Side::Sender)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::Timeout(_) => "Timeout(..)",
            SendTimeoutError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::Timeout(_) => "the channel was full for all the time that was given",
            SendTimeoutError::Disconnected(_) => "sending on a closed channel",
        })
    }
}

impl<T> std::error::Error for SendTimeoutError<T> {}
