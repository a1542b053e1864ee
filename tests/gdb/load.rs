//! Programs stopped at any moment of their work, and large ones.

use std::path::Path;
use std::process::Command;
use std::{env, thread};

use crate::coro;
use crate::support::debuggee::Debuggee;

/// How often the working program is attached to; tests/long/gdb_attach.sh does it more often.
fn attaches() -> usize {
    env::var("CORO_ATTACHES").map_or(10, |text| text.parse().expect("CORO_ATTACHES is a number"))
}

/// A server and its clients, whose coroutines come, wait, wake each other and go: wherever it is stopped,
/// each command has an answer, and afterwards it works on.
#[test]
fn working_program_can_be_attached_to_at_any_moment() {
    let main = Path::new(env!("CARGO_BIN_EXE_main"));
    let mut command = Command::new(main);
    command.args(["--addr", "127.0.0.1:0", "--rounds", "1000000", "-n", "20"]);
    let mut debuggee = Debuggee::start_unheard(&mut command);
    assert!(debuggee.line().contains("a server is embedded"));
    let commands = [
        "coro list",
        "coro bt io",
        "coro apply -limit 5 -- bt 2",
        "coro select switch",
        "bt -2",
        "coro select .",
        "coro deadlock",
        "coro group wait",
        "bt -1",
        "print $coro() > 0",
    ];
    for attach in 0..attaches() {
        let before = processor_time(&debuggee);
        let said = coro(&debuggee.attach(), &commands);
        let list = said.block("coro list");
        let last = list.lines().last().unwrap_or_default();
        assert!(last.contains(" coroutines: "), "attach {attach}: {said}");
        let running = list.lines().filter(|line| line.contains("running on thread 1")).count();
        assert!(running <= 1, "attach {attach}: {said}");
        // One that is in the middle of a switch is no error either; nobody else is without a state.
        assert!(!list.contains(" lost ") && !list.contains(" state "), "attach {attach}: {said}");
        for command in ["coro bt io", "bt -2", "coro group wait"] {
            let block = said.block(command);
            assert!(
                !block.contains("coro: ") && !block.contains("corrupt"),
                "attach {attach}, {command}: {said}"
            );
        }
        assert!(said.block("bt -1").contains("_start") || said.block("bt -1").contains("main"), "{said}");
        assert!(debuggee.lives(), "attach {attach}: {said}");
        // It works on, which it shows by working.
        while processor_time(&debuggee) == before {
            thread::yield_now();
        }
    }
}

/// User and system time that a process has had, in the kernel's ticks.
fn processor_time(debuggee: &Debuggee) -> u64 {
    let stat = debuggee.stat();
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ').collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

#[test]
fn hundred_thousand_coroutines() {
    let main = Path::new(env!("CARGO_BIN_EXE_main"));
    let mut debuggee = Debuggee::start_unheard(Command::new(main).args(["park", "100000"]));
    assert!(debuggee.line().starts_with("parked 100000 coroutines"));
    let debuggee = debuggee.asleep();
    let now = "python import time; start = time.monotonic()";
    let then = "python print(f'{time.monotonic() - start:.2f} s')";
    let commands = [
        now,
        "coro list -limit 20",
        then,
        now,
        "coro list -state parked -sort age -limit 3",
        then,
        now,
        "coro bt 99999",
        then,
        now,
        "coro select 100000",
        "bt -1",
        then,
    ];
    let said = coro(&debuggee.attach(), &commands);
    let list = said.block("coro list -limit 20");
    assert_eq!(list.lines().count(), 22, "a heading, 20 rows, a sum: {said}");
    assert!(list.contains("showing 20 of 100,003 coroutines"), "{said}");
    assert_eq!(said.block("coro list -state parked -sort age -limit 3").lines().count(), 5, "{said}");
    assert!(said.block("coro bt 99999").contains("coroutine #99999 '"), "{said}");
    let took: Vec<&str> = said.blocks(then).map(str::trim).collect();
    println!(
        "of 100,000: first 20 {}, oldest 3 {}, a backtrace {}, select and bt {}",
        took[0], took[1], took[2], took[3]
    );
}
