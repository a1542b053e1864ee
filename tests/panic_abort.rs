//! A program with `panic = "abort"`: the library is built so, too, in a target folder of its own.

mod support;

use std::env;
use std::process::{Command, Output};

use pretty_assertions::assert_eq;
use support::program::target_directory;

#[test]
fn what_is_left_at_the_end_stays_and_never_runs_again() {
    let target = target_directory().join("abort");
    let debug = target.join("debug");
    // The library alone, and by the bare compiler the program, which needs nothing else: Cargo would build what all the
    // tests need, too.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--lib", "--no-default-features"]);
    run(cargo.args(["--config", "profile.dev.panic = \"abort\"", "--target-dir"]).arg(&target));
    let program = target.join("aborting");
    let mut compiler = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler
        .args(["tests/programs/aborting.rs", "--edition", "2024", "-C", "panic=abort", "-o"])
        .arg(&program);
    compiler.arg("-L").arg(debug.join("deps"));
    run(compiler.arg("--extern").arg(format!("coro={}", debug.join("libcoro.rlib").display())));
    let output = run(&mut Command::new(program));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim_end(),
        "dropped: 0 values of parked ones, 6 of those that never ran; 0 went on after the end"
    );
}

fn run(command: &mut Command) -> Output {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed by {}:\n{said}", output.status);
    output
}
