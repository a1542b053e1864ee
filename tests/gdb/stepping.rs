//! `coro next`, `coro step`, `coro finish`: with one coroutine, while others come by.
//!
//! Two coroutines of tests/programs/seen.rs take turns in one function, and give way to each other in the
//! middle of it.

use crate::support::{Profile, line_of, program};
use crate::{SEEN, Transcript, coro, has};

/// Runs commands, in the coroutine `one`, at the first line of its loop.
#[track_caller]
fn in_one(profile: Profile, commands: &[&str]) -> Transcript {
    let file = program("seen", profile);
    let stop = format!("break {SEEN}:{}", line_of(SEEN, "FIRST"));
    let begin = [&stop, "run", "delete"];
    coro(&["--args".as_ref(), file.as_os_str(), "steps".as_ref()], &[&begin[..], commands].concat())
}

#[track_caller]
fn comes_to(said: &Transcript, command: &str, turn: usize, mark: &str) {
    let line = format!("{}\t", line_of(SEEN, mark));
    let block = said.blocks(command).nth(turn).unwrap();
    assert!(block.contains(&line), "`{command}`, time {turn}, does not come to {mark}: {block}\n{said}");
}

#[test]
fn next_stays_with_the_coroutine_over_its_waits() {
    for profile in [Profile::Debug, Profile::Release] {
        let mut commands = Vec::new();
        for _ in 0..9 {
            commands.extend(["coro next", "print $coro()"]);
        }
        let said = in_one(profile, &commands);
        // In optimised code a line may be in several pieces. But twice round the loop it comes to each that
        // gives way.
        if profile == Profile::Debug {
            for (turn, mark) in ["SECOND", "THIRD", "FOURTH"].into_iter().enumerate() {
                comes_to(&said, "coro next", turn, mark);
            }
        } else {
            let third = format!("{}\t", line_of(SEEN, "THIRD"));
            assert!(said.blocks("coro next").any(|block| block.contains(&third)), "{said}");
        }
        for (turn, block) in said.blocks("print $coro()").enumerate() {
            assert!(block.ends_with("= 4\n"), "after {turn} steps it is another one: {said}");
        }
        assert!(!said.to_string().contains("Breakpoint -"), "{said}");
    }
}

#[test]
fn step_goes_into_functions_and_finish_comes_back() {
    let said = in_one(
        Profile::Debug,
        &[
            "coro next",
            "coro step",
            "info args",
            "coro next 2",
            "coro next",
            "print $coro() + 0",
            "coro finish",
            "print $coro()",
            "print round * 100 + who",
        ],
    );
    comes_to(&said, "coro next", 0, "SECOND");
    comes_to(&said, "coro step", 0, "TWICE");
    has(&said, "info args", &["who = 1"]);
    comes_to(&said, "coro next 2", 0, "DOUBLED");
    has(&said, "print $coro() + 0", &["= 4"]);
    has(&said, "coro finish", &["seen::turns (who=1)"]);
    comes_to(&said, "coro finish", 0, "SECOND");
    has(&said, "print $coro()", &["= 4"]);
    has(&said, "print round * 100 + who", &["= 101"]);
}

#[test]
fn program_stops_where_another_coroutine_comes_to_a_breakpoint() {
    let said = in_one(
        Profile::Debug,
        &["break seen::twice if who == 2", "coro next", "coro next", "print $coro()", "info breakpoints"],
    );
    let stop = said.blocks("coro next").nth(1).unwrap();
    assert!(stop.contains("Breakpoint 2, seen::twice (round=1, who=2)"), "{said}");
    assert!(stop.contains("coro: stopped in coroutine #5 'two', before #4 'one' has come so far"), "{said}");
    has(&said, "print $coro()", &["= 5"]);
    assert!(!said.block("info breakpoints").contains('-'), "none of ours is left: {said}");
}

/// Of a coroutine that isn't running: until it comes to the next line of the frame that is selected.
#[test]
fn next_of_a_selected_coroutine_waits_for_it() {
    let said = in_one(
        Profile::Debug,
        &[
            "break seen::twice if who == 2",
            "continue",
            "delete",
            // `one` has given way in `twice`.
            "coro select one",
            crate::seen::frame_of!("twice"),
            "coro next",
            "print $coro()",
            "coro select two",
            "coro step",
            "print $coro() + 0",
        ],
    );
    comes_to(&said, "coro next", 0, "DOUBLED");
    has(&said, "coro next", &["coro: #4 'one' is no longer selected"]);
    has(&said, "print $coro()", &["= 4"]);
    has(&said, "print $coro() + 0", &["= 5"]);
}

#[test]
fn coroutines_end_stops_the_stepping() {
    let file = program("seen", Profile::Debug);
    let stop = format!("break {SEEN}:{}", line_of(SEEN, "WORDS"));
    let mut commands = vec![stop.as_str(), "run", "delete", "coro next", "coro next", "coro next"];
    commands.extend(["coro finish", "print $coro()"]);
    // From the last line on, out of one function after the other, there is only the end to come to.
    commands.extend(["coro finish"; 24]);
    let said = coro(&["--args".as_ref(), file.as_os_str(), "panics".as_ref()], &commands);
    comes_to(&said, "coro next", 1, "LAST");
    has(&said, "print $coro()", &["= 4"]);
    let end = "coro: coroutine #4 'ends' has come to its end";
    assert!(said.blocks("coro finish").any(|block| block.contains(end)), "{said}");
}

/// What is called in the line is the runtime's own: `step` runs through it.
#[test]
fn step_does_not_land_in_the_scheduler() {
    let said = in_one(
        Profile::Debug,
        &[
            "info skip",
            "next",
            "next",
            "step",
            "print $coro()",
            "coro skip",
            "info skip",
            "coro skip off",
            "info skip",
            "coro skip perhaps",
            "coro skip on",
            "info skip",
        ],
    );
    comes_to(&said, "next", 1, "THIRD");
    comes_to(&said, "step", 0, "FOURTH");
    has(&said, "print $coro()", &["= 4"]);
    let skips: Vec<&str> = said.blocks("info skip").collect();
    assert!(skips[0].contains("Not skipping"), "nothing before it is needed: {said}");
    assert!(skips[1].contains("/src/scheduler/*.rs"), "{said}");
    assert!(!skips[1].contains("demo"), "the demo is no part of the runtime: {said}");
    assert!(skips[2].contains("Not skipping"), "{said}");
    assert_eq!(skips[3].lines().count(), skips[1].lines().count(), "{said}");
    has(&said, "coro skip perhaps", &["it is on or off"]);
    let without = in_one(Profile::Debug, &["coro skip off", "next", "next", "step", "bt 1"]);
    assert!(without.block("bt 1").contains("coro::runtime::spawn::yield_now"), "{without}");
}

#[test]
fn stepping_needs_a_coroutine() {
    let file = program("seen", Profile::Debug);
    let commands = [
        "coro next",
        "break seen::main",
        "run",
        "coro next 0",
        "coro step x",
        "coro finish 3",
        "coro finish",
    ];
    let said = coro(&["--args".as_ref(), file.as_os_str(), "steps".as_ref()], &commands);
    has(&said, "coro next", &["the program doesn't run"]);
    has(&said, "coro next 0", &["`0` is no number of steps"]);
    has(&said, "coro step x", &["`x` is no number of steps"]);
    has(&said, "coro finish 3", &["takes no argument"]);
    has(&said, "coro finish", &["the selected thread runs no coroutine: GDB's own commands step it"]);
}

/// A handler on an alternate stack: who runs is known, and isn't stepped there.
#[test]
fn handler_on_a_stack_of_its_own_is_not_stepped() {
    let commands = [
        "handle SIGSEGV nostop noprint pass",
        "break coro::debug::crash::handler::on_fault",
        "run",
        "coro info",
        "coro bt",
        "coro next",
        "kill",
    ];
    let options = ["--args", env!("CARGO_BIN_EXE_main"), "overflow", "recursion"];
    let said = coro(&options, &commands);
    has(&said, "coro info", &["coroutine     #4 'overflow', user", "running on thread 1"]);
    has(&said, "coro bt", &["handler::on_fault", "overflow::recurse", " more rounds of this frame"]);
    has(&said, "coro next", &["coro: the selected thread stands on another stack than the coroutine's"]);
}

/// A function that calls itself comes to the same lines, and returns to the same place, further in.
#[test]
fn recursion_is_stepped_over() {
    let file = program("seen", Profile::Debug);
    let stop = format!("break {SEEN}:{} if n == 3", line_of(SEEN, "DEEPER"));
    let commands =
        [stop.as_str(), "run", "delete", "coro next", "coro next", "print n", "coro finish", "print n + 0"];
    let said = coro(&["--args".as_ref(), file.as_os_str(), "panics".as_ref()], &commands);
    comes_to(&said, "coro next", 1, "BACK");
    has(&said, "print n", &["= 3"]);
    has(&said, "coro finish", &["seen::countdown (n=4)"]);
    has(&said, "print n + 0", &["= 4"]);
}
