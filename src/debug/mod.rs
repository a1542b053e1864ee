//! What can be read of the runtime from the outside, as a debugger reads it: records and memory, no running
//! machinery.
//!
//! - [`check`] holds the registry against what debuggers rely on
//! - [`Backtrace`]: the frames of a coroutine
//! - `memory`: the reads, which can't fault
//! - `modules`: the program and its libraries, as they are in memory
//! - `unwind`: from a frame to its caller
//! - `files`: the files from which lines are told
//! - `symbolize`: from an address to functions and lines

mod backtrace;
pub(crate) mod files;
mod invariants;
#[cfg_attr(not(test), expect(dead_code, reason = "what a crash report needs besides"))]
mod memory;
#[cfg_attr(not(test), expect(dead_code, reason = "what a crash report needs besides"))]
pub(crate) mod modules;
#[cfg(test)]
mod mutation;
#[cfg_attr(not(test), expect(dead_code, reason = "what a crash report needs besides"))]
mod symbolize;
#[cfg(test)]
mod tests;
#[cfg_attr(not(test), expect(dead_code, reason = "what a crash report needs besides"))]
mod unwind;

pub use backtrace::{Backtrace, BacktraceCall, BacktraceFrame, backtrace};
pub use invariants::{check, check_with_free_slots};
