//! Threads that take turns in an order which a seed decides, so that a test can go through many orders of the whole
//! scheduler's steps: see `scheduler::tests::scenarios`.
//!
//! This is what [shuttle](https://docs.rs/shuttle) does, which puts all threads on stacks of its own in one OS thread; but
//! a worker *is* an OS thread, with thread-locals, a stack and coroutines of its own. So here they stay OS threads, and one
//! of them at a time has the turn. It may give it away wherever the code says [`point`]: at each step on a word by which
//! threads agree (`sys::atomic`), before each look at a queue. Where it would block it [sleeps](sleep) instead; time is
//! what the test says; and if all sleep, and no timer of the program's is near, somebody has forgotten to wake another.
//!
//! Threads agree on all things as if there were one memory: what a weaker order allows is the model checker's to find
//! (`sys::model`).
//!
//! Outside tests, and in tests on threads that no scenario has started, all of this is nothing.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod turns;

#[cfg(test)]
pub(crate) use turns::{
    give_way, give_way_while, is_planted, join, play, point, receive, sleep, something_happened, spawn, time,
};

#[cfg(not(test))]
pub(crate) use nothing::{
    give_way, give_way_while, is_planted, join, point, receive, sleep, something_happened, spawn, time,
};

#[cfg(not(test))]
mod nothing {
    use std::io;
    use std::sync::mpsc::Receiver;
    use std::thread::{self, JoinHandle};

    /// Here another thread may go on.
    #[inline(always)]
    pub(crate) fn point() {}

    /// Here another thread has to go on, because this one waits for its step; says whether that was done.
    #[inline(always)]
    pub(crate) fn give_way() -> bool {
        false
    }

    /// Lets others go on until that is over, where a thread would else block on a lock that another one has, who hasn't got
    /// the turn.
    #[inline(always)]
    pub(crate) fn give_way_while(_is_locked: impl Fn() -> bool) {}

    /// Blocks until `is_over`, or for `timeout` nanoseconds; returns for how long the caller has to block by itself.
    #[inline(always)]
    pub(crate) fn sleep(timeout: Option<u64>, _is_over: impl Fn() -> bool) -> Option<u64> {
        timeout
    }

    /// Whoever sleeps has to look again whether it is over.
    #[inline(always)]
    pub(crate) fn something_happened() {}

    /// The time, if it isn't the system's.
    #[inline(always)]
    pub(crate) fn time() -> Option<u64> {
        None
    }

    /// Starts a thread that takes part if its creator does.
    pub(crate) fn spawn<T: Send + 'static>(
        builder: thread::Builder,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        builder.spawn(run)
    }

    /// `JoinHandle::join`.
    pub(crate) fn join<T>(thread: JoinHandle<T>) -> thread::Result<T> {
        thread.join()
    }

    /// `Receiver::recv`; `None`: nobody is left who could send.
    pub(crate) fn receive<T>(receiver: &Receiver<T>) -> Option<T> {
        receiver.recv().ok()
    }

    /// Whether the code is to have the bug of this name, which a test has to find.
    #[inline(always)]
    pub(crate) const fn is_planted(_bug: &str) -> bool {
        false
    }
}
