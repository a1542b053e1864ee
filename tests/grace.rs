//! The grace period: who has not ended when it is over is named; the library waits on, a program exits. How long it is
//! doesn't depend on who stops the process meanwhile.

use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{env, hint, thread};

use coro::{Builder, spawn, yield_now};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use pretty_assertions::assert_eq;

const LONG: Duration = Duration::from_secs(1_000_000);

/// Tells a test that it is its own child, and what to do there.
const CHILD: &str = "CORO_TEST_CHILD";

/// A test of this file as a process of its own.
fn child(name: &str, what: &str) -> Command {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, what);
    child
}

/// Runs one: its status, and what it says on standard error. Standard input is open until it has said a line with that text.
fn as_child(name: &str, what: &str, until: &str) -> (Option<i32>, String) {
    let mut child = child(name, what);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stderr, mut said) = (BufReader::new(child.stderr.take().unwrap()), String::new());
    while !said.contains(until) && stderr.read_line(&mut said).unwrap() > 0 {}
    drop(child.stdin.take());
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

/// As often as a machine on which some thread has no CPU for a while may want: what it has said, when it is so at last.
fn as_child_until(name: &str, what: &str, is_so: impl Fn(&str) -> bool) -> (Option<i32>, String) {
    let mut runs = (0..20).map(|_| as_child(name, what, "coro::shield"));
    runs.find(|(_, said)| is_so(said)).unwrap_or_else(|| as_child(name, what, "coro::shield"))
}

#[test]
fn past_the_grace_period_who_does_not_end_is_named_and_waited_for() {
    const NAME: &str = "past_the_grace_period_who_does_not_end_is_named_and_waited_for";
    if env::var_os(CHILD).is_some() {
        let ended = Arc::new(AtomicBool::new(false));
        let says = ended.clone();
        Builder::new()
            .grace(Duration::from_millis(5))
            .run(|| {
                coro::CoroutineBuilder::new()
                    .name("stubborn")
                    .spawn(move || {
                        // Until standard input is closed.
                        coro::shield(|| coro::wait_readable(&io::stdin(), None)).unwrap();
                        says.store(true, Relaxed);
                    })
                    .unwrap();
                spawn(|| coro::sleep(LONG));
                yield_now();
            })
            .unwrap();
        assert!(ended.load(Relaxed));
        return;
    }
    // Who ends is not named, if it came to it in those 5 ms.
    let (status, said) = as_child_until(NAME, "1", |said| !said.contains("2 coroutines have"));
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("1 coroutine has not ended in 5ms, and main waits for them:\n"), "{said}");
    assert!(
        said.contains("'stubborn' (spawned at tests/grace.rs:")
            && said.contains(") waits: read, and holds the cancel back"),
        "{said}"
    );
}

#[inline(never)]
fn never_waits() {
    loop {
        hint::black_box(());
    }
}

#[test]
fn program_ends_with_mains_status_whatever_hangs_in_it() {
    const NAME: &str = "program_ends_with_mains_status_whatever_hangs_in_it";
    let late = |workers| Builder::new().workers(workers).grace(Duration::from_millis(5));
    match env::var(CHILD).as_deref() {
        Ok("alone") => {
            // It is cancelled when main has returned, and never gives the one worker back.
            struct Computes;
            impl Drop for Computes {
                fn drop(&mut self) {
                    never_waits();
                }
            }
            let main = || {
                spawn(|| {
                    let _value = Computes;
                    coro::sleep(LONG);
                });
                yield_now();
            };
            late(1).run_program(main, |()| 42).unwrap();
        }
        Ok("beside") => {
            let main = || {
                spawn(never_waits);
                // Till the other worker has it.
                while coro::stats().unwrap().steals == 0 {
                    hint::spin_loop();
                }
                Err::<(), u8>(1)
            };
            let _ = late(2).run_program(main, |result| if result.is_err() { 43 } else { 0 });
        }
        Ok("panicked") => {
            let main = || {
                spawn(|| coro::shield(|| coro::sleep(LONG)));
                yield_now();
                resume_unwind(Box::new(()));
            };
            let _ = late(1).run_program(main, |()| 0);
        }
        Ok(_) => unreachable!("no such child"),
        Err(_) => {
            for (what, status, says) in [
                ("alone", 42, "grace::never_waits"),
                ("beside", 43, "grace::never_waits"),
                ("panicked", 101, "waits: sleep, and holds the cancel back (coro::shield)"),
            ] {
                // Without frames, if its thread had no CPU for a tenth of a second.
                let (ended, said) = as_child_until(NAME, what, |said| said.contains(says));
                assert_eq!(ended, Some(status), "{what}: {said}");
                assert!(
                    said.contains("1 coroutine has not ended in 5ms, and the process exits without them:"),
                    "{what}: {said}"
                );
                assert!(said.contains(says), "{what}: {said}");
            }
        }
    }
}

#[test]
fn panic_of_the_status_is_one_of_mains() {
    let dropped = Arc::new(AtomicBool::new(false));
    let others = dropped.clone();
    /// Says that it was dropped, and that nothing unwound its thread then but a cancel.
    struct Ends(Arc<AtomicBool>);
    impl Drop for Ends {
        fn drop(&mut self) {
            coro::sleep(Duration::from_millis(1));
            self.0.store(true, Relaxed);
        }
    }
    let main = || {
        spawn(|| {
            let _value = Ends(others);
            coro::sleep(LONG);
        });
        yield_now();
    };
    let run = || Builder::new().run_program(main, |()| panic!("of the status"));
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the status"));
    assert!(dropped.load(Relaxed), "the others have ended before it went on");
}

/// The grace period of a child that is stopped amid it.
const STOPPED_GRACE: Duration = Duration::from_secs(2);

#[test]
fn stopped_process_does_not_lose_its_grace() {
    const NAME: &str = "stopped_process_does_not_lose_its_grace";
    if env::var_os(CHILD).is_some() {
        let main = || {
            spawn(|| {
                coro::shield(|| {
                    loop {
                        println!("alive");
                        coro::sleep(Duration::from_millis(1));
                    }
                });
            });
            yield_now();
        };
        Builder::new().grace(STOPPED_GRACE).run_program(main, |()| 44).unwrap();
        unreachable!("it doesn't end");
    }
    for monitor in ["on", "off"] {
        let begin = Instant::now();
        let mut child = child(NAME, "1");
        if monitor == "off" {
            child.env("CORO_MONITOR", monitor);
        }
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Pid::from_raw(child.id().cast_signed());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut is_alive = || lines.any(|line| line.unwrap() == "alive");
        // The second one is of the grace period.
        assert!(is_alive() && is_alive());
        kill(process, Signal::SIGSTOP).unwrap();
        assert_eq!(
            waitpid(process, Some(WaitPidFlag::WUNTRACED)),
            Ok(WaitStatus::Stopped(process, Signal::SIGSTOP))
        );
        let before = begin.elapsed();
        thread::sleep(STOPPED_GRACE);
        kill(process, Signal::SIGCONT).unwrap();
        let goes_on = Instant::now();
        while is_alive() {}
        let (status, mut said) = (child.wait().unwrap(), String::new());
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(
            said.contains("1 coroutine has not ended in 2s, and the process exits without them:"),
            "monitor {monitor}: {said}"
        );
        assert_eq!(status.code(), Some(44), "monitor {monitor}: {said}");
        // A part of it was over when it was stopped.
        let awake = before + goes_on.elapsed();
        assert!(awake >= STOPPED_GRACE, "monitor {monitor}: it was left {awake:?} of its grace");
    }
}

/// A thread-local that waits in its destructor, as one that sends a log would.
struct Waits;

impl Drop for Waits {
    fn drop(&mut self) {
        eprintln!("in a runtime: {}", coro::current().is_some());
    }
}

thread_local! {
    static WAITS: Waits = const { Waits };
}

#[test]
fn thread_locals_destructors_find_no_runtime_when_the_process_exits_for_whom_does_not_end() {
    const NAME: &str =
        "thread_locals_destructors_find_no_runtime_when_the_process_exits_for_whom_does_not_end";
    if env::var_os(CHILD).is_some() {
        let main = || {
            spawn(|| coro::shield(|| coro::sleep(LONG)));
            yield_now();
            WAITS.with(|_| ());
        };
        Builder::new().grace(Duration::from_millis(5)).run_program(main, |()| 44).unwrap();
    }
    let (ended, said) = as_child(NAME, "1", "coro::shield");
    assert_eq!(ended, Some(44), "{said}");
    assert!(said.trim_end().ends_with("in a runtime: false"), "{said}");
}
