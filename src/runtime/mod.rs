//! What a program calls: start a runtime, spawn, join.
//!
//! - [`builder`]: how a runtime starts, runs main and ends
//! - [`workers`]: the threads of a runtime with several workers
//! - [`spawn`]: new coroutines
//! - [`outside`]: those that other threads spawn
//! - [`handle`]: the handles by which they are waited for, and ended
//! - [`several`]: waiting for one or all of several
//! - [`family`]: coroutines that belong together
//! - [`scope`]: those that may borrow from who spawns them
//! - [`group`]: those that are waited for together, and of which so many run at a time
//! - [`join_set`]: those whose results are taken as they end
//! - [`shield`]: what is not to be cut short
//! - [`process`]: child processes
//! - [`signal`]: signals as events
//! - [`monitor`]: names coroutines that keep their worker from all others
//! - [`panic`]: what a panic's report says of the coroutine
//! - [`stats`]: what a program may know of its runtime

pub(crate) mod builder;
mod family;
pub(crate) mod group;
pub(crate) mod handle;
pub(crate) mod join_set;
mod monitor;
pub(crate) mod outside;
mod panic;
pub mod process;
pub(crate) mod scope;
pub(crate) mod several;
pub(crate) mod shield;
pub mod signal;
pub(crate) mod spawn;
pub(crate) mod stats;
pub(crate) mod stream_server;
mod workers;
