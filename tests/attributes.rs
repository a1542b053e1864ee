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
fn debugger_shows_main_where_the_program_has_it() {
    let file = program("attributed", Profile::Debug);
    let options =
        ["-x", concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py"), "--args", file.to_str().unwrap(), "well"];
    let said = gdb_with(&options, &["break attributed::main::main", "run", "coro list", "coro info 1"]);
    let list = said.block("coro list");
    let main = list.lines().find(|line| line.contains(" main ")).unwrap();
    assert!(main.contains("attributed::main::main at tests/programs/attributed.rs:"), "{said}");
    assert!(said.block("coro info 1").contains("tests/programs/attributed.rs:5"), "{said}");
}
