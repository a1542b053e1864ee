//! The load: rounds of coroutines, each of which makes one request and checks the answer.

use super::gate::Gate;
use super::report::{self, Figures};
use super::tally::{Failure, Tally, Visit};
use super::target::{self, Target};
use super::visit::{self, Plan};
use super::{Problem, cli, limits, run_with, say};
use coro::http::Client;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Without `--rounds`, no round starts later than this; with the last one's end, and start and
/// end of the program, it is about ten seconds on a slow machine as well.
const BUDGET: Duration = Duration::from_secs(8);
/// Between two updates of the progress line.
const UPDATE: Duration = Duration::from_millis(100);

/// The demo.
pub(super) fn run(options: &cli::Load) -> Result<(), Problem> {
    let n = options.n.get();
    // The clients, a server's coroutine for each, and as many that are about to end.
    let room = n.saturating_mul(4).saturating_add(1000);
    let builder = coro::Builder::new().workers(options.workers.get()).max_coroutines(room);
    run_with(builder, || {
        let target = target::reach(options)?;
        let sides = if target.embedded { 2 } else { 1 };
        limits::make_room_for_sockets(sides * n as u64)?;
        introduce(options, target);

        let bears = target.bears.min(n);
        let gate = Gate::new(bears, if target.embedded { bears } else { n });
        let plan =
            Arc::new(Plan::new(target.address, &options.path, options.keep_alive, visit::PATIENCE, gate));
        let mut tally = Tally::new();
        let start = Instant::now();
        let result = rounds(options, &plan, &mut tally, start);
        let elapsed = start.elapsed();
        let stats = coro::stats().map_err(|error| Problem::new(error.to_string()))?;
        let figures = Figures { most_alive: stats.most_alive, deepest_stack: stats.deepest_stack };
        say(report::summary(&tally, elapsed, &figures).trim_end());
        if plan.server_drops() {
            say("the server dropped connections when many came at once (a short listen backlog?);");
            say("after that, only a few were let through at a time");
        }
        result?;
        match tally.failed() {
            0 => Ok(()),
            failed => Err(Problem::new(format!(
                "{} of {} requests failed",
                report::grouped(failed),
                report::grouped(tally.requests)
            ))),
        }
    })
}

fn introduce(options: &cli::Load, target: Target) {
    let (n, path, address) = (options.n, &options.path, target.address);
    let length = match options.rounds {
        Some(NonZeroUsize::MIN) => "1 round".into(),
        Some(rounds) => format!("{rounds} rounds"),
        None => format!("{} s of rounds", BUDGET.as_secs()),
    };
    if target.embedded {
        say(&format!("nothing listened on {}: a server is embedded", options.addr));
    }
    let workers = match options.workers {
        NonZeroUsize::MIN => String::new(),
        workers => format!(", on {workers} workers"),
    };
    say(&format!("{length} of {n} coroutines against http://{address}{path}{workers}"));
}

/// Runs the rounds, and says why if they had to stop early.
fn rounds(options: &cli::Load, plan: &Arc<Plan>, tally: &mut Tally, start: Instant) -> Result<(), Problem> {
    let mut progress = Progress::new(start);
    let mut kept: Vec<Option<Client>> = (0..options.n.get()).map(|_| None).collect();
    loop {
        let enough = match options.rounds {
            Some(rounds) => tally.rounds >= rounds.get() as u64,
            None => start.elapsed() >= BUDGET,
        };
        if enough {
            return Ok(());
        }
        let (requests, failed) = (tally.requests, tally.failed());
        round(plan, &mut kept, tally, &mut progress)?;
        tally.rounds += 1;
        if let Some(problem) = plan.given_up() {
            return Err(problem);
        }
        if tally.failed() - failed == tally.requests - requests {
            return Err(Problem::new("stopped, because not one request of a round succeeded"));
        }
    }
}

/// One round: starts the coroutines, and joins them all.
fn round(
    plan: &Arc<Plan>,
    kept: &mut [Option<Client>],
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let mut handles = Vec::with_capacity(kept.len());
    for (at, slot) in kept.iter_mut().enumerate() {
        let (plan, client) = (plan.clone(), slot.take());
        let handle = coro::CoroutineBuilder::new()
            .name("client")
            .spawn(move || plan.visit(client))
            .map_err(|error| Problem::new(format!("could not start coroutine {at} of a round: {error}")))?;
        handles.push(handle);
    }
    for (handle, slot) in handles.into_iter().zip(kept) {
        match handle.join() {
            Ok(Some((visit, client))) => {
                *slot = client;
                tally.count(visit);
            }
            // Not tried, because others gave up; why is said once for all of them.
            Ok(None) => {}
            Err(error) => {
                let outcome = Err(Failure::new("panic", error.to_string()));
                tally.count(Visit { connects: 0, left_open: false, outcome });
            }
        }
        progress.update(tally);
    }
    Ok(())
}

/// The line that shows on a terminal, and only there, how far it is.
#[derive(Debug)]
struct Progress {
    start: Instant,
    next: Option<Duration>,
}

impl Progress {
    fn new(start: Instant) -> Progress {
        Progress { start, next: io::stderr().is_terminal().then_some(UPDATE) }
    }

    fn update(&mut self, tally: &Tally) {
        let Some(next) = self.next else { return };
        let elapsed = self.start.elapsed();
        if elapsed >= next {
            self.next = Some(elapsed + UPDATE);
            let line = report::progress(tally, elapsed);
            // To the line's start, the text, and erase what an older one left behind it.
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.next.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
