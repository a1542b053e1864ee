//! What a crash report does when something is wrong with itself: a fault in any of its stages, damaged records, and
//! locks that whoever crashed holds. Always what can be said is said, and the process dies of the signal.

mod support;

use std::fs;

use support::crash::{SIGSEGV, crash, own_profile};
use support::{Profile, debuggee, gdb_with, program};

/// The stages: the function, what it is called, and a line that only it writes, if it writes one.
#[cfg(debug_assertions)]
const STAGES: [(&str, &str, Option<&str>); 7] = [
    ("head", "head", Some("fatal: ")),
    ("walk", "walk of the stack", None),
    ("look_up", "search for names and lines", None),
    ("facts", "facts", Some("  what      ")),
    ("backtrace", "backtrace", Some("backtrace, innermost first")),
    ("sums", "sums", Some("other coroutines: ")),
    ("advice", "advice", Some("advice    ")),
];

/// A debugger makes the reporter jump to where no code is, as each of its stages begins.
#[cfg(debug_assertions)]
#[test]
fn fault_in_any_stage_leaves_out_that_stage_alone() {
    let program = program("crashing", Profile::Debug);
    for (function, name, _) in STAGES {
        let folder = debuggee::scratch("stage");
        let file = folder.join("report");
        let file_of = |file: &str| {
            let source = fs::read_to_string(format!("src/debug/crash/{file}")).unwrap();
            let is_it = |line: &str| line.contains(&format!("fn {function}(&mut self)"));
            source.lines().position(is_it).map(|line| format!("break src/debug/crash/{file}:{}", line + 1))
        };
        let stop = ["report.rs", "frames.rs"].iter().find_map(|file| file_of(file)).unwrap();
        let commands = [
            &format!("set environment CORO_CRASH_FILE {}", file.display()),
            "handle SIGSEGV nostop noprint pass",
            &stop,
            "run",
            "set var $pc = 0",
            "delete",
            "continue",
        ];
        let options = ["--args", program.to_str().unwrap(), "overflow", "staged", "200", "3"];
        let said = gdb_with(&options, &commands);
        assert!(said.block("continue").contains("terminated with signal SIGSEGV"), "{name}: {said}");
        let report = fs::read_to_string(&file).unwrap();
        fs::remove_dir_all(folder).unwrap();
        let note = format!("[the reporter itself faulted in the {name}; it goes on without]");
        assert_eq!(report.matches("the reporter itself").count(), 1, "{name}: {report}\n{said}");
        assert!(report.contains(&note), "{name}: {report}");
        for (other, _, line) in STAGES {
            if let Some(line) = line {
                let is_there = report.lines().any(|said| said.starts_with(line));
                assert_eq!(is_there, other != function, "{name}, {line:?}: {report}");
            }
        }
    }
}

#[test]
fn damaged_record_is_no_hindrance() {
    for filling in ["00", "7f", "ee", "ff"] {
        let crash = crash(own_profile(), &["poisoned", filling]);
        crash.assert_died(SIGSEGV);
        crash.assert_says(&[" overflowed its stack", "verdict   runaway recursion: crashing::deeper, "]);
        assert!(!crash.err.contains("the reporter itself"), "{filling}: {}", crash.err);
    }
}

#[test]
fn records_that_cannot_be_read_end_the_process_all_the_same() {
    crash(own_profile(), &["unreadable-records"]).assert_died(SIGSEGV);
}

/// The reporter uses no lock that the program may hold: not those of standard output and error, nor any other.
#[test]
fn overflow_with_locks_held_is_told() {
    for profile in [Profile::Debug, Profile::Release] {
        let crash = crash(profile, &["locked"]);
        crash.assert_complete().assert_died(SIGSEGV);
        crash.assert_says(&["'holder' overflowed its stack", "runaway recursion: crashing::deeper, "]);
    }
}

/// On the coroutine's stack, which the handler of another signal has used up.
#[test]
fn overflow_in_a_signals_handler_is_told_through_it() {
    for profile in [Profile::Debug, Profile::Release] {
        let crash = crash(profile, &["in-a-handler"]);
        crash.assert_complete().assert_died(SIGSEGV);
        crash.assert_says(&[
            "'interrupted' overflowed its stack",
            "runaway recursion: crashing::deeper, ",
            "crashing::in_a_handler",
            "<coroutine start>",
        ]);
        assert!(!crash.err.contains("(?)"), "{}", crash.err);
    }
}
