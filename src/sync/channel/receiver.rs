//! The end of a channel from which values come.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};

use super::Shared;
use super::protocol::{self, Side};
use super::waiting;
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::clock;

/// The end from which values come; clones share it, and each value goes to one of them.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
}

// As std's: no code of the user's runs while the channel is changed.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// Takes a value out; waits as long as there is none.
    ///
    /// # Errors
    /// If there is none and all senders are gone, or the channel is closed.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(|| None).map_err(|_| RecvError)
    }

    /// Takes a value out; waits as long as there is none, for `timeout` at the longest.
    ///
    /// # Errors
    /// `Timeout` if none came, `Disconnected` if none will.
    ///
    /// ```
    /// use std::time::Duration;
    /// use coro::sync::RecvTimeoutError;
    ///
    /// let (sender, receiver) = coro::sync::channel::<u8>(1);
    /// assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    /// # drop(sender);
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let mut deadline = None;
        self.recv_until(|| Some(*deadline.get_or_insert_with(|| clock::after(timeout))))
    }

    #[inline(always)]
    fn recv_until(&self, mut deadline: impl FnMut() -> Option<u64>) -> Result<T, RecvTimeoutError> {
        protocol::recv(&*self.shared, |party| self.shared.wait_to_receive(party, deadline()))
    }

    /// Takes a value out if there is one.
    ///
    /// # Errors
    /// `Empty` if there is none, `Disconnected` if there will be none.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        protocol::try_recv(&*self.shared)
    }

    /// The values as they come, until all senders are gone, or the channel is closed.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The values that there are, without a wait.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Closes the channel: nothing goes in any more. What is in it can still be received.
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
    pub fn capacity(&self) -> Option<usize> {
        self.shared.room()
    }
}

/// The values of a channel as they come: see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The values that there are: see [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The values of a channel as they come, with its end.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
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

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.attach(Side::Receiver);
        Receiver { shared: self.shared.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.detach(Side::Receiver);
    }
}

impl<T> Sealed for Receiver<T> {}

/// Ready when a value can be received, or never will be.
impl<T> Waitable for Receiver<T> {
    fn is_ready(&self) -> bool {
        self.shared.is_ready(Side::Receiver)
    }
    fn enlist(&self, who: &Token) -> bool {
        waiting::watch(&*self.shared, Side::Receiver, who.0.clone(), who.1)
    }
    fn delist(&self, who: &Token) -> bool {
        waiting::unwatch(&*self.shared, Side::Receiver, &who.0)
    }
    fn told(&self) -> Told {
        self.shared.told(Side::Receiver)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
