//! The debugger scripts without a debugger: tests/scripts/*.py, on registries made by hand and on live programs that wait.
//!
//! A test here for each file there, which plain Python runs. The scripts' work in GDB and LLDB has tests of its own.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Profile, program};

/// The files with tests, each named in [`file_tests`].
macro_rules! file_tests {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(concat!("test_", stringify!($name)));
            }
        )*

        #[test]
        fn every_file_has_its_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
            let mut files: Vec<String> = fs::read_dir(folder)
                .unwrap()
                .filter_map(|file| Some(file.unwrap().file_name().to_str()?.strip_suffix(".py")?.to_owned()))
                .filter_map(|name| name.strip_prefix("test_").map(str::to_owned))
                .collect();
            files.sort();
            let mut named = [$(stringify!($name)),*];
            named.sort_unstable();
            assert_eq!(files, named);
        }
    };
}

file_tests!(
    access,
    backtrace,
    commands,
    damage_header,
    damage_records,
    damage_said,
    fold,
    graph,
    live,
    options,
    registry,
    scale,
    text,
    verdict,
    waits,
    walker
);

/// Runs the tests of one file with `python3`; shows what they said when one fails.
#[track_caller]
fn run(file: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .current_dir(root)
        .args(["-B", "tests/scripts/run.py", file])
        .env("CORO_PARKED", program("parked", Profile::Debug))
        .env("CORO_DEEP", program("deep", Profile::Debug))
        .output()
        .unwrap_or_else(|error| panic!("python3 does not start ({error}): tests/install.sh installs it"));
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
