//! Clocks that jump: `clocks wall|forward|unsteady`. Whoever asks for the time is answered here, and not by libc.
//!
//! wall: the time of day is a year off, this way and that, with each look at it. forward: the monotonic clock goes on by two
//! hours at once. unsteady: it goes back by up to three milliseconds with each look at it.

use std::env;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, Instant};

use coro::sync::channel;
use coro::{Builder, sleep, spawn, timeout, yield_now};

const SECOND: i64 = 1_000_000_000;
const YEAR: i64 = 365 * 24 * 3600 * SECOND;
const HOUR: Duration = Duration::from_secs(3600);

/// What the clocks say more than it is, in nanoseconds.
static MONOTONIC: AtomicI64 = AtomicI64::new(0);
static LOOKS: AtomicU64 = AtomicU64::new(0);
/// How much less the monotonic clock says with each look, of three.
static UNSTEADY: AtomicI64 = AtomicI64::new(0);
/// How much more or less the time of day is.
static WALL: AtomicI64 = AtomicI64::new(0);

/// In place of libc's.
///
/// # Safety
/// `time` has room, or is null.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    // SAFETY: the kernel writes there what the caller has room for.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let turn = LOOKS.fetch_add(1, SeqCst) as i64;
    let more = match clock {
        libc::CLOCK_MONOTONIC => MONOTONIC.load(SeqCst) - UNSTEADY.load(SeqCst) * (turn % 4),
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => WALL.load(SeqCst) * (turn % 3 - 1),
        _ => 0,
    };
    // SAFETY: as the caller says.
    if let Some(time) = unsafe { time.as_mut() }.filter(|_| more != 0 && result == 0) {
        let nanoseconds = time.tv_sec * SECOND + time.tv_nsec + more;
        (time.tv_sec, time.tv_nsec) = (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND));
    }
    result as i32
}

fn main() {
    let mode = env::args().nth(1).unwrap_or_default();
    let result = Builder::new().workers(2).run(|| match mode.as_str() {
        "wall" => {
            WALL.store(YEAR, SeqCst);
            all_kinds_of_waits();
        }
        "forward" => forward(),
        "unsteady" => {
            UNSTEADY.store(SECOND / 1000, SeqCst);
            all_kinds_of_waits();
        }
        _ => panic!("{mode}?"),
    });
    result.unwrap();
    println!("ended");
}

/// Each comes to its end: the ones with a time when that has come, the others when somebody wakes them.
fn all_kinds_of_waits() {
    let short = Duration::from_millis(3);
    let members = (0..200).map(|n| {
        spawn(move || {
            for _ in 0..10 {
                match n % 5 {
                    0 => sleep(short),
                    1 => assert!(timeout(short, || sleep(HOUR)).is_err()),
                    2 => assert_eq!(timeout(HOUR, || coro::offload(|| 3)).unwrap(), 3),
                    3 => {
                        let (sender, receiver) = channel(1);
                        assert!(receiver.recv_timeout(short).is_err());
                        let other = spawn(move || sender.send(n).unwrap());
                        assert_eq!(receiver.recv_timeout(HOUR).unwrap(), n);
                        other.join().unwrap();
                    }
                    _ => (0..100).for_each(|_| yield_now()),
                }
            }
        })
    });
    let members: Vec<_> = members.collect();
    let count = members.into_iter().map(|member| member.join().unwrap()).count();
    let mut ticks = coro::time::interval(short);
    (0..10).for_each(|_| _ = ticks.tick());
    println!("{count} came to their ends");
}

/// Who waits for less than the jump goes on, once; who waits for more goes on waiting.
fn forward() {
    let start = Instant::now();
    let sleepers: Vec<_> = (0..1000).map(|_| spawn(|| sleep(HOUR))).collect();
    let late: Vec<_> = (0..1000).map(|_| spawn(|| timeout(HOUR, || sleep(3 * HOUR)).is_err())).collect();
    let patient: Vec<_> = (0..1000).map(|_| spawn(|| sleep(3 * HOUR))).collect();
    // Now that all of them wait.
    while coro::stats().unwrap().parked().map(|(_, count)| count).sum::<usize>() < 3000 {
        yield_now();
    }
    MONOTONIC.store(2 * HOUR.as_nanos() as i64, SeqCst);
    let woken = sleepers.into_iter().map(|sleeper| sleeper.join().unwrap()).count();
    let timed_out = late.into_iter().map(|member| member.join().unwrap());
    let timed_out = timed_out.filter(|is_late| *is_late).count();
    let waiting = patient.iter().filter(|member| !member.is_finished()).count();
    assert!(start.elapsed() >= 2 * HOUR);
    println!("{woken} woken, {timed_out} timed out, {waiting} still wait");
    // The clock has a new start; a wait of now is as long as ever.
    let before = Instant::now();
    sleep(Duration::from_millis(20));
    assert!(before.elapsed() >= Duration::from_millis(20));
}
