//! How figures are printed, and the system's own figures that go into them.

use std::fs;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};

/// One figure.
pub(crate) fn figure(row: &str, value: f64) {
    println!("R {row} {value:.3}");
}

pub(crate) fn nanoseconds_per(start: Instant, operations: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / operations as f64
}

pub(crate) fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// CPU time of the process so far, in seconds.
pub(crate) fn cpu() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

/// Bytes of resident memory and of page tables.
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) tables: f64,
}

impl Memory {
    pub(crate) fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("the case needs /proc");
        let kib = |key| {
            let line = status.lines().find(|line| line.starts_with(key)).expect("the kernel says this");
            line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).expect("a number of kB")
        };
        Memory { resident: kib("VmRSS:") * 1024.0, tables: kib("VmPTE:") * 1024.0 }
    }
}

/// The value below which the fraction `p` of the sorted values lies.
pub(crate) fn percentile(sorted: &[u64], p: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * p) as usize] as f64
}

/// A round number of coroutines, as the rows' names have it.
pub(crate) fn label(n: usize) -> String {
    if n >= 1_000_000 { format!("{}M", n / 1_000_000) } else { format!("{}k", n / 1000) }
}
