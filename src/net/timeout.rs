//! Timeouts of sockets: how long one operation may wait, or several.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::sys::clock;

/// How long several operations may wait in all.
///
/// The time counts from the first wait on: before it nothing has passed but what the own work took, and an operation that
/// needs no wait reads no clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(super) length: Duration,
    until: Option<u64>,
}

impl Patience {
    pub(crate) fn new(length: Duration) -> Patience {
        Patience { length, until: None }
    }

    /// When it is over, if it is a wait that asks.
    pub(super) fn begin(&mut self) -> u64 {
        *self.until.get_or_insert_with(|| clock::after(self.length))
    }

    /// Whether it is over; to be asked before an operation that need not wait, so that a peer who always has a little more
    /// can't go on for ever.
    #[cfg(feature = "http")]
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= clock::now())
    }
}

/// A timeout that can be set while others use the socket: nanoseconds, 0 = none.
#[derive(Debug, Default)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    pub(super) fn get(&self) -> Option<Duration> {
        let nanos = self.0.load(Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// As std's setters: zero is an error, more than 584 years are never.
    pub(super) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a timeout of zero; None means for ever",
            ));
        }
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(0));
        self.0.store(nanos, Relaxed);
        Ok(())
    }
}
