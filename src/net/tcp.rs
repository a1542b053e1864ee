//! `TcpListener` and `TcpStream`.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, sockopt};

use super::names::ToSocketAddrs;
use super::readiness::Readiness;
use super::registered::{Closer, Operation, Registered};
use super::send_file::{self, Part};
use super::sockets::{incoming, socket, stream, timeouts};
use super::timeout::{Patience, Timeout};
use super::told;
use crate::abi::wait::WaitReason;
use crate::reactor::source::Direction;
use crate::sys::clock;
use crate::sys::stream::{receive, transmit};

/// A TCP socket that listens for connections; as [`std::net::TcpListener`].
///
/// ```
/// use std::io::{Read, Write};
///
/// coro::run(|| {
///     let listener = coro::net::TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let server = coro::spawn(move || {
///         let (mut stream, _peer) = listener.accept()?;
///         stream.write_all(b"hello")
///     });
///     let mut text = String::new();
///     coro::net::TcpStream::connect(address)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     server.join().unwrap()
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    inner: Registered<net::TcpListener>,
}

/// A TCP connection; as [`std::net::TcpStream`].
///
/// A read or write that would block parks the coroutine. Several coroutines may use one stream at a time, through
/// `&TcpStream`: those that wait for the same direction are woken in the order in which they came, and try again.
#[derive(Debug)]
pub struct TcpStream {
    pub(super) inner: Registered<net::TcpStream>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

socket!(TcpListener of net::TcpListener, Internet, "TcpListener");
incoming!(Incoming of TcpListener, TcpStream);

impl TcpListener {
    /// Connections that may wait to be accepted. std asks for 128, and a coroutine that accepts may have its turn
    /// only after a thousand others have connected; who finds no room tries again after a second. The kernel cuts
    /// it at net.core.somaxconn.
    pub const BACKLOG: usize = 4096;

    fn of(listener: net::TcpListener, address: Option<SocketAddr>) -> TcpListener {
        TcpListener { inner: Registered::new(listener, address.map(Into::into)) }
    }

    /// A listener on the first of `address`'s addresses that can be had, with a longer
    /// [backlog](TcpListener::BACKLOG) than std's.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        let listener = net::TcpListener::bind(&addresses[..])?;
        // On a socket that listens already, this only changes the backlog (listen(2), as Linux does it).
        socket::listen(&listener, Backlog::new(TcpListener::BACKLOG as i32)?)?;
        TcpListener::from_std(listener)
    }

    /// A listener on an address at which others may listen as well (`SO_REUSEPORT`), if they are made so, too: each
    /// connection goes to one of them, which the kernel chooses. So several workers each have a queue of their own.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind_shared(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let mut last = None;
        for address in address.to_socket_addrs()? {
            match TcpListener::bind_shared_to(&address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    fn bind_shared_to(address: &SocketAddr) -> io::Result<TcpListener> {
        let socket = new_socket(address)?;
        socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        socket::setsockopt(&socket, sockopt::ReusePort, &true)?;
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(*address))?;
        socket::listen(&socket, Backlog::new(TcpListener::BACKLOG as i32)?)?;
        Ok(TcpListener::of(socket.into(), None))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::accept`].
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let operation = Operation { direction: Direction::Read, reason: WaitReason::Accept, timeout: None };
        let (stream, peer) = self.inner.run(operation, net::TcpListener::accept)?;
        stream.set_nonblocking(true)?;
        Ok((TcpStream::of(stream, Some(peer)), peer))
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Another handle of the same listener.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::try_clone`].
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener::of(self.inner.try_clone()?, None))
    }

    /// Sets the time to live of the connections' packets.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::set_ttl`].
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }

    /// The time to live of the connections' packets.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::ttl`].
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }
}

socket!(TcpStream of net::TcpStream, Internet, "TcpStream");
timeouts!(TcpStream);
stream!(TcpStream, short_is_drained: true);

impl TcpStream {
    /// Connects to the first of `address`'s addresses that takes the connection.
    ///
    /// # Errors
    /// The last address's error, as [`std::net::TcpStream::connect`].
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut last = None;
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_to(&address, None) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// Connects to `address`, in `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` for a timeout of zero; else as [`TcpStream::connect`].
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        refuse_zero(timeout)?;
        TcpStream::connect_to(address, Some(timeout))
    }

    /// Connects to the first of `address`'s addresses that takes the connection, in `timeout` at most for all of them. So
    /// that one which doesn't answer leaves time for the others, each gets its share of what is left. The time that a
    /// look-up of a name takes is not counted.
    ///
    /// ```
    /// # use coro::net::{TcpListener, TcpStream};
    /// coro::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let port = listener.local_addr()?.port();
    ///     TcpStream::connect_within(("localhost", port), std::time::Duration::from_secs(60))
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Of the kind of the last address's error, naming all that were tried and why each failed; `InvalidInput` for a
    /// timeout of zero.
    pub fn connect_within(address: impl ToSocketAddrs, timeout: Duration) -> io::Result<TcpStream> {
        refuse_zero(timeout)?;
        let deadline = clock::after(timeout);
        let addresses = address.to_socket_addrs()?;
        let mut left = addresses.len() as u64;
        let mut failed = Vec::new();
        let mut kind = io::ErrorKind::InvalidInput;
        for address in addresses {
            let share = deadline.saturating_sub(clock::now()) / left;
            left -= 1;
            match TcpStream::connect_to(&address, Some(Duration::from_nanos(share))) {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    kind = error.kind();
                    failed.push(format!("{address}: {error}"));
                }
            }
        }
        if failed.is_empty() {
            return Err(no_address());
        }
        let what = match &*failed {
            [only] => format!("could not connect to {only}"),
            all => format!("could not connect to any of {}: {}", all.len(), all.join("; ")),
        };
        Err(io::Error::new(kind, what))
    }

    fn connect_to(address: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let socket = new_socket(address)?;
        let begun = socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(*address));
        let stream = TcpStream::of(net::TcpStream::from(socket), Some(*address));
        match begun {
            Ok(()) => return Ok(stream),
            Err(nix::Error::EINPROGRESS | nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        stream.inner.expect_nothing_yet(Direction::Write);
        let operation = Operation { direction: Direction::Write, reason: WaitReason::Connect, timeout };
        let deadline = timeout.map(clock::after);
        loop {
            stream.inner.wait(operation, deadline)?;
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                // Woken for something else: the connection is still being made.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    stream.inner.expect_nothing_yet(Direction::Write);
                }
                _ => return Ok(stream),
            }
        }
    }

    fn of(stream: net::TcpStream, peer: Option<SocketAddr>) -> TcpStream {
        TcpStream {
            inner: Registered::new(stream, peer.map(Into::into)),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    /// By which a server ends a connection that somebody else has.
    pub(crate) fn closer(&self) -> Closer {
        self.inner.closer()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// The own address.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Reads without taking the data away.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::peek`].
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.run(self.reading(), |stream| stream.peek(buffer))
    }
}

/// What a server reads and writes by that has patience for several operations together.
#[cfg(feature = "http")]
impl TcpStream {
    /// Reads by `attempt`, which says how many bytes it got, and whether there was room for more. It is called only when
    /// something may be there: it need not have any memory for it before.
    pub(crate) fn read_by(
        &self,
        patience: &mut Patience,
        attempt: impl FnMut(&net::TcpStream) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        let operation = self.reading().within(patience);
        let deadline = || Some(patience.begin());
        let (count, _) = self
            .inner
            .run_until(operation, deadline, attempt, |(count, is_short)| 0 < *count && *is_short)?;
        self.inner.unless_closed(operation, count, 1)
    }

    /// As [`Write::write`], for as long as the patience lasts.
    pub(crate) fn write_within(&self, patience: &mut Patience, bytes: &[u8]) -> io::Result<usize> {
        let operation = self.writing().within(patience);
        let deadline = || Some(patience.begin());
        let attempt = |stream: &net::TcpStream| transmit(stream, bytes);
        self.inner.run_until(operation, deadline, attempt, |count| *count < bytes.len())
    }

    /// As [`TcpStream::send_file`], for as long as the patience lasts.
    pub(crate) fn send_file_within(&self, patience: &mut Patience, part: Part<'_>) -> io::Result<u64> {
        send_file::send(&self.inner, self.writing(), Some(patience), part)
    }
}

fn new_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket::socket(family, SockType::Stream, flags, None)?)
}

fn refuse_zero(timeout: Duration) -> io::Result<()> {
    if timeout.is_zero() {
        let what = "cannot connect within a timeout of zero";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address to connect to, or to listen on")
}
