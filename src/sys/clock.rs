//! CLOCK_MONOTONIC as nanoseconds in one word: what records, deadlines and readers are told in.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Time that is taken off: see [`notice_stops`].
static STOPPED: AtomicU64 = AtomicU64::new(0);
/// When somebody has looked last; 0: stops are not taken off.
static LAST_LOOK: AtomicU64 = AtomicU64::new(0);
/// A longer time without a look is a stop. Somebody looks every second (the reactor's heartbeat), and one second more is
/// for a machine that has other things to do.
const LONGEST: u64 = 2_000_000_000;

/// Has the time in which the whole process was stopped (by a debugger, by SIGSTOP) taken off all that is running, from now on.
pub(crate) fn notice_stops() {
    LAST_LOOK.fetch_max(raw(), Relaxed);
}

/// A look at the clock, which comes at least once a second while the process runs.
pub(crate) fn look() {
    if LAST_LOOK.load(Relaxed) == 0 {
        return;
    }
    let now = raw();
    // One of several threads sees the gap.
    let gap = now.saturating_sub(LAST_LOOK.fetch_max(now, Relaxed));
    if gap > LONGEST {
        STOPPED.fetch_add(gap, Relaxed);
    }
}

/// Now, without the time that was taken off. 18–27 ns.
pub(crate) fn now() -> u64 {
    raw() - STOPPED.load(Relaxed)
}

fn raw() -> u64 {
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
