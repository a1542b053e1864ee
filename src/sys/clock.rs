//! CLOCK_MONOTONIC as nanoseconds in one word: what records, deadlines and readers are told in.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Now. 18–27 ns.
pub(crate) fn now() -> u64 {
    // The call fails for unknown clocks only.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// The CPU time of a thread of this process; `None` if it has ended.
pub(crate) fn cpu_time(thread: u32) -> Option<u64> {
    // The kernel's ABI for a thread's clock (see clock_getcpuclockid(3)): the inverted number, 4 for "a thread's", 2 for
    // "by the scheduler".
    let clock = ClockId::from_raw((!thread.cast_signed() << 3) | 4 | 2);
    let used = clock_gettime(clock).ok()?;
    Some(used.tv_sec() as u64 * 1_000_000_000 + used.tv_nsec() as u64)
}

/// The time after `duration` from now; `u64::MAX` (never) if it is beyond 584 years.
pub(crate) fn after(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(u64::MAX, |nanos| now().saturating_add(nanos))
}

/// The same moment as an `Instant`'s, by way of what is left until then.
pub(crate) fn from_instant(instant: Instant) -> u64 {
    after(instant.saturating_duration_since(Instant::now()))
}
