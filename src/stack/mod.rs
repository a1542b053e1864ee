//! Where stacks come from: one mapping for the life of the process, cut into slots.
//!
//! - [`geometry`]: the arithmetic from slot to address and back, on plain values
//! - [`region`]: the mapping, with the debug header's tables and the records at its start
//! - [`redzone`]: what makes an overrun fault
//! - [`slots`]: which stacks are in use, and which one to hand out next
//! - [`free`]: queues of free slots
//! - [`cache`]: those which a worker keeps for itself
//! - [`trim`]: gives the pages of free stacks back to the system
//! - [`checkers`]: what AddressSanitizer and Valgrind are told of all that, with the feature `sanitize`

pub(crate) mod cache;
#[cfg(feature = "sanitize")]
pub(crate) mod checkers;
#[cfg(not(feature = "sanitize"))]
#[path = "no_checkers.rs"]
pub(crate) mod checkers;
mod free;
pub(crate) mod geometry;
pub(crate) mod redzone;
pub(crate) mod region;
pub(crate) mod slots;
pub(crate) mod trim;
