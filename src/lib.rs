//! Stackful coroutines for Linux that a debugger can see.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod abi;
mod arch;
mod coroutine;
mod error;
mod reactor;
mod registry;
mod runtime;
mod scheduler;
mod stack;
mod sys;

pub mod debug;
#[cfg(feature = "http")]
pub mod http;
pub mod net;
pub mod sync;
pub mod time;

pub use coroutine::current::{Coroutine, CoroutineId, current};
pub use coroutine::defer::defer;
pub use coroutine::join::JoinError;
pub use coroutine::local::{AccessError, LocalKey};
pub use error::{Error, Result};
pub use runtime::builder::{Builder, run};
pub use runtime::spawn::{CoroutineBuilder, JoinHandle, spawn, yield_now};
pub use runtime::stats::{Stats, stats, take_trace};
pub use scheduler::policy::Policy;
pub use scheduler::trace::Switch;
pub use time::sleep;
