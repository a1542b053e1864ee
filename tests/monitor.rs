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
    start_build(Profile::Release, workers, how)
}

fn start_build(profile: Profile, workers: &str, how: &str) -> Child {
    let mut hogs = Command::new(program("hogs", profile));
    hogs.args([workers, how]).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The line by which a hog is named, and its frames, to one that has that text. Nothing else is said.
fn report(hogs: &mut Child, last: &str) -> (String, String) {
    let mut said = BufReader::new(hogs.stderr.take().expect("it is piped"));
    let (mut line, mut frames) = (String::new(), String::new());
    said.read_line(&mut line).expect("it can be read");
    while !frames.contains(last) {
        assert!(said.read_line(&mut frames).expect("it can be read") > 0, "no {last}: {line}{frames}");
    }
    hogs.kill().expect("it runs");
    hogs.wait().expect("it was killed");
    let mut rest = String::new();
    while said.read_line(&mut rest).expect("it can be read") > 0 {}
    assert_eq!(rest, "", "nobody else is named, and nobody twice");
    (line, frames)
}

/// Where it computes: the function's name, with file and line, and behind it its callers'.
#[track_caller]
fn computes(frames: &str) {
    let [first, last] = ["COMPUTES", "COMPUTED"].map(|marker| line_of("tests/programs/hogs.rs", marker));
    let line_in_program = |line: &str| line.split_once(" tests/programs/hogs.rs:")?.1.parse::<u32>().ok();
    let mut lines = frames.lines();
    let is_there = lines.any(|line| {
        line.contains("compute_for") && line_in_program(line).is_some_and(|n| (first..=last).contains(&n))
    });
    assert!(is_there && lines.filter_map(line_in_program).next().is_some(), "not in compute_for:\n{frames}");
}

#[test]
fn hog_is_named_with_its_spawn_site_and_its_frames() {
    for (workers, profile) in [("1", Profile::Debug), ("1", Profile::Release), ("2", Profile::Release)] {
        let mut hogs = start_build(profile, workers, "user");
        let (line, frames) = report(&mut hogs, "coro::scheduler::switch::start");
        computes(&frames);
        let place = format!("tests/programs/hogs.rs:{}:", line_of("tests/programs/hogs.rs", "HOG"));
        for words in ["coro: coroutine #", " 'hog', spawned at ", &place, "without a switch", "coro::offload"]
        {
            assert!(line.contains(words), "{words:?} is missing in {line:?}");
        }
    }
}

#[test]
fn main_can_be_a_hog() {
    let (line, frames) = report(&mut start("1", "main"), " _start");
    computes(&frames);
    assert!(
        line.starts_with("coro: main (coroutine #")
            && line.contains("1 other of worker 0, which has begun, and "),
        "{line}"
    );
}

#[test]
fn main_can_be_all_that_waits() {
    let (line, frames) = report(&mut start("1", "lone"), "coro::scheduler::switch::start");
    computes(&frames);
    assert!(
        line.contains(" 'hog', ") && line.contains("1 other of worker 0, which has begun, and "),
        "{line}"
    );
}

#[test]
fn program_that_handles_the_signal_is_left_alone() {
    let mut hogs = Command::new(program("hogs", Profile::Release));
    let output = hogs.args(["1", "handled"]).output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("coro: main (coroutine #") && said.lines().count() == 1, "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 times\n");
}

#[test]
fn who_switches_or_keeps_nobody_waiting_is_not_named() {
    for (workers, how) in [("1", "often"), ("2", "often"), ("1", "alone"), ("1", "joined")] {
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
