//! What GDB says with the commands loaded: help, completion, the greeting, values, and at a stack that
//! overflows.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::debuggee::{Debuggee, scratch};
use crate::support::{Profile, gdb, gdb_with, program};
use crate::{SOURCE, coro, has};

const COMMANDS: [&str; 21] = [
    "addr", "apply", "break", "bt", "crash", "deadlock", "dump", "finish", "gcore", "group", "info", "list",
    "next", "select", "skip", "stacks", "stats", "step", "thread", "tree", "why",
];

#[test]
fn help_lists_every_command_with_a_line() {
    let mut commands = vec!["help coro", "coro", "coro nonsense", "help info coroutines"];
    let helps: Vec<String> = COMMANDS.iter().map(|name| format!("help coro {name}")).collect();
    commands.extend(helps.iter().map(String::as_str));
    let said = coro(&[] as &[&str], &commands);
    for help in ["help coro", "coro"] {
        let listed: Vec<&str> = said
            .block(help)
            .lines()
            .filter(|line| line.starts_with("coro ") && line.contains(" -- "))
            .collect();
        let names: Vec<&str> = listed.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(names, COMMANDS, "{said}");
        for line in listed {
            assert!(line.ends_with('.') && line.len() < 120, "{line}");
        }
    }
    has(&said, "coro nonsense", &["coro: there is no command `coro nonsense`; there are addr, apply, break"]);
    for (name, help) in COMMANDS.iter().zip(&helps) {
        let usage = format!("\nUsage: coro {name}");
        has(&said, help, &[&usage]);
    }
    has(&said, "help info coroutines", &["the same as `coro list`"]);
}

#[test]
fn completion_knows_commands_filters_ids_and_names() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let commands = [
        "complete coro s",
        "complete coro list -s",
        "complete coro list -state pa",
        "complete coro list -wait a",
        "complete coro list -name l",
        "complete coro bt ",
        "complete coro skip ",
        "complete coro apply ",
        "complete coro break s",
        "complete coro break seen::tw",
        "complete coro break seen::want -id ",
        "complete coro why jo",
        "complete coro dump tests/gd",
        "complete coro next ",
    ];
    let said = coro(&debuggee.attach(), &commands);
    has(
        &said,
        commands[0],
        &["coro select\n", "coro skip\n", "coro stacks\n", "coro stats\n", "coro step\n"],
    );
    has(&said, commands[1], &["coro list -state\n", "coro list -sort\n", "coro list -spawned\n"]);
    has(&said, commands[2], &["coro list -state parked\n"]);
    has(&said, commands[3], &["coro list -wait accept\n"]);
    has(&said, commands[4], &["coro list -name locker\n"]);
    has(&said, commands[5], &["coro bt 4\n", "coro bt -full\n", "coro bt reader\n"]);
    // What a command doesn't take isn't offered.
    assert!(!said.block(commands[5]).contains("all"), "{said}");
    assert_eq!(said.block(commands[6]), "coro skip off\ncoro skip on\n");
    has(&said, commands[7], &["coro apply all\n", "coro apply -older\n", "coro apply reader\n"]);
    assert_eq!(said.block(commands[8]), "coro break spawn\n");
    has(&said, commands[9], &["coro break seen::twice"]);
    has(&said, commands[10], &["coro break seen::want -id 4\n"]);
    assert_eq!(said.block(commands[11]), "coro why joiner\n");
    has(&said, commands[12], &["coro dump tests/gdb"]);
    assert_eq!(said.block(commands[13]), "");
}

/// Handles, ids, locks and channels are shown by what they are of.
#[test]
fn values_say_what_they_are_of() {
    for (profile, is_live) in [(Profile::Debug, true), (Profile::Debug, false), (Profile::Full, true)] {
        let commands = [
            "coro select main",
            crate::seen::frame_of!("see_all"),
            "print *reader",
            "print id",
            "print *sender",
            "print *receiver",
            "print *drained",
            "print *joiner",
            "coro select owner",
            crate::seen::frame_of!("hold"),
            "print *mutex",
            "print guard",
            "info locals",
        ];
        let file = program("seen", profile);
        let said = if is_live {
            coro(&Debuggee::seen(profile, "parked").asleep().attach(), &commands)
        } else {
            let core = Debuggee::where_cores_go(&file, &["parked"], &[]).asleep().kernel_core();
            coro(&["-c".as_ref(), core.path.as_os_str(), file.as_os_str()], &commands)
        };
        if profile == Profile::Full {
            // What the compiler has left is right; most of these it has not.
            assert!(!said.to_string().contains("<error"), "{said}");
            continue;
        }
        has(&said, "print *reader", &["JoinHandle of coroutine #4 'reader', parked ", ": read fd "]);
        has(&said, "print id", &["= coroutine #4 'reader', parked "]);
        has(&said, "print *sender", &["Sender (1 of 4, 1 sender, 1 receiver, last sent by #1 'main')"]);
        has(&said, "print *receiver", &["Receiver (1 of 4"]);
        has(&said, "print *drained", &["Receiver (empty, room for 1, 0 senders, 1 receiver"]);
        has(&said, "print *joiner", &["JoinHandle of coroutine #7 'joiner', parked ", ": join #5 'owner'"]);
        has(&said, "print *mutex", &["Mutex (locked by #5 'owner', contended) = {value = 17}"]);
        has(&said, "print guard", &["MutexGuard (locked by #5 'owner', contended) = {value = 17}"]);
        has(&said, "info locals", &["guard = MutexGuard", "held = 1001"]);
    }
}

/// The boundary has its name, and besides that backtraces are GDB's own, in every form.
#[test]
fn backtraces_are_gdbs_own() {
    let file = program("nested", Profile::Debug);
    let start = ["break stop_here", "run", "set print frame-arguments none"];
    let forms = [
        "bt",
        "bt 3",
        "bt -3",
        "bt -full 2",
        "where 4",
        "thread apply all bt 3",
        "bt -frame-arguments presence 2",
    ];
    let commands = [&start[..], &forms].concat();
    let arguments = ["main", "above", "backtrack"];
    let plain = gdb(&file, &arguments, &commands);
    let mut options = vec!["--args".as_ref(), file.as_os_str()];
    options.extend(arguments.iter().map(std::ffi::OsStr::new));
    let ours = coro(&options, &commands);
    for form in forms {
        let expected: Vec<&str> = plain.block(form).lines().filter(|line| is_of_a_frame(line)).collect();
        let shown: Vec<&str> = ours.block(form).lines().filter(|line| is_of_a_frame(line)).collect();
        assert_eq!(expected.len(), shown.len(), "{form}:\n{plain}\n{ours}");
        for (expected, shown) in expected.iter().zip(&shown) {
            if expected.ends_with("<signal handler called>") {
                assert!(shown.contains("--- coroutine boundary, resumed by: ---"), "{shown}");
            } else if let Some((name, _)) = expected.split_once("::h").filter(|_| expected.ends_with(" ()")) {
                assert_eq!(*shown, format!("{name} ()"));
            } else {
                assert_eq!(without_arguments(expected), without_arguments(shown));
            }
        }
    }
    assert!(ours.block("bt").contains("resumed by: ---"), "{ours}");
}

/// With a filter, of whichever kind, GDB shows some arguments in another way: `x@entry`, values that are
/// partly there.
fn without_arguments(line: &str) -> (&str, &str) {
    let (function, rest) = line.split_once(" (").unwrap_or((line, ""));
    (function, rest.rsplit_once(") at ").map_or("", |(_, place)| place))
}

/// Behind a filter GDB 13 ends a frame's line where it can't read an argument, and fails an assertion of its own at some
/// that are optimised out.
#[test]
fn variables_that_are_not_there_end_no_backtrace() {
    let main = Path::new(env!("CARGO_BIN_EXE_main"));
    let options = ["--args".as_ref(), main.as_os_str(), "hang".as_ref()];
    // By the debug information the register leads to join's handle, though others have used it since.
    let start = ["break main::demo::stuck::spin", "run", "print $rsi = 2"];
    let bts = ["bt", "bt full", "bt -frame-arguments all", "bt -frame-arguments none"];
    let said = coro(&options, &[&start[..], &bts].concat());
    for bt in &bts[..3] {
        let frame = said.block(bt).lines().find(|line| line.contains("join<()> (")).unwrap();
        assert!(
            frame.contains("self=<error reading variable: Cannot access memory at address 0x2>"),
            "{said}"
        );
        assert!(frame.contains(" at src/runtime/handle.rs:"), "{bt}: {said}");
    }
    has(&said, bts[3], &["join<()> (self=...) at "]);
    let whole = said.block(bts[2]);
    assert!(whole.contains("::run_with_status<") && whole.contains("(self=<optimized out>, main="), "{said}");
}

/// Not the locals, nor threads' numbers, which differ from run to run.
fn is_of_a_frame(line: &str) -> bool {
    line.starts_with('#')
}

#[test]
fn overflow_is_said_at_once_and_its_backtrace_is_a_screenful() {
    let main = Path::new(env!("CARGO_BIN_EXE_main"));
    let options = ["--args".as_ref(), main.as_os_str(), "overflow".as_ref(), "recursion".as_ref()];
    let said = coro(&options, &["run", "coro bt", "coro crash", "coro list"]);
    let stop = said.block("run");
    assert!(stop.contains("Program received signal SIGSEGV"), "{said}");
    let lines: Vec<&str> = stop.lines().filter(|line| line.contains("'overflow'")).collect();
    assert_eq!(lines.len(), 1, "one line says what has happened: {said}");
    for word in [
        "coroutine #4 'overflow' overflowed its stack: runaway recursion: main::demo::overflow::recurse",
        " B below the stack, by ",
        "`coro crash`",
    ] {
        assert!(lines[0].contains(word), "{word}: {}", lines[0]);
    }
    assert!(said.block("coro bt").lines().count() < 30, "{said}");
    has(&said, "coro bt", &["main::demo::overflow::recurse", "more rounds of this frame"]);
    has(&said, "coro crash", &["redzone", "runaway recursion"]);
}

/// Of thousands of frames GDB is asked for a few hundred; the others are followed by their return addresses, also where
/// the outermost ones rest on a frame pointer.
#[test]
fn deep_stacks_are_shown_to_their_ends() {
    let debuggee = Debuggee::start(&mut std::process::Command::new(program("deep", Profile::Debug))).asleep();
    let names = ["plain", "mutual", "aligned", "uneven", "shallow", "nested"];
    let commands = names.map(|name| format!("coro bt {name}"));
    let said = coro(&debuggee.attach(), &commands.each_ref().map(String::as_str));
    for command in &commands {
        let bt = said.block(command);
        let last = bt.lines().last().unwrap_or_default();
        assert!(last.starts_with('#') && last.contains("::entry "), "{command}: {said}");
        assert!(bt.lines().count() < 250, "{command}: {said}");
    }
    for command in &commands[..3] {
        assert!(said.block(command).contains(" more rounds of th"), "{command}: {said}");
    }
}

/// A core is a stop as well: whoever opens it is told at once.
#[test]
fn core_of_an_overflow_is_said_at_once() {
    let main = Path::new(env!("CARGO_BIN_EXE_main"));
    let folder = scratch("overflow");
    let status = Command::new("sh")
        // The monitor is another thread.
        .args(["-c", "ulimit -c unlimited && exec \"$0\" overflow recursion"])
        .arg(main)
        .current_dir(&folder)
        .output()
        .expect("there is a shell");
    assert!(!status.status.success());
    let core = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).next();
    let core = core.expect("cores go to the process's folder: see the tests of waiting coroutines");
    let commands = ["coro list", "coro list -sort stack -limit 1", "thread 2", "coro crash", "thread"];
    let said = coro(&["-c".as_ref(), core.as_os_str(), main.as_os_str()], &commands);
    has(&said, SOURCE, &["coroutine #4 'overflow' overflowed its stack"]);
    has(&said, "coro list -sort stack -limit 1", &["*   4  overflow  running", "192K/192K"]);
    // Whichever thread is selected, and stays so.
    has(
        &said,
        "coro crash",
        &["coroutine #4 'overflow' overflowed its stack\n", "verdict   runaway recursion"],
    );
    has(&said, "thread", &["[Current thread is 2 "]);
    // Without the executable, or with another one, no frame but the first is found.
    let other = program("seen", Profile::Debug);
    for options in
        [&["-c".as_ref(), core.as_os_str()][..], &["-c".as_ref(), core.as_os_str(), other.as_os_str()]]
    {
        let said = coro(options, &["coro list", "coro crash"]);
        has(
            &said,
            "coro crash",
            &["verdict   its stack can't be unwound: the executable is missing or another"],
        );
        assert!(!said.whole().contains("a large frame") && !said.whole().contains("advice"), "{said}");
    }
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

#[test]
fn greeting_is_of_this_version() {
    let said = coro(&[] as &[&str], &[]);
    let greeting = format!("coro {}: loaded; \"help coro\" lists the commands", env!("CARGO_PKG_VERSION"));
    has(&said, SOURCE, &[&greeting]);
    let plain = coro(&["-p", &Debuggee::seen(Profile::Release, "parked").asleep().pid()], &["coro list"]);
    let greeting = format!(
        "coro {} (debug ABI 1.4): 7 coroutines; \"help coro\" lists the commands",
        env!("CARGO_PKG_VERSION")
    );
    has(&plain, SOURCE, &[&greeting]);
    let twice = coro(&[] as &[&str], &["coro list", "coro select 4", "coro apply all -- bt", SOURCE]);
    assert!(twice.blocks(SOURCE).nth(1).unwrap().trim().is_empty(), "loaded once: {twice}");
    for command in ["coro list", "coro select 4", "coro apply all -- bt"] {
        has(
            &twice,
            command,
            &["coro: the program doesn't run, and no core is loaded: there are no coroutines"],
        );
    }
}

/// The program carries what loads the commands; GDB runs it where its safe path allows.
#[test]
fn program_loads_the_commands_by_itself() {
    for profile in [Profile::Debug, Profile::Release, Profile::Stripped] {
        let file = program("seen", profile);
        // The runner's own setting is that nothing is loaded so.
        let allow = ["-iex", "set auto-load python-scripts on", "-iex", "add-auto-load-safe-path /"];
        let options: Vec<_> = allow.iter().map(|option| option.as_ref()).chain([file.as_os_str()]).collect();
        let said = gdb_with(&options, &["help coro list", "info auto-load python-scripts"]);
        assert!(said.to_string().contains("coro 0.1.0: loaded"), "{profile:?}: {said}");
        assert!(said.block("help coro list").contains("Usage: coro list"), "{profile:?}: {said}");
        // Not by default.
        let options: Vec<_> =
            allow[..2].iter().map(|option| option.as_ref()).chain([file.as_os_str()]).collect();
        let said = gdb_with(&options, &["coro list"]);
        assert!(said.to_string().contains("auto-loading has been declined"), "{profile:?}: {said}");
        assert!(said.block("coro list").contains("Undefined command"), "{profile:?}: {said}");
    }
}

#[test]
fn program_without_its_package_says_where_the_commands_are() {
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("gdb/autoload.py")).unwrap();
    let folder = scratch("autoload");
    let path = folder.join("loader.py");
    fs::write(&path, format!("{script}\n_load_coro_commands('/nowhere')\n")).unwrap();
    let source = format!("source {}", path.display());
    let said = gdb_with(&[] as &[&str], &[&source, "help coro"]);
    let line = said.block(&source);
    assert!(line.starts_with("coro: this program has coroutines") && line.lines().count() == 1, "{said}");
    assert!(said.block("help coro").contains("Undefined command"), "{said}");
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/gdb");
    let environment = format!("python os.environ['CORO_GDB'] = '{here}'");
    let said = gdb_with(&[] as &[&str], &["python import os", &environment, &source, "help coro"]);
    assert!(said.block("help coro").contains("coro list --"), "{said}");
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}
