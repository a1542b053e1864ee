//! debug-docs/lwan-demo.md's sessions are what GDB and LLDB say. `CORO_REGENERATE=1 cargo test --test lwan_demo_guide` writes
//! them anew.

mod support;

use support::{gdb_with, lldb_going_on, page, started};

/// One test, since both write the same page.
#[test]
fn sessions_are_what_gdb_and_lldb_say() {
    let main = env!("CARGO_BIN_EXE_main");
    page::check("debug-docs/lwan-demo.md", page::GDB, |starts, commands| {
        let (options, _started) = started::options(starts, "gdb -q ", main);
        gdb_with(&options, commands)
    });
    page::check("debug-docs/lwan-demo.md", page::LLDB, |starts, commands| {
        let (options, _started) = started::options(starts, "lldb ", main);
        lldb_going_on(&options, commands)
    });
}
