//! What tests share that run debuggers and child programs.
//!
//! - [`program`]: builds a debuggee, and says where it lies
//! - [`crash`]: a program that dies
//! - [`debuggee`]: a process to be looked at, and cores of it
//! - [`debugger`]: one run of GDB or LLDB, each command's output by itself
//! - [`backtrace`]: what a debugger printed, as frames; and whether they are those that were expected
//! - [`events`]: which threads wait for events
//! - [`image`]: the memory of another process, or of a core
//! - [`killed`]: a child that doesn't outlive its test
//! - [`page`]: a page of the documentation whose sessions are what the debugger says
//! - [`parked`]: a process in which every coroutine waits
//! - [`primitives`]: how debuggers show locks, channels and the like
//! - [`registry_reader`]: the debug ABI as an outsider reads it; [`objects`]: what is waited for
//! - [`started`]: a program that a page starts in the background
//! - [`working`]: a program at work, stopped at any moment
//! - [`valgrind`]: where that is
//!
//! Nothing here waits for a length of time. What is missing on the machine is a failure which says how to
//! install it, never a skipped test.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

pub(crate) mod backtrace;
pub(crate) mod crash;
pub(crate) mod debuggee;
pub(crate) mod debugger;
pub(crate) mod events;
pub(crate) mod image;
pub(crate) mod killed;
pub(crate) mod objects;
pub(crate) mod page;
pub(crate) mod parked;
pub(crate) mod primitives;
pub(crate) mod program;
pub(crate) mod registry_reader;
pub(crate) mod started;
pub(crate) mod working;

use std::process::Command;

pub(crate) use backtrace::Frame;
pub(crate) use debugger::{Transcript, gdb, gdb_with, lldb, lldb_dap_name, lldb_going_on, lldb_with};
pub(crate) use program::{Profile, line_of, program};

/// The program to run, which is there.
pub(crate) fn valgrind() -> &'static str {
    let answers =
        Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(answers, "valgrind does not start: tests/install.sh installs it");
    "valgrind"
}
