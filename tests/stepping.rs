//! One instruction at a time through a coroutine's whole life: between any two of them the registry and every backtrace
//! must be right (debug-docs/architecture.md, "A stop between any two instructions is readable").
//!
//! The debuggee is tests/programs/stepped.rs. It is traced by ptrace(2), all its threads, one at a time and in a random
//! order; its registry is read from the outside, and backtraces are walked by its call frame information (gimli), which
//! is a debugger's view without a debugger's slowness. The same for `switch` and `entry` under real debuggers is in
//! tests/debugger_backtrace.rs.
//!
//! `CORO_STEPS` in the environment says how many instructions all tests here together are to step, at least; see
//! tests/long/stepping.sh.

#![cfg(target_arch = "x86_64")]

#[path = "stepping/cfi.rs"]
mod cfi;
#[path = "stepping/continuity.rs"]
mod continuity;
#[path = "stepping/invariants.rs"]
mod invariants;
#[path = "stepping/memory.rs"]
mod memory;
#[path = "stepping/modules.rs"]
mod modules;
#[path = "stepping/plants.rs"]
mod plants;
#[path = "stepping/process.rs"]
mod process;
#[path = "stepping/registers.rs"]
mod registers;
#[path = "stepping/stepper.rs"]
mod stepper;
mod support;
#[path = "stepping/transitions.rs"]
mod transitions;
#[path = "stepping/view.rs"]
mod view;
#[path = "stepping/walk.rs"]
mod walk;

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;

use stepper::{Report, step_through, stop_at_random};
use support::{Profile, program};

/// All scenes of the debuggee, but for the `start` of the runtime.
const LIFE: [&str; 15] = [
    "spawn",
    "nested",
    "yield",
    "channel",
    "mutex",
    "timer",
    "event",
    "thread",
    "reuse",
    "control words",
    "cancel",
    "two runtimes",
    "end",
    "panic",
    "two workers",
];

/// The instructions of `switch` that run only if the two sides' control words differ, and their code.
const OUT_OF_LINE: [(&str, [u8; 4]); 2] =
    [("ldmxcsr [r8]", [0x41, 0x0f, 0xae, 0x10]), ("fldcw [r8 + 4]", [0x41, 0xd9, 0x68, 0x04])];

/// What the tests here are to step together, at least, if `CORO_STEPS` doesn't say more.
const STEPS: u64 = 200_000;
/// How often a running debuggee is stopped, if `CORO_STOPS` doesn't say otherwise.
const STOPS: u64 = 200;

#[test]
fn stops_in_a_release_build_are_right_under_fair() {
    steps(Profile::Release, "fair", &LIFE);
}

#[test]
fn stops_in_a_release_build_are_right_under_backtrack() {
    // A panic unwinds as under the other policy, which alone has several workers.
    steps(Profile::Release, "backtrack", &LIFE[..LIFE.len() - 2]);
}

// A debug build takes five times as many instructions, and its calls are the same: the short version leaves some out.

#[test]
fn stops_in_a_debug_build_are_right_under_fair() {
    steps(Profile::Debug, "fair", &["spawn", "yield"]);
}

#[test]
fn stops_in_a_debug_build_are_right_under_backtrack() {
    steps(Profile::Debug, "backtrack", &["nested"]);
}

/// A debugger that attaches finds the process anywhere. `CORO_STOPS` says how often it is to be stopped; see
/// tests/long/attach.sh. Debug builds only: in optimised ones the compiler's CFI is wrong at a few instructions, which
/// stepping knows by what came before.
#[test]
fn stops_at_random_instants_are_right() {
    let stops = asked_by("CORO_STOPS").unwrap_or(STOPS).div_ceil(2);
    let debuggee = program("stepped", Profile::Debug);
    for policy in ["fair", "backtrack"] {
        let report = stop_at_random(&debuggee, &[policy, "endless"], 1, stops);
        let _ = writeln!(
            std::io::stderr(),
            "{policy}: {stops} stops, {} walks of threads, {} of coroutines that stood still",
            report.walks,
            report.walks_of_others
        );
        assert!(report.breaks.is_empty(), "{policy}:\n{}", report.breaks.join("\n"));
        assert!(report.walks + report.gaps >= stops && report.walks_of_others > stops, "{report}");
    }
}

fn asked_by(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text} is no number: {error}")))
}

/// Steps through the wanted scenes, or if more is asked for than a quarter of `STEPS`, through whole lives until it is
/// enough.
fn steps(profile: Profile, policy: &str, scenes: &[&str]) {
    let asked = asked_by("CORO_STEPS");
    let share = asked.unwrap_or(STEPS).div_ceil(4);
    let debuggee = program("stepped", profile);
    let mut stepped = 0;
    for seed in 1.. {
        let is_wanted = |scene: &str| asked.is_some() || scenes.contains(&scene);
        let from = if asked.is_some() && seed == 1 { "start" } else { "life" };
        let report = step_through(&debuggee, &[policy, from], seed, is_wanted);
        // Not by `eprintln!`, which the test harness swallows when the test passes.
        let _ = writeln!(std::io::stderr(), "{profile:?} {policy}: {report}");
        // Several workers there are under `fair` alone.
        let all = if policy == "fair" { &LIFE[..] } else { &LIFE[..LIFE.len() - 1] };
        let problems = problems(&report, profile, policy, if asked.is_some() { all } else { scenes });
        assert!(problems.is_empty(), "{profile:?}, {policy}, seed {seed}:\n{}", problems.join("\n"));
        stepped += report.instructions();
        if stepped >= share {
            break;
        }
    }
    assert!(stepped >= share, "{stepped} instructions were stepped, of {share}");
}

/// What was wrong, and what should have been seen and was not.
fn problems(report: &Report, profile: Profile, policy: &str, scenes: &[&str]) -> Vec<String> {
    let mut problems = report.breaks.clone();
    let mut expect = |holds: bool, otherwise: String| problems.extend((!holds).then_some(otherwise));
    for scene in scenes {
        let count = report.scenes.iter().find(|(name, _)| name == scene).map_or(0, |(_, count)| *count);
        expect(count > 1000, format!("{count} instructions of the scene `{scene}` were stepped"));
    }
    // Only optimisers move an epilogue's instructions.
    let most_mended = if profile == Profile::Debug { 0 } else { 10 };
    expect(
        report.mended.len() <= most_mended,
        format!("the compiler's CFI is wrong at {:#?}", report.mended),
    );
    expect(report.gaps <= 40, format!("{} instructions of four threads' starts have no CFI", report.gaps));
    expect(
        report.landing <= 500 * report.landings,
        format!("{} instructions to let {} panics land", report.landing, report.landings),
    );
    if scenes.contains(&"control words") {
        for (instruction, code) in OUT_OF_LINE {
            let place = report.switch.windows(code.len()).position(|bytes| bytes == code);
            let is_reached = place.is_some_and(|place| report.stepped_in_switch.contains(&(place as u64)));
            expect(is_reached, format!("`{instruction}` in `switch` was not reached"));
        }
    }
    if scenes.contains(&"end") {
        let missing: Vec<_> = edges(policy)
            .into_iter()
            .filter(|(from, to)| !report.edges.contains_key(&((*from).to_owned(), (*to).to_owned())))
            .collect();
        expect(missing.is_empty(), format!("no record went along the edges {missing:?}"));
    }
    problems
}

/// The edges along which records go in a whole life.
fn edges(policy: &str) -> BTreeSet<(&'static str, &'static str)> {
    let mut edges = BTreeSet::from([
        ("free", "new"),
        ("new", "running"),
        ("ready", "running"),
        ("running", "ready"),
        ("running", "parked"),
        ("parked", "ready"),
        ("parked", "running"),
        ("running", "exited"),
        ("exited", "free"),
    ]);
    if policy == "fair" {
        // Who is spawned waits for a turn, and may never get one.
        edges.extend([("new", "ready"), ("ready", "exited")]);
    }
    edges
}
