//! debug-docs/lwan-demo.md's sessions are what GDB says. `CORO_REGENERATE=1 cargo test --test lwan_demo_guide` writes them
//! anew.

mod support;

use support::{gdb_with, page, started};

#[test]
fn sessions_are_what_gdb_says() {
    page::check("debug-docs/lwan-demo.md", page::GDB, |starts, commands| {
        let (options, _started) = started::options(starts, "gdb -q ", env!("CARGO_BIN_EXE_main"));
        gdb_with(&options, commands)
    });
}
