//! What can be read of the runtime from the outside, as a debugger reads it: records and memory, no running
//! machinery.
//!
//! - `autoload`: the script by which GDB loads its commands
//! - [`check`] holds the registry against what debuggers rely on
//! - [`Backtrace`]: the frames of a coroutine
//! - [`dump`], [`stack_report`]: all coroutines at a glance; `quit`: the same on SIGQUIT
//! - `sample`: the frames of a coroutine that runs on another thread
//! - `crash`: what is said when a stack overflows, or a redzone is hit in another way
//! - `waits`: who would have to act so that one who waits can go on
//! - `memory`: the reads, which can't fault
//! - `modules`: the program and its libraries, as they are in memory
//! - `unwind`: from a frame to its caller
//! - `files`: the files from which lines are told
//! - `symbolize`: from an address to functions and lines

mod autoload;
mod backtrace;
pub(crate) mod crash;
pub(crate) mod files;
mod invariants;
pub(crate) mod memory;
pub(crate) mod modules;
#[cfg(test)]
mod mutation;
pub(crate) mod overview;
pub(crate) mod quit;
pub(crate) mod sample;
mod symbolize;
#[cfg(test)]
mod tests;
mod unwind;
pub(crate) mod waits;

pub use backtrace::{Backtrace, BacktraceCall, BacktraceFrame, backtrace};
pub use crash::CrashReport;
pub use invariants::{check, check_with_shared};
pub use overview::{StackDepth, dump, stack_report};
