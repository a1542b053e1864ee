//! What a program calls: start a runtime, spawn, join.
//!
//! - [`builder`]: how a runtime starts, runs main and ends
//! - [`workers`]: the threads of a runtime with several workers
//! - [`spawn`]: new coroutines, and the handles to wait for them
//! - [`monitor`]: names coroutines that keep their worker from all others
//! - [`panic`]: what a panic's report says of the coroutine
//! - [`stats`]: what a program may know of its runtime

pub(crate) mod builder;
mod monitor;
mod panic;
pub(crate) mod spawn;
pub(crate) mod stats;
pub(crate) mod stream_server;
mod workers;
