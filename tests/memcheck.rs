//! Valgrind's memcheck finds what is wrong in a program of coroutines, and nothing else. The program is
//! tests/programs/checked.rs. (Two of its bugs memcheck doesn't look for: it can't tell a frame's locals apart.)

mod support;

use std::process::{Command, ExitStatus};

use support::{Profile, program};

/// By which memcheck ends when it has reported something.
const REPORTED: i32 = 99;

/// What the program and memcheck said, and how it ended.
fn run(case: &str) -> (String, ExitStatus) {
    let output = Command::new("valgrind")
        .args([&format!("--error-exitcode={REPORTED}"), "--leak-check=full"])
        .args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"])
        .arg(program("checked", Profile::Checked))
        .arg(case)
        .env_remove("VALGRIND_OPTS")
        .output()
        .unwrap_or_else(|error| panic!("valgrind does not start ({error}): tests/install.sh installs it"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (text.concat(), output.status)
}

#[track_caller]
fn assert_clean(case: &str) {
    let (text, status) = run(case);
    assert!(status.success() && text.contains("ERROR SUMMARY: 0 errors"), "{case}: {status}:\n{text}");
    let no_leak = ["definitely lost: 0 bytes", "no leaks are possible"];
    assert!(no_leak.iter().any(|words| text.contains(words)), "{case}:\n{text}");
    assert!(!text.contains("client switching stacks"), "{case}:\n{text}");
}

#[track_caller]
fn assert_reported(case: &str, report: &str) {
    let (text, status) = run(case);
    assert!(status.code() == Some(REPORTED) && text.contains(report), "{case}: {status}:\n{text}");
}

#[test]
fn sound_program_is_clean() {
    assert_clean("clean");
}

#[test]
fn what_waiting_coroutines_have_is_no_leak() {
    for case in ["exit-from-main", "exit-from-a-coroutine", "exit-beside-a-runtime"] {
        assert_clean(case);
    }
}

#[test]
fn leak_in_a_coroutine_is_reported() {
    assert_reported("leak", "1,000 bytes in 1 blocks are definitely lost");
}

/// Only what is in use of a stack keeps something from being a leak.
#[test]
fn leak_is_reported_though_a_waiting_coroutine_once_had_it() {
    assert_reported("leak-below-the-stack-pointer", "1,000 bytes in 1 blocks are definitely lost");
}

#[test]
fn use_after_free_is_reported() {
    assert_reported("use-after-free", "Invalid read of size 1");
}

#[test]
fn use_after_return_is_reported() {
    assert_reported("use-after-return", "Invalid read of size 1");
}

#[test]
fn unset_value_is_reported() {
    assert_reported("unset-value", "Conditional jump or move depends on uninitialised value(s)");
}

/// In a debug build the stack of an ended coroutine faults, too, so the program does not go on.
#[test]
fn use_of_an_ended_coroutines_stack_is_reported() {
    let (text, status) = run("use-after-end");
    assert!(!status.success() && text.contains("Invalid read of size 1"), "{status}:\n{text}");
}
