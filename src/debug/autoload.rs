//! The script by which GDB loads the coroutine commands together with a program; and where those are.
//!
//! GDB looks into the section `.debug_gdb_scripts` of each program and library that it loads (GDB manual,
//! "The .debug_gdb_scripts section"), and runs what is there if its `auto-load safe-path` allows the file.
//! The section is one of those that are loaded, so `strip` leaves it alone.

/// What GDB takes the text for: 4 = Python, with a name in the first line; a NUL ends it.
const TEXT: &str = concat!(
    "\u{4}coro-rt\n",
    include_str!("../../gdb/autoload.py"),
    "\n\n_load_coro_commands(r\"",
    env!("CARGO_MANIFEST_DIR"),
    "\")\n\0"
);

/// The file to be given to `gdb -x`: as it is in a working directory that has it, and else where the library was built.
/// May be called in a signal handler.
pub(super) fn commands() -> &'static str {
    // SAFETY: access(2), which is async-signal-safe, reads a C string.
    let is_here = unsafe { libc::access(c"gdb/coro.py".as_ptr(), libc::R_OK) } == 0;
    if is_here { "gdb/coro.py" } else { concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py") }
}

#[used]
#[unsafe(link_section = ".debug_gdb_scripts")]
static SCRIPT: [u8; TEXT.len()] = {
    let mut bytes = [0; TEXT.len()];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = TEXT.as_bytes()[i];
        i += 1;
    }
    bytes
};
