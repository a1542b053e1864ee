//! A long series of coroutines that come and go: does memory stay flat, and is each tenant of a slot a new one?
//!
//! `churn N` spawns and joins N coroutines, some hundred alive at a time. It prints what memory it takes, once a
//! second, and ends with status 1 if that grew, or a slot's generation came again.

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use coro::JoinHandle;
use coro::bench::tenancy;

/// Alive at a time.
const CROWD: usize = 300;
/// Growth that is none: an allocator's and a page cache's breathing, in KiB a minute.
const FLAT: f64 = 1024.0;

fn main() -> ExitCode {
    let Some(count) = std::env::args().nth(1).and_then(|n| n.parse::<u64>().ok()) else {
        eprintln!("usage: churn N, the number of coroutines");
        return ExitCode::from(2);
    };
    coro::run(|| churn(count)).expect("a runtime starts")
}

fn churn(count: u64) -> ExitCode {
    let start = Instant::now();
    let mut generations: HashMap<u32, u32> = HashMap::new();
    // Minutes and KiB, once a second.
    let mut samples = Vec::new();
    let mut next = Duration::ZERO;
    let mut done = 0;
    while done < count {
        let crowd: Vec<JoinHandle<(u32, u32)>> = (0..CROWD.min((count - done) as usize))
            .map(|_| coro::spawn(|| tenancy().expect("a coroutine")))
            .collect();
        done += crowd.len() as u64;
        for coroutine in crowd {
            let (slot, generation) = coroutine.join().expect("it does nothing");
            let last = generations.insert(slot, generation);
            if last.is_some_and(|last| generation <= last) {
                println!("slot {slot} had generation {last:?}, and then {generation}");
                return ExitCode::FAILURE;
            }
        }
        if start.elapsed() >= next {
            next += Duration::from_secs(1);
            samples.push((start.elapsed().as_secs_f64() / 60.0, resident_kib()));
        }
    }
    // The first seconds fill caches.
    let settled = &samples[samples.len().min(3).min(samples.len() / 2)..];
    let slope = slope(settled);
    println!(
        "{done} coroutines in {:.1} s ({:.0} ns each), {} slots; {} KiB resident, growing by {slope:.0} KiB a minute",
        start.elapsed().as_secs_f64(),
        start.elapsed().as_nanos() as f64 / done as f64,
        generations.len(),
        resident_kib(),
    );
    if slope < FLAT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn resident_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("this needs /proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// By least squares; 0 for fewer than two samples.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let n = samples.len().max(1) as f64;
    let (x, y) = samples.iter().fold((0.0, 0.0), |(x, y), sample| (x + sample.0 / n, y + sample.1 / n));
    let covariance: f64 = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
    let variance: f64 = samples.iter().map(|sample| (sample.0 - x).powi(2)).sum();
    if variance == 0.0 { 0.0 } else { covariance / variance }
}
