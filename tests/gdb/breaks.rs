//! `coro break` and `$coro()`: a place in one coroutine only, and what happens to coroutines.

use crate::support::debuggee::{Debuggee, scratch};
use crate::support::{Profile, line_of, program};
use crate::{SEEN, coro, has};

/// Two coroutines take turns in one function: only the one that is meant stops.
#[test]
fn place_stops_in_the_coroutine_that_is_meant() {
    let file = program("seen", Profile::Debug);
    let commands = [
        "coro break seen::twice -name ^two$",
        "info breakpoints",
        "run",
        "print who",
        "print $coro()",
        "continue",
        "info args",
        "delete",
        "coro break seen::twice -id 4 -if round > 3",
        "continue",
        "info locals",
        "print round * 10 + who",
        "delete",
        "break seen::twice if $coro() == 5 && round == 5",
        "continue",
        "print round + who",
        "coro break",
        "coro break seen::twice",
        "coro break seen::twice -id nobody",
        "coro break seen::twice -name (",
        "coro break seen::nothing -id 4",
        "kill",
    ];
    let said = coro(&["--args".as_ref(), file.as_os_str(), "steps".as_ref()], &commands);
    has(&said, "info breakpoints", &["in seen::twice", "stop only if $coro_named__5etwo_24() == 1"]);
    has(&said, "run", &["Breakpoint 1, seen::twice (round=1, who=2)", "coro: in coroutine #5 'two'"]);
    has(&said, "print who", &["= 2"]);
    has(&said, "print $coro()", &["= 5"]);
    has(&said, "info args", &["round = 2", "who = 2"]);
    assert!(said.blocks("continue").nth(1).unwrap().contains("coro: in coroutine #4 'one'"), "{said}");
    has(&said, "print round * 10 + who", &["= 41"]);
    has(&said, "print round + who", &["= 7"]);
    has(&said, "coro break", &["usage: coro break LOCATION"]);
    has(&said, "coro break seen::twice", &["say in whom: -id N or -name RE"]);
    has(&said, "coro break seen::twice -id nobody", &["that is no whole number"]);
    has(&said, "coro break seen::twice -name (", &["that is no regular expression"]);
    has(&said, "coro break seen::nothing -id 4", &["not defined"]);
}

#[test]
fn spawn_exit_and_panic_stop_and_say_who() {
    for profile in [Profile::Debug, Profile::Release] {
        let file = program("seen", profile);
        let commands = [
            "coro break spawn -name ends|panics",
            "coro break exit -id 4",
            "coro break panic",
            "info breakpoints",
            "run",
            "print $coro()",
            "bt 2",
            "continue",
            "print $coro()",
            "continue",
            "continue",
        ];
        let said = coro(&["--args".as_ref(), file.as_os_str(), "panics".as_ref()], &commands);
        has(
            &said,
            "info breakpoints",
            &["$coro_named_ends_7cpanics($rdi) == 1", "stop only if $coro($rdi) == 4"],
        );
        has(&said, "run", &["coro: coroutine #4 'ends' is spawned, by #1 'main'"]);
        // Which of its functions it is, and what is inlined, is the runtime's own affair.
        has(&said, "bt 2", &["spawned", " at src/runtime/spawn.rs:"]);
        let mut running = said.blocks("print $coro()");
        assert_eq!(running.next(), Some("$1 = 1\n"), "{said}");
        assert_eq!(running.next(), Some("$2 = 4\n"), "{said}");
        let mut stops = said.blocks("continue");
        for words in [
            "coro: coroutine #4 'ends' ends\n",
            "coro: coroutine #5 'panics' is spawned, by #1 'main'\n",
            "coro: coroutine #5 'panics' panics\n",
        ] {
            let stop = stops.next().unwrap();
            assert!(stop.contains(words), "{words}: {said}");
        }
    }
}

/// GDB saves the condition; the functions in it are made again when it is read.
#[test]
fn breakpoints_can_be_kept() {
    let folder = scratch("breakpoints");
    let file = folder.join("breakpoints");
    let (save, read) = (format!("save breakpoints {}", file.display()), format!("source {}", file.display()));
    let program = program("seen", Profile::Debug);
    let options = ["--args".as_ref(), program.as_os_str(), "steps".as_ref()];
    coro(
        &options,
        &["coro break spawn -name t.o", "coro break seen::twice -name ^two$ -if round == 3", &save],
    );
    let said = coro(&options, &[read.as_str(), "run", "continue", "kill"]);
    has(&said, "run", &["coro: coroutine #5 'two' is spawned, by #1 'main'\n"]);
    has(&said, "continue", &["seen::twice (round=3, who=2)", "coro: in coroutine #5 'two'\n"]);
    std::fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

/// A stripped program has no symbol to stop at: the registry has the addresses.
#[test]
fn events_of_a_stripped_program_are_found_by_the_registry() {
    let debuggee = Debuggee::seen(Profile::Stripped, "parked").asleep();
    let said = coro(&debuggee.attach(), &["coro break spawn", "coro break exit", "info breakpoints"]);
    has(&said, "coro break spawn", &["Breakpoint 1 at 0x"]);
    has(&said, "info breakpoints", &["1 ", "2 "]);
    let before = coro(&[program("seen", Profile::Stripped)], &["coro break spawn"]);
    has(&before, "coro break spawn", &["start the program, and stop it when it has coroutines"]);
}

/// A condition is asked wherever the breakpoint is hit; where there is no coroutine it is 0, and no error.
#[test]
fn number_of_no_coroutine_is_zero() {
    let file = program("seen", Profile::Debug);
    let line = format!("break {}", line_of(SEEN, "FIRST"));
    let commands = [
        "print $coro()",
        "coro break seen::main -id",
        "break seen::main if $coro() == 0",
        "run",
        &line,
        "continue",
        "print $coro() + 1",
    ];
    let said = coro(&["--args".as_ref(), file.as_os_str(), "steps".as_ref()], &commands);
    has(&said, "print $coro()", &["= 0"]);
    has(&said, "coro break seen::main -id", &["coro: `-id` wants a coroutine's number behind it\n"]);
    has(&said, "run", &["Breakpoint 1, seen::main"]);
    has(&said, "print $coro() + 1", &["= 5"]);
}
