//! Debuggers tell for what a coroutine waits that is done elsewhere: which thread works for it, and what was asked where.

mod support;

use std::process::Command;

use support::debuggee::Debuggee;
use support::program::{line_of, program};
use support::{Profile, gdb_with, lldb_with};

const SOURCE: &str = "tests/programs/offloading.rs";

#[test]
fn gdb_and_lldb_tell_which_thread_works_for_whom() {
    let scripts = env!("CARGO_MANIFEST_DIR");
    let mut debuggee = Debuggee::start(&mut Command::new(program("offloading", Profile::Debug)));
    let thread = debuggee.line();
    let debuggee = debuggee.asleep();
    let commands = ["coro list -kind user", "coro why offloading", "coro why polling", "coro bt polling"];
    let load =
        [format!("source {scripts}/gdb/coro.py"), format!("command script import {scripts}/lldb/coro.py")];
    for is_gdb in [true, false] {
        let mut all = vec![load[usize::from(!is_gdb)].as_str()];
        all.extend(commands);
        let options = ["-p", &debuggee.pid()].map(str::to_owned);
        let said = if is_gdb { gdb_with(&options, &all) } else { lldb_with(&options, &all) };
        let place = format!("offload at {SOURCE}:{}, on thread {thread}", line_of(SOURCE, "OFFLOAD"));
        let list = said.block(commands[0]);
        assert!(list.contains(&place), "{place:?} is missing in {said}");
        assert!(list.lines().any(|line| line.contains("polling") && line.contains(" future ")), "{said}");
        let why = said.block(commands[1]);
        assert!(why.contains(&format!("it goes on when thread {thread} has done its work")), "{said}");
        assert!(said.block(commands[2]).contains("when the future's waker is woken"), "{said}");
        assert!(said.block(commands[3]).contains("coro::future::wait"), "{said}");
    }
}
