//! Timeouts of sockets: how long one operation may wait.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

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
