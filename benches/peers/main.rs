//! The cases of the peers' comparison: what a runtime of this kind is measured by, one case a run.
//!
//! ```text
//! cargo build --release --features bench --example peers
//! target/release/examples/peers CASE [N]        prints `R row value`, a line per figure
//! target/release/examples/peers echo PORT       (and http) serve until killed
//! T=2 target/release/examples/peers CASE [N]    on two workers
//! ```
//!
//! The same cases exist for other runtimes, with the same numbers of rounds, so that all can be run in turn on one
//! machine and compared. Figures without that mean little.

mod raw;
mod report;
mod scheduler;
mod servers;
mod sync;
mod timers;
mod workers;

use std::process::ExitCode;

const CASES: &str = "hello, switch [N], yield N, spawn, mem N, pingpong, ring, lock, mutex, tburst, tsteady, scale, bare, fair, \
                     echo PORT, http PORT";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_default();
    let n = match arguments.next().map(|n| n.parse()) {
        None => 0,
        Some(Ok(n)) => n,
        Some(Err(error)) => return complain(&format!("N is no number: {error}")),
    };
    let workers = match std::env::var("T").map(|threads| threads.parse()) {
        Err(_) => 1,
        Ok(Ok(workers)) => workers,
        Ok(Err(error)) => return complain(&format!("T, the number of threads, is no number: {error}")),
    };
    // Not within a runtime: there is no scheduler to be measured.
    match case.as_str() {
        "switch" => raw::switch(n),
        "bare" => workers::bare(workers as u64),
        _ => return in_runtime(&case, n, workers),
    }
    ExitCode::SUCCESS
}

fn in_runtime(case: &str, n: usize, workers: usize) -> ExitCode {
    let mut builder = coro::Builder::new().workers(workers);
    if case == "mem" {
        builder = builder.max_coroutines(n + 1);
    }
    let known = builder.run(|| {
        match case {
            "hello" => coro::spawn(|| println!("hello")).join().expect("it only prints"),
            "yield" if n > 0 => scheduler::yields(n),
            "spawn" => scheduler::spawn(),
            "mem" if n > 0 => scheduler::memory(n),
            "pingpong" => sync::pingpong(workers),
            "ring" => sync::ring(workers),
            "lock" => sync::lock(),
            "mutex" => sync::mutex(workers),
            "tburst" => timers::sleeps(case, 100_000, 1),
            "tsteady" => timers::sleeps(case, 10_000, 10),
            "scale" => workers::scale(),
            "fair" => workers::fairness(),
            "echo" | "http" => match u16::try_from(n) {
                Ok(port) if case == "echo" => servers::echo(port),
                Ok(port) => servers::http(port),
                Err(_) => return false,
            },
            _ => return false,
        }
        true
    });
    match known {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => complain("there is no such case"),
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(what: &str) -> ExitCode {
    eprintln!("peers: {what}; usage: peers CASE [N], the cases being {CASES}");
    ExitCode::from(2)
}
