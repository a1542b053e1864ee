//! A coroutine's life from the inside: what it runs, what belongs to it, what is left of it.
//!
//! - [`current`]: which coroutine runs on this thread
//! - [`entry`]: the function that it runs, and what became of it
//! - [`join`]: where the result waits to be taken
//! - [`completion`]: the end, for those who wait for it
//! - [`waiter`]: who is to be told when something happens, a coroutine or a thread
//! - [`local`]: storage per coroutine
//! - [`defer`]: functions that run at its end
//! - [`cancel`]: the unwinding that ends it from outside
//! - [`timeout`]: the parts of it that are to end in time
//! - [`extra`]: the heap part of a coroutine, for those that have locals or deferred functions
//!
//! Nothing here switches or waits: that stands further right.

pub(crate) mod cancel;
pub(crate) mod completion;
pub(crate) mod current;
pub(crate) mod defer;
pub(crate) mod entry;
pub(crate) mod extra;
pub(crate) mod join;
pub(crate) mod local;
pub(crate) mod timeout;
pub(crate) mod waiter;
