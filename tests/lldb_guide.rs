//! debug-docs/lldb.md's sessions are what LLDB says. `CORO_REGENERATE=1 cargo test --test lldb_guide` writes them anew.

mod support;

use std::ffi::OsString;

use support::started::{Started, path_of};
use support::{lldb_going_on, page};

#[test]
fn sessions_are_what_lldb_says() {
    let main = env!("CARGO_BIN_EXE_main");
    page::check("debug-docs/lldb.md", page::LLDB, |starts, commands| {
        let (lldb, before) = starts.split_last().expect("a session starts LLDB");
        let started: Vec<Started> = before.iter().map(|line| Started::of(line, main)).collect();
        let mut options: Vec<OsString> = Vec::new();
        for word in lldb.strip_prefix("lldb ").expect("a session starts LLDB").split(' ') {
            options.push(match word {
                "$!" => started.last().expect("a program was started").pid().into(),
                "./main" => main.into(),
                _ if word.starts_with("./target/") => path_of(word, main).into(),
                _ => word.into(),
            });
        }
        lldb_going_on(&options, commands)
    });
}
