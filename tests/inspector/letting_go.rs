//! Whatever ends `coro`, or has it wait, the process that it looks at goes on as it was.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pretty_assertions::assert_eq;

use crate::coro;
use crate::support::debuggee::{Debuggee, scratch};
use crate::support::started::Started;
use crate::support::{Profile, gdb_with};

/// Who looks at a process; 0: nobody.
#[track_caller]
fn tracer(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    status.lines().find_map(|line| line.strip_prefix("TracerPid:\t")).expect("it is told").to_owned()
}

/// A command while its debugger looks at a process. Where that was over before it was seen, it is asked again. The answer
/// goes to a file, so that nobody has to read it.
#[track_caller]
fn amid(words: &[&str], pid: &str, to: &Path) -> Child {
    loop {
        let to = fs::File::create(to).expect("the folder is ours");
        let mut asked = coro(words).stdout(to).stderr(Stdio::piped()).spawn().expect("it starts");
        while tracer(pid) == "0" && asked.try_wait().expect("it is ours to wait for").is_none() {
            thread::yield_now();
        }
        if tracer(pid) != "0" {
            return asked;
        }
        asked.wait().expect("it is ours to wait for");
    }
}

#[test]
fn interrupted_it_lets_the_process_go_as_it_was() {
    let folder = scratch("interrupted");
    for (debugger, sentence) in [("gdb", "coro: interrupted\n"), ("lldb", "coro: interrupted; LLDB lets ")] {
        let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
        let pid = debuggee.pid();
        let said = loop {
            let asked = amid(&["list", "--debugger", debugger, &pid], &pid, &folder.join("answer"));
            kill(Pid::from_raw(asked.id().cast_signed()), Signal::SIGINT).unwrap();
            let ended = asked.wait_with_output().unwrap();
            // Else the answer was there before.
            if !ended.status.success() {
                break String::from_utf8_lossy(&ended.stderr).into_owned();
            }
        };
        assert!(said.starts_with(sentence), "{debugger}: {said}");
        while tracer(&pid) != "0" {
            thread::yield_now();
        }
        let debuggee = debuggee.asleep();
        // LLDB had put a breakpoint there.
        let function = gdb_with(&debuggee.attach(), &["x/1bx _dl_debug_state"]);
        let is_there = function.whole().contains("_dl_debug_state>:\t0x");
        assert!(is_there && !function.whole().contains("\t0xcc\n"), "{debugger}: {function}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn process_that_ends_under_a_look_is_said_to_have_ended() {
    let folder = scratch("ended");
    for debugger in ["gdb", "lldb"] {
        let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
        let pid = debuggee.pid();
        let asked = amid(&["list", "--debugger", debugger, &pid], &pid, &folder.join("answer"));
        kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
        let ended = asked.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        // Unless there was an answer before.
        assert!(
            ended.status.success() || said.contains(&format!("process {pid} has ended")),
            "{debugger}: {said}"
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn who_reads_slowly_does_not_keep_the_process_stopped() {
    let started = Started::of("./main park 400 &", env!("CARGO_BIN_EXE_main"));
    let pid = started.pid();
    for debugger in ["gdb", "lldb"] {
        let mut command = coro(&["dump", "--debugger", debugger, &pid, "--json", "-"]);
        let mut asked = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        asked.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(tracer(&pid), "0", "{debugger}: nothing is written as long as the process stands still");
        let rest = asked.wait_with_output().unwrap();
        assert!(rest.status.success(), "{debugger}: {}", String::from_utf8_lossy(&rest.stderr));
        // More than the pipes between them hold, so that somebody has had to keep it.
        assert!(rest.stdout.len() > 256 << 10 && rest.stdout.ends_with(b"\n]}\n"), "{}", rest.stdout.len());
    }
}

#[test]
fn stopped_by_its_user_it_does_not_keep_the_process_stopped() {
    let started = Started::of("./main park 400 &", env!("CARGO_BIN_EXE_main"));
    let pid = started.pid();
    let folder = scratch("stopped");
    let to = folder.join("answer");
    let mut asked = amid(&["dump", "--debugger", "gdb", &pid, "--json", "-"], &pid, &to);
    let own = Pid::from_raw(asked.id().cast_signed());
    kill(own, Signal::SIGTSTP).unwrap();
    while tracer(&pid) != "0" {
        thread::yield_now();
    }
    // The kernel has not stopped it where no shell is there to have it go on, and then it ends by itself.
    let status = loop {
        if let Some(status) = asked.try_wait().unwrap() {
            break status;
        }
        let _ = kill(own, Signal::SIGCONT);
        thread::yield_now();
    };
    let json = fs::read_to_string(to).unwrap();
    assert!(status.success() && json.ends_with("\n]}\n"), "{}", json.len());
    fs::remove_dir_all(folder).unwrap();
}
