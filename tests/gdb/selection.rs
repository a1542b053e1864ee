//! A selected coroutine in the place of a thread's stack: its frames can be looked at, and nothing that
//! runs or changes the program takes them for the thread's.

use std::process::Command;

use crate::seen::frame_of;
use crate::support::debuggee::Debuggee;
use crate::support::{Profile, line_of, program};
use crate::{SEEN, SOURCE, coro, has, row};

const SET_BACK: &str = "has been set back: registers can't be written while #4 'reader' is selected";
const GONE: &str = "coro: #1 'main' is no longer selected: thread 1 is itself again";

/// GDB 13 fails an assertion of its own here, when an unwinder answers only once.
#[test]
fn frames_of_a_selected_coroutine_and_of_all_threads() {
    let debuggee = Debuggee::seen(Profile::Debug, "threads");
    let commands = [
        "coro select reader",
        "frame 1",
        "up",
        "thread apply all bt 1",
        "thread apply all -s -q frame",
        "bt 2",
        "frame",
        "down",
        "bt -2",
        "bt -full 1",
        "coro select .",
        "bt 1",
        "frame",
        "coro select",
        "coro select reader locker",
        "coro select 4711",
        "coro select io",
    ];
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "frame 1", &["#1  ", "arch::x86_64::switch"]);
    has(&said, "up", &["#2  ", "arch::x86_64::swap"]);
    let threads = said.block("thread apply all bt 1");
    assert_eq!(threads.lines().filter(|line| line.starts_with("#0  ")).count(), 2, "as they are: {said}");
    has(&said, "bt 2", &["#1  ", "#2  "]);
    assert!(!said.block("bt 2").contains("#0 ") && !said.block("bt 2").contains("#3 "), "{said}");
    assert!(said.blocks("frame").next().unwrap().starts_with("#2  "), "`up` has been kept: {said}");
    has(&said, "bt -2", &["scheduler::switch::start", "--- coroutine boundary, not running ---"]);
    has(&said, "coro select .", &["[thread ", " itself]", "#0  "]);
    has(&said, "bt 1", &["#0  "]);
    assert!(said.blocks("frame").nth(1).unwrap().starts_with("#0  "), "{said}");
    has(&said, "coro select reader locker", &["coro: `coro select` takes one coroutine"]);
    has(&said, "coro select 4711", &["coro: there is no coroutine 4711: it has ended, or never was"]);
    // One that runs is its thread.
    has(&said, "coro select io", &["coroutine #2 'io', running, which thread ", "#0  "]);
}

#[test]
fn what_would_change_the_thread_is_refused() {
    let mut debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let stack = "x/400xg 0x10083bc000";
    let commands = [
        "info registers",
        stack,
        "coro select reader",
        "return",
        "jump 5",
        "set $rip = 5",
        "print $rax = 1",
        "set var $rsp = 8",
        frame_of!("read_request"),
        "set $pc = 6",
        "print $rbx = 3",
        "print $rip = 7",
        "print $rbp = 7",
        "print secret",
        "frame 0",
        "print $r12 = 77",
        "set $rsp = 16",
        "print $rip = 9",
        "set var $eflags = 0",
        "bt 1",
        "coro select .",
        "info registers",
        stack,
        "print $r12 = $r12",
    ];
    let said = coro(&debuggee.attach(), &commands);
    for command in ["return", "jump 5"] {
        let refusal = format!(
            "coro: `{}` would change the thread, not the selected coroutine #4 'reader'; `coro select .` goes back",
            &command[..4].trim_end()
        );
        let refusal = refusal.replace("`retu`", "`return`");
        has(&said, command, &[&refusal]);
    }
    for command in ["set $rip = 5", "set var $rsp = 8"] {
        let block = said.block(command);
        assert!(block.contains("unmodifiable") || block.contains(SET_BACK), "{command}: {said}");
    }
    for command in
        ["set $pc = 6", "print $r12 = 77", "set $rsp = 16", "print $rip = 9", "set var $eflags = 0"]
    {
        has(&said, command, &[SET_BACK]);
    }
    has(&said, "print secret", &["= 42"]);
    has(&said, "bt 1", &["#1  "]);
    let mut registers = said.blocks("info registers");
    let (before, after) = (registers.next().unwrap(), registers.next().unwrap());
    assert!(before.contains("rip ") && before.contains("r15 "), "{said}");
    pretty_assertions::assert_eq!(before, after);
    let mut stacks = said.blocks(stack);
    pretty_assertions::assert_eq!(stacks.next(), stacks.next());
    // Without a selection registers can be written, as ever.
    assert!(!said.block("print $r12 = $r12").contains("coro"), "{said}");
    assert!(debuggee.lives(), "GDB has left it, and it goes on");
}

/// Of the variables of a selected coroutine: they are its own, and nobody else's.
#[test]
fn variables_of_a_selected_coroutine_can_be_set() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let commands = [
        "coro select reader",
        frame_of!("read_request"),
        "set var secret = 43",
        "print secret",
        "set $rip = 5",
        "print bytes",
    ];
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "print secret", &["= 43"]);
    // What is put back is the stack with the new value.
    has(&said, "set $rip = 5", &["has been set back"]);
    has(&said, "print bytes", &["[1, 2, 3, 4]"]);
}

#[test]
fn functions_can_be_called_while_a_coroutine_is_selected() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let commands = [
        "info registers rip rsp",
        "coro select reader",
        frame_of!("read_request"),
        "set language c",
        "print (int)getpid()",
        "set language auto",
        "frame",
        "print secret",
        "coro select .",
        "info registers rip rsp",
    ];
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "print (int)getpid()", &[&format!("= {}", debuggee.pid())]);
    has(&said, "frame", &["read_request"]);
    has(&said, "print secret", &["= 42"]);
    let mut registers = said.blocks("info registers rip rsp");
    assert_eq!(registers.next(), registers.next(), "{said}");
}

/// A call that stops on its way is a stop like others, at which nothing is selected.
#[test]
fn call_that_stops_ends_the_selection() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let commands = [
        "coro select reader",
        "set language c",
        "break getppid",
        "print (int)getppid()",
        "bt 1",
        "finish",
        "frame",
    ];
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "print (int)getppid()", &["stopped while in a function called from GDB"]);
    has(&said, "print (int)getppid()", &["coro: #4 'reader' is no longer selected"]);
    has(&said, "bt 1", &["#0  ", "getppid"]);
    has(&said, "frame", &["#0  ", "epoll_pwait2"]);
}

/// Where the thread stands in a function that is inlined, its innermost frames are that one and the one around it.
#[test]
fn thread_that_stands_in_an_inlined_function() {
    let file = program("nested", Profile::Debug);
    let stop = format!("break nested.rs:{}", line_of("tests/programs/nested.rs", "INLINED"));
    let commands = [
        &*stop,
        "run",
        "bt 2",
        "coro select main",
        "bt 1",
        frame_of!("nested"),
        "down",
        "thread apply all bt 2",
        "finish",
    ];
    let options = ["--args".as_ref(), file.as_os_str(), "main".as_ref(), "above".as_ref(), "fair".as_ref()];
    let said = coro(&options, &commands);
    has(&said, "bt 2", &["#0  nested::inlined_caller", "#1  nested::inner_work"]);
    has(&said, "coro select main", &["[coroutine #1 'main', parked, on thread 1]", "nested::main_work"]);
    has(&said, "bt 1", &["#2  ", "coro::arch::x86_64::switch"]);
    has(&said, "thread apply all bt 2", &["#0  nested::inlined_caller", "#1  nested::inner_work"]);
    has(&said, "finish", &["coro: #1 'main' is no longer selected"]);
}

/// Each of GDB's commands that run the program starts from the thread's own frame.
#[test]
fn selection_ends_before_the_program_runs() {
    let file = program("seen", Profile::Debug);
    let stop = format!("break {}", line_of(SEEN, "SECOND"));
    let third = format!("{}\t", line_of(SEEN, "THIRD"));
    let advance = format!("advance {}", line_of(SEEN, "DOUBLED"));
    let mut commands = vec![
        "python gdb.execute('define hook-next\\necho the user\\'s own hook\\\\n\\nend')",
        "break seen::turns if who == 1",
        "run",
        "delete",
        &stop,
        "continue",
        "delete",
    ];
    let runs: [(&str, &str); 9] = [
        // From the second line of `turns`, over the call of `twice`.
        ("next", &third),
        ("stepi", &third),
        ("nexti", &third),
        ("tbreak seen::twice", "Temporary breakpoint"),
        ("continue", "twice"),
        ("step", "black_box"),
        (&advance, "twice"),
        ("finish", "turns"),
        ("until", &third),
    ];
    for (command, _) in &runs {
        commands.extend(["coro select main", command]);
    }
    commands.extend(["coro select main", "kill"]);
    let said = coro(&["--args".as_ref(), file.as_os_str(), "steps".as_ref()], &commands);
    for (command, place) in runs {
        let last = said.blocks(command).last().unwrap();
        assert!(last.contains(place), "`{command}` does not come to {place}: {last}\n{said}");
        // A breakpoint may be made, and runs nothing.
        assert_eq!(last.contains(GONE), command != "tbreak seen::twice", "`{command}`: {said}");
    }
    has(&said, "next", &["the user's own hook", GONE]);
    has(&said, "kill", &[GONE]);
}

/// What goes by the selected one goes by what `coro select` has selected: `.`, no ID, `*`, `$coro()`.
#[test]
fn selected_one_is_meant_where_none_is_named() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let asked = ["coro bt", "coro info", "coro why .", "coro list", "print $coro()"];
    let back = ["coro select .", "coro info .", "print $coro(1)"];
    let apply = ["coro apply reader locker -- coro info .", "coro apply main reader -- print $coro()"];
    let addresses = ["coro addr $rsp", "coro addr &one", "coro addr no_such + 1"];
    let select = ["coro select joiner", frame_of!("join_one")];
    let wrong = ["print $coro(\"x\")", "info coroutines -bogus"];
    let commands = [&["coro select reader"][..], &asked, &back, &apply, &wrong, &select, &addresses].concat();
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "coro bt", &["coroutine #4 'reader', parked ", "read_request"]);
    has(&said, "coro info", &["coroutine     #4 'reader', user"]);
    has(&said, "coro why .", &["#4 'reader' has waited "]);
    assert!(row(said.block("coro list"), "reader").starts_with('*'), "{said}");
    assert_eq!(said.block("coro list").matches('*').count(), 1, "{said}");
    has(&said, "print $coro()", &["= 4"]);
    has(&said, "coro select .", &["[thread 1 itself]"]);
    has(&said, "coro info .", &["coroutine     #2 'io', io"]);
    has(&said, apply[0], &["coroutine     #4 'reader'", "coroutine     #6 'locker'"]);
    has(&said, apply[1], &["= 1\n", "= 4\n"]);
    // Neither is an exception of these scripts'.
    for command in ["print $coro(1)", wrong[0]] {
        has(&said, command, &["= 0"]);
    }
    for address in &addresses[..2] {
        has(&said, address, &[": coroutine #7 'joiner', stack, "]);
    }
    assert!(said.block(addresses[2]).starts_with("coro: `no_such + 1` is no address: No symbol"), "{said}");
    assert!(said.block(wrong[1]).starts_with("coro: there is no filter `-bogus`; there are "), "{said}");
}

/// `frame N` takes the numbers of `coro bt`, where its coroutine is the selected one.
#[test]
fn frames_have_the_same_numbers_in_both_backtraces() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let commands =
        ["coro bt reader", "coro select reader", "coro bt", "coro bt -raw", "bt", "coro bt locker"];
    let said = coro(&debuggee.attach(), &commands);
    let number = |command: &str, function: &str| {
        let line =
            said.block(command).lines().find(|line| line.contains(function)).expect("it has that frame");
        line.trim_start_matches('#').split(' ').next().expect("a number").parse::<usize>().expect("a number")
    };
    for function in ["::switch", "read_request", "entry::run"] {
        let shown = number("bt", function);
        assert_eq!([number("coro bt", function), number("coro bt -raw", function)], [shown; 2], "{said}");
        assert_eq!(number("coro bt reader", function), shown - 1, "by itself it begins with 0: {said}");
    }
    assert_eq!(number("coro bt locker", "::switch"), 0, "another one's: {said}");
}

/// It would be the thread that runs on, and the next coroutine would be looked for in another stop.
#[test]
fn what_runs_the_program_is_refused_in_several_coroutines() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let refused = ["next", "stepi", "continue&", "kill", "detach", "coro next", "coro step", "coro finish"];
    let commands: Vec<String> =
        refused.iter().map(|name| format!("coro apply io reader locker -- {name}")).collect();
    let nested = ["coro apply reader -- coro apply locker -- next"];
    let after = ["coro list", "coro select reader", "coro apply locker -- frame function want", "bt 1"];
    let all: Vec<&str> = commands.iter().map(String::as_str).chain(nested).chain(after).collect();
    let said = coro(&debuggee.attach(), &all);
    for (name, command) in refused.iter().zip(&commands) {
        let sentence = format!("coro: `coro apply` doesn't run the program or end it, as `{name}` would: ");
        let name = name.trim_end_matches('&');
        let sentence = sentence.replace("continue&", name);
        let block = said.block(command);
        assert_eq!(block.matches(&sentence).count(), 1, "once, for all of them: {block}");
        assert!(!block.contains("locker") && !block.contains("no longer selected"), "{block}");
    }
    has(&said, nested[0], &["coroutine #6 'locker', parked:", "as `next` would"]);
    has(&said, "coro list", &["7 coroutines: 6 parked, 1 running"]);
    has(&said, "bt 1", &["#1  ", "switch"]);
}

/// In an editor the frames that aren't the thread's would be taken for it: MI shows them unfiltered.
#[test]
fn selecting_is_refused_where_an_editor_drives() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    for interpreter in ["-i=mi", "--interpreter=mi3"] {
        let output = Command::new("gdb")
            .env("CORO_MONITOR", "off")
            .args(["-nx", "-q", "-batch", interpreter, "-iex", "set debuginfod enabled off"])
            .args(["-iex", "set auto-load python-scripts off", "-p", &debuggee.pid()])
            .args(["-ex", SOURCE, "-ex", "coro bt reader", "-ex", "coro select reader"])
            .env("LC_ALL", "C")
            .output()
            .expect("tests/install.sh installs GDB");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("read_request"), "{said}");
        assert!(said.contains("`coro bt ID -full` shows a coroutine's stack and locals here"), "{said}");
        assert!(!said.contains("[coroutine #4"), "{said}");
    }
}
