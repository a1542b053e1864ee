//! What the tests of TCP share: both ends of a connection, and the shortest words for what each of them does.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use coro::JoinHandle;
use coro::net::{TcpListener, TcpStream};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};

pub(crate) const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

pub(crate) fn run<T>(main: impl FnOnce() -> T) -> T {
    coro::run(main).unwrap()
}

/// Both ends of a connection.
pub(crate) fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

pub(crate) fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

/// An address at which nobody listens, and nobody will as long as the socket is bound to it.
pub(crate) fn dead_address() -> (OwnedFd, SocketAddr) {
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address: SockaddrIn = socket::getsockname(socket.as_raw_fd()).unwrap();
    (socket, SocketAddr::from((address.ip(), address.port())))
}
