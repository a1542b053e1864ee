//! The rows of file descriptors: what each is, whose address it has, and which coroutine used it last.
//!
//! A row is its number's, as the descriptor is: a reader who knows the number (the object of a wait) has the row. Numbers
//! beyond the table, and all as long as the process has no region, have none; then nothing is told, and nothing else
//! is different.
//!
//! Who may write: the one who has just made the descriptor, or is about to close it; who waits on it stores `last_user`
//! only. Two who wait on one descriptor at a time may overwrite each other, so it is the later one that is told.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

use crate::abi::objects::{ADDRESS_LENGTH, Descriptor, Role};
use crate::stack::region;

/// Says what a descriptor is that was just made, or taken over. `address` is asked for only if there is a row.
pub(crate) fn open(fd: RawFd, role: Role, address: impl FnOnce() -> Option<SocketAddr>, user: u64) {
    if let Some(row) = row(fd) {
        fill(row, role, address(), user);
    }
}

/// A coroutine is about to wait on it. One that was made before there was a region gets its row now.
#[inline]
pub(crate) fn wait(fd: RawFd, role: Role, address: impl FnOnce() -> Option<SocketAddr>, user: u64) {
    let Some(row) = row(fd) else { return };
    if row.role.load(Relaxed) == Role::None as u32 {
        fill(row, role, address(), user);
    } else {
        row.last_user.store(user, Relaxed);
    }
}

/// It is about to be closed, or handed out.
#[inline]
pub(crate) fn close(fd: RawFd) {
    if let Some(row) = row(fd) {
        row.role.store(Role::None as u32, Relaxed);
    }
}

#[inline]
fn row(fd: RawFd) -> Option<&'static Descriptor> {
    region::get()?.descriptor(usize::try_from(fd).ok()?)
}

fn fill(row: &Descriptor, role: Role, address: Option<SocketAddr>, user: u64) {
    region::get().expect("it has the row").use_descriptor(row);
    // Whoever had the number before may have closed it behind our back: no row says what it was while it changes.
    row.role.store(Role::None as u32, Relaxed);
    fence(Release);
    // A planted bug: see tests/stepping/plants.rs.
    if cfg!(coro_plant = "role_first") {
        row.role.store(role as u32, Release);
    }
    let (bytes, length) = address.map_or(([0; ADDRESS_LENGTH], 0), |address| as_the_kernel_has_it(&address));
    for (word, chunk) in row.address.iter().zip(bytes.chunks_exact(4)) {
        word.store(u32::from_ne_bytes(chunk.try_into().expect("chunks of four")), Relaxed);
    }
    row.address_length.store(length as u32, Relaxed);
    row.last_user.store(user, Relaxed);
    // Release: whoever sees the role sees all of the above.
    row.role.store(role as u32, Release);
}

/// A `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)), and its length.
fn as_the_kernel_has_it(address: &SocketAddr) -> ([u8; ADDRESS_LENGTH], usize) {
    let mut bytes = [0; ADDRESS_LENGTH];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(2, &address.port().to_be_bytes());
    let length = match address {
        SocketAddr::V4(address) => {
            put(0, &(libc::AF_INET as u16).to_ne_bytes());
            put(4, &address.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            put(0, &(libc::AF_INET6 as u16).to_ne_bytes());
            put(4, &address.flowinfo().to_ne_bytes());
            put(8, &address.ip().octets());
            put(24, &address.scope_id().to_ne_bytes());
            size_of::<libc::sockaddr_in6>()
        }
    };
    (bytes, length)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrLike};

    use super::*;

    #[test]
    fn addresses_are_as_nix_makes_them_for_the_kernel() {
        for text in ["127.0.0.1:8080", "192.0.2.7:65535", "[::1]:80", "[fe80::1234:5678%7]:443"] {
            let address: SocketAddr = text.parse().unwrap();
            let (bytes, length) = as_the_kernel_has_it(&address);
            match address {
                SocketAddr::V4(address) => is_same(&bytes[..length], &SockaddrIn::from(address)),
                SocketAddr::V6(address) => is_same(&bytes[..length], &SockaddrIn6::from(address)),
            }
        }
    }

    #[track_caller]
    fn is_same(bytes: &[u8], address: &impl SockaddrLike) {
        // SAFETY: nix says that so many bytes of the address are there.
        let expected =
            unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.len() as usize) };
        assert_eq!(bytes, expected);
    }
}
