//! CLOCK_MONOTONIC as nanoseconds in one word: what records, deadlines and readers are told in.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::explore;

/// Stops that are taken off: when somebody has looked last, and in the low bits for how long the process was stopped until
/// then, both in [units](UNIT). 0: stops are not taken off. In one word, so that nobody sees one of them without the other.
static STOPS: AtomicU64 = AtomicU64::new(0);
/// 2 to this power nanoseconds (17 ms).
const UNIT: u32 = 24;
/// Of the time of stops; it suffices for 52 days, and what is left of the word for 36 years.
const STOPPED_BITS: u32 = 28;
/// A longer time without a look, in units, is a stop: 2 s. Somebody looks every second (the reactor's heartbeat), and one
/// second more is for a machine that has other things to do.
const LONGEST: u64 = 2_000_000_000 >> UNIT;

/// Has the time in which the whole process was stopped (by a debugger, by SIGSTOP) taken off all that is running, from now on.
pub(crate) fn notice_stops() {
    let started = raw() >> UNIT << STOPPED_BITS;
    // It may have been asked for before.
    let _ = STOPS.compare_exchange(0, started, Relaxed, Relaxed);
}

/// Now, without the time that was taken off. 18–27 ns.
#[inline]
pub(crate) fn now() -> u64 {
    if STOPS.load(Relaxed) == 0 { raw() } else { now_without(&STOPS, raw) }
}

/// The time that `clock` says, less that of all stops, of which this look at it may find one.
#[cold]
fn now_without(stops: &AtomicU64, clock: impl Fn() -> u64) -> u64 {
    loop {
        let seen = stops.load(Relaxed);
        let now = clock();
        let (last, stopped) = (seen >> STOPPED_BITS, seen & ((1 << STOPPED_BITS) - 1));
        let gap = (now >> UNIT).saturating_sub(last);
        // A unit less than the gap, whose ends are rounded: time doesn't go back.
        let stopped = stopped + if gap > LONGEST { gap - 1 } else { 0 };
        let looked = (last + gap) << STOPPED_BITS | stopped;
        // Else somebody else has looked meanwhile, and the time read may be of before a stop that he has found.
        if gap == 0 || stops.compare_exchange(seen, looked, Relaxed, Relaxed).is_ok() {
            return now - (stopped << UNIT);
        }
    }
}

fn raw() -> u64 {
    if let Some(time) = explore::time() {
        return time;
    }
    // The call fails for unknown clocks only.
    nanoseconds(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC"))
}

/// The CPU time of a thread of this process; `None` if it has ended.
pub(crate) fn cpu_time(thread: u32) -> Option<u64> {
    // The kernel's ABI for a thread's clock (see clock_getcpuclockid(3)): the inverted number, 4 for "a thread's", 2 for
    // "by the scheduler".
    let clock = ClockId::from_raw((!thread.cast_signed() << 3) | 4 | 2);
    clock_gettime(clock).ok().map(nanoseconds)
}

/// The CPU time of this process, of all its threads.
pub(crate) fn process_cpu_time() -> u64 {
    nanoseconds(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has CLOCK_PROCESS_CPUTIME_ID"))
}

fn nanoseconds(time: TimeSpec) -> u64 {
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// The time after `duration` from now; `u64::MAX` (never) if it is beyond 584 years.
pub(crate) fn after(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(u64::MAX, |nanos| now().saturating_add(nanos))
}

/// The same moment as an `Instant`'s, by way of what is left until then.
pub(crate) fn from_instant(instant: Instant) -> u64 {
    after(instant.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn stop_is_no_time_and_what_is_shorter_is() {
        let second = 1_000_000_000;
        let time = Cell::new(1_000 * second);
        let stops = AtomicU64::new(time.get() >> UNIT << STOPPED_BITS);
        let now = || now_without(&stops, || time.get());
        let pass = |nanoseconds: u64| time.set(time.get() + nanoseconds);
        let start = now();
        pass(second);
        assert_eq!(now() - start, second);
        pass(2 * second);
        assert!(now() - start >= 3 * second - (1 << UNIT), "a busy machine");
        let before = now();
        pass(1000 * second);
        assert!(now() - before < 2 << UNIT, "a debugger");
        pass(second);
        assert!(now() - before < second + (2 << UNIT));
        assert!(now() - before >= second);
    }

    #[test]
    fn who_has_read_the_time_before_a_stop_that_another_one_finds_reads_it_again() {
        let second = 1_000_000_000;
        let stops = AtomicU64::new((1_000 * second) >> UNIT << STOPPED_BITS);
        let reads = Cell::new(0);
        let now = now_without(&stops, || {
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                // The time is read, then comes the stop, and somebody else's look.
                now_without(&stops, || 1_100 * second);
                return 1_000 * second + (1 << UNIT);
            }
            1_100 * second
        });
        assert_eq!(reads.get(), 2);
        assert!(now.abs_diff(1_000 * second) < 3 << UNIT, "{now}");
    }
}
