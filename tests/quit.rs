//! SIGQUIT has all coroutines written to standard error, at once where a worker is idle, and though all are kept busy; and
//! the program lives on.

mod support;

use std::process::Command;

use support::crash::own_profile;
use support::program;

#[test]
fn sigquit_wakes_a_worker_that_sleeps_to_dump() {
    let mut command = Command::new(program("quitting", own_profile()));
    // The monitor would answer as well.
    let output = command.arg("idle").env("CORO_MONITOR", "off").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{err}");
    assert!(err.starts_with("SIGQUIT: all coroutines\n#"), "{err}");
    assert!(err.contains("'sleeper' parked in sleep") && err.contains("coro::time::sleep"), "{err}");
}

#[test]
fn sigquit_is_answered_though_every_worker_is_kept_busy() {
    for workers in ["1", "3"] {
        let mut command = Command::new(program("quitting", own_profile()));
        let output = command.args(["hogs", workers]).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        assert!(err.contains("SIGQUIT: all coroutines\n#") && err.contains("'main' running for "), "{err}");
        assert_eq!(err.matches("'hog' running for ").count() + 1, workers.parse().unwrap(), "{err}");
    }
}
