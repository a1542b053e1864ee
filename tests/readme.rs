//! The README's debugging session is what GDB says. `CORO_REGENERATE=1 cargo test --test readme` writes it anew.

mod support;

use std::path::Path;

use support::{gdb, page};

#[test]
fn session_is_what_gdb_says() {
    page::check("README.md", page::GDB, |starts, commands| {
        let arguments = starts[0].strip_prefix("gdb -q --args ./main ").expect("the session is of ./main");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        gdb(Path::new(env!("CARGO_BIN_EXE_main")), &arguments, commands)
    });
}
