//! Programs stopped at any moment of their work.

use pretty_assertions::assert_eq;

use crate::coro;
use crate::support::Transcript;
use crate::support::working::{Working, assert_listed};

/// Where stacks end: a coroutine's that doesn't run, the first thread's, and those of others.
const ENDS: [&str; 4] = ["::outermost::", "`_start", "`__clone3", "`clone"];

/// Wherever it is stopped, each coroutine is a thread whose backtrace comes to its end, and each command has an answer.
#[test]
fn working_program_can_be_attached_to_at_any_moment() {
    let commands = [
        "coro threads",
        "coro list",
        "thread list",
        "thread backtrace all",
        "coro bt io",
        "coro select switch",
        "thread info",
        "coro deadlock",
        "coro group wait",
    ];
    Working::start(env!("CARGO_BIN_EXE_main")).look_at_any_moment(4, |attach| {
        let said = coro(attach, &commands);
        let list = said.block("coro list");
        assert_listed(list, &said);
        assert_all_are_threads(list, &said);
        assert_backtraces_come_to_their_ends(said.block("thread backtrace all"), &said);
        assert!(said.block("thread info").contains("name = '#3 switch'"), "{said}");
        for command in ["coro bt io", "coro group wait"] {
            let block = said.block(command);
            assert!(!block.contains("error: ") && !block.contains("corrupt"), "{command}: {said}");
        }
        said
    });
}

/// All but those whose function has returned and whose stack is about to be free: they have nothing to show.
#[track_caller]
fn assert_all_are_threads(list: &str, said: &Transcript) {
    let rows = list.lines().map(|line| line.trim_start_matches('*').split_whitespace().collect());
    // But for the heading; the sum at the end begins with a number, too.
    let mut rows: Vec<Vec<&str>> = rows.filter(|row: &Vec<_>| row[0].parse::<u64>().is_ok()).collect();
    rows.pop();
    let all = rows.len();
    rows.retain(|row| !row.contains(&"exited"));
    let sum = format!("{} of {all} coroutines are threads\n", rows.len());
    assert_eq!(said.block("coro threads"), sum, "{said}");
    let threads = said.block("thread list");
    for row in rows {
        assert!(threads.contains(&format!("name = '#{} ", row[0])), "{row:?} is no thread: {said}");
    }
}

#[track_caller]
fn assert_backtraces_come_to_their_ends(all: &str, said: &Transcript) {
    let is_frame = |line: &&str| line.trim_start_matches([' ', '*']).starts_with("frame #");
    let mut threads = all.split("thread #").skip(1).peekable();
    assert!(threads.peek().is_some(), "{said}");
    for thread in threads {
        let last = thread.lines().rfind(is_frame);
        let last = last.unwrap_or_else(|| panic!("no frames of thread #{thread}{said}"));
        assert!(ENDS.iter().any(|end| last.contains(end)), "thread #{thread} has no end: {said}");
    }
}
