//! `coro break`: a place in one coroutine only, and what happens to coroutines.

use crate::support::debuggee::{Debuggee, scratch};
use crate::support::{Profile, program};
use crate::{coro, has, line};

/// Two coroutines take turns in one function: only the one that is meant stops.
#[test]
fn place_stops_in_the_coroutine_that_is_meant() {
    let file = program("seen", Profile::Debug);
    let commands = [
        "coro break seen::twice -name ^two$",
        "breakpoint list",
        "run",
        "frame variable who",
        "continue",
        "frame variable round who",
        "breakpoint delete -f",
        "coro break -n seen::twice -id 4 -if round > 3",
        "continue",
        "frame variable round who",
        "breakpoint delete -f",
        "coro break seen::twice -id 5 -if no_such == 3",
        "continue",
        "kill",
    ];
    let said = coro(&["--".as_ref(), file.as_os_str(), "steps".as_ref()], &commands);
    has(&said, "coro break seen::twice -name ^two$", &["Breakpoint 1: where = seen`seen::twice::h"]);
    has(&said, "breakpoint list", &["return coro_lldb.breaks.stops(frame, name='^two$')"]);
    has(&said, "run", &["name = '#5 two'", "stop reason = breakpoint 1.1", "(round=1, who=2)"]);
    has(&said, "frame variable who", &["who = 2"]);
    let variables: Vec<&str> = said.blocks("frame variable round who").collect();
    assert!(variables[0].contains("round = 2\n") && variables[0].contains("who = 2\n"), "{said}");
    assert!(variables[1].contains("round = 4\n") && variables[1].contains("who = 1\n"), "{said}");
    // A condition that can't be asked for stops, as LLDB's own do, and says why.
    let stop = said.blocks("continue").nth(2).expect("it was given");
    assert!(
        stop.contains("coro: `-if no_such == 3` has no value here: ") && stop.contains("'#5 two'"),
        "{said}"
    );
}

#[test]
fn spawn_exit_and_panic_stop_and_say_who() {
    for profile in [Profile::Debug, Profile::Release] {
        let file = program("seen", profile);
        let commands = [
            "coro break spawn -name ends|panics",
            "coro break exit -id #4",
            "coro break panic",
            "run",
            "continue",
            "continue",
            "continue",
            "kill",
        ];
        let said = coro(&["--".as_ref(), file.as_os_str(), "panics".as_ref()], &commands);
        has(
            &said,
            "run",
            &["coroutine #4 'ends' is spawned, by #1 'main'\n", "* thread #2, name = '#1 main'"],
        );
        let stops = said.blocks("continue");
        for (stop, (words, name)) in stops.zip([
            ("coroutine #4 'ends' ends\n", "name = '#4 ends'"),
            ("coroutine #5 'panics' is spawned, by #1 'main'\n", "name = '#1 main'"),
            ("coroutine #5 'panics' panics\n", "name = '#5 panics'"),
        ]) {
            assert!(stop.contains(words) && line(stop, "* thread #").contains(name), "{words}: {said}");
        }
    }
}

/// LLDB 19 tells of one of the threads which come to a breakpoint at the same moment, and has the others pass it.
#[test]
fn coroutine_that_comes_together_with_others_is_not_missed() {
    let file = program("seen", Profile::Debug);
    let mut commands = vec!["coro break seen::twice -name ^two$", "run"];
    for _ in 0..8 {
        commands.extend(["coro select two", "frame variable round", "continue"]);
    }
    commands.push("kill");
    let options = ["--".as_ref(), file.as_os_str(), "steps".as_ref(), "4".as_ref()];
    let said = coro(&options, &commands);
    for (round, variables) in (1..).zip(said.blocks("frame variable round")) {
        assert!(variables.contains(&format!("round = {round}\n")), "round {round} was missed: {said}");
    }
    for stop in said.blocks("continue") {
        let is_shown = line(stop, "* thread #").contains("name = '#5 two'");
        let is_said = stop.contains(
            "coroutine #5 'two' has come here, at the same moment as the one that LLDB shows: `coro select 5` goes there\n",
        );
        assert!(is_shown != is_said, "{stop}\n{said}");
    }
}

/// A stripped program has no symbol to stop at: the registry has the addresses.
#[test]
fn events_of_a_stripped_program_are_found_by_the_registry() {
    let debuggee = Debuggee::seen(Profile::Stripped, "parked").asleep();
    let said = coro(&debuggee.attach(), &["coro break spawn", "coro break exit -id 4", "breakpoint list"]);
    has(&said, "coro break spawn", &["Breakpoint 1: where = ", "address = 0x"]);
    has(&said, "breakpoint list", &["stops(frame, event='spawn')", "stops(frame, id=4, event='exit')"]);
    let before = coro(&[program("seen", Profile::Stripped)], &["coro break spawn"]);
    has(&before, "coro break spawn", &["start the program, and stop it when it has coroutines"]);
}

/// LLDB writes them to a file, and reads them.
#[test]
fn breakpoints_can_be_kept() {
    let folder = scratch("breakpoints");
    let file = folder.join("breakpoints");
    let (write, read) =
        (format!("breakpoint write -f {}", file.display()), format!("breakpoint read -f {}", file.display()));
    let program = program("seen", Profile::Debug);
    let options = ["--".as_ref(), program.as_os_str(), "steps".as_ref()];
    coro(&options, &["coro break seen::twice -name two -if round == 3", &write]);
    let said = coro(&options, &[read.as_str(), "run", "kill"]);
    has(&said, "run", &["name = '#5 two'", "(round=3, who=2)"]);
    std::fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

#[test]
fn what_it_does_not_take_is_said() {
    let file = program("seen", Profile::Debug);
    let commands = [
        (
            "coro break",
            "error: coro: usage: coro break LOCATION|spawn|exit|panic [-id N|-name RE] [-if COND]",
        ),
        (
            "coro break seen::twice",
            "error: coro: say in whom: -id N or -name RE; a plain breakpoint stops in any",
        ),
        ("coro break seen::twice -id", "error: coro: `-id` wants a coroutine's number behind it"),
        ("coro break seen::twice -id nobody", "that is no whole number"),
        ("coro break seen::twice -id 4 -id 5", "`-id` and `-name` are given once each"),
        ("coro break seen::twice -name (", "that is no regular expression"),
        ("coro break -q -id 4", "error: coro: LLDB says: "),
        ("coro break seen::nothing -id 4", "no locations (pending)"),
    ];
    let said = coro(&[file.as_os_str()], &commands.map(|(command, _)| command));
    for (command, sentence) in commands {
        has(&said, command, &[sentence]);
    }
    let none: [&str; 0] = [];
    let said = coro(&none, &["coro break main -id 4"]);
    has(
        &said,
        "coro break main -id 4",
        &["error: coro: there is no program in which to stop: `target create"],
    );
}
