//! Deadlines: how long a peer may take in all.
//! A socket's timeout counts anew with every read, so a peer that drips one byte a second never
//! meets it; a deadline is a point in time, and each read gets only what is left until then.

use std::io;
use std::time::{Duration, Instant};

/// A point in time after which waiting for a peer fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies `patience` after `start`.
    pub(super) fn after(start: Instant, patience: Duration) -> Deadline {
        // A patience too long for the clock is as good as a year.
        let year = Duration::from_secs(365 * 24 * 3600);
        Deadline(start.checked_add(patience).unwrap_or(start + year))
    }

    /// The deadline that lies `patience` after now.
    pub(super) fn within(patience: Duration) -> Deadline {
        Deadline::after(Instant::now(), patience)
    }

    /// What is left, or the error `TimedOut` when nothing is.
    ///
    /// Never zero, which a socket would refuse as a timeout.
    pub(super) fn remaining(self) -> io::Result<Duration> {
        match self.0.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Whether an error says that time ran out. std's blocking sockets say `WouldBlock` for it.
pub(super) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_deadline_is_timed_out() {
        let error = Deadline::within(Duration::ZERO).remaining().unwrap_err();
        assert!(timed_out(&error));
    }

    #[test]
    fn a_deadline_beyond_the_clock_is_far_away() {
        let left = Deadline::within(Duration::MAX).remaining().unwrap();
        assert!(left > Duration::from_secs(3600));
    }
}
