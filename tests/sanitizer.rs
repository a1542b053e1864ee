//! AddressSanitizer and its leak checker find what is wrong in a program of coroutines, and nothing else. The program is
//! tests/programs/checked.rs; tests/run.sh runs the other tests under them.

mod support;

use std::process::{Command, ExitStatus};

use support::{Profile, program};

/// What the program and the checkers said, and how it ended.
fn run(case: &str, options: &str) -> (String, ExitStatus) {
    let mut command = Command::new(program("checked", Profile::Sanitized));
    let output = command.arg(case).env("ASAN_OPTIONS", options).env_remove("LSAN_OPTIONS").output();
    let output = output.expect("a program that was just built starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (text.concat(), output.status)
}

#[track_caller]
fn assert_clean(case: &str) {
    // Locals in fake stacks, which is the default, and on the stacks themselves.
    for options in ["detect_stack_use_after_return=1", "detect_stack_use_after_return=0"] {
        let (text, status) = run(case, options);
        assert!(status.success() && !text.contains("Sanitizer"), "{case}, {options}: {status}:\n{text}");
        assert!(!text.contains("ASan is ignoring"), "{case}, {options}:\n{text}");
    }
}

#[track_caller]
fn assert_reported(case: &str, report: &str) {
    let (text, status) = run(case, "");
    assert!(status.code() == Some(1) && text.contains(report), "{case}: {status}:\n{text}");
}

#[test]
fn sound_program_is_clean() {
    assert_clean("clean");
}

#[test]
fn fake_stacks_are_kept_over_switches_and_unmapped_at_the_end() {
    assert_clean("steady");
}

#[test]
fn what_waiting_coroutines_have_is_no_leak() {
    for case in ["exit-from-main", "exit-from-a-coroutine", "exit-beside-a-runtime"] {
        assert_clean(case);
    }
}

#[test]
fn leak_in_a_coroutine_is_reported() {
    assert_reported("leak", "SUMMARY: AddressSanitizer: 1000 byte(s) leaked in 1 allocation(s)");
}

/// Only what is in use of a stack keeps something from being a leak.
#[test]
fn leak_is_reported_though_a_waiting_coroutine_once_had_it() {
    let case = "leak-below-the-stack-pointer";
    assert_reported(case, "SUMMARY: AddressSanitizer: 1000 byte(s) leaked in 1 allocation(s)");
}

#[test]
fn use_after_free_is_reported() {
    assert_reported("use-after-free", "ERROR: AddressSanitizer: heap-use-after-free");
}

#[test]
fn use_after_scope_is_reported() {
    assert_reported("use-after-scope", "ERROR: AddressSanitizer: stack-use-after-scope");
}

#[test]
fn use_after_return_is_reported() {
    assert_reported("use-after-return", "ERROR: AddressSanitizer: stack-use-after-return");
}

#[test]
fn use_of_an_ended_coroutines_stack_is_reported() {
    assert_reported("use-after-end", "ERROR: AddressSanitizer: use-after-poison");
}

#[test]
fn read_past_a_local_is_reported() {
    assert_reported("past-a-local", "ERROR: AddressSanitizer: stack-buffer-overflow");
}

#[test]
fn overflow_of_a_stack_is_reported_as_that() {
    assert_reported("overflow", "ERROR: AddressSanitizer: stack-overflow");
}
