//! Programs stopped at any moment of their work, and large ones.

use std::path::Path;
use std::process::Command;

use crate::coro;
use crate::support::debuggee::Debuggee;
use crate::support::working::{Working, assert_listed};

/// Wherever it is stopped, each command has an answer.
#[test]
fn working_program_can_be_attached_to_at_any_moment() {
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
    Working::start(env!("CARGO_BIN_EXE_main")).look_at_any_moment(10, |attach| {
        let said = coro(attach, &commands);
        assert_listed(said.block("coro list"), &said);
        for command in ["coro bt io", "bt -2", "coro group wait"] {
            let block = said.block(command);
            assert!(!block.contains("coro: ") && !block.contains("corrupt"), "{command}: {said}");
        }
        assert!(said.block("bt -1").contains("_start") || said.block("bt -1").contains("main"), "{said}");
        said
    });
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
