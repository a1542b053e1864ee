//! The kernel, one facility a file, over nix and libc; and the checkers under which a program may run. Nothing here
//! knows of coroutines.

#[cfg(feature = "sanitize")]
pub(crate) mod asan;
pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod errno;
pub(crate) mod eventfd;
pub(crate) mod file;
pub(crate) mod loaded;
pub(crate) mod memory;
pub(crate) mod pagemap;
pub(crate) mod peek;
pub(crate) mod process;
pub(crate) mod signal;
#[cfg(feature = "sanitize")]
pub(crate) mod valgrind;
