//! Waiting for time to pass.

use std::time::{Duration, Instant};

mod timeout;

pub use self::timeout::{Elapsed, ScopeId, timeout};
use crate::abi::wait::WaitReason;
use crate::error::Error;
use crate::scheduler::park::{self, Wait};
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::clock;

/// Lets others run for at least `duration`; as `std::thread::sleep`. Timers are kept to 131 µs (on a worker with
/// 2,048 and more of them to half a millisecond): it may last so much longer, never shorter. While others keep the thread busy it also
/// lasts until io has its turn: see [`Policy`](crate::Policy). A duration of zero is a [`yield_now`](crate::yield_now).
///
/// # Panics
/// Outside a runtime, where it would block nobody but the caller.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// coro::run(|| {
///     let start = Instant::now();
///     let naps: Vec<_> = (0..100).map(|_| coro::spawn(|| coro::sleep(Duration::from_millis(5)))).collect();
///     for nap in naps {
///         nap.join().unwrap();
///     }
///     assert!(start.elapsed() >= Duration::from_millis(5));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    if let Err(error) = sleep_to(clock::after(duration), duration.is_zero()) {
        panic!("{error}");
    }
}

/// Lets others run until `deadline`. A deadline that has passed is a [`yield_now`](crate::yield_now).
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    let is_past = deadline <= Instant::now();
    if let Err(error) = sleep_to(clock::from_instant(deadline), is_past) {
        panic!("{error}");
    }
}

fn sleep_to(deadline: u64, is_past: bool) -> Result<(), Error> {
    if is_past {
        return park::yield_now();
    }
    while clock::now() < deadline {
        Wait::open(WaitReason::Sleep, 0)?.park_until(Some(deadline));
    }
    Ok(())
}

/// Ticks at fixed distances: see [`interval`]. In [`select!`](crate::select) the next tick is waited for beside other things:
/// `wait(ticks) => ticks.tick()`.
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
}

/// A ticker, as Go's: the first tick comes after one `period`, each further one a `period` later. Ticks that
/// the caller was too late for are left out, so that it does not run to catch up.
///
/// # Panics
/// If `period` is zero.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let mut ticks = coro::time::interval(Duration::from_millis(2));
///     let first = ticks.tick();
///     assert!(ticks.tick() >= first + Duration::from_millis(2));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "coro::time::interval: a period of zero has no ticks; use coro::yield_now");
    Interval { next: due_after(Instant::now(), period), period }
}

/// `start + distance`; what an `Instant` can't hold is as good as a century.
fn due_after(start: Instant, distance: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start.checked_add(distance).unwrap_or_else(|| start + CENTURY)
}

impl Interval {
    /// Waits for the next tick; returns when it was due.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn tick(&mut self) -> Instant {
        sleep_until(self.next);
        let due = self.next;
        let late = due.elapsed().as_nanos() / self.period.as_nanos();
        // Far beyond u32 periods late, the next one is simply a period from now.
        self.next = match u32::try_from(late + 1).ok().and_then(|periods| self.period.checked_mul(periods)) {
            Some(distance) => due_after(due, distance),
            None => due_after(Instant::now(), self.period),
        };
        due
    }
}

impl Sealed for Interval {}

/// Ready when a tick is due; `tick` takes it then.
impl Waitable for Interval {
    fn is_ready(&self) -> bool {
        self.next <= Instant::now()
    }
    fn enlist(&self, _: &Token) -> bool {
        true
    }
    fn delist(&self, _: &Token) -> bool {
        true
    }
    fn deadline(&self) -> Option<u64> {
        Some(clock::from_instant(self.next))
    }
    fn told(&self) -> Told {
        Told::new(WaitReason::Sleep, clock::from_instant(self.next))
    }
}
