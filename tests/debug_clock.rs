//! `CORO_DEBUG_CLOCK=1`: the time in which a debugger has the process stopped is none.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coro::{sleep, timeout};
use pretty_assertions::assert_eq;

const CHILD: &str = "CORO_TEST_CHILD";
/// The child is stopped for so long: more than a gap needs.
const STOP: Duration = Duration::from_millis(2500);

/// Runs a child that says `began`, sleeps for 1 s with a limit of 2.4 s, and is stopped meanwhile: what it says then, and
/// after what time.
fn stopped(clock: Option<&str>) -> (String, Duration) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "time_of_a_stop_is_taken_off_all_deadlines", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env_remove("CORO_DEBUG_CLOCK").stdout(Stdio::piped());
    command.envs(clock.map(|value| ("CORO_DEBUG_CLOCK", value)));
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The test harness says something before it.
    lines.find(|line| line.ends_with("began")).unwrap();
    let start = Instant::now();
    let signal = |number| {
        // SAFETY: it is our child, and not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, number) }, 0);
    };
    signal(libc::SIGSTOP);
    thread::sleep(STOP);
    signal(libc::SIGCONT);
    let said = lines.find(|line| line.starts_with("it ")).unwrap();
    let took = start.elapsed();
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    (said, took)
}

#[test]
fn time_of_a_stop_is_taken_off_all_deadlines() {
    if env::var_os(CHILD).is_some() {
        coro::run(|| {
            let result = timeout(Duration::from_millis(2400), || {
                // Now that its time runs.
                println!("began");
                std::io::stdout().flush().unwrap();
                sleep(Duration::from_millis(1000));
            });
            println!("it {}", if result.is_ok() { "slept" } else { "was late" });
        })
        .unwrap();
        return;
    }
    let (said, took) = stopped(Some("1"));
    assert_eq!(said, "it slept");
    assert!(took >= STOP + Duration::from_millis(500), "the sleep went on after the stop: {took:?}");
    let (said, _) = stopped(None);
    assert_eq!(said, "it was late", "without it, time goes on");
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
