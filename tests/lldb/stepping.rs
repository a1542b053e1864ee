//! Steps stay with a coroutine, which gives way to others in the middle of them, on one thread and on several.

use std::process::Command;

use crate::support::debuggee::Debuggee;
use crate::support::debugger::lldb_name;
use crate::support::{Profile, line_of, program};
use crate::{IMPORT, RELAY, coro, has, line, row, script};

/// Starts relay in LLDB; `breakpoint disable` follows, so that it is the steps that stop.
fn start(threads: &str, commands: &[&str]) -> crate::support::Transcript {
    let file = program("relay", Profile::Debug);
    let stop = format!("breakpoint set -f relay.rs -l {}", line_of(RELAY, "BEFORE"));
    let options = ["--".as_ref(), file.as_os_str(), threads.as_ref(), "5".as_ref(), "1000".as_ref()];
    coro(&options, &[&[stop.as_str(), "run", "breakpoint disable"], commands, &["kill"]].concat())
}

/// Where each `next` has stopped: the stop's line with the thread, and the frame's below it.
#[track_caller]
fn check_stops(stops: &[&str], name: &str, variables: &str, lines: &[&str]) {
    assert_eq!(stops.len(), lines.len());
    for (stop, marker) in stops.iter().zip(lines) {
        let thread = line(stop, "* thread #");
        assert!(thread.contains(&format!("name = '{name}'")), "another coroutine: {stop}");
        assert!(thread.contains("stop reason = step"), "{stop}");
        let frame = line(stop, "frame #0: ");
        assert!(frame.contains(variables), "another coroutine's variables: {stop}");
        assert!(
            frame.contains(&format!("at relay.rs:{}", line_of(RELAY, marker))),
            "not at {marker}: {stop}"
        );
    }
}

#[test]
fn next_stays_with_a_coroutine_that_gives_way() {
    for threads in ["1", "3"] {
        let said = start(threads, &["next", "next"]);
        assert!(said.block("run").contains("name = '#4 runner 0'") || threads == "3", "{said}");
        let stop = line(said.block("run"), "* thread #");
        let name = stop.split('\'').nth(1).expect("a name").to_owned();
        let me = name.rsplit(' ').next().expect("its number").to_owned();
        let stops: Vec<&str> = said.blocks("next").collect();
        check_stops(&stops, &name, &format!("(me={me}, "), &["YIELD", "AFTER"]);
    }
}

/// Stopped on one worker, it goes on with a coroutine of another one.
#[test]
fn next_goes_with_a_coroutine_of_another_worker() {
    let file = program("relay", Profile::Debug);
    let stop = format!("breakpoint set -f relay.rs -l {}", line_of(RELAY, "ONE"));
    let arguments = ["--".as_ref(), file.as_os_str()];
    let options = [&arguments[..], &["4", "5", "100000", "workers"].map(AsRef::as_ref)].concat();
    let commands = [
        stop.as_str(),
        "run",
        "breakpoint disable",
        "coro list",
        "coro select runner-3",
        "coro next",
        "next",
        "next",
        "coro list",
        "kill",
    ];
    let said = coro(&options, &commands);
    let thread = line(said.block("run"), "* thread #");
    assert!(thread.contains(" runner-100'"), "{said}");
    let lists: Vec<&str> = said.blocks("coro list").collect();
    let worker_of = |list: &str, name: &str| {
        let heading = list.lines().next().expect("a heading");
        let end = heading.find("WORKER").expect("the column") + "WORKER".len();
        let cell = row(list, name)[..end].rsplit(' ').next();
        cell.expect("a cell").to_owned()
    };
    assert_ne!(worker_of(lists[0], "runner-3"), worker_of(lists[0], "runner-100"), "{said}");
    has(&said, "coro select runner-3", &["[coroutine #", " 'runner-3', ready, ", "(me=3, "]);
    for block in [said.block("coro next")].into_iter().chain(said.blocks("next")) {
        let thread = line(block, "* thread #");
        assert!(thread.contains(" runner-3'") && thread.contains("stop reason = step"), "{block}\n{said}");
        let frame = line(block, "frame #0: ");
        assert!(frame.contains("relay::race") && frame.contains("(me=3, "), "{block}\n{said}");
    }
    assert_eq!(worker_of(lists[1], "runner-3"), worker_of(lists[0], "runner-3"), "{said}");
}

#[test]
fn coroutine_that_does_not_run_is_stepped_from_where_it_waits() {
    // At the second stop the others are in the middle of their first round, in the call that gives way.
    let said = start(
        "1",
        &["next", "next", "coro list", "coro select 7", "coro next", "next", "coro select 6", "finish"],
    );
    assert!(line(said.block("coro list"), "runner 3").contains(" ready "), "{said}");
    has(&said, "coro select 7", &["[coroutine #7 'runner 3', ready, thread ", "frame #5", "(me=3, "]);
    check_stops(&[said.block("coro next")], "#7 runner 3", "(me=3, ", &["YIELD"]);
    let nexts: Vec<&str> = said.blocks("next").collect();
    check_stops(&nexts[2..], "#7 runner 3", "(me=3, ", &["AFTER"]);
    // `finish` goes on until the selected function has returned, though others run meanwhile.
    has(&said, "coro select 6", &["(me=2, "]);
    has(&said, "finish", &["name = '#6 runner 2'", "stop reason = step out"]);
    assert!(!said.block("finish").contains("relay::race"), "it has left the function: {said}");
}

/// `coro step` goes into the user's functions, and through the runtime's and the standard library's; `coro finish` is back
/// where the function was called.
#[test]
fn step_goes_into_functions_of_the_users_only() {
    let file = program("relay", Profile::Debug);
    let commands = ["breakpoint set -n relay::take_turns", "run", "breakpoint disable"];
    let steps = ["coro step"; 6];
    let more = ["coro select 7", "coro step", "coro finish", "kill"];
    let options = ["--".as_ref(), file.as_os_str(), "1".as_ref(), "5".as_ref(), "1000".as_ref()];
    let said = coro(&options, &[&commands[..], &steps, &more].concat());
    let mut stops = said.blocks("coro step");
    let [before, yields, after, same] =
        ["BEFORE", "YIELD", "AFTER", "SAME"].map(|marker| line_of(RELAY, marker));
    for number in [before - 1, before, yields, after, same, before - 1] {
        let stop = stops.next().expect("it was given so often");
        assert!(line(stop, "* thread #").contains("name = '#4 runner 0'"), "{stop}");
        let frame = line(stop, "frame #0: ");
        let is_there = frame.contains("relay::race::h") && frame.contains(&format!("at relay.rs:{number}:"));
        assert!(is_there, "not at {number}: {stop}");
    }
    // Of one that doesn't run it is `coro next`.
    check_stops(&[stops.next().expect("it was given once more")], "#7 runner 3", "(me=3, ", &["YIELD"]);
    has(&said, "coro finish", &["name = '#7 runner 3'", "relay::take_turns::h", "me=3, "]);
}

/// A coroutine that runs is the thread that has stopped, from the first stop on: also one whose OS thread LLDB has not seen
/// before.
#[test]
fn first_stop_is_the_coroutines() {
    let said = start("4", &["thread list", "coro list", "coro bt", "thread backtrace"]);
    let stop = line(said.block("run"), "* thread #");
    assert!(
        stop.contains("name = '#")
            && stop.contains(" runner ")
            && stop.contains("stop reason = breakpoint 1.1"),
        "{said}"
    );
    let selected = line(said.block("coro list"), "* ");
    assert!(selected.contains("runner ") && selected.contains("running on thread "), "{said}");
    has(&said, "coro bt", &["relay::race (me="]);
    // Its backtrace as a thread's goes on behind its first frame with who has resumed it: switch, and main behind that.
    has(&said, "thread backtrace", &["relay::race", "entry", "switch_loop", "relay::run"]);
    assert!(said.block(IMPORT).contains("coro 0.1.0: loaded; \"help coro\" lists the commands"), "{said}");
}

/// Nobody wakes it; at a terminal one Ctrl-C stops the program, as with LLDB's own commands.
#[test]
fn ctrl_c_ends_a_next_that_comes_to_no_line() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let output = Command::new("python3")
        .arg("-B")
        .arg(script("interrupt.py"))
        .args([lldb_name(), &debuggee.pid(), "coro select reader", "coro next"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("python3 does not start ({error}): tests/install.sh installs it"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains("Traceback"), "{said}");
    assert!(said.contains("name = '#2 io'") && said.contains("stop reason = signal SIGSTOP"), "{said}");
    assert!(line(&said, "name = '#4 reader'").contains(", parked "), "{said}");
    assert!(!said.contains("records read"), "{said}");
}

/// It would be waited for for ever.
#[test]
fn parked_coroutine_of_a_forks_parent_is_not_stepped() {
    let mut debuggee = Debuggee::seen(Profile::Debug, "fork");
    let child = debuggee.line();
    let said = coro(&["-p", &child], &["coro select reader", "coro next", "coro finish", "kill"]);
    for command in ["coro next", "coro finish"] {
        has(&said, command, &["error: coro: this process is a fork, and the coroutine its parent's"]);
    }
}
