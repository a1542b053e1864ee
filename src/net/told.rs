//! What a debugger is told of each kind of socket: its role, and the address that goes with it.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use nix::sys::socket::{
    self, AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getsockname, sockopt,
};

use crate::abi::objects::Role;
use crate::registry::descriptors::Address;

/// A socket of std's, as the runtime uses it.
pub(crate) trait Told: AsFd {
    const ROLE: Role;
    /// The address that goes with the role, from the kernel.
    fn ask_address(&self) -> Option<Address>;
}

macro_rules! told {
    ($($type:ident $role:ident $ask:ident),* $(,)?) => {
        $(impl Told for $type {
            const ROLE: Role = Role::$role;
            fn ask_address(&self) -> Option<Address> {
                self.$ask().ok().map(Address::from)
            }
        })*
    };
}

told!(
    TcpListener Listener local_addr,
    TcpStream Stream peer_addr,
    UdpSocket Datagram local_addr,
    UnixListener Listener local_addr,
    UnixStream Stream peer_addr,
    UnixDatagram Datagram local_addr,
);

/// A socket's address in an error's words, if it has one that can be shown: the peer's of a stream, else its own.
pub(super) fn words(role: Role, address: &Address) -> Option<String> {
    let whose = if role == Role::Stream { "with" } else { "at" };
    Some(match address {
        Address::Internet(address) => format!(" {whose} {address}"),
        Address::Unix(address) => format!(" {whose} {}", address.as_pathname()?.display()),
    })
}

/// Which sockets there are, to make sure that an adopted descriptor is one of the kind that it is adopted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Internet,
    Unix,
}

/// Fails unless `fd` is a socket of the family and the role.
pub(super) fn expect_kind(fd: &OwnedFd, family: Family, role: Role, wanted: &str) -> io::Result<()> {
    let number = fd.as_raw_fd();
    let refuse = |is: String| {
        let what = format!("descriptor {number} can't be adopted as a {wanted}: it is {is}");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    };
    let kind = socket::getsockopt(fd, sockopt::SockType)
        .map_err(|error| refuse(format!("no socket ({})", io::Error::from(error))))?;
    let is_family = match getsockname::<SockaddrStorage>(number)?.family() {
        Some(AddressFamily::Inet | AddressFamily::Inet6) => family == Family::Internet,
        Some(AddressFamily::Unix) => family == Family::Unix,
        _ => false,
    };
    let is = match kind {
        SockType::Stream if socket::getsockopt(fd, sockopt::AcceptConn)? => Role::Listener,
        SockType::Stream => Role::Stream,
        SockType::Datagram => Role::Datagram,
        _ => Role::None,
    };
    match (is_family, is == role) {
        (true, true) => Ok(()),
        (false, _) => Err(refuse("a socket of another address family".into())),
        (true, false) => Err(refuse(format!("a socket of another kind ({})", is.name()))),
    }
}
