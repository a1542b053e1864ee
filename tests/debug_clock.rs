//! `CORO_DEBUG_CLOCK=1`: the time in which a debugger has the process stopped is none.

#[path = "support/events.rs"]
mod events;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use coro::{sleep, timeout};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};
use pretty_assertions::assert_eq;

use events::waits_for_events;

const CHILD: &str = "CORO_TEST_CHILD";
/// The child is stopped for so long: more than a gap needs.
const STOP: Duration = Duration::from_millis(2500);
const NAP: Duration = Duration::from_millis(1000);

/// Runs a child that sleeps for 1 s with a limit of 2.4 s, and is stopped meanwhile: what it says then.
fn stopped(clock: Option<&str>) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "time_of_a_stop_is_taken_off_all_deadlines", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env_remove("CORO_DEBUG_CLOCK").stdout(Stdio::piped());
    command.envs(clock.map(|value| ("CORO_DEBUG_CLOCK", value)));
    let mut child = command.spawn().unwrap();
    let process = Pid::from_raw(child.id().cast_signed());
    let stop = waitpid(process, Some(WaitPidFlag::WUNTRACED));
    assert_eq!(stop, Ok(WaitStatus::Stopped(process, Signal::SIGSTOP)));
    thread::sleep(STOP);
    kill(process, Signal::SIGCONT).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find(|line| line.starts_with("it ")).unwrap();
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    said
}

/// Stops this process when that thread of it waits for events, and so its deadlines run.
fn stop_in_wait(thread: Pid) {
    let folder = format!("/proc/self/task/{thread}");
    while !waits_for_events(Path::new(&folder)).unwrap() {
        thread::yield_now();
    }
    kill(Pid::this(), Signal::SIGSTOP).unwrap();
}

#[test]
fn time_of_a_stop_is_taken_off_all_deadlines() {
    if env::var_os(CHILD).is_some() {
        coro::run(|| {
            let worker = gettid();
            let stops = thread::spawn(move || stop_in_wait(worker));
            let start = Instant::now();
            let result = timeout(Duration::from_millis(2400), || sleep(NAP));
            let took = start.elapsed();
            stops.join().unwrap();
            // A stop is taken off to some hundredths of a second.
            let went_on = took >= STOP + NAP - Duration::from_millis(100);
            // On a line of its own: the test harness has begun one.
            println!(
                "\nit {}",
                if result.is_err() {
                    "was late"
                } else if went_on {
                    "slept"
                } else {
                    "woke early"
                }
            );
        })
        .unwrap();
        return;
    }
    assert_eq!(stopped(Some("1")), "it slept", "on, after the stop");
    assert_eq!(stopped(None), "it was late", "without it, time goes on");
}

#[test]
fn other_values_are_refused() {
    if env::var_os(CHILD).is_some() {
        let said = coro::run(|| ()).unwrap_err().to_string();
        assert!(said.contains("CORO_DEBUG_CLOCK=\"on\""), "{said}");
        return;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "other_values_are_refused"]).env(CHILD, "1").env("CORO_DEBUG_CLOCK", "on");
    assert!(command.output().unwrap().status.success());
}

#[test]
fn empty_switches_are_as_none() {
    if env::var_os(CHILD).is_some() {
        return coro::run(|| ()).unwrap();
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "empty_switches_are_as_none"]).env(CHILD, "1");
    command.envs(
        ["CORO_CRASH", "CORO_CRASH_FILE", "CORO_DEBUG_CLOCK", "CORO_MONITOR", "CORO_REDZONE"]
            .map(|name| (name, "")),
    );
    assert!(command.output().unwrap().status.success());
}
