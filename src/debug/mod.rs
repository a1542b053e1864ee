//! What can be read of the runtime from the outside, as a debugger reads it: records and memory, no running
//! machinery.
//!
//! So far one reader: [`check`], which holds the registry against what debuggers rely on. And `autoload`, by which GDB
//! loads its own.

mod autoload;
mod invariants;
#[cfg(test)]
mod tests;

pub use invariants::{check, check_with_shared};
