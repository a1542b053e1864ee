//! A deadlock is noticed by the program itself, and GDB and LLDB name the same circle.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use pretty_assertions::assert_eq;

use support::program::program;
use support::{Profile, gdb_with, lldb_going_on};

const GDB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py");
const LLDB: &str = "command script import lldb/coro.py";

struct Stuck(Child);

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.kill().expect("it is stuck");
        self.0.wait().expect("it was killed");
    }
}

/// A program that is stuck, and so many lines of what it says of that.
fn start(mode: &str, lines: usize) -> (Stuck, Vec<String>) {
    let mut child = Command::new(program("deadlocked", Profile::Debug))
        .arg(mode)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(child.stderr.take().expect("it is piped"));
    let said = said.lines().take(lines).map(|line| line.expect("it can be read")).collect();
    (Stuck(child), said)
}

/// The names of those in a circle, in its order, as lines tell them that begin with who waits.
fn circle<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lines = lines.into_iter().skip_while(|line| !line.contains("wait for each other in a circle"));
    let members = lines.skip(1).take_while(|line| line.starts_with("  #"));
    members.map(|line| line.split('\'').nth(1).expect("they have names")).collect()
}

#[track_caller]
fn all_name_it(mode: &str, how: &str) {
    let (stuck, said) = start(mode, 5);
    assert!(said[0].starts_with("coro: nobody can go on: "), "{said:#?}");
    assert_eq!(said[1], format!("coro: {how}: 3 coroutines wait for each other in a circle"));
    let ann =
        said[2].split_once("'ann' (spawned at tests/programs/deadlocked.rs:").expect("it is told first").1;
    assert!(ann.contains(") waits for mutex 0x") && ann.contains(" held by #"), "{said:#?}");
    assert!(ann.ends_with(" 'bob'") || ann.ends_with(" 'cid'"), "{said:#?}");
    let by_notice = circle(said.iter().map(String::as_str));
    assert_eq!(by_notice, ["ann", "bob", "cid"]);
    let pid = stuck.0.id().to_string();
    let gdb = gdb_with(&["-x", GDB, "-p", &pid], &["coro deadlock"]);
    assert!(gdb.block("coro deadlock").contains(&format!("{how}: 3 coroutines")), "{gdb}");
    assert_eq!(circle(gdb.block("coro deadlock").lines()), by_notice, "{gdb}");
    let lldb = lldb_going_on(&["-p", &pid], &[LLDB, "coro deadlock"]);
    assert_eq!(circle(lldb.block("coro deadlock").lines()), by_notice, "{lldb}");
}

#[test]
fn three_locks_among_twenty() {
    all_name_it("circle", "deadlock");
}

#[test]
fn one_of_them_through_a_channel() {
    all_name_it("channel", "probably a deadlock");
}

/// Both are watched for longer than a notice takes: another program, started behind, has said its own.
#[test]
fn who_may_still_be_woken_and_who_wants_no_notice_are_left_alone() {
    let spawn = |mode: &str| {
        let mut program = Command::new(program("deadlocked", Profile::Debug));
        program.arg(mode).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts")
    };
    let quiet = ["quiet", "thread"].map(spawn);
    drop(start("circle", 1));
    drop(start("circle", 1));
    for mut child in quiet {
        child.kill().expect("it is stuck");
        let said = child.wait_with_output().expect("it was killed").stderr;
        assert_eq!(String::from_utf8_lossy(&said), "");
    }
}
