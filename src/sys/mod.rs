//! The kernel, one facility a file, over nix and libc; the checkers under which a program may run; and atomic words as
//! a model checker can replace them, with a lock made of one; and threads that take turns as a test says. Nothing here
//! knows of coroutines.

#[cfg(feature = "sanitize")]
pub(crate) mod asan;
pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod environment;
pub(crate) mod epoll;
pub(crate) mod errno;
pub(crate) mod eventfd;
pub(crate) mod explore;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod loaded;
pub(crate) mod lock;
pub(crate) mod memory;
#[cfg(all(test, not(feature = "sanitize")))]
pub(crate) mod model;
pub(crate) mod pagemap;
pub(crate) mod peek;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod stream;
pub(crate) mod thread;
pub(crate) mod unwind;
#[cfg(feature = "sanitize")]
pub(crate) mod valgrind;
