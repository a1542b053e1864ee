//! The end of a channel into which values go.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{SendError, TrySendError};

use super::Shared;
use super::protocol::{self, Side};
use super::waiting;
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::clock;

/// The end into which values go; clones share it.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
}

// As std's: no code of the user's runs while the channel is changed.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

/// Why a value was not sent in time; it is in the error. As `crossbeam_channel`'s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// The channel was full all the time.
    Timeout(T),
    /// All receivers are gone, or the channel is closed.
    Disconnected(T),
}

impl<T> SendTimeoutError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        let (SendTimeoutError::Timeout(value) | SendTimeoutError::Disconnected(value)) = self;
        value
    }
}

impl<T> Sender<T> {
    /// Puts a value in; waits as long as the channel is full; of a channel without room, until a receiver has taken it.
    ///
    /// # Errors
    /// If all receivers are gone, or the channel is closed; the value is in the error.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_until(value, || None).map_err(|error| SendError(error.into_inner()))
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
        let mut deadline = None;
        self.send_until(value, || Some(*deadline.get_or_insert_with(|| clock::after(timeout))))
    }

    #[inline(always)]
    fn send_until(
        &self,
        value: T,
        mut deadline: impl FnMut() -> Option<u64>,
    ) -> Result<(), SendTimeoutError<T>> {
        protocol::send(&*self.shared, value, |party| self.shared.wait_to_send(party, deadline()))
    }

    /// Puts a value in if there is room, or somebody who waits to take it.
    ///
    /// # Errors
    /// `Full` if there is neither, `Disconnected` if all receivers are gone or the channel is closed; the value is in the
    /// error.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        protocol::try_send(&*self.shared, value)
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
        protocol::close(&*self.shared);
    }

    /// How many values are in it; those that its senders still have in their hands are not counted.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many values there is room; `None`: for any number.
    ///
    /// ```
    /// let (sender, receiver) = coro::sync::channel(2);
    /// sender.send("value").unwrap();
    /// assert_eq!((sender.len(), receiver.is_empty(), receiver.capacity()), (1, false, Some(2)));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.shared.room()
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
        waiting::watch(&*self.shared, Side::Sender, who.0.clone(), who.1)
    }
    fn delist(&self, who: &Token) -> bool {
        waiting::unwatch(&*self.shared, Side::Sender, &who.0)
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
