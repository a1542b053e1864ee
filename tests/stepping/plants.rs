//! Bugs that are planted to be found: the library is built with `--cfg coro_plant="…"`, which turns a line of it into a
//! mistake that a person could make, and stepping must report the break.
//!
//! Each plant is a `cfg!(coro_plant = "…")` in src/; Cargo.toml lists their names. The library alone is built so, in a
//! target folder of its own and by Cargo; the debuggee needs nothing else, so the compiler is enough for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::stepper::{step_through, stop_at_random};
use crate::support::program::target_directory;

/// The debuggee with a planted bug.
fn planted(plant: &str) -> PathBuf {
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

/// A plant; where a break is to be seen, and what is to be told of it.
const PLANTS: [(&str, &str, &str); 7] = [
    ("cfi", "6switch", "at frame 1"),
    ("left_early", "atomic", "which is not `running`"),
    ("role_first", "atomic", "is a listener at None"),
    // The next callers are right, but they have another one's rbp, on which one far out rests.
    ("cfi_register", "6switch", "is no code"),
    ("identity_last", "atomic", "is a child of #"),
    ("link", "atomic", "are linked to a resumer"),
    ("generation", "atomic", "from generation 0 to 0"),
];
/// So many of them by default: each is a build of the library. tests/long/stepping.sh asks for all.
const USUAL: usize = 2;

#[test]
fn planted_bugs_are_found() {
    let count = env::var("CORO_PLANTS").map_or(USUAL, |text| text.parse().expect("CORO_PLANTS is a number"));
    for (plant, seen_in, what) in PLANTS.into_iter().take(count) {
        let program = planted(plant);
        let report = step_through(&program, &["fair", "life"], 1, |_| true);
        let is_it = |told: &String| told.contains(seen_in) && told.contains(what);
        assert!(report.breaks.iter().any(is_it), "{plant} was not found: {:#?}\n{report}", report.breaks);
        if plant == "link" {
            let report = stop_at_random(&program, &["fair", "endless"], 1, 200);
            let is_it = |told: &String| told.contains(what);
            assert!(report.breaks.iter().any(is_it), "{plant} at random instants: {:#?}", report.breaks);
        }
    }
}
