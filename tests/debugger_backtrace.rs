//! Plain backtraces, without any script, cross from a coroutine into its resumer: in GDB, in LLDB, and in the
//! program itself (`std::backtrace`, which is libgcc's unwinder).
//!
//! The debuggee is tests/programs/nested.rs: a coroutine inside a coroutine, on the main thread, on another
//! thread and on one whose stack lies below the region; with the inner stack above and below the outer one,
//! because GDB's check for frames that don't climb depends on it; under both policies.
//!
//! What is compared are names and exact lines, taken from the marks in the source. That the comparison itself
//! sees what is wrong is pinned in debugger_backtrace/comparison.rs, with transcripts of wrong backtraces.

#[path = "debugger_backtrace/comparison.rs"]
mod comparison;
#[path = "debugger_backtrace/steps.rs"]
mod steps;
mod support;

use std::backtrace::Backtrace;

use coro::{Builder, Policy};
use pretty_assertions::assert_eq;
use steps::Steps;
use support::backtrace::{self, Expected, Frame};
use support::{Profile, Transcript, gdb, line_of, lldb, program};

use Expected::{Boundary, Function, Gap, Inlined, Line, Root};

const NESTED: &str = "tests/programs/nested.rs";
const THREADS: [&str; 3] = ["main", "thread", "low"];
const ORDERS: [&str; 2] = ["above", "below"];
const POLICIES: [&str; 2] = ["fair", "backtrack"];

#[derive(Clone, Copy, Debug)]
enum Debugger {
    Gdb,
    Lldb,
}

#[test]
fn gdb_crosses_boundaries_in_a_debug_build() {
    crosses_boundaries(Debugger::Gdb, Profile::Debug);
}

#[test]
fn gdb_crosses_boundaries_in_a_release_build() {
    crosses_boundaries(Debugger::Gdb, Profile::Release);
}

#[test]
fn lldb_crosses_boundaries_in_a_debug_build() {
    crosses_boundaries(Debugger::Lldb, Profile::Debug);
}

#[test]
fn lldb_crosses_boundaries_in_a_release_build() {
    crosses_boundaries(Debugger::Lldb, Profile::Release);
}

#[test]
fn gdb_walks_the_stack_at_every_instruction_of_a_switch() {
    walks_at_every_instruction(Debugger::Gdb, ["main", "above", "fair"]);
}

#[test]
fn lldb_walks_the_stack_at_every_instruction_of_a_switch() {
    walks_at_every_instruction(Debugger::Lldb, ["main", "above", "fair"]);
}

#[test]
fn gdb_walks_the_stack_at_every_instruction_of_a_switch_to_a_child() {
    walks_at_every_instruction(Debugger::Gdb, ["low", "below", "backtrack"]);
}

#[test]
fn lldb_walks_the_stack_at_every_instruction_of_a_switch_to_a_child() {
    walks_at_every_instruction(Debugger::Lldb, ["low", "below", "backtrack"]);
}

/// Stops once in each of the debuggee's configurations, all in one run of the debugger.
fn crosses_boundaries(debugger: Debugger, profile: Profile) {
    let configurations: Vec<[&str; 3]> = THREADS
        .iter()
        .flat_map(|thread| ORDERS.map(|order| [*thread, order]))
        .flat_map(|[thread, order]| POLICIES.map(|policy| [thread, order, policy]))
        .collect();
    // Both know these words.
    let runs: Vec<String> = configurations.iter().map(|words| format!("run {}", words.join(" "))).collect();
    let mut commands = vec!["breakpoint set --name stop_here"];
    if let Debugger::Gdb = debugger {
        commands = vec!["break stop_here"];
    }
    commands.extend(runs.iter().flat_map(|run| [run, "bt", "kill"]));
    let transcript = debugger.run(profile, &commands);
    let backtraces: Vec<&str> = transcript.blocks("bt").collect();
    assert_eq!(backtraces.len(), configurations.len());
    let problems: Vec<String> = configurations
        .iter()
        .zip(backtraces)
        .flat_map(|(words, text)| {
            let problems = backtrace::problems(text, &debugger.frames(text), &expected(words[1], words[2]));
            problems.into_iter().map(move |problem| format!("{}: {problem}\n{text}", words.join(" ")))
        })
        .collect();
    assert!(problems.is_empty(), "{debugger:?}, {profile:?}: {}", problems.join("\n"));
}

/// From `stop_here` to where the thread starts.
fn expected(order: &str, policy: &str) -> Vec<Expected> {
    let at = |function, marker| Line(function, "nested.rs", line_of(NESTED, marker));
    let inlined = Inlined("inlined_caller", "nested.rs", line_of(NESTED, "INLINED"));
    // In an optimised build LLDB stops in what is inlined at the start of `stop_here`.
    let stopped =
        [Gap, Function("stop_here"), inlined, at("inner_work", "INNER"), at("{closure}", "CLOSURE")];
    let boundary = [Gap, Function("start"), Boundary, Function("swap"), Function("transfer")];
    // Under backtrack the inner coroutine was started at once, on behalf of the outer one.
    let outer = [Gap, at("outer_work", "SPAWN"), Function("{closure}")];
    // Whose turn comes from switch; main waits.
    let by_switch =
        [Function("switch_loop"), Function("start"), Boundary, Function("swap"), Function("transfer")];
    let main_waits = [Gap, at("main_work", "NESTED"), Gap, Function("nested"), Gap, Root];
    // Started at once by main.
    let by_main = [Gap, at("main_work", "OUTER"), Gap, Function("nested"), Gap, Root];
    match (policy, order) {
        ("fair", _) => [&stopped[..], &boundary, &by_switch, &main_waits].concat(),
        (_, "above") => [&stopped[..], &boundary, &outer, &boundary, &by_main].concat(),
        // There the outer one has waited for its neighbour's end meanwhile.
        _ => [&stopped[..], &boundary, &outer, &boundary, &by_switch, &main_waits].concat(),
    }
}

impl Debugger {
    fn run(self, profile: Profile, commands: &[&str]) -> Transcript {
        self.run_with(profile, &[], commands)
    }

    fn run_with(self, profile: Profile, arguments: &[&str], commands: &[&str]) -> Transcript {
        let nested = program("nested", profile);
        match self {
            Debugger::Gdb => gdb(&nested, arguments, commands),
            Debugger::Lldb => lldb(&nested, arguments, commands),
        }
    }

    fn frames(self, text: &str) -> Vec<Frame> {
        match self {
            Debugger::Gdb => backtrace::of_gdb(text),
            Debugger::Lldb => backtrace::of_lldb(text),
        }
    }
}

/// Steps through every switch of the debuggee's life: coroutines' first turns, waits, and ends.
fn walks_at_every_instruction(debugger: Debugger, arguments: [&str; 3]) {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/debugger_backtrace");
    let command = match debugger {
        Debugger::Gdb => format!("source {scripts}/step_gdb.py"),
        Debugger::Lldb => format!("command script import {scripts}/step_lldb.py"),
    };
    let transcript = debugger.run_with(Profile::Debug, &arguments, &[&command]);
    let steps = Steps::parse(transcript.block(&command));
    let problems = steps.problems();
    assert!(problems.is_empty(), "{}\n{transcript}", problems.join("\n"));
}

#[test]
fn std_backtrace_crosses_to_the_resumer() {
    #[inline(never)]
    fn inner_coroutine() -> Backtrace {
        std::hint::black_box(Backtrace::force_capture()) // line CAPTURE
    }
    #[inline(never)]
    fn outer_coroutine() -> Backtrace {
        coro::spawn(inner_coroutine).join().unwrap() // line OUTER
    }
    #[inline(never)]
    fn runtime(policy: Policy) -> String {
        let builder = Builder::new().policy(policy);
        let result = builder.run(|| coro::spawn(outer_coroutine).join().unwrap()); // line RUN
        result.unwrap().to_string()
    }
    let at = |function, marker| Line(function, "debugger_backtrace.rs", line_of(file!(), marker));
    let captured = [Gap, at("inner_coroutine", "CAPTURE")];
    let boundary = [Gap, Function("start"), Boundary, Function("swap"), Function("transfer")];
    let by_switch =
        [Function("switch_loop"), Function("start"), Boundary, Function("swap"), Function("transfer")];
    let outer = [Gap, at("outer_coroutine", "OUTER")];
    let main = [Gap, at("runtime", "RUN"), Gap, Root];
    for (policy, expected) in [
        (Policy::Fair, [&captured[..], &boundary, &by_switch, &main].concat()),
        (Policy::Backtrack, [&captured[..], &boundary, &outer, &boundary, &main].concat()),
    ] {
        let text = runtime(policy);
        let problems = backtrace::problems(&text, &backtrace::of_std(&text), &expected);
        assert!(problems.is_empty(), "{policy:?}: {}\n{text}", problems.join("\n"));
    }
}
