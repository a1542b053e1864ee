//! Which coroutines are threads, and what LLDB's own commands make of them.

use std::process::Command;

use crate::support::debuggee::Debuggee;
use crate::support::{Profile, program};
use crate::{coro, has, line};

fn park(count: &str) -> Debuggee {
    let mut debuggee =
        Debuggee::start_unheard(Command::new(env!("CARGO_BIN_EXE_main")).args(["park", count]));
    // It says how many it has parked, in one line, when they are.
    assert!(debuggee.line().contains(count));
    debuggee.asleep()
}

fn count_of_threads(list: &str) -> usize {
    list.lines().filter(|line| line.contains("tid = ")).count()
}

#[test]
fn crowd_of_a_live_process_is_capped() {
    let debuggee = park("3000");
    let said = coro(
        &debuggee.attach(),
        &[
            "coro threads",
            "thread list",
            "coro bt 2500",
            "coro select 2501",
            "coro threads -limit 10",
            "thread info",
            "coro bt",
            "coro threads -name mutex -limit 20",
            "thread list",
            "coro threads -state parked -older 1h",
            "coro threads -limit 4000",
            "coro threads -fn main",
            "coro threads -wait nothing",
            "coro threads -every",
        ],
    );
    has(&said, "coro threads", &["1,000 of 3,003 coroutines are threads; the limit is 1,000"]);
    let lists: Vec<&str> = said.blocks("thread list").collect();
    assert_eq!(count_of_threads(lists[0]), 1000, "{said}");
    // What is no thread is made one.
    has(&said, "coro bt 2500", &["coroutine #2500 ", "main::demo::park::"]);
    has(&said, "coro select 2501", &["[coroutine #2501 ", ", thread 100"]);
    // What was selected stays a thread, and stays selected.
    has(&said, "coro threads -limit 10", &["10 of 3,003 coroutines are threads; the limit is 10"]);
    has(&said, "thread info", &["name = '#2501 "]);
    has(&said, "coro bt", &["coroutine #2501 "]);
    has(
        &said,
        "coro threads -name mutex -limit 20",
        &["20 of 3,003 coroutines are threads; the limit is 20"],
    );
    let locks = lists[1].lines().filter(|line| line.contains(" mutex-")).count();
    assert!(locks >= 18, "those which match, io, and the one that is selected: {}", lists[1]);
    has(
        &said,
        "coro threads -state parked -older 1h",
        &["2 of 3,003 coroutines are threads: those which pass"],
    );
    has(&said, "coro threads -limit 4000", &["3,003 of 3,003 coroutines are threads\n"]);
    has(&said, "coro threads -fn main", &["error: coro: `coro threads` takes no `-fn`"]);
    has(
        &said,
        "coro threads -wait nothing",
        &["error: coro: `-wait nothing`: there is no such thing; there are "],
    );
    has(&said, "coro threads -every", &["error: coro: there is no filter `-every`; there are "]);
}

#[test]
fn coroutines_of_a_core_are_all_threads() {
    let debuggee = Debuggee::where_cores_go(&program("seen", Profile::Debug), &["parked"], &[]).asleep();
    let core = debuggee.kernel_core();
    let file = program("seen", Profile::Debug);
    let options = ["-c".as_ref(), core.path.as_os_str(), file.as_os_str()];
    let said = coro(&options, &["coro threads", "coro next", "thread list", "coro threads -limit 3"]);
    has(&said, "coro threads", &["7 of 7 coroutines are threads\n"]);
    has(&said, "coro next", &["error: coro: this is a core, which can't go on"]);
    has(&said, "coro threads -limit 3", &["3 of 7 coroutines are threads; the limit is 3"]);
}

/// Several coroutines at one place are one group of LLDB's own.
#[test]
fn equal_backtraces_are_grouped_by_lldb_too() {
    let debuggee = park("40");
    let said = coro(
        &debuggee.attach(),
        &["thread backtrace unique", "thread list", "coro list -wait sleep -kind user"],
    );
    let unique = said.block("thread backtrace unique");
    let sleepers = said
        .block("coro list -wait sleep -kind user")
        .lines()
        .filter(|line| line.contains(" sleep, "))
        .count();
    assert!(sleepers > 2, "{said}");
    assert!(line(unique, &format!("{sleepers} thread(s) #")).matches('#').count() == sleepers, "{said}");
}

/// A program with its monitor has a thread on which no coroutine runs. It isn't that one which is selected, but the coroutine
/// of the thread that was, whatever comes first.
#[test]
fn coroutine_is_selected_where_its_thread_was() {
    let file = program("seen", Profile::Debug);
    let mut child = Command::new("sh");
    child.args(["-c", "exec env -u CORO_MONITOR \"$0\" parked"]).arg(&file);
    let debuggee = Debuggee::start(&mut child).asleep();
    let attach = format!("process attach -p {}", debuggee.pid());
    let none: [String; 0] = [];
    let first = coro(&none, &[attach.as_str(), "coro list", "thread list"]);
    let second = coro(&debuggee.attach(), &["coro list", "thread list"]);
    for said in [first, second] {
        assert!(line(said.block("coro list"), "* ").contains(" io "), "{said}");
        assert!(line(said.block("thread list"), "* ").contains("name = '#2 io'"), "{said}");
        assert!(said.block("thread list").contains("coro-monitor"), "{said}");
    }
}

/// The plug-in is used whatever comes first: the scripts, the program, or the process.
#[test]
fn scripts_may_be_loaded_before_there_is_a_process() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let file = program("seen", Profile::Debug);
    let attach = format!("process attach -p {}", debuggee.pid());
    let create = format!("target create {}", file.display());
    for commands in
        [vec![attach.as_str(), "thread list"], vec![create.as_str(), attach.as_str(), "thread list"]]
    {
        let none: [&str; 0] = [];
        let said = coro(&none, &commands);
        has(&said, "thread list", &["name = '#4 reader'", "name = '#5 owner'", ": read fd "]);
    }
}
