//! The coroutine commands in LLDB, and coroutines as its threads, with a real LLDB and real programs.
//!
//! - [`seen`]: coroutines that wait, with the true values of their locals: live, attached, in cores; debug, release,
//!   stripped, without the executable
//! - [`threads`]: which coroutines are threads, and what LLDB's own commands make of them
//! - [`primitives`]: locks, channels and the like, in each state
//! - [`stepping`]: `next`, `finish`, `coro next`, `coro step` and `coro finish` stay with a coroutine
//! - [`breaks`]: coro break
//! - [`editor`]: the same through lldb-dap, as an editor sees it
//! - [`damage`]: registries that were overwritten
//! - [`load`]: programs stopped at any moment
//! - [`words`]: help, greeting, errors, summaries, a stack that overflows, detaching
//!
//! Each scenario is one run of LLDB with many commands. The debuggees are tests/programs/seen.rs, primitives.rs, relay.rs, parked.rs and
//! the demo.

#[path = "lldb/breaks.rs"]
mod breaks;
#[path = "lldb/damage.rs"]
mod damage;
#[path = "lldb/editor.rs"]
mod editor;
#[path = "lldb/load.rs"]
mod load;
#[path = "lldb/primitives.rs"]
mod primitives;
#[path = "lldb/seen.rs"]
mod seen;
#[path = "lldb/stepping.rs"]
mod stepping;
mod support;
#[path = "lldb/threads.rs"]
mod threads;
#[path = "lldb/words.rs"]
mod words;

use std::ffi::OsStr;
use std::path::PathBuf;

use support::{Transcript, lldb_going_on};

/// Loads the commands.
const IMPORT: &str = "command script import lldb/coro.py";
const SEEN: &str = "tests/programs/seen.rs";
const RELAY: &str = "tests/programs/relay.rs";

/// What LLDB says when something in the scripts has failed.
const WRONG: [&str; 3] = ["Traceback", "these scripts failed", "error: module importing failed"];

/// One run of LLDB with the commands loaded, in which nothing of the scripts failed. `options`: as [`lldb_going_on`]'s.
#[track_caller]
fn coro(options: &[impl AsRef<OsStr>], commands: &[impl AsRef<str>]) -> Transcript {
    let all: Vec<&str> = [IMPORT].into_iter().chain(commands.iter().map(AsRef::as_ref)).collect();
    let said = lldb_going_on(options, &all);
    for wrong in WRONG {
        assert!(!said.whole().contains(wrong), "{wrong}:\n{said}");
    }
    said
}

/// The line of a table in which a word stands by itself.
#[track_caller]
fn row<'a>(table: &'a str, word: &str) -> &'a str {
    let mut lines = table.lines().filter(|line| line.split_whitespace().any(|cell| cell == word));
    lines.next().unwrap_or_else(|| panic!("no row has `{word}`:\n{table}"))
}

/// The line in which a text stands.
#[track_caller]
fn line<'a>(block: &'a str, text: &str) -> &'a str {
    block.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has `{text}`:\n{block}"))
}

/// Panics unless all texts stand in one command's output.
#[track_caller]
fn has(said: &Transcript, command: &str, texts: &[&str]) {
    let block = said.block(command);
    for text in texts {
        assert!(block.contains(text), "`{command}` does not say `{text}`:\n{block}\nall of it:\n{said}");
    }
}

/// A script of Python's beside the tests.
fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name)
}
