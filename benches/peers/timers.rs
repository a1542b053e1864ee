//! A hundred thousand sleeps: all at once, and as a steady stream.

use std::time::{Duration, Instant};

use crate::report::{cpu, figure, milliseconds, percentile};

/// `count` coroutines, each of which sleeps `rounds` times for 1 to 100 ms.
pub(crate) fn sleeps(case: &str, count: usize, rounds: usize) {
    let (start, before) = (Instant::now(), cpu());
    let handles: Vec<_> = (0..count)
        .map(|seed| {
            coro::spawn(move || {
                durations(seed, rounds)
                    .map(|duration| {
                        let start = Instant::now();
                        coro::sleep(duration);
                        start.elapsed().saturating_sub(duration).as_nanos() as u64
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut late: Vec<u64> =
        handles.into_iter().flat_map(|handle| handle.join().expect("it only sleeps")).collect();
    let (wall, used) = (milliseconds(start), cpu() - before);
    late.sort_unstable();
    figure(&format!("{case}_wall_ms"), wall);
    figure(&format!("{case}_cpu_ms"), used * 1e3);
    figure(&format!("{case}_late_p50_us"), percentile(&late, 0.50) / 1e3);
    figure(&format!("{case}_late_p99_us"), percentile(&late, 0.99) / 1e3);
}

/// The durations of one coroutine's sleeps: the same for every runtime, by the same xorshift.
fn durations(seed: usize, count: usize) -> impl Iterator<Item = Duration> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed as u64 + 1) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    next();
    (0..count).map(move |_| Duration::from_millis(1 + (next() >> 20) % 100))
}
