//! Sockets, with std's names and std's behaviour, where a call that would block parks the coroutine instead.
//!
//! | | streams | datagrams |
//! |---|---|---|
//! | Internet | [`TcpListener`], [`TcpStream`] | [`UdpSocket`] |
//! | Unix | [`UnixListener`], [`UnixStream`] | [`UnixDatagram`] |
//!
//! Differences from std: names are looked up without blocking the thread ([`ToSocketAddrs`]); a listener's backlog is
//! longer; a socket that several share can be [closed](TcpStream::close) by one of them; a descriptor is adopted by
//! `TryFrom<OwnedFd>`, which looks whether it is of the right kind. Options that are not methods here can be set by other
//! crates, through `AsFd`.
//!
//! Any number of coroutines may use one socket at a time, also on several workers: one reads while another one writes;
//! those who wait for the same are told in the order in which they came, and try again.
//!
//! `readable` and `writable` of a socket can be waited for beside channels, coroutines and time, in [`select!`](crate::select).
//!
//! [`BufferedSender`] is for who must not wait for a slow peer, nor hold more than so much for him.

mod chunks;
mod datagram;
mod names;
mod options;
mod readiness;
mod registered;
mod send_file;
mod sendbuf;
mod sockets;
mod tcp;
pub(crate) mod telltale;
#[cfg(test)]
mod tests;
mod timeout;
mod told;
mod udp;
mod unix;
pub(crate) mod watch;

pub use datagram::UnixDatagram;
pub use names::ToSocketAddrs;
pub use readiness::Readiness;
pub(crate) use registered::Closer;
#[cfg(feature = "http")]
pub(crate) use send_file::Part;
pub use sendbuf::{BufferedSender, Crossing, SendsBytes, Unsent};
pub use tcp::{Incoming, TcpListener, TcpStream};
#[cfg(feature = "http")]
pub(crate) use timeout::Patience;
pub use udp::UdpSocket;
pub use unix::{UnixIncoming, UnixListener, UnixStream};
