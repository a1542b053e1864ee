//! What can be read of the runtime from the outside, as a debugger reads it: records and memory, no running
//! machinery.
//!
//! So far one reader: [`check`], which holds the registry against what debuggers rely on.

mod invariants;
#[cfg(test)]
mod tests;

pub use invariants::{check, check_with_shared};
