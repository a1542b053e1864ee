//! Crashes at random. Overflows of any depth, frame size, name, worker, build and redzone: always the process says what it
//! was, dies of the signal, and leaves a core in which GDB shows the same. Other faults, none of which is called an overflow.
//! And overflows where reporting is hard: in malloc, with locks held, in a handler, and with faults in the reporter.
//!
//! `CORO_CRASH_ROUNDS` says how many overflows there are; half as many other faults, a fifth as many of the hard ones.
//! `CORO_CRASH_SEED` is the first one's seed, the next one's is one more: so each can be had again alone.
//! tests/long/crash.sh has many, and others each time.

mod support;

use std::path::{Path, PathBuf};
use std::{env, fs};

use fastrand::Rng;
use pretty_assertions::assert_eq;
use support::crash::{Crash, SIGBUS, SIGSEGV, crash_in, crash_of};
use support::{Profile, debuggee, gdb_with, program};

/// A core of each so many is looked at by GDB, which takes as long as a lot of crashes.
const CORE_OF: u64 = 8;

/// How many overflows there are.
fn rounds() -> u64 {
    number("CORO_CRASH_ROUNDS", 100)
}

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// So many cases, each with its number and seed; says which it is before it happens.
fn cases(count: u64) -> impl Iterator<Item = (u64, Cases)> {
    let first = number("CORO_CRASH_SEED", 1);
    (0..count).map(move |number| {
        let seed = first.wrapping_add(number);
        println!("{} of {count}, again by CORO_CRASH_SEED={seed} CORO_CRASH_ROUNDS=1:", number + 1);
        (number, Cases(Rng::with_seed(seed)))
    })
}

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

    fn profile(&mut self) -> Profile {
        self.one_of(&[Profile::Debug, Profile::Release])
    }

    fn method(&mut self) -> &'static str {
        self.one_of(&["guard", "mprotect"])
    }

    fn overflow(&mut self) -> Case {
        let workers = self.one_of(&[1, 1, 2, 4]);
        Case {
            profile: self.profile(),
            frame: self.one_of(&["64", "200", "1000", "3000", "10000", "70000", "mutual", "branching"]),
            name: format!("n{}", self.0.u32(..1000)),
            before: self.0.u32(..40).to_string(),
            method: self.method(),
            workers,
            worker: self.0.u64(..workers),
        }
    }
}

impl Case {
    /// Lets it happen; the core, if there is to be one, lies in the folder.
    fn run(&self, program: &Path, folder: &Path, has_core: bool) -> Crash {
        let place = format!("{} of {}", self.worker, self.workers);
        let arguments = ["overflow", &self.name, self.frame, &self.before, &place];
        let environment = [("CORO_REDZONE", self.method), ("CORE", "1")];
        crash_in(folder, program, &arguments, &environment[..if has_core { 2 } else { 1 }])
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
        let (id, address) = culprit(&crash.out);
        let who = format!("coroutine #{id} '{}' overflowed its stack", self.name);
        assert!(head.starts_with(&who), "{self:?}: {who} is not {head}");
        let (low, high) = bounds(crash.line("stack     "));
        assert!(
            (low..high).contains(&address),
            "{self:?}: {address:#x} is not in the stack of\n{}",
            crash.err
        );
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

/// What it says of itself before: its number, and an address in its stack.
fn culprit(out: &str) -> (&str, u64) {
    let said = out.lines().find_map(|line| line.strip_prefix("culprit #")?.split_once(' '));
    let (id, address) = said.unwrap_or_else(|| panic!("it has not said who it is: {out}"));
    (id, hexadecimal(address))
}

/// Of `192 KiB 0x10084d0000..0x1008500000, redzone …`.
fn bounds(line: &str) -> (u64, u64) {
    let range = line.split([' ', ',']).find_map(|word| word.split_once(".."));
    let (low, high) = range.unwrap_or_else(|| panic!("no bounds in {line}"));
    (hexadecimal(low), hexadecimal(high))
}

fn hexadecimal(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn random_overflows_are_all_told_right() {
    for (number, mut cases) in cases(rounds()) {
        let case = cases.overflow();
        println!("  {case:?}");
        happens(&case, number % CORE_OF == 0);
    }
}

/// An overflow, which is told right, also of its core.
fn happens(case: &Case, has_core: bool) {
    let program: PathBuf = program("crashing", case.profile);
    let folder = debuggee::scratch("random");
    let crash = case.run(&program, &folder, has_core);
    case.check(&crash);
    if has_core {
        case.check_core(&crash, &program, &folder);
    }
    fs::remove_dir_all(folder).unwrap();
}

/// A fault that is no overflow: the case, what is said of it (nothing: it is no matter of stacks), and the signal.
type Fault = (&'static str, &'static str, i32);
const FAULTS: [Fault; 13] = [
    ("null", "", SIGSEGV),
    ("wild", "", SIGSEGV),
    ("general-protection", "", SIGSEGV),
    ("kill", "", SIGSEGV),
    ("bus", "", SIGBUS),
    ("stranger", "'culprit' used a wild pointer: into the redzone of coroutine #4 'victim'", SIGSEGV),
    ("from-main", "#1 'main' used a wild pointer: into the redzone of coroutine #4 'victim'", SIGSEGV),
    ("from-thread", "a thread outside coroutines used a wild pointer: into the redzone of ", SIGSEGV),
    ("above", "'culprit' ran off the top of its stack, by 8 B", SIGSEGV),
    ("read", "'culprit' ran off the top of its stack, by 8 B", SIGSEGV),
    ("jump", "'culprit' ran off the top of its stack, by 16 B", SIGSEGV),
    ("underrun", "'culprit' used a wild pointer: into its own redzone, 64 B below its stack", SIGSEGV),
    ("freed", "'culprit' used a freed stack: of coroutine #5 'victim', which has ended", SIGSEGV),
];
/// What the handler says that was there before the library's.
const CALLED: &str = "the handler of before was called\n";

/// And who had a handler before has it called.
#[test]
fn random_other_faults_are_no_overflows_and_reach_the_handler_of_before() {
    for (_, mut cases) in cases(rounds().div_ceil(2)) {
        let (case, words, signal) = cases.one_of(&FAULTS);
        // Only debug builds close freed stacks.
        let profile = if case == "freed" { Profile::Debug } else { cases.profile() };
        let (method, is_chained) = (cases.method(), cases.0.bool());
        println!("  {case}, {profile:?}, {method}, with a handler of before: {is_chained}");
        let arguments = ["chained", case];
        let arguments = &arguments[usize::from(!is_chained)..];
        let crash = crash_of(&program("crashing", profile), arguments, &[("CORO_REDZONE", method)]);
        crash.assert_died(signal);
        assert_eq!(crash.err.matches(CALLED).count(), usize::from(is_chained), "{}", crash.err);
        assert!(!crash.err.contains("overflow") && !crash.err.contains("stack_size"), "{}", crash.err);
        if words.is_empty() {
            crash.assert_silent();
            assert_eq!(crash.err.replace(CALLED, ""), "");
        } else {
            crash.assert_complete().assert_says(&[words]);
        }
    }
}

/// Where the reporter itself faults, its lines without names are there all the same.
#[test]
fn random_overflows_where_reporting_is_hard_are_told_and_end_the_process() {
    const FAULTED: &str = "[the reporter itself faulted in ";
    for (_, mut cases) in cases(rounds().div_ceil(5)) {
        let case = cases.one_of(&["malloc", "locked", "in-a-handler", "unreadable", "poisoned"]);
        let (profile, method) = (cases.profile(), cases.method());
        let value = match case {
            "malloc" => Some("x".repeat(cases.0.usize(..200))),
            "poisoned" => Some(format!("{:02x}", cases.0.u8(..))),
            _ => None,
        };
        println!("  {case} {value:?}, {profile:?}, {method}");
        let arguments: Vec<&str> = [case].into_iter().chain(value.as_deref()).collect();
        let crash = crash_of(&program("crashing", profile), &arguments, &[("CORO_REDZONE", method)]);
        crash.assert_died(SIGSEGV);
        assert_eq!(crash.err.contains(FAULTED), case == "unreadable", "{}", crash.err);
        assert!(crash.line("fatal: ").contains(" overflowed its stack"), "{}", crash.err);
        assert!(crash.line("what      ").starts_with("write at 0x"), "{}", crash.err);
        assert!(crash.line("verdict   ").starts_with("runaway recursion: crashing"), "{}", crash.err);
        crash.assert_says(&["backtrace, innermost first", "<- fault", "other coroutines: "]);
    }
}

/// On a worker in the midst of several, whose thread isn't the one that started them.
#[test]
fn overflow_on_worker_2_of_4_is_told_with_its_thread_and_worker() {
    for profile in [Profile::Debug, Profile::Release] {
        let [frame, method] = ["200", "guard"];
        let [name, before] = ["third", "3"].map(str::to_owned);
        happens(&Case { profile, frame, name, before, method, workers: 4, worker: 2 }, true);
    }
}
