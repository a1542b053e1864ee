//! The coroutine commands in GDB, with a real GDB and real programs: what they promise, in each way in
//! which a program can be looked at.
//!
//! - [`seen`]: coroutines that wait, with the true values of their locals: live, attached, in cores of the
//!   kernel and of GDB's; debug, release, stripped, without the executable
//! - [`selection`]: a selected coroutine in place of a thread's stack, and that it harms nothing
//! - [`stepping`]: coro next, step, finish, skip
//! - [`breaks`]: coro break, $coro()
//! - [`primitives`]: locks, channels and the like, in each state
//! - [`processes`]: several runtimes, forks, gdbserver, non-stop mode, programs that go on
//! - [`damage`]: registries that were overwritten
//! - [`load`]: programs stopped at any moment, and large ones
//! - [`workers`]: four workers
//! - [`words`]: help, completion, greeting, printers, a stack that overflows
//!
//! Each scenario is one run of GDB with many commands. The debuggees are tests/programs/seen.rs, primitives.rs, host.rs,
//! library.rs, churn.rs and the demo.

#[path = "gdb/breaks.rs"]
mod breaks;
#[path = "gdb/damage.rs"]
mod damage;
#[path = "gdb/load.rs"]
mod load;
#[path = "gdb/primitives.rs"]
mod primitives;
#[path = "gdb/processes.rs"]
mod processes;
#[path = "gdb/seen.rs"]
mod seen;
#[path = "gdb/selection.rs"]
mod selection;
#[path = "gdb/stepping.rs"]
mod stepping;
mod support;
#[path = "gdb/words.rs"]
mod words;
#[path = "gdb/workers.rs"]
mod workers;

use std::ffi::OsStr;

use support::{Transcript, gdb_with};

/// Loads the commands.
const SOURCE: &str = concat!("source ", env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py");
const SEEN: &str = "tests/programs/seen.rs";

/// One run of GDB with the commands loaded, in which nothing of the scripts failed. `options`: as
/// [`gdb_with`]'s.
#[track_caller]
fn coro(options: &[impl AsRef<OsStr>], commands: &[&str]) -> Transcript {
    let all: Vec<&str> = [SOURCE].into_iter().chain(commands.iter().copied()).collect();
    let said = gdb_with(options, &all);
    let whole = said.to_string();
    for wrong in [
        "Traceback",
        "Python Exception",
        "Error occurred in Python",
        "internal-error",
        "these scripts failed",
    ] {
        assert!(!whole.contains(wrong), "{wrong}:\n{said}");
    }
    said
}

/// The line of a table in which a word stands by itself.
#[track_caller]
fn row<'a>(table: &'a str, word: &str) -> &'a str {
    let mut lines = table.lines().filter(|line| line.split_whitespace().any(|cell| cell == word));
    lines.next().unwrap_or_else(|| panic!("no row has `{word}`:\n{table}"))
}

/// Panics unless all texts stand in one command's output.
#[track_caller]
fn has(said: &Transcript, command: &str, texts: &[&str]) {
    let block = said.block(command);
    for text in texts {
        assert!(block.contains(text), "`{command}` does not say `{text}`:\n{block}\nall of it:\n{said}");
    }
}
