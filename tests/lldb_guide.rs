//! debug-docs/lldb.md's sessions are what LLDB says. `CORO_REGENERATE=1 cargo test --test lldb_guide` writes them anew.

mod support;

use support::{lldb_going_on, page, started};

#[test]
fn sessions_are_what_lldb_says() {
    page::check("debug-docs/lldb.md", page::LLDB, |starts, commands| {
        let (options, _started) = started::options(starts, "lldb ", env!("CARGO_BIN_EXE_main"));
        lldb_going_on(&options, commands)
    });
}
