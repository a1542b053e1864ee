//! What `select!` does with channels.

use super::{Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError};
use crate::sync::select::{Arm, Waitable};

/// `recv(receiver)`
#[doc(hidden)]
#[derive(Debug)]
pub struct Receive<'a, T> {
    receiver: &'a Receiver<T>,
    result: Option<Result<T, RecvError>>,
}

impl<'a, T> Receive<'a, T> {
    /// To be received from it.
    pub fn new(receiver: &'a Receiver<T>) -> Receive<'a, T> {
        Receive { receiver, result: None }
    }

    /// What came of it.
    pub fn take(self) -> Result<T, RecvError> {
        self.result.expect("it was done")
    }
}

impl<T> Arm for Receive<'_, T> {
    fn thing(&self) -> &dyn Waitable {
        self.receiver
    }

    fn attempt(&mut self) -> bool {
        self.result = match self.receiver.try_recv() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        };
        self.result.is_some()
    }
}

/// `send(sender, value)`
#[doc(hidden)]
#[derive(Debug)]
pub struct Send<'a, T> {
    sender: &'a Sender<T>,
    /// Until it is sent.
    value: Option<T>,
    result: Option<Result<(), SendError<T>>>,
}

impl<'a, T> Send<'a, T> {
    /// To be sent by it.
    pub fn new(sender: &'a Sender<T>, value: T) -> Send<'a, T> {
        Send { sender, value: Some(value), result: None }
    }

    /// What came of it.
    pub fn take(self) -> Result<(), SendError<T>> {
        self.result.expect("it was done")
    }
}

impl<T> Arm for Send<'_, T> {
    fn thing(&self) -> &dyn Waitable {
        self.sender
    }

    fn attempt(&mut self) -> bool {
        let Some(value) = self.value.take() else { return false };
        match self.sender.try_send(value) {
            Ok(()) => self.result = Some(Ok(())),
            Err(TrySendError::Disconnected(value)) => self.result = Some(Err(SendError(value))),
            Err(TrySendError::Full(value)) => self.value = Some(value),
        }
        self.result.is_some()
    }
}
