//! The monitor names coroutines that keep their worker from others, once, and nobody else.

mod support;

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::Profile;
use support::killed::Killed;
use support::program::{line_of, program};

fn start(workers: &str, how: &str) -> Killed {
    start_build(Profile::Release, workers, how)
}

fn start_build(profile: Profile, workers: &str, how: &str) -> Killed {
    let mut hogs = Command::new(program("hogs", profile));
    hogs.args([workers, how]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Killed(hogs.spawn().expect("the program starts"))
}

/// The line by which a hog is named, and its frames, to one that has that text. Nothing else is said.
fn report(profile: Profile, workers: &str, how: &str, last: &str) -> (String, String) {
    // A hog is named once, and without frames where its thread has had no CPU for a tenth of a second.
    for _ in 0..20 {
        let mut hogs = start_build(profile, workers, how);
        let mut said = BufReader::new(hogs.stderr.take().expect("it is piped"));
        let (mut line, mut frames) = (String::new(), String::new());
        said.read_line(&mut line).expect("it can be read");
        // The frames were written with it; the program repeats what it is told.
        hogs.stdin.take().expect("it is piped").write_all(b"that is all\n").expect("it is read");
        while !frames.ends_with("that is all\n") {
            assert!(said.read_line(&mut frames).expect("it can be read") > 0, "it ended: {line}{frames}");
        }
        drop(hogs);
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("it can be read");
        assert_eq!(rest, "", "nobody else is named, and nobody twice");
        let frames = frames.trim_end_matches("that is all\n");
        if !frames.is_empty() {
            let at_last = frames.lines().last().is_some_and(|frame| frame.contains(last));
            assert!(at_last, "no {last}: {line}{frames}");
            return (line, frames.to_owned());
        }
    }
    panic!("named without frames each of 20 times");
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
        let (line, frames) = report(profile, workers, "user", "coro::scheduler::switch::start");
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
    let (line, frames) = report(Profile::Release, "1", "main", " _start");
    computes(&frames);
    assert!(
        line.starts_with("coro: main (coroutine #")
            && line.contains("1 other of worker 0, which has begun, and "),
        "{line}"
    );
}

#[test]
fn main_can_be_all_that_waits() {
    let (line, frames) = report(Profile::Release, "1", "lone", "coro::scheduler::switch::start");
    computes(&frames);
    assert!(
        line.contains(" 'hog', ") && line.contains("1 other of worker 0, which has begun, and "),
        "{line}"
    );
}

#[test]
fn program_that_handles_the_signal_is_left_alone() {
    let mut hogs = start("1", "handled");
    let mut stderr = BufReader::new(hogs.stderr.take().expect("it is piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("it can be read");
    // It computes until then.
    drop(hogs.stdin.take());
    stderr.read_to_string(&mut said).expect("it can be read");
    assert!(said.starts_with("coro: main (coroutine #") && said.lines().count() == 1, "{said}");
    assert_eq!(io::read_to_string(hogs.stdout.take().expect("it is piped")).expect("it ends"), "0 times\n");
}

#[test]
fn who_switches_or_keeps_nobody_waiting_is_not_named() {
    for (workers, how) in [("1", "often"), ("2", "often"), ("1", "alone"), ("1", "joined")] {
        let mut hogs = start(workers, how);
        let said = io::read_to_string(hogs.stderr.take().expect("it is piped")).expect("it ends");
        assert_eq!((hogs.wait().expect("it ends").code(), &*said), (Some(0), ""), "{how}");
    }
}

#[test]
fn stop_is_not_a_turn() {
    let mut hogs = start("1", "often");
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
    assert_eq!(io::read_to_string(hogs.stderr.take().expect("it is piped")).expect("it ends"), "");
}
