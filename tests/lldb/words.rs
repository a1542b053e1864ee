//! Help, greeting, errors, values of the runtime's types, a stack that overflows, and that a program goes on undisturbed.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::debuggee::{Debuggee, may_be_traced};
use crate::support::killed::Killed;
use crate::support::{Profile, line_of, lldb_going_on, program};
use crate::{IMPORT, RELAY, SEEN, coro, has, line};

const OVERFLOWED: &str = "coroutine #4 'overflow' overflowed its stack: runaway recursion: ";

#[test]
fn help_names_every_command() {
    let none: [&str; 0] = [];
    let said = coro(&none, &["help coro", "help coro list", "help coro select", "coro", "coro nothing"]);
    let help = said.block("help coro");
    for name in [
        "addr", "apply", "break", "bt", "crash", "deadlock", "dump", "finish", "group", "info", "list",
        "next", "select", "stacks", "stats", "step", "thread", "threads", "tree", "why",
    ] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))),
            "no {name}:\n{help}"
        );
    }
    has(&said, "help coro list", &["Usage: coro list [FILTERS]", "-older 5s", "-wait R"]);
    has(&said, "help coro select", &["Usage: coro select ID|NAME|."]);
    assert!(said.block("coro nothing").contains("invalid command 'coro nothing'"), "{said}");
}

#[test]
fn errors_are_one_sentence() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let commands = [
        ("coro bt 99", "there is no coroutine 99: it has ended, or never was"),
        ("coro bt nobody", "`nobody` is no coroutine's id or name"),
        ("coro list -stat parked", "there is no filter `-stat`; there are -state, "),
        ("coro list -state sleeping", "`-state sleeping`: there is no such thing; there are "),
        ("coro list -name (", "that is no regular expression"),
        ("coro list 'open", "can't be taken apart"),
        ("coro select 1 2", "`coro select` takes one coroutine"),
        ("coro apply -- bt", "say which: all, IDs, or filters"),
        ("coro apply", "usage: coro apply all|IDs|FILTERS -- COMMAND"),
        ("coro apply all --", "there is no command behind `--`"),
        ("coro next 5", "`coro next` takes nothing"),
        ("coro finish 5", "`coro finish` takes nothing"),
        ("coro list -state parked -state ready", "`-state` is given twice"),
        ("coro thread 7", "there is no worker 7; there is worker 0"),
        ("coro apply 4 5 -- next", "`coro apply` doesn't run the program or end it, as `next` would"),
        ("coro apply 4 5 -- c", "as `c` would: "),
        ("coro apply 4 5 -- coro fin", "as `coro fin` would: "),
        ("coro apply 4 5 -- kill", "as `kill` would: "),
        ("coro why", "error: coro: "),
    ];
    let said = coro(&debuggee.attach(), &commands.map(|(command, _)| command));
    for (command, sentence) in commands {
        let block = said.block(command).trim();
        assert!(block.starts_with("error: coro: ") && block.contains(sentence), "{command}: {block}");
        assert_eq!(block.lines().count(), 1, "{command}: {block}");
    }
    let none: [&str; 0] = [];
    let said = coro(&none, &["coro list", "target create /bin/true", "coro list", "run", "coro list"]);
    for block in said.blocks("coro list") {
        assert!(block.contains("error: coro: there is no program to look at: `run` starts one"), "{said}");
    }
}

/// A program without a runtime, and one whose runtime has not started.
#[test]
fn program_without_coroutines_is_left_alone() {
    let mut sleep = Command::new("sleep");
    may_be_traced(sleep.arg("1000").stdout(Stdio::null()));
    let child = Killed(sleep.spawn().expect("there is a program `sleep`"));
    let options = ["-p".to_owned(), child.id().to_string()];
    let said = coro(&options, &["coro list", "thread list", "coro threads"]);
    drop(child);
    for command in ["coro list", "coro threads"] {
        has(&said, command, &["error: coro: this program has no coro runtime"]);
    }
    has(&said, "thread list", &["name = 'sleep'"]);

    let file = program("seen", Profile::Debug);
    let commands = ["breakpoint set -n main", "run parked", "coro list", "thread list", "kill"];
    let said = coro(&[file.as_os_str()], &commands);
    has(&said, "coro list", &["error: coro: no runtime of this program has started yet"]);
    has(&said, "thread list", &["stop reason = breakpoint 1."]);
}

/// Selects that function's frame.
const IN_HOLD: &str = "script t = lldb.debugger.GetSelectedTarget().process.GetSelectedThread(); \
     t.SetSelectedFrame(next((f.idx for f in t if '::hold::h' in (f.name or '')), 0))";

#[test]
fn values_of_the_runtimes_types_are_summed_up() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let said = coro(
        &debuggee.attach(),
        &[
            "coro select main",
            "frame variable id sender receiver drained",
            "frame variable *reader",
            "coro select owner",
            IN_HOLD,
            "frame variable guard *mutex",
            "frame variable mutex",
            "coro addr &guard",
            "coro addr $rsp + 8",
            "coro addr no_such",
        ],
    );
    has(&said, "frame variable id sender receiver drained", &["id = coroutine #4 'reader', parked "]);
    has(&said, "frame variable *reader", &["JoinHandle of coroutine #4 'reader', parked ", ": read fd "]);
    let said_of_lock = said.block("frame variable guard *mutex");
    assert!(
        line(said_of_lock, "guard = ").contains("MutexGuard (locked by #5 'owner', contended)"),
        "{said}"
    );
    for address in ["coro addr &guard", "coro addr $rsp + 8"] {
        has(&said, address, &[": coroutine #5 'owner', stack, "]);
    }
    has(&said, "coro addr no_such", &["error: coro: `no_such` is no address: "]);
    // A reference is shown as what it refers to.
    has(&said, "frame variable mutex", &["Mutex (locked by #5 'owner', contended)"]);
    assert!(line(said_of_lock, "*mutex = ").contains("Mutex (locked by #5 'owner', contended)"), "{said}");
}

#[test]
fn overflow_is_told_of_at_its_stop() {
    let options = ["--", env!("CARGO_BIN_EXE_main"), "overflow", "recursion"];
    let said = coro(&options, &["run", "coro bt", "coro crash", "coro addr 0x10", "thread list", "kill"]);
    assert_eq!(said.block("run").matches(OVERFLOWED).count(), 1, "one line, once: {said}");
    has(&said, "run", &["`coro crash` says more", "* thread #2, name = '#4 overflow'"]);
    has(
        &said,
        "coro bt",
        &[
            "coroutine #4 'overflow', running on thread 2",
            "main::demo::overflow::recurse (depth=0)",
            " more rounds of this frame",
        ],
    );
    assert!(said.block("coro bt").lines().count() < 40, "the recursion is folded: {said}");
    has(
        &said,
        "coro crash",
        &[
            "coroutine #4 'overflow' overflowed its stack",
            "verdict   runaway recursion",
            "advice    unbounded recursion",
        ],
    );
}

/// Also of a core, for which LLDB 19 doesn't tell the address by itself.
#[test]
fn overflow_is_told_of_in_a_core() {
    let file = env!("CARGO_BIN_EXE_main");
    let folder = crate::support::debuggee::scratch("core");
    let ended = Command::new("sh")
        .args(["-c", "ulimit -c unlimited && exec \"$0\" overflow recursion > output", file])
        .current_dir(&folder)
        .status()
        .expect("there is a shell");
    assert!(!ended.success());
    let mut cores = fs::read_dir(&folder).expect("the folder is ours").flatten().map(|entry| entry.path());
    let core = cores
        .find(|path| !path.ends_with("output"))
        .expect("the kernel writes cores into the process's folder");
    let said = coro(&["-c".as_ref(), core.as_os_str(), file.as_ref()], &["coro crash"]);
    assert_eq!(said.block(IMPORT).matches(OVERFLOWED).count(), 1, "one line, once: {said}");
    has(&said, "coro crash", &["verdict   runaway recursion"]);
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

/// The monitor's signal stops nobody, whichever was there first: the scripts, or the program.
#[test]
fn sigurg_is_passed_on_without_a_stop() {
    let file = program("seen", Profile::Debug);
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let options = ["--".as_ref(), file.as_os_str(), "panics".as_ref()];
    let commands = ["breakpoint set -n seen::main", "run", "process handle SIGURG", "kill"];
    for said in [coro(&options, &commands), coro(&debuggee.attach(), &["process handle SIGURG"])] {
        let row = line(said.block("process handle SIGURG"), "SIGURG ");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["SIGURG", "true", "false", "false"], "pass, stop, notify: {said}");
    }
}

#[test]
fn detached_program_goes_on() {
    let file = program("relay", Profile::Debug);
    let debuggee = Debuggee::start_unheard(Command::new(file).args(["2", "10", "1000000000000"]));
    let stop = format!("breakpoint set -f relay.rs -l {}", line_of(RELAY, "BEFORE"));
    let look =
        ["continue", "coro bt", "breakpoint delete -f", "next", "coro select 5", "coro list", "detach"];
    let commands: Vec<&str> = ["coro list", &stop].into_iter().chain(look).collect();
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "coro bt", &["relay::race"]);
    has(&said, "next", &["stop reason = step over"]);
    // It computes on: no breakpoint of LLDB's is left in it, and it isn't stopped.
    let at_first = time_of(&debuggee);
    while time_of(&debuggee) < at_first + 3 {
        thread::yield_now();
    }
}

/// The time that a process has computed, in the kernel's ticks.
#[track_caller]
fn time_of(debuggee: &Debuggee) -> u64 {
    let stat = debuggee.stat();
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("a state").split(' ').collect();
    assert!(["R", "S"].contains(&fields[0]), "it has ended, or is stopped: {stat}");
    fields[11].parse().expect("a number of ticks")
}

/// The shared part is looked for beside `lldb`; where it isn't, one sentence says so.
#[test]
fn missing_shared_part_is_said() {
    let folder = crate::support::debuggee::scratch("alone");
    fs::copy("lldb/coro.py", folder.join("coro.py")).expect("a file can be copied");
    let command = format!("command script import {}", folder.join("coro.py").display());
    let none: [&str; 0] = [];
    let said = lldb_going_on(&none, &[command.as_str()]);
    has(&said, &command, &["error: coro: the part that both debuggers share is not there: "]);
    assert!(!said.whole().contains("Traceback"), "{said}");
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
    assert!(fs::exists(SEEN).expect("the sources are here"));
}
