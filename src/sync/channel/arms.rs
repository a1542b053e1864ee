//! What `select!` does with channels.

use super::meeting::Part;
use super::protocol::{self, Core, Side, Who};
use super::{Receiver, RecvError, SendError, Sender, Shared, TryRecvError, TrySendError};
use crate::sync::select::selection::Listable;
use crate::sync::select::{Arm, Sealed, Token, Told, Waitable};

/// Receives from a channel, whichever it is.
#[derive(Debug)]
pub(in crate::sync) struct Receiving<'a, C: Core> {
    core: &'a C,
    /// Of a channel without room: in it is what was given.
    part: Part<C::Value>,
    result: Option<Result<C::Value, RecvError>>,
}

/// Sends to a channel, whichever it is.
#[derive(Debug)]
pub(in crate::sync) struct Sending<'a, C: Core> {
    core: &'a C,
    /// In it is the value, until it is sent.
    part: Part<C::Value>,
    result: Option<Result<(), SendError<C::Value>>>,
}

impl<'a, C: Core> Receiving<'a, C> {
    pub(in crate::sync) fn new(core: &'a C) -> Receiving<'a, C> {
        Receiving { core, part: Part::receiver(), result: None }
    }

    /// What came of it.
    pub(in crate::sync) fn take(self) -> Result<C::Value, RecvError> {
        self.part.take().map(Ok).or(self.result).expect("it was done")
    }

    fn attempt(&mut self) -> bool {
        self.result = match protocol::try_recv(self.core) {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        };
        self.result.is_some()
    }
}

impl<'a, C: Core> Sending<'a, C> {
    pub(in crate::sync) fn new(core: &'a C, value: C::Value) -> Sending<'a, C> {
        Sending { core, part: Part::sender(value), result: None }
    }

    /// What came of it.
    pub(in crate::sync) fn take(self) -> Result<(), SendError<C::Value>> {
        if self.part.is_done() { Ok(()) } else { self.result.expect("it was done") }
    }

    fn attempt(&mut self) -> bool {
        let Some(value) = self.part.take() else { return false };
        match protocol::try_send(self.core, value) {
            Ok(()) => self.result = Some(Ok(())),
            Err(TrySendError::Disconnected(value)) => self.result = Some(Err(SendError(value))),
            Err(TrySendError::Full(value)) => self.part = Part::sender(value),
        }
        self.result.is_some()
    }
}

macro_rules! waits_or_meets {
    ($arm:ident, $side:expr) => {
        /// Waits for room or a value; without room it is found by those who come, and they do what it is for.
        impl<C: Core> Listable for $arm<'_, C> {
            type Who = Who<C>;

            fn enlist(&self, who: &Who<C>) -> bool {
                match self.core.capacity() {
                    0 => self.part.enlist(self.core, who.clone()),
                    _ => protocol::enlist(self.core, $side, who.clone()),
                }
            }
            fn delist(&self, who: &Who<C>) -> bool {
                match self.core.capacity() {
                    0 => self.part.delist(self.core, who),
                    _ => protocol::delist(self.core, $side, who),
                }
            }
            fn pass_on(&self) {
                match self.core.capacity() {
                    0 => self.part.pass_on(self.core),
                    _ => protocol::wake_one(self.core, $side),
                }
            }
            fn attempt(&mut self) -> bool {
                self.attempt()
            }
            fn is_done(&self) -> bool {
                self.part.is_done()
            }
        }
    };
}

waits_or_meets!(Receiving, Side::Receiver);
waits_or_meets!(Sending, Side::Sender);

/// `recv(receiver)`
#[doc(hidden)]
#[derive(Debug)]
pub struct Receive<'a, T>(Receiving<'a, Shared<T>>);

impl<'a, T> Receive<'a, T> {
    /// To be received from it.
    pub fn new(receiver: &'a Receiver<T>) -> Receive<'a, T> {
        Receive(Receiving::new(&receiver.shared))
    }

    /// What came of it.
    pub fn take(self) -> Result<T, RecvError> {
        self.0.take()
    }
}

/// `send(sender, value)`
#[doc(hidden)]
#[derive(Debug)]
pub struct Send<'a, T>(Sending<'a, Shared<T>>);

impl<'a, T> Send<'a, T> {
    /// To be sent by it.
    pub fn new(sender: &'a Sender<T>, value: T) -> Send<'a, T> {
        Send(Sending::new(&sender.shared, value))
    }

    /// What came of it.
    pub fn take(self) -> Result<(), SendError<T>> {
        self.0.take()
    }
}

macro_rules! arm {
    ($arm:ident, $side:expr) => {
        impl<T> Arm for $arm<'_, T> {
            fn thing(&self) -> &dyn Waitable {
                self
            }
            fn attempt(&mut self) -> bool {
                self.0.attempt()
            }
            fn is_done(&self) -> bool {
                self.0.is_done()
            }
        }

        impl<T> Sealed for $arm<'_, T> {}

        impl<T> Waitable for $arm<'_, T> {
            fn is_ready(&self) -> bool {
                self.0.core.is_ready($side)
            }
            fn enlist(&self, who: &Token) -> bool {
                self.0.enlist(&who.0)
            }
            fn delist(&self, who: &Token) -> bool {
                self.0.delist(&who.0)
            }
            fn pass_on(&self) {
                self.0.pass_on();
            }
            fn told(&self) -> Told {
                self.0.core.told($side)
            }
        }
    };
}

arm!(Receive, Side::Receiver);
arm!(Send, Side::Sender);
