//! The scheduler: who runs next on a worker, and how one coroutine gives way to another.
//!
//! A worker is one OS thread with three coroutines of its own: **main** (on the thread's stack; it runs the
//! user's main function), **switch** (looks for who may run) and **io** (waits for events). io and switch have
//! main as their parent, and may neither spawn nor wait.
//!
//! - [`worker`]: what a worker consists of; the one of this thread
//! - [`admit`]: new coroutines
//! - [`main`]: how a worker starts and ends
//! - [`switch`]: the one function that enters and leaves a coroutine, and the switch coroutine's loop
//! - [`io`]: the io coroutine's loop
//! - [`queue`]: who is ready, in order
//! - [`team`]: several workers, and how coroutines that have not begun are spread over them
//! - [`gate`]: a worker's way to what all share, and how it is shut at the end
//! - [`door`]: the way in for coroutines that other threads make, and how it is shut at the end
//! - [`policy`]: who is next
//! - [`park`]: waiting and waking
//! - [`cancel`]: ending a coroutine from outside
//! - [`ending`]: who keeps a runtime from ending
//! - [`remote`]: what other threads send to a worker
//! - [`spin`]: a short wait with open eyes, before a worker sleeps, and before a coroutine waits for a lock
//! - [`sleep`]: how a worker falls asleep, and is woken
//! - [`stuck`]: the notice that nobody can go on
//! - [`rhythm`]: when io gets its turn though somebody is always ready
//! - [`trace`]: a record of switches, for tests and the curious

pub(crate) mod admit;
pub(crate) mod cancel;
pub(crate) mod door;
pub(crate) mod ending;
mod gate;
pub(crate) mod io;
pub(crate) mod main;
pub(crate) mod park;
pub(crate) mod policy;
pub(crate) mod queue;
pub(crate) mod remote;
mod rhythm;
mod sleep;
pub(crate) mod spin;
pub(crate) mod stuck;
pub(crate) mod switch;
pub(crate) mod team;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
pub(crate) mod worker;
