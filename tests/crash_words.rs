//! What a debugger's `coro crash` says of a fault is what the process says of itself: the same words and figures, of the
//! same crash.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use pretty_assertions::assert_eq;
use support::debugger::{Transcript, gdb_with, lldb_going_on};
use support::{Profile, program};

#[derive(Clone, Copy, Debug)]
enum Debugger {
    Gdb,
    Lldb,
}

impl Debugger {
    /// Runs a program until it faults, asks, and has it report into the file.
    fn ask(self, program: &Path, arguments: &[&str], file: &Path) -> Transcript {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        match self {
            Debugger::Gdb => {
                let script = root.join("gdb/coro.py");
                let mut options = vec!["-x", script.to_str().unwrap(), "--args", program.to_str().unwrap()];
                options.extend(arguments);
                let environment = format!("set environment CORO_CRASH_FILE {}", file.display());
                gdb_with(&options, &[&environment, "run", "coro crash", "continue"])
            }
            Debugger::Lldb => {
                let load = format!("command script import {}", root.join("lldb/coro.py").display());
                let mut options = vec!["-O", &load, "--", program.to_str().unwrap()];
                options.extend(arguments);
                let said = lldb_going_on(&options, &["run", "coro crash", "kill"]);
                // LLDB delivers no signal to a thread that stands for a coroutine. So the process runs once more, and has
                // its stacks where it had them.
                let mut again = Command::new(program);
                again.args(arguments).env("CORO_CRASH_FILE", file).stderr(Stdio::null());
                again.stdout(Stdio::null()).status().unwrap();
                said
            }
        }
    }
}

/// The lines of a report that both have, without what differs by nature: the process's own numbers, its age, and what
/// only it can know.
fn comparable(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some((who, _)) = line.strip_prefix("fatal: ").and_then(|line| line.split_once("   [coro ")) {
            lines.push(who.to_owned());
        } else if lines.is_empty() && line.starts_with("coroutine #") {
            lines.push(line.to_owned());
        } else if let Some(what) = line.strip_prefix("  what      ") {
            lines.push(format!("what {}", what.replace(" of libc.so.6", "")));
        } else if let Some(stack) = line.strip_prefix("  stack     ") {
            lines.push(format!("stack {}", stack.split("; deepest before").next().unwrap()));
        } else if let Some(spawned) = line.strip_prefix("  spawned   ") {
            let (site, rest) = spawned.split_once(", ").unwrap();
            lines.push(format!("spawned {site}, {}", rest.split_once(" ago").unwrap().1));
        } else if let Some(alive) = line.strip_prefix("other coroutines: ") {
            lines.push(format!("others {}", alive.split(';').next().unwrap()));
        } else if ["  verdict   ", "biggest frames: ", "advice    "]
            .iter()
            .any(|start| line.starts_with(start))
        {
            lines.push(line.replace("{{closure}}", "{closure}"));
        }
    }
    lines
}

/// Without the numbers that GDB gives closures.
fn without_numbers(lines: Vec<String>) -> Vec<String> {
    let plain = |line: String| {
        let mut parts = line.split("{closure#");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |line, part| {
            line + "{closure" + part.trim_start_matches(|c: char| c.is_ascii_digit())
        })
    };
    lines.into_iter().map(plain).collect()
}

fn assert_same(debugger: Debugger, program: &Path, arguments: &[&str]) {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report.{}.{number}", process::id()));
    let said = debugger.ask(program, arguments, &file);
    let report = fs::read_to_string(&file).unwrap_or_else(|error| panic!("no report: {error}\n{said}"));
    fs::remove_file(&file).unwrap();
    let own = comparable(&report);
    let debuggers = without_numbers(comparable(said.block("coro crash")));
    assert!(own.len() >= 5, "{arguments:?}: the process has said too little:\n{report}");
    assert_eq!(debuggers, own, "{debugger:?} {arguments:?}\n{report}{said}");
}

/// What is inlined from std says nothing of who did it.
#[test]
fn who_called_std_is_told() {
    let release = program("crashing", Profile::Release);
    let report = Command::new(&release).arg("read").output().unwrap();
    let report = String::from_utf8_lossy(&report.stderr).into_owned();
    let said = Debugger::Gdb.ask(&release, &["read"], Path::new("/dev/null"));
    for text in [&*report, said.block("coro crash")] {
        let what = text.lines().find(|line| line.starts_with("  what ")).unwrap();
        let (who, caller) = what.split_once(", called by ").unwrap_or_else(|| panic!("{text}"));
        assert!(who.contains(" (std:core/src/ptr/mod.rs:"), "{what}");
        assert!(caller.starts_with("read (tests/programs/crashing.rs:"), "{what}");
    }
}

fn crashing() -> PathBuf {
    program("crashing", Profile::Debug)
}

#[test]
fn gdb_and_the_process_say_the_same_of_overflows() {
    for how in ["recursion", "mutual", "frame", "malloc", "callback"] {
        assert_same(Debugger::Gdb, Path::new(env!("CARGO_BIN_EXE_main")), &["overflow", how]);
    }
    for frame in ["3000", "10000", "branching"] {
        assert_same(Debugger::Gdb, &crashing(), &["overflow", "n", frame, "7"]);
    }
}

#[test]
fn gdb_and_the_process_say_the_same_of_other_faults() {
    for case in ["stranger", "above", "underrun", "freed", "jump", "read"] {
        assert_same(Debugger::Gdb, &crashing(), &[case]);
    }
}

#[test]
fn lldb_and_the_process_say_the_same() {
    // A large frame is made by code of no line, of which LLDB says none.
    for how in ["recursion", "mutual", "malloc"] {
        assert_same(Debugger::Lldb, Path::new(env!("CARGO_BIN_EXE_main")), &["overflow", how]);
    }
    for case in ["stranger", "jump", "read"] {
        assert_same(Debugger::Lldb, &crashing(), &[case]);
    }
}
