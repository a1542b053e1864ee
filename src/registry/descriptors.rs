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
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

use crate::abi::objects::{ADDRESS_LENGTH, Descriptor, Role};
use crate::stack::region;

/// Whose address goes with a descriptor.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Internet(SocketAddr),
    Unix(net::SocketAddr),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Internet(address)
    }
}

impl From<net::SocketAddr> for Address {
    fn from(address: net::SocketAddr) -> Address {
        Address::Unix(address)
    }
}

/// Says what a descriptor is that was just made, or taken over. `address` is asked for only if there is a row.
pub(crate) fn open(fd: RawFd, role: Role, address: impl FnOnce() -> Option<Address>, user: u64) {
    if let Some(row) = row(fd) {
        fill(row, role, address(), user);
    }
}

/// A coroutine is about to wait on it. One that was made before there was a region gets its row now.
#[inline]
pub(crate) fn wait(fd: RawFd, role: Role, address: impl FnOnce() -> Option<Address>, user: u64) {
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

/// What a `BufferedSender` holds for it, and its watermarks; all 0 when it has none any more.
#[inline]
pub(crate) fn buffer(fd: RawFd, buffered: usize, low: usize, high: usize) {
    let Some(row) = row(fd) else { return };
    let cut = |mark: usize| u32::try_from(mark).unwrap_or(u32::MAX);
    row.low_watermark.store(cut(low), Relaxed);
    row.high_watermark.store(cut(high), Relaxed);
    row.buffered.store(buffered as u64, Relaxed);
}

#[inline]
fn row(fd: RawFd) -> Option<&'static Descriptor> {
    region::get()?.descriptor(usize::try_from(fd).ok()?)
}

fn fill(row: &Descriptor, role: Role, address: Option<Address>, user: u64) {
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
    row.buffered.store(0, Relaxed);
    row.low_watermark.store(0, Relaxed);
    row.high_watermark.store(0, Relaxed);
    // Release: whoever sees the role sees all of the above.
    row.role.store(role as u32, Release);
}

/// A `sockaddr_in`, `sockaddr_in6` or `sockaddr_un` (ip(7), ipv6(7), unix(7)), and how many bytes of it count.
fn as_the_kernel_has_it(address: &Address) -> ([u8; ADDRESS_LENGTH], usize) {
    let mut bytes = [0; ADDRESS_LENGTH];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    if let Address::Internet(address) = address {
        put(2, &address.port().to_be_bytes());
    }
    let length = match address {
        Address::Internet(SocketAddr::V4(address)) => {
            put(0, &(libc::AF_INET as u16).to_ne_bytes());
            put(4, &address.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        Address::Internet(SocketAddr::V6(address)) => {
            put(0, &(libc::AF_INET6 as u16).to_ne_bytes());
            put(4, &address.flowinfo().to_ne_bytes());
            put(8, &address.ip().octets());
            put(24, &address.scope_id().to_ne_bytes());
            size_of::<libc::sockaddr_in6>()
        }
        Address::Unix(address) => {
            put(0, &(libc::AF_UNIX as u16).to_ne_bytes());
            let (before, name) = match (address.as_pathname(), address.as_abstract_name()) {
                (Some(path), _) => (0, path.as_os_str().as_bytes()),
                // An abstract name stands behind a NUL.
                (None, Some(name)) => (1, name),
                (None, None) => return (bytes, 2),
            };
            let name = &name[..name.len().min(ADDRESS_LENGTH - 2 - before)];
            put(2 + before, name);
            2 + before + name.len()
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
            let (bytes, length) = as_the_kernel_has_it(&address.into());
            match address {
                SocketAddr::V4(address) => is_same(&bytes[..length], &SockaddrIn::from(address)),
                SocketAddr::V6(address) => is_same(&bytes[..length], &SockaddrIn6::from(address)),
            }
        }
    }

    #[test]
    fn unix_names_are_as_the_kernel_has_them_and_long_ones_are_cut_off() {
        let told = |address: net::SocketAddr| {
            let (bytes, length) = as_the_kernel_has_it(&address.into());
            assert_eq!(bytes[..2], (libc::AF_UNIX as u16).to_ne_bytes());
            bytes[2..length].to_vec()
        };
        assert_eq!(told(net::SocketAddr::from_pathname("/run/a.sock").unwrap()), b"/run/a.sock");
        assert_eq!(told(net::SocketAddr::from_abstract_name("a").unwrap()), b"\0a");
        assert_eq!(told(net::SocketAddr::from_pathname("").unwrap()), b"");
        let long = "/".repeat(100);
        assert_eq!(told(net::SocketAddr::from_pathname(&long).unwrap()), &long.as_bytes()[..94]);
        assert_eq!(told(net::SocketAddr::from_abstract_name(&long).unwrap()).len(), 94);
    }

    #[track_caller]
    fn is_same(bytes: &[u8], address: &impl SockaddrLike) {
        // SAFETY: nix says that so many bytes of the address are there.
        let expected =
            unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.len() as usize) };
        assert_eq!(bytes, expected);
    }
}
