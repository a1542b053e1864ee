//! `UnixListener` and `UnixStream`.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};

use super::names;
use super::readiness::Readiness;
use super::registered::{Operation, Registered};
use super::send_file::{self, Part};
use super::sockets::{incoming, socket, stream, timeouts};
use super::timeout::{Patience, Timeout};
use super::told;
use crate::abi::wait::WaitReason;
use crate::reactor::source::Direction;
use crate::sys::stream::{receive, transmit};

/// A Unix socket that listens for connections; as [`std::os::unix::net::UnixListener`].
///
/// ```
/// use std::io::{Read, Write};
/// use coro::net::{UnixListener, UnixStream};
/// # let folder = std::env::temp_dir().join(format!("coro-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
///
/// let path = folder.join("hello.sock");
/// coro::run(|| {
///     let listener = UnixListener::bind(&path)?;
///     let server = coro::spawn(move || listener.accept()?.0.write_all(b"hello"));
///     let mut text = String::new();
///     UnixStream::connect(&path)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     server.join().unwrap()
/// })??;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    inner: Registered<net::UnixListener>,
}

/// A Unix stream socket; as [`std::os::unix::net::UnixStream`]. Used by several as a [`TcpStream`](super::TcpStream) is.
#[derive(Debug)]
pub struct UnixStream {
    pub(super) inner: Registered<net::UnixStream>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

socket!(UnixListener of net::UnixListener, Unix, "UnixListener");
incoming!(UnixIncoming of UnixListener, UnixStream);

impl UnixListener {
    fn of(listener: net::UnixListener, address: Option<SocketAddr>) -> UnixListener {
        UnixListener { inner: Registered::new(listener, address.map(Into::into)) }
    }

    /// A listener at a path where nothing is yet.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::bind`].
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::from_std(net::UnixListener::bind(path)?)
    }

    /// A listener at an address, which may be an abstract one.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::bind_addr`].
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::from_std(net::UnixListener::bind_addr(address)?)
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::accept`].
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let operation = Operation { direction: Direction::Read, reason: WaitReason::Accept, timeout: None };
        let (stream, peer) = self.inner.run(operation, net::UnixListener::accept)?;
        stream.set_nonblocking(true)?;
        Ok((UnixStream::of(stream, Some(peer.clone())), peer))
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Another handle of the same listener.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::try_clone`].
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        Ok(UnixListener::of(self.inner.try_clone()?, None))
    }
}

socket!(UnixStream of net::UnixStream, Unix, "UnixStream");
timeouts!(UnixStream);
// A read also ends behind what descriptors came with, and where the sender's credentials change.
stream!(UnixStream, short_is_drained: false);

impl UnixStream {
    fn of(stream: net::UnixStream, peer: Option<SocketAddr>) -> UnixStream {
        UnixStream {
            inner: Registered::new(stream, peer.map(Into::into)),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    /// Connects to the listener at a path. A listener that has no room at the moment is waited for, on a thread of its own:
    /// the kernel doesn't tell when there is some.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::connect`].
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener at an address, which may be an abstract one.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::connect_addr`].
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        match socket::connect(socket.as_raw_fd(), &for_the_kernel(address)?) {
            Ok(()) => Ok(UnixStream::of(socket.into(), Some(address.clone()))),
            Err(nix::Error::EAGAIN) => {
                let (peer, own) = (address.clone(), address.clone());
                let stream =
                    names::aside("coro-connect", move || net::UnixStream::connect_addr(&own)).flatten()?;
                stream.set_nonblocking(true)?;
                Ok(UnixStream::of(stream, Some(peer)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::pair`].
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((UnixStream::from_std(one)?, UnixStream::from_std(other)?))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// The own address.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// nix's address of std's.
fn for_the_kernel(address: &SocketAddr) -> io::Result<UnixAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    Ok(match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => UnixAddr::new(path)?,
        (None, Some(name)) => UnixAddr::new_abstract(name)?,
        (None, None) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an unnamed Unix socket can't be connected to",
            ));
        }
    })
}
