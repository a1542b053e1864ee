//! `TcpListener` and `TcpStream`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage};

use super::registered::{Operation, Registered, Timeout};
use crate::abi::wait::WaitReason;
use crate::reactor::source::Direction;
use crate::sys::clock;

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
/// A read or write that would block parks the coroutine. Two coroutines may use one stream at a time, through
/// `&TcpStream`: several that wait for the same direction are all woken, and try again.
#[derive(Debug)]
pub struct TcpStream {
    inner: Registered<net::TcpStream>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

impl TcpListener {
    /// Connections that may wait to be accepted. std asks for 128, and a coroutine that accepts may have its turn
    /// only after a thousand others have connected; who finds no room tries again after a second. The kernel cuts
    /// it at net.core.somaxconn.
    pub const BACKLOG: usize = 4096;

    /// A listener on `address`, with a longer [backlog](TcpListener::BACKLOG) than std's. Names are resolved as std does, which blocks the thread; numbers are not names.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let listener = net::TcpListener::bind(address)?;
        // On a socket that listens already, this only changes the backlog (listen(2), as Linux does it).
        socket::listen(&listener, Backlog::new(TcpListener::BACKLOG as i32)?)?;
        TcpListener::from_std(listener)
    }

    /// Takes over a listener of std's.
    ///
    /// # Errors
    /// If it can't be put into non-blocking mode.
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        Ok(TcpListener { inner: Registered::new(listener, None) })
    }

    /// The listener as one of std's, in blocking mode.
    ///
    /// # Errors
    /// If it can't be put into blocking mode.
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        let listener = self.inner.into_inner();
        listener.set_nonblocking(false)?;
        Ok(listener)
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

    /// The connections as they come; never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
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
        Ok(TcpListener { inner: Registered::new(self.inner.try_clone()?, None) })
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

    /// The socket's pending error, which is cleared.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::take_error`].
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }
}

/// The connections of a listener as they come: see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl TcpStream {
    /// Connects to the first of `address`'s addresses that takes the connection. Names are resolved as std does,
    /// which blocks the thread; numbers are not names.
    ///
    /// # Errors
    /// The last address's error, as [`std::net::TcpStream::connect`].
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut last = None;
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_within(&address, None) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the name has no address to connect to")
        }))
    }

    /// Connects to `address`, in `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` for a timeout of zero; else as [`TcpStream::connect`].
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot connect within a timeout of zero",
            ));
        }
        TcpStream::connect_within(address, Some(timeout))
    }

    fn connect_within(address: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(family, SockType::Stream, flags, None)?;
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
            inner: Registered::new(stream, peer),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    /// Takes over a connection of std's. Its timeouts are not taken over.
    ///
    /// # Errors
    /// If it can't be put into non-blocking mode.
    pub fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        Ok(TcpStream::of(stream, None))
    }

    /// The connection as one of std's, in blocking mode.
    ///
    /// # Errors
    /// If it can't be put into blocking mode.
    pub fn into_std(self) -> io::Result<net::TcpStream> {
        let stream = self.inner.into_inner();
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Another handle of the same connection, with timeouts of its own.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::try_clone`].
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        let clone = TcpStream::of(self.inner.try_clone()?, None);
        clone.set_read_timeout(self.read_timeout.get())?;
        clone.set_write_timeout(self.write_timeout.get())?;
        Ok(clone)
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

    /// Ends reading, writing or both; who waits for it is woken.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// How long a read may wait; `None` (at first): for ever. A read that took longer fails with `TimedOut`.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.read_timeout.set(timeout)
    }

    /// How long a write may wait; `None` (at first): for ever. A write that took longer fails with `TimedOut`.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.write_timeout.set(timeout)
    }

    /// How long a read may wait.
    ///
    /// # Errors
    /// None; it is std's signature.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.read_timeout.get())
    }

    /// How long a write may wait.
    ///
    /// # Errors
    /// None; it is std's signature.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.write_timeout.get())
    }

    /// Reads without taking the data away.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::peek`].
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.run(self.reading(), |stream| stream.peek(buffer))
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// As [`std::net::TcpStream::set_nodelay`].
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::nodelay`].
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.nodelay()
    }

    /// Sets the time to live of packets.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::set_ttl`].
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }

    /// The time to live of packets.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::ttl`].
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }

    /// The socket's pending error, which is cleared.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::take_error`].
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    fn reading(&self) -> Operation {
        Operation { direction: Direction::Read, reason: WaitReason::Read, timeout: self.read_timeout.get() }
    }

    fn writing(&self) -> Operation {
        Operation {
            direction: Direction::Write,
            reason: WaitReason::Write,
            timeout: self.write_timeout.get(),
        }
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        self.inner.run_sized(self.reading(), |mut stream| stream.read(buffer), |n| 0 < *n && *n < room)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        self.inner.run_sized(
            self.reading(),
            |mut stream| stream.read_vectored(buffers),
            |n| 0 < *n && *n < room,
        )
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let wanted = buffer.len();
        self.inner.run_sized(self.writing(), |mut stream| stream.write(buffer), |n| *n < wanted)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
        self.inner.run_sized(self.writing(), |mut stream| stream.write_vectored(buffers), |n| *n < wanted)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! descriptors {
    ($type:ident) => {
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.inner.as_raw_fd()
            }
        }

        impl From<$type> for OwnedFd {
            /// The descriptor, in non-blocking mode.
            fn from(socket: $type) -> OwnedFd {
                OwnedFd::from(socket.inner.into_inner())
            }
        }

        impl IntoRawFd for $type {
            /// The descriptor, in non-blocking mode.
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}

descriptors!(TcpListener);
descriptors!(TcpStream);
