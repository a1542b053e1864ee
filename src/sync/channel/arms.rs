//! What `select!` does with channels.

use super::line::{Claim, Party};
use super::protocol::{self, Core, PartyOf, Side, Who};
use super::{Receiver, RecvError, SendError, Sender, Shared, TryRecvError, TrySendError, waiting};
use crate::sync::select::{Arm, Sealed, Token, Told, Waitable};

/// Receives from a channel, whichever it is.
#[derive(Debug)]
pub(in crate::sync) struct Receiving<'a, C: Core> {
    core: &'a C,
    /// In it is what was given.
    party: PartyOf<C>,
}

/// Sends to a channel, whichever it is.
#[derive(Debug)]
pub(in crate::sync) struct Sending<'a, C: Core> {
    core: &'a C,
    /// In it is the value, until it is sent.
    party: PartyOf<C>,
}

impl<'a, C: Core> Receiving<'a, C> {
    pub(in crate::sync) fn new(core: &'a C) -> Receiving<'a, C> {
        Receiving { core, party: Party::new(None) }
    }

    /// What came of it.
    pub(in crate::sync) fn take(self) -> Result<C::Value, RecvError> {
        self.party.take().ok_or(RecvError)
    }

    pub(in crate::sync) fn attempt(&mut self) -> bool {
        match protocol::try_recv(self.core) {
            Ok(value) => self.party.put(value),
            Err(TryRecvError::Disconnected) => {}
            Err(TryRecvError::Empty) => return false,
        }
        true
    }
}

impl<'a, C: Core> Sending<'a, C> {
    pub(in crate::sync) fn new(core: &'a C, value: C::Value) -> Sending<'a, C> {
        Sending { core, party: Party::new(Some(value)) }
    }

    /// What came of it.
    pub(in crate::sync) fn take(self) -> Result<(), SendError<C::Value>> {
        self.party.take().map_or(Ok(()), |value| Err(SendError(value)))
    }

    pub(in crate::sync) fn attempt(&mut self) -> bool {
        let value = self.party.take().expect("nobody has it yet");
        match protocol::try_send(self.core, value) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(value)) => self.party.put(value),
            Err(TrySendError::Full(value)) => {
                self.party.put(value);
                return false;
            }
        }
        true
    }
}

macro_rules! waits {
    ($arm:ident, $side:expr) => {
        /// It is found by those who come, and they do what it is for.
        impl<C: Core> $arm<'_, C> {
            pub(in crate::sync) fn enlist(&self, who: &Who<C>, claim: Claim<C::Word>) -> bool {
                waiting::enlist(self.core, $side, &self.party, who.clone(), claim)
            }

            pub(in crate::sync) fn delist(&self) -> bool {
                waiting::delist(self.core, $side, &self.party)
            }

            pub(in crate::sync) fn has_met(&self) -> bool {
                self.party.has_value() == ($side == Side::Receiver)
            }
        }
    };
}

waits!(Receiving, Side::Receiver);
waits!(Sending, Side::Sender);

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
                self.0.has_met()
            }
        }

        impl<T> Sealed for $arm<'_, T> {}

        impl<T> Waitable for $arm<'_, T> {
            fn is_ready(&self) -> bool {
                self.0.core.is_ready($side)
            }
            fn enlist(&self, who: &Token) -> bool {
                self.0.enlist(&who.0, who.1)
            }
            fn delist(&self, _: &Token) -> bool {
                self.0.delist()
            }
            fn told(&self) -> Told {
                self.0.core.told($side)
            }
        }
    };
}

arm!(Receive, Side::Receiver);
arm!(Send, Side::Sender);
