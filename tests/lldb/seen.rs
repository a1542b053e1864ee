//! Coroutines that wait, as the commands and LLDB's own show them, and the values of their locals.
//!
//! The values are those that tests/programs/seen.rs computes. In optimised builds there are functions and lines, in
//! stripped ones addresses; the registry is the same in all of them.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use crate::support::debuggee::{Core, Debuggee, scratch};
use crate::support::{Profile, Transcript, gdb_with, program};
use crate::{SEEN, coro, has, line, row};

/// Selects that function's frame.
const IN_READ_REQUEST: &str = "script t = lldb.debugger.GetSelectedTarget().process.GetSelectedThread(); \
     t.SetSelectedFrame(next((f.idx for f in t if 'read_request' in (f.name or '')), 0))";

const DUMP: &str = "coro dump --json ";

fn commands(dump: &str) -> Vec<String> {
    let fixed = [
        "coro list",
        "coro list -kind user -wait io",
        "thread list",
        "thread backtrace unique",
        "coro bt reader",
        "coro bt reader -full",
        "coro select #4",
        "thread backtrace",
        "coro bt",
        IN_READ_REQUEST,
        "frame variable secret number bytes",
        "coro why joiner",
        "coro deadlock",
        "coro group",
        "coro tree",
        "coro stacks",
        "coro thread",
        "coro stats",
        "coro info reader",
        "coro apply reader locker -- thread info",
        "coro addr 0x10",
        "coro crash",
    ];
    fixed.iter().map(|&command| command.to_owned()).chain([format!("{DUMP}{dump}")]).collect()
}

/// What a build tells beyond the registry.
#[derive(Clone, Copy, PartialEq)]
enum Tells {
    Locals,
    Lines,
    Addresses,
    /// Not even where a frame ends: there is no file with the code.
    Nothing,
}

/// How many workers there are, and what that comes to: the last line of `coro list`, and coroutines in all.
type Size = (u32, &'static str, usize);

const ONE: Size = (1, "7 coroutines: 6 parked, 1 running", 7);
const FOUR: Size = (4, "16 coroutines: 12 parked, 4 running", 16);

/// Looks at a program in which all wait, and at all that is said of it.
#[track_caller]
fn check(options: &[impl AsRef<OsStr>], tells: Tells) -> Transcript {
    check_size(options, tells, ONE)
}

#[track_caller]
fn check_size(options: &[impl AsRef<OsStr>], tells: Tells, size: Size) -> Transcript {
    let folder = scratch("dump");
    let dump = folder.join("snapshot.json");
    let said = coro(options, &commands(&dump.display().to_string()));
    check_registry(&said, tells, size);
    check_threads(&said, tells, size);
    let json = fs::read_to_string(&dump).unwrap_or_else(|error| panic!("no snapshot: {error}\n{said}"));
    assert!(json.contains("\"reader\"") && json.contains("\"owner\""), "{json}");
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
    if matches!(tells, Tells::Locals) {
        has(&said, "frame variable secret number bytes", &["secret = 42", "number = 21"]);
        has(&said, "coro bt reader -full", &["secret = 42", "bytes = [1, 2, 3, 4]"]);
    }
    said
}

fn check_registry(said: &Transcript, tells: Tells, (workers, sum, coroutines): Size) {
    let list = said.block("coro list");
    for (name, words) in [
        ("main", "sleep, for ever"),
        ("reader", "read fd "),
        ("owner", "sleep, for ever"),
        ("locker", "held by #5 'owner'"),
        ("joiner", "join #5 'owner'"),
    ] {
        let row = row(list, name);
        assert!(row.contains("parked") && row.contains(words), "{name}: {row}\n{said}");
    }
    let ends_in_my_code = row(list, "reader").contains(&format!(" at {SEEN}:"));
    assert_eq!(ends_in_my_code, matches!(tells, Tells::Locals | Tells::Lines), "{said}");
    assert!(row(list, "io").starts_with("* ") && row(list, "io").contains("running on thread "), "{said}");
    assert!(list.contains(sum), "{said}");
    let waiting_for_io = said.block("coro list -kind user -wait io");
    assert_eq!(waiting_for_io.lines().filter(|line| line.contains("read fd ")).count(), 1, "{said}");
    has(said, "coro bt reader", &["coroutine #4 'reader', parked for ", ": read fd ", "\n#0 "]);
    has(said, "coro why joiner", &["#7 'joiner' has waited ", "#5 'owner' has waited ", "sleep, for ever"]);
    has(said, "coro deadlock", &["no deadlock: "]);
    has(said, "coro group", &[&format!("{coroutines} coroutines in ")]);
    has(said, "coro tree", &["reader", "joiner"]);
    has(said, "coro stacks", &["default", "192K"]);
    has(said, "coro thread", &["worker 0", "runs        #2 'io'"]);
    let threads = said.block("coro thread");
    assert_eq!(threads.matches("(waits for events)\n  coroutines  ").count(), workers as usize, "{said}");
    let stats = said.block("coro stats");
    assert_eq!(
        stats.lines().filter(|line| line.contains(" 1 sleep") || line.contains(" 1 join")).count() > 1,
        workers > 1
    );
    let sums = stats.lines().last().expect("a line");
    let counts: &[&str] = if workers > 1 { &["3 shutdown", "all "] } else { &["0 "] };
    for words in [&["2 sleep", "1 read", "1 join", "1 mutex"], counts].concat() {
        assert!(sums.contains(words), "no {words}: {sums}\n{said}");
    }
    has(said, "coro info reader", &["coroutine     #4 'reader', user", "waits for     read fd "]);
    has(said, "coro addr 0x10", &["0x10"]);
}

/// Coroutines are threads, which LLDB's own commands take as any others.
fn check_threads(said: &Transcript, tells: Tells, (workers, _, coroutines): Size) {
    let threads = said.block("thread list");
    for (name, words) in [
        ("#1 main", ", parked "),
        ("#4 reader", ": read fd "),
        ("#5 owner", ": sleep, for ever"),
        ("#6 locker", " held by #5 'owner'"),
        ("#7 joiner", ": join #5 'owner'"),
    ] {
        let line = line(threads, &format!("name = '{name}'"));
        assert!(line.contains(words) && line.contains("queue = 'worker "), "{line}\n{said}");
    }
    // The real threads, which the ios are on, aren't there besides.
    assert_eq!(threads.lines().filter(|line| line.contains("tid = ")).count(), coroutines, "{said}");
    for worker in 0..workers {
        assert!(threads.contains(&format!("queue = 'worker {worker}'")), "{said}");
    }
    let running = line(threads, "name = '#2 io'");
    assert!(!running.contains(", parked") && running.contains("stop reason = "), "{running}\n{said}");
    has(said, "coro select #4", &["[coroutine #4 'reader', parked: read fd "]);
    // What is selected now is meant when nothing is named.
    has(said, "coro bt", &["coroutine #4 'reader', parked for "]);
    let backtrace = said.block("thread backtrace");
    if matches!(tells, Tells::Locals | Tells::Lines) {
        for function in ["wait_for_bytes", "read_request"] {
            assert!(backtrace.contains(function), "no {function}:\n{said}");
            assert!(said.block("coro bt reader").contains(function), "no {function}:\n{said}");
        }
        let last = said.block("coro bt reader").trim_end().lines().last().unwrap_or_default();
        assert!(last.ends_with("entry ()"), "it ends where the coroutine begins: {last}\n{said}");
    }
    let apply = said.block("coro apply reader locker -- thread info");
    let reader = apply.find("coroutine #4 'reader'").expect("the reader's title");
    let locker = apply.find("coroutine #6 'locker'").expect("the locker's title");
    assert!(reader < locker, "{said}");
    assert!(
        apply[reader..locker].contains("'#4 reader'") && apply[locker..].contains("'#6 locker'"),
        "{said}"
    );
    has(said, "thread backtrace unique", &["1 thread(s) "]);
}

#[test]
fn attached_debug_build() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let said = check(&debuggee.attach(), Tells::Locals);
    has(&said, "coro crash", &["error: coro: the program has not stopped at a signal"]);
}

#[test]
fn attached_release_build() {
    let debuggee = Debuggee::seen(Profile::Release, "parked").asleep();
    check(&debuggee.attach(), Tells::Lines);
}

#[test]
fn attached_stripped_build() {
    let debuggee = Debuggee::seen(Profile::Stripped, "parked").asleep();
    check(&debuggee.attach(), Tells::Addresses);
}

#[test]
fn four_workers() {
    let file = program("seen", Profile::Debug);
    let debuggee = Debuggee::start(Command::new(&file).args(["parked", "4"])).asleep();
    check_size(&debuggee.attach(), Tells::Locals, FOUR);
    let core = Debuggee::where_cores_go(&file, &["parked", "4"], &[]).asleep().kernel_core();
    check_size(&["-c".as_ref(), core.path.as_os_str(), file.as_os_str()], Tells::Locals, FOUR);
}

fn check_core(profile: Profile, with_executable: bool, tells: Tells) {
    let core: Core =
        Debuggee::where_cores_go(&program("seen", profile), &["parked"], &[]).asleep().kernel_core();
    let file = program("seen", profile);
    let mut options = vec!["-c".as_ref(), core.path.as_os_str()];
    if with_executable {
        options.push(file.as_os_str());
    }
    let said = check(&options, tells);
    let reader = row(said.block("coro list"), "reader");
    assert!(
        reader.contains(" >"),
        "the age is one of the process's last look at its clock, at least: {reader}"
    );
}

#[test]
fn kernel_core_of_a_debug_build() {
    check_core(Profile::Debug, true, Tells::Locals);
}

#[test]
fn kernel_core_of_a_release_build() {
    check_core(Profile::Release, true, Tells::Lines);
}

#[test]
fn kernel_core_of_a_stripped_build() {
    check_core(Profile::Stripped, true, Tells::Addresses);
}

/// LLDB finds the executable by the core's notes, if it is where it was: so this one is run under a name that is gone then.
#[test]
fn kernel_core_without_the_executable() {
    let folder = scratch("gone");
    let file = folder.join("seen");
    // By another process: a child that is forked here meanwhile would hold the file open for writing, and it couldn't be run.
    let copied = Command::new("cp").arg(program("seen", Profile::Stripped)).arg(&file).status();
    assert!(copied.expect("there is a program `cp`").success());
    let core = Debuggee::where_cores_go(&file, &["parked"], &[]).asleep().kernel_core();
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
    check(&["-c".as_ref(), core.path.as_os_str()], Tells::Nothing);
}

/// The core says where the registry is; another executable's symbols lead elsewhere.
#[test]
fn kernel_core_with_another_executable() {
    let core =
        Debuggee::where_cores_go(&program("seen", Profile::Debug), &["parked"], &[]).asleep().kernel_core();
    for other in [program("seen", Profile::Release), program("nested", Profile::Debug)] {
        let said = coro(&["-c".as_ref(), core.path.as_os_str(), other.as_os_str()], &["coro list"]);
        let greeting = said.block(crate::IMPORT);
        assert!(
            greeting.contains("coro: this executable is not the core's, or another build of it: "),
            "{said}"
        );
        assert!(greeting.contains("): 7 coroutines; "), "{said}");
        assert!(row(said.block("coro list"), "reader").contains("read fd "), "{said}");
        assert!(!said.whole().contains("leads to memory which is not there"), "{said}");
    }
}

/// GDB 13 gives a mapping up at the first guard page: its cores have stacks only between mprotect redzones.
#[test]
fn core_that_gdb_makes() {
    let file = program("seen", Profile::Debug);
    let folder = scratch("gcore");
    let debuggee = Debuggee::start(
        Command::new(&file).arg("parked").env("CORO_REDZONE", "mprotect").current_dir(&folder),
    )
    .asleep();
    let path = folder.join("made.core");
    gdb_with(&debuggee.attach(), &[&format!("generate-core-file {}", path.display())]);
    check(&["-c".as_ref(), path.as_os_str(), file.as_os_str()], Tells::Locals);
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

/// LLDB's own cores are minidumps, with the coroutines for threads: what can't be true of them is said.
#[test]
fn core_that_lldb_makes() {
    let folder = scratch("minidump");
    let path = folder.join("made.core");
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    coro(&debuggee.attach(), &[format!("process save-core --style full {}", path.display())]);
    let file = program("seen", Profile::Debug);
    let said = coro(&["-c".as_ref(), path.as_os_str(), file.as_os_str()], &["coro list", "coro next"]);
    assert!(said.block(crate::IMPORT).contains("coro: this core is a minidump, "), "{said}");
    has(&said, "coro list", &["reader", "7 coroutines: "]);
    has(&said, "coro next", &["error: coro: this is a core, which can't go on"]);
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}
