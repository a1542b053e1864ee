//! One value, sent once: a channel of one place whose ends are used up.

use std::time::Duration;

use super::channel::{Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError, channel};
use super::select::{Sealed, Token, Told, Waitable};

/// A way for one value; as gevent's `AsyncResult`.
///
/// ```
/// coro::run(|| {
///     let (sender, receiver) = coro::sync::oneshot();
///     coro::spawn(move || sender.send(6 * 7));
///     assert_eq!(receiver.recv(), Ok(42));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let (sender, receiver) = channel(1);
    (OneshotSender { sender }, OneshotReceiver { receiver })
}

/// Who is to send the value.
#[derive(Debug)]
pub struct OneshotSender<T> {
    sender: Sender<T>,
}

/// Who is to receive it.
#[derive(Debug)]
pub struct OneshotReceiver<T> {
    receiver: Receiver<T>,
}

impl<T> OneshotSender<T> {
    /// Sends the value; never waits.
    ///
    /// # Errors
    /// If the receiver is gone: the value is the error.
    pub fn send(self, value: T) -> Result<(), T> {
        self.sender.send(value).map_err(|error| error.0)
    }
}

impl<T> OneshotReceiver<T> {
    /// Waits for the value.
    ///
    /// # Errors
    /// If the sender is gone without having sent one.
    pub fn recv(self) -> Result<T, RecvError> {
        self.receiver.recv()
    }

    /// Waits for the value, for `timeout` at the longest.
    ///
    /// # Errors
    /// `Timeout` if it didn't come, `Disconnected` if it never will, or has been received.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receiver.recv_timeout(timeout)
    }

    /// The value, if it is there.
    ///
    /// # Errors
    /// `Empty` if it isn't yet, `Disconnected` if it never will be, or has been received.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }
}

impl<T> Sealed for OneshotReceiver<T> {}

/// Ready when the value is there, or never will be.
impl<T> Waitable for OneshotReceiver<T> {
    fn is_ready(&self) -> bool {
        self.receiver.is_ready()
    }
    fn enlist(&self, who: &Token) -> bool {
        self.receiver.enlist(who)
    }
    fn delist(&self, who: &Token) -> bool {
        self.receiver.delist(who)
    }
    fn told(&self) -> Told {
        self.receiver.told()
    }
}
