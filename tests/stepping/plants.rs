//! Bugs that are planted to be found: the library is built with `--cfg coro_plant="…"`, which turns a line of it into a
//! mistake that a person could make, and stepping must report the break.
//!
//! Each plant is a `cfg!(coro_plant = "…")` in src/; Cargo.toml lists their names. The library alone is built so, in a
//! target folder of its own and by Cargo; the debuggee needs nothing else, so the compiler is enough for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::stepper::{step_through, stop_at_random};
use crate::support::program::target_directory;

/// The debuggee with a planted bug.
fn planted(plant: &str) -> PathBuf {
    // They all build the library to the same place.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = target_directory().join("plants");
    let mut library = Command::new(env!("CARGO"));
    library.args(["rustc", "--quiet", "--lib", "--no-default-features", "--target-dir"]).arg(&target);
    run(library.args(["--", "--cfg", &format!("coro_plant=\"{plant}\"")]));
    let debug = target.join("debug");
    let program = target.join(format!("stepped-{plant}"));
    let mut debuggee = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    debuggee.args([
        "tests/programs/stepped.rs",
        "--edition",
        "2024",
        "-C",
        "debuginfo=line-tables-only",
        "-o",
    ]);
    debuggee.arg(&program).arg("-L").arg(debug.join("deps"));
    run(debuggee.arg("--extern").arg(format!("coro={}", debug.join("libcoro.rlib").display())));
    program
}

fn run(command: &mut Command) {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
}

/// A break says where it was seen, and what.
#[track_caller]
fn is_found(plant: &str, seen_in: &str, what: &str) {
    let report = step_through(&planted(plant), &["fair", "life"], 1, |_| true);
    let is_it = |told: &String| told.contains(seen_in) && told.contains(what);
    assert!(report.breaks.iter().any(is_it), "{plant} is not what was found: {:#?}\n{report}", report.breaks);
}

#[test]
fn wrong_row_of_switch_is_found() {
    is_found("cfi", "6switch", "at frame 1");
}

/// The next callers are right, but they have another one's rbp, on which one far out rests.
#[test]
#[ignore = "a build of the library each: tests/long/stepping.sh runs them"]
fn wrong_register_in_a_row_of_switch_is_found() {
    is_found("cfi_register", "6switch", "is no code");
}

#[test]
fn state_that_is_stored_before_the_stack_is_left_is_found() {
    is_found("left_early", "atomic", "which is not `running`");
}

#[test]
#[ignore = "a build of the library each: tests/long/stepping.sh runs them"]
fn identity_that_is_stored_after_the_state_is_found() {
    is_found("identity_last", "atomic", "is a child of #");
}

#[test]
#[ignore = "a build of the library each: tests/long/stepping.sh runs them"]
fn link_that_is_not_cut_is_found() {
    is_found("link", "atomic", "are linked to a resumer");
}

#[test]
#[ignore = "a build of the library each: tests/long/stepping.sh runs them"]
fn generation_that_is_not_raised_is_found() {
    is_found("generation", "atomic", "from generation 0 to 0");
}

#[test]
fn role_that_is_stored_before_the_address_is_found() {
    is_found("role_first", "atomic", "is a listener at None");
}

#[test]
#[ignore = "a build of the library each: tests/long/stepping.sh runs them"]
fn link_that_is_not_cut_is_found_at_random_instants() {
    let report = stop_at_random(&planted("link"), &["fair", "endless"], 1, 200);
    let is_it = |told: &String| told.contains("are linked to a resumer");
    assert!(report.breaks.iter().any(is_it), "link is not what was found: {:#?}", report.breaks);
}
