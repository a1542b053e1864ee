//! The `Date` and `Expires` of answers, formatted once a second and not once an answer.

use crate::sys::lock;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// The current second's strings.
#[derive(Debug)]
pub(super) struct DateCache {
    lifetime: Duration,
    // std's mutex, not the runtime's: it is held for a comparison and a copy, never over a wait.
    stamp: Mutex<Stamp>,
}

/// One second, as HTTP writes it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    second: u64,
    /// The whole header line.
    date_line: String,
    expires: String,
}

impl DateCache {
    /// A cache whose `Expires` lies `lifetime` after its `Date`.
    pub(super) fn new(lifetime: Duration) -> DateCache {
        DateCache { lifetime, stamp: Mutex::new(stamp(now(), lifetime)) }
    }

    /// Calls `format(date_line, expires)` with the strings of now.
    pub(super) fn with<R>(&self, format: impl FnOnce(&str, &str) -> R) -> R {
        let second = now();
        let mut current = lock::of(&self.stamp);
        if current.second != second {
            *current = stamp(second, self.lifetime);
        }
        format(&current.date_line, &current.expires)
    }
}

/// Whole seconds since 1970, as of the kernel's last tick: a fifth of what the exact time costs.
fn now() -> u64 {
    // The call fails for unknown clocks only.
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE).expect("Linux has CLOCK_REALTIME_COARSE");
    seconds(now.tv_sec())
}

/// A clock that stands before 1970 is taken as 1970.
fn seconds(since_1970: i64) -> u64 {
    u64::try_from(since_1970).unwrap_or(0)
}

fn stamp(second: u64, lifetime: Duration) -> Stamp {
    Stamp {
        second,
        date_line: format!("Date: {}\r\n", format_date(second)),
        expires: format_date(second.saturating_add(lifetime.as_secs())),
    }
}

fn format_date(second: u64) -> String {
    // The format has four digits for the year; httpdate panics beyond.
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second.min(LAST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_written_as_http_wants_it() {
        let stamp = stamp(784_111_777, Duration::from_secs(38 * 24 * 3600));
        assert_eq!(stamp.date_line, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(stamp.expires, "Wed, 14 Dec 1994 08:49:37 GMT");
    }

    #[test]
    fn a_clock_out_of_range_is_no_panic() {
        assert_eq!(seconds(-5), 0);
        assert_eq!(stamp(u64::MAX, Duration::MAX).expires, "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_new_second_gets_a_new_stamp() {
        let cache = DateCache::new(Duration::ZERO);
        cache.stamp.lock().unwrap().second = 0;
        cache.stamp.lock().unwrap().date_line = "long ago".into();
        assert!(cache.with(|date_line, _| date_line.ends_with("GMT\r\n")));
    }
}
