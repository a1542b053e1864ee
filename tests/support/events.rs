//! Which threads wait for events: what the kernel says of the system call that one is in.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::Path;
use std::{fs, io};

/// By which a runtime waits: where the kernel doesn't know the first, it takes one of the others.
const WAITS: &[libc::c_long] = &[
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Whether a thread, or a process's first one, waits for events; told by its folder in /proc.
pub(crate) fn waits_for_events(folder: &Path) -> io::Result<bool> {
    let syscall = fs::read_to_string(folder.join("syscall"))?;
    // Or `running`.
    let number = syscall.split(' ').next().and_then(|number| number.parse().ok());
    Ok(number.is_some_and(|number| WAITS.contains(&number)))
}
