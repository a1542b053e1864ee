//! `#[coro::main]` and `#[coro::test]`, as a program uses them.

use std::process::Command;
use std::time::Duration;

use pretty_assertions::assert_eq;

use support::program::program;
use support::{Profile, gdb_with};

mod support;

#[coro::test]
fn body_is_the_main_coroutine() {
    assert_eq!(coro::current().unwrap().name(), Some("main"));
    assert_eq!(coro::spawn(|| 7).join().unwrap(), 7);
}

#[coro::test(workers = 2, policy = coro::Policy::Fair, grace = Duration::from_secs(1))]
fn options_are_the_builders() {
    assert_eq!(coro::stats().unwrap().workers, 2);
}

#[coro::test]
fn results_are_as_with_plain_tests() -> Result<(), coro::Error> {
    coro::stats().map(|_| ())
}

#[coro::test]
#[should_panic(expected = "on purpose")]
fn panics_are_too() {
    coro::yield_now();
    panic!("on purpose");
}

#[coro::test]
fn who_is_left_is_ended() {
    coro::spawn(|| coro::sleep(Duration::MAX));
}

#[test]
fn main_gives_the_process_its_status() {
    let run =
        |status: &str| Command::new(program("attributed", Profile::Debug)).arg(status).output().unwrap();
    let well = run("well");
    assert!(well.status.success());
    assert_eq!(String::from_utf8_lossy(&well.stdout), "2 workers\n");
    let badly = run("badly");
    assert_eq!(badly.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&badly.stderr), "Error: \"as asked\"\n");
}

#[test]
fn error_of_main_is_told_before_the_others_have_ended_and_the_program_ends_without_them() {
    let early = Command::new(program("attributed", Profile::Debug)).arg("early").output().unwrap();
    assert_eq!(early.status.code(), Some(1));
    let said = String::from_utf8_lossy(&early.stderr);
    assert!(
        said.starts_with("Error: \"as asked\"\ncoro: main has returned, but 1 coroutine has not ended"),
        "{said}"
    );
    assert_eq!(said.matches("as asked").count(), 1, "{said}");
}

/// What is returned can be anything that `main` may return.
mod returned {
    use std::process::ExitCode;

    use coro::attributes::{AnyReturned as _, Returned};

    #[test]
    fn status_is_known_of_nothing_and_of_results_alone() {
        assert_eq!(Returned(&()).tell(), Some(0));
        assert_eq!(Returned(&Ok::<(), String>(())).tell(), Some(0));
        assert_eq!(Returned(&Err::<(), &str>("told by a test")).tell(), Some(1));
        assert_eq!(Returned(&ExitCode::FAILURE).tell(), None);
        assert_eq!(Returned(&Ok::<ExitCode, String>(ExitCode::SUCCESS)).tell(), None);
    }
}

#[test]
fn debugger_shows_main_where_the_program_has_it() {
    let file = program("attributed", Profile::Debug);
    let options =
        ["-x", concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py"), "--args", file.to_str().unwrap(), "well"];
    let said = gdb_with(&options, &["break attributed::main::main", "run", "coro list", "coro info 1"]);
    let list = said.block("coro list");
    let main = list.lines().find(|line| line.contains(" main ")).unwrap();
    assert!(main.contains("attributed::main::main at tests/programs/attributed.rs:"), "{said}");
    assert!(said.block("coro info 1").contains("tests/programs/attributed.rs:7"), "{said}");
}
