//! debug-docs/gdb.md's sessions are what GDB says. `CORO_REGENERATE=1 cargo test --test gdb_guide` writes them anew.

mod support;

use std::ffi::OsString;

use support::started::{Started, path_of};
use support::{gdb_with, page};

#[test]
fn sessions_are_what_gdb_says() {
    let main = env!("CARGO_BIN_EXE_main");
    page::check("debug-docs/gdb.md", page::GDB, |starts, commands| {
        let (gdb, before) = starts.split_last().expect("a session starts GDB");
        let started: Vec<Started> = before.iter().map(|line| Started::of(line, main)).collect();
        let mut options: Vec<OsString> = Vec::new();
        for word in gdb.strip_prefix("gdb -q ").expect("a session starts GDB").split(' ') {
            options.push(match word {
                "$!" => started.last().expect("a program was started").pid().into(),
                "./main" => main.into(),
                _ if word.starts_with("./target/") => path_of(word, main).into(),
                _ => word.into(),
            });
        }
        gdb_with(&options, commands)
    });
}
