//! The monitor names coroutines that keep their worker from others, once, and nobody else.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::Profile;
use support::program::{line_of, program};

fn start(workers: &str, how: &str) -> Child {
    let mut hogs = Command::new(program("hogs", Profile::Release));
    hogs.args([workers, how]).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn first_line(hogs: &mut Child) -> String {
    let mut said = BufReader::new(hogs.stderr.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it can be read");
    hogs.kill().expect("it runs");
    hogs.wait().expect("it was killed");
    let mut rest = String::new();
    while said.read_line(&mut rest).expect("it can be read") > 0 {}
    assert_eq!(rest, "", "nobody else is named, and nobody twice");
    line
}

#[test]
fn hog_is_named_with_its_spawn_site() {
    for workers in ["1", "2"] {
        let mut hogs = start(workers, "user");
        let line = first_line(&mut hogs);
        let place = format!("tests/programs/hogs.rs:{}:", line_of("tests/programs/hogs.rs", "HOG"));
        for words in
            ["coro: coroutine #", " 'hog', spawned at ", &place, "without a switch", "coro::yield_now"]
        {
            assert!(line.contains(words), "{words:?} is missing in {line:?}");
        }
    }
}

#[test]
fn main_can_be_a_hog() {
    let line = first_line(&mut start("1", "main"));
    assert!(line.starts_with("coro: main (coroutine #") && line.contains("1 others of worker 0"), "{line}");
}

#[test]
fn who_switches_or_keeps_nobody_waiting_is_not_named() {
    for (workers, how) in [("1", "often"), ("2", "often"), ("1", "alone")] {
        let output = start(workers, how).wait_with_output().expect("it ends");
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{how}"
        );
    }
}

#[test]
fn stop_is_not_a_turn() {
    let hogs = start("1", "often");
    let process = Pid::from_raw(hogs.id().cast_signed());
    // Longer than a turn may last.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        thread::sleep(Duration::from_millis(40));
        if kill(process, Signal::SIGSTOP).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(250));
        let _ = kill(process, Signal::SIGCONT);
    }
    let output = hogs.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
