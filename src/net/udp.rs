//! `UdpSocket`.

use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::names::ToSocketAddrs;
use super::readiness::Readiness;
use super::registered::{Operation, Registered};
use super::sockets::{socket, timeouts};
use super::timeout::Timeout;
use super::told;
use crate::abi::wait::WaitReason;
use crate::reactor::source::Direction;

/// A UDP socket; as [`std::net::UdpSocket`].
///
/// ```
/// coro::run(|| {
///     let server = coro::net::UdpSocket::bind("127.0.0.1:0")?;
///     let client = coro::net::UdpSocket::bind("127.0.0.1:0")?;
///     client.connect(server.local_addr()?)?;
///     let answers = coro::spawn(move || {
///         let mut buffer = [0; 100];
///         let (length, peer) = server.recv_from(&mut buffer)?; // parks until one comes
///         server.send_to(&buffer[..length], peer)
///     });
///     client.send(b"echo")?;
///     let mut buffer = [0; 100];
///     let length = client.recv(&mut buffer)?;
///     assert_eq!(&buffer[..length], b"echo");
///     answers.join().unwrap()
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    inner: Registered<net::UdpSocket>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

socket!(UdpSocket of net::UdpSocket, Internet, "UdpSocket");
timeouts!(UdpSocket);

impl UdpSocket {
    fn of(socket: net::UdpSocket, address: Option<SocketAddr>) -> UdpSocket {
        UdpSocket {
            inner: Registered::new(socket, address.map(Into::into)),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    /// A socket at the first of `address`'s addresses that can be had.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        UdpSocket::from_std(net::UdpSocket::bind(&addresses[..])?)
    }

    /// Fixes the peer: to whom `send` sends, and from whom alone something is received.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::connect`].
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        self.inner.connect(&addresses[..])
    }

    /// Waits for a datagram; what doesn't fit into `buffer` is lost.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::recv_from`].
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.run(self.reading(), |socket| socket.recv_from(buffer))
    }

    /// Waits for a datagram, and leaves it there.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::peek_from`].
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.run(self.reading(), |socket| socket.peek_from(buffer))
    }

    /// Waits for a datagram of the peer to whom it is connected.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::recv`].
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.run(self.reading(), |socket| socket.recv(buffer))
    }

    /// Waits for a datagram of the peer to whom it is connected, and leaves it there.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::peek`].
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.run(self.reading(), |socket| socket.peek(buffer))
    }

    /// Sends a datagram to the first of `address`'s addresses; waits as long as the kernel has no room for it.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::send_to`].
    pub fn send_to(&self, buffer: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let Some(address) = address.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name has no address to send to"));
        };
        self.inner.run(self.writing(), |socket| socket.send_to(buffer, address))
    }

    /// Sends a datagram to the peer to whom it is connected.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::send`].
    pub fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.inner.run(self.writing(), |socket| socket.send(buffer))
    }

    /// The own address.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The address of the peer to whom it is connected.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }
}

/// Options that std's socket has under the same name.
macro_rules! options {
    ($($set:ident($($argument:ident: $type:ty),*) $what:literal;)*) => {
        impl UdpSocket {
            $(
                #[doc = $what]
                ///
                /// # Errors
                #[doc = concat!("As [`std::net::UdpSocket::", stringify!($set), "`].")]
                pub fn $set(&self, $($argument: $type),*) -> io::Result<()> {
                    self.inner.$set($($argument),*)
                }
            )*
        }
    };
    ($($get:ident -> $type:ty, $what:literal;)*) => {
        impl UdpSocket {
            $(
                #[doc = $what]
                ///
                /// # Errors
                #[doc = concat!("As [`std::net::UdpSocket::", stringify!($get), "`].")]
                pub fn $get(&self) -> io::Result<$type> {
                    self.inner.$get()
                }
            )*
        }
    };
}

options!(
    set_broadcast(broadcast: bool) "Whether datagrams may be sent to broadcast addresses.";
    set_ttl(ttl: u32) "Sets the time to live of packets.";
    set_multicast_loop_v4(looped: bool) "Whether own multicast packets come back.";
    set_multicast_ttl_v4(ttl: u32) "Sets the time to live of multicast packets.";
    set_multicast_loop_v6(looped: bool) "Whether own multicast packets come back.";
    join_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr) "Receives what is sent to a group.";
    join_multicast_v6(group: &Ipv6Addr, interface: u32) "Receives what is sent to a group.";
    leave_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr) "No longer receives what is sent to a group.";
    leave_multicast_v6(group: &Ipv6Addr, interface: u32) "No longer receives what is sent to a group.";
);

options!(
    broadcast -> bool, "Whether datagrams may be sent to broadcast addresses.";
    ttl -> u32, "The time to live of packets.";
    multicast_loop_v4 -> bool, "Whether own multicast packets come back.";
    multicast_ttl_v4 -> u32, "The time to live of multicast packets.";
    multicast_loop_v6 -> bool, "Whether own multicast packets come back.";
);
