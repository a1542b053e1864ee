//! The README's debugging session is what GDB says. `CORO_REGENERATE=1 cargo test --test readme` writes it anew.

mod support;

use support::{gdb_with, page, started};

#[test]
fn sessions_are_what_gdb_says() {
    page::check("README.md", page::GDB, |starts, commands| {
        let (options, _started) = started::options(starts, "gdb -q ", env!("CARGO_BIN_EXE_main"));
        gdb_with(&options, commands)
    });
}
