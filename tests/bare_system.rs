//! Programs where the system gives less than usual, or does what it seldom does: no more threads, no /proc, refused advice, clocks
//! that jump, an end amid everything, no dynamic linker. Each goes on, or becomes an error that says what it is.
//!
//! The children are tests/programs/limits.rs, clocks.rs and linked.rs.

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use pretty_assertions::assert_eq;

use support::crash::{SIGABRT, SIGSEGV, crash_of};
use support::debuggee::Debuggee;
use support::{Profile, gdb_with, lldb_going_on, program};

/// What `limits STEP...` says, and how it ends.
fn limits(redzone: &str, steps: &[&str]) -> Output {
    let mut command = Command::new(program("limits", Profile::Debug));
    command.args(steps).env("CORO_REDZONE", redzone).output().unwrap()
}

/// What it says, having ended well.
#[track_caller]
fn limits_ok(redzone: &str, steps: &[&str]) -> String {
    let output = limits(redzone, steps);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{steps:?}: {}: {err}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

const NO_THREAD: &str = "starting a worker's thread failed: Resource temporarily unavailable (os error 11); there are as \
                         many threads as may be (`ulimit -u`, or the control group's pids.max)";

/// Whichever it is, and by whomever it is refused.
#[test]
fn worker_without_a_thread_is_an_error_that_leaves_nothing_behind() {
    for from in 1..=3 {
        let said = limits_ok("guard", &[&format!("refuse-threads-from={from}"), "refused-workers=4"]);
        assert_eq!(said, format!("300 times: {NO_THREAD}; descriptors more: 0\n"), "from {from} on");
    }
    // By the kernel; one worker needs no thread but this one.
    let said = limits_ok("guard", &["deny=thread:EAGAIN", "workers=2", "workers=1", "workers=3"]);
    assert_eq!(said, format!("error: {NO_THREAD}\nworkers: 1, sum 190\nerror: {NO_THREAD}\n"));
}

#[test]
fn what_is_offloaded_is_done_by_the_threads_that_there_are_or_right_here() {
    for (steps, threads) in [
        (["deny=thread:EAGAIN", "offload"], "1 threads, here: true"),
        // The monitor has the first one.
        (["refuse-threads-from=2", "offload"], "1 threads, here: true"),
        (["refuse-threads-from=3", "offload"], "1 threads, here: false"),
    ] {
        assert_eq!(limits_ok("guard", &steps), format!("jobs done by {threads}\n"), "{steps:?}");
    }
}

/// What the kernel is told of memory is advice, but for what closes and opens a free stack, as debug builds do.
#[test]
fn refused_advice_is_none_or_an_error_of_the_spawn() {
    let steps = ["deny=advice:ENOMEM", "exhaust"];
    let said = limits_ok("guard", &steps);
    assert!(
        said.contains("could not place the redzone of slot") && said.contains("Cannot allocate"),
        "{said}"
    );
    let mut release = Command::new(program("limits", Profile::Release));
    let output = release.args(steps).env("CORO_REDZONE", "guard").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("ended: Ok(())\n") && output.status.success(), "{said}");
}

#[test]
fn nothing_needs_proc() {
    for redzone in ["guard", "mprotect"] {
        let said = limits_ok(redzone, &["no-proc", "exhaust", "workers=2", "offload", "broken-pipe"]);
        assert!(said.contains("\nended: Ok(())\nworkers: 2, sum 190\njobs done by "), "{said}");
        assert!(said.ends_with(" threads, here: false\nBrokenPipe\n"), "{said}");
    }
    let main = env!("CARGO_BIN_EXE_main");
    let said = limits_ok("guard", &["no-proc", "exec", main, "park", "20", "--wake"]);
    assert!(said.starts_with("parked 20 coroutines") && said.contains("\nwoke and joined them"), "{said}");
}

/// Its file isn't found there; what the file would tell has to be asked for later.
#[test]
fn crash_without_proc_is_told_without_names() {
    let crashing = program("crashing", Profile::Debug);
    let arguments = ["no-proc", "exec", crashing.to_str().unwrap(), "overflow", "x", "200", "3"];
    let crash = crash_of(&program("limits", Profile::Debug), &arguments, &[]);
    crash.assert_complete().assert_died(SIGSEGV);
    crash.assert_says(&[
        "coroutine #9 'x' overflowed its stack",
        "verdict   runaway recursion: the program+0x",
        "<coroutine start>",
        "no lines of the program: the file can't be opened (error 2); with that of build-id ",
        ": addr2line -Cfie FILE 0xOFFSET\n",
    ]);
}

/// By a coroutine on a worker that isn't the first, while others wait.
#[test]
fn process_ends_when_a_coroutine_ends_it() {
    let output = limits("guard", &["exit"]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(3), b"".as_slice()));
    assert_eq!(limits("guard", &["abort"]).status.signal(), Some(SIGABRT));
}

#[test]
fn clocks_may_jump() {
    for (how, words) in [
        ("wall", "200 came to their ends\nended\n"),
        ("forward", "1000 woken, 1000 timed out, 1000 still wait\nended\n"),
        ("unsteady", "200 came to their ends\nended\n"),
    ] {
        let output = Command::new(program("clocks", Profile::Debug)).arg(how).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), words, "{how}: {err}");
        assert!(output.status.success(), "{how}: {err}");
    }
}

/// As `-C target-feature=+crt-static` makes it.
#[test]
fn static_pie_is_looked_into_as_any_program() {
    let linked = program("linked", Profile::Static);
    assert_no_interpreter(&linked);
    let crash = crash_of(&linked, &["overflow"], &[]);
    crash.assert_complete().assert_died(SIGSEGV);
    crash.assert_says(&["'deep' overflowed its stack", "verdict   runaway recursion: linked::deeper, "]);

    let debuggee = Debuggee::start(Command::new(&linked).arg("parked")).asleep();
    let gdb = concat!("source ", env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py");
    let of_gdb = gdb_with(&debuggee.attach(), &[gdb, "coro list", "coro bt waiting"]);
    let lldb = "command script import lldb/coro.py";
    let of_lldb = lldb_going_on(&debuggee.attach(), &[lldb, "coro list", "coro bt waiting"]);
    for said in [of_gdb, of_lldb] {
        let list = said.block("coro list");
        assert!(list.ends_with("4 coroutines: 3 parked, 1 running\n"), "{said}");
        assert!(list.contains(" waiting ") && list.contains(" sleep, for ever "), "{said}");
        let bt = said.block("coro bt waiting");
        assert!(bt.contains("wait_here") && bt.contains("tests/programs/linked.rs:"), "{said}");
    }
}

/// No segment of the file is the name of a dynamic linker.
#[track_caller]
fn assert_no_interpreter(program: &Path) {
    const PT_INTERP: u32 = 3;
    let bytes = fs::read(program).unwrap();
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    // ELF's header says where the segments' headers begin, how large one is, and how many there are.
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kinds: Vec<u32> = (0..count).map(|n| number(start + n * size, 4) as u32).collect();
    assert!(!kinds.is_empty() && !kinds.contains(&PT_INTERP), "{kinds:?}");
}
