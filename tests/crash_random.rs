//! Overflows at random: of any depth, frame size, name, worker, build and redzone. Always the process says what it was, dies
//! of the signal, and leaves a core in which GDB shows the same.
//!
//! `CORO_CRASH_ROUNDS` says how many there are; tests/long/crash.sh sets it high.

mod support;

use std::path::{Path, PathBuf};
use std::{env, fs};

use fastrand::Rng;
use support::crash::{Crash, SIGSEGV, crash_in};
use support::{Profile, debuggee, gdb_with, program};

/// One overflow.
#[derive(Debug)]
struct Case {
    profile: Profile,
    frame: &'static str,
    name: String,
    before: String,
    method: &'static str,
    workers: u64,
    /// The worker on which it happens.
    worker: u64,
}

struct Cases(Rng);

impl Cases {
    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())]
    }

    fn case(&mut self) -> Case {
        let workers = self.one_of(&[1, 1, 2, 4]);
        Case {
            profile: self.one_of(&[Profile::Debug, Profile::Release]),
            frame: self.one_of(&["64", "200", "1000", "3000", "10000", "70000", "mutual", "branching"]),
            name: format!("n{}", self.0.u32(..1000)),
            before: self.0.u32(..40).to_string(),
            method: self.one_of(&["guard", "mprotect"]),
            workers,
            worker: self.0.u64(..workers),
        }
    }
}

impl Case {
    /// Lets it happen; the core lies in the folder.
    fn run(&self, program: &Path, folder: &Path) -> Crash {
        let place = format!("{} of {}", self.worker, self.workers);
        let arguments = ["overflow", &self.name, self.frame, &self.before, &place];
        crash_in(folder, program, &arguments, &[("CORO_REDZONE", self.method), ("CORE", "1")])
    }

    /// How the verdict begins.
    fn verdicts(&self) -> [&'static str; 2] {
        match self.frame {
            "mutual" => ["runaway recursion: crashing::even <-> ", "runaway recursion: crashing::odd <-> "],
            "branching" => ["runaway recursion: crashing::branching, "; 2],
            "10000" | "70000" => ["many frames together: 192 KiB are not enough"; 2],
            _ => ["runaway recursion: crashing::deeper, "; 2],
        }
    }

    fn check(&self, crash: &Crash) {
        crash.assert_complete().assert_died(SIGSEGV);
        let head = crash.line("fatal: ");
        assert!(head.contains(&format!(" '{}' overflowed its stack", self.name)), "{self:?}: {head}");
        let thread = match self.worker {
            0 => "'crashing'".to_owned(),
            number => format!("'coro-worker-{number}'"),
        };
        assert!(head.ends_with(&format!("{thread}, worker {}]", self.worker)), "{self:?}: {head}");
        let verdict = crash.line("verdict   ");
        assert!(self.verdicts().iter().any(|start| verdict.starts_with(start)), "{self:?}:\n{}", crash.err);
        crash.assert_says(&["<coroutine start>", "<- fault"]);
    }

    /// What GDB makes of the core: the same verdict, of the same coroutine, and the frame that faulted.
    fn check_core(&self, crash: &Crash, program: &Path, folder: &Path) {
        let core = fs::read_dir(folder).unwrap().next().expect("the kernel writes cores into the folder");
        let core = core.unwrap().path();
        let load = concat!("source ", env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py");
        let said = gdb_with(&[program, &core], &[load, "bt 1", "coro crash"]);
        // Line tables alone name functions without what they are in.
        let own = |start| crash.line(start).replace("{{closure}}", "{closure}").replace("crashing::", "");
        let words = said.block("coro crash");
        let theirs = |start| {
            let line = words.lines().find_map(|line| line.trim_start().strip_prefix(start));
            let line = line.unwrap_or_else(|| panic!("{self:?}: no {start:?} in {said}"));
            without_numbers(line).replace("crashing::", "")
        };
        let who = crash.line("fatal: ").split("   [").next().unwrap();
        assert_eq!(words.lines().next(), Some(who), "{self:?}\n{said}");
        for start in ["verdict   ", "advice    ", "biggest frames: "] {
            assert_eq!(theirs(start), own(start), "{self:?}\n{}{said}", crash.err);
        }
        // Read or write, where, and how far below; GDB may know the line of what is of no line.
        let access = |what: String| what.split(", by ").next().unwrap().to_owned();
        assert_eq!(access(theirs("what      ")), access(own("what      ")), "{self:?}\n{}{said}", crash.err);
        let frame = said.block("bt 1").lines().find(|line| line.starts_with("#0 "));
        let frame = frame.unwrap_or_else(|| panic!("{self:?}: no frame in {said}"));
        // The innermost function, with what was inlined.
        let mut own_frames = crash.err.lines().filter(|line| line.ends_with("<- fault"));
        let own = own_frames.next().unwrap().split_whitespace().nth(1).unwrap();
        let own = own.rsplit("::").next().unwrap();
        assert!(frame.contains(own), "{self:?}: {own} is not in {frame}");
    }
}

/// Without the numbers that GDB gives closures.
fn without_numbers(line: &str) -> String {
    let mut parts = line.split("{closure#");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |line, part| line + "{closure" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn random_overflows_are_all_told_right() {
    let rounds =
        env::var("CORO_CRASH_ROUNDS").map_or(20, |rounds| rounds.parse().expect("a number of rounds"));
    let mut cases = Cases(Rng::with_seed(1));
    for number in 1..=rounds {
        let case = cases.case();
        println!("{number} of {rounds}: {case:?}");
        let program: PathBuf = program("crashing", case.profile);
        let folder = debuggee::scratch("random");
        let crash = case.run(&program, &folder);
        case.check(&crash);
        case.check_core(&crash, &program, &folder);
        fs::remove_dir_all(folder).unwrap();
    }
}

/// On a worker in the midst of several, whose thread isn't the one that started them.
#[test]
fn overflow_on_worker_2_of_4_is_told_with_its_thread_and_worker() {
    for profile in [Profile::Debug, Profile::Release] {
        let program = program("crashing", profile);
        let folder = debuggee::scratch("worker");
        let [frame, method] = ["200", "guard"];
        let [name, before] = ["third", "3"].map(str::to_owned);
        let case = Case { profile, frame, name, before, method, workers: 4, worker: 2 };
        let crash = case.run(&program, &folder);
        case.check(&crash);
        case.check_core(&crash, &program, &folder);
        fs::remove_dir_all(folder).unwrap();
    }
}
