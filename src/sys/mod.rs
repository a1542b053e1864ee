//! The kernel, one facility a file, over nix and libc. Nothing here knows of coroutines.

pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod errno;
pub(crate) mod eventfd;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod signal;
