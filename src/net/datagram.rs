//! `UnixDatagram`.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::readiness::Readiness;
use super::registered::{Operation, Registered};
use super::sockets::{socket, timeouts};
use super::timeout::Timeout;
use super::told;
use crate::abi::wait::WaitReason;
use crate::reactor::source::Direction;
use crate::sys::clock;

/// A Unix datagram socket; as [`std::os::unix::net::UnixDatagram`].
///
/// ```
/// coro::run(|| {
///     let (one, other) = coro::net::UnixDatagram::pair()?;
///     let sender = coro::spawn(move || one.send(b"whole or not at all"));
///     let mut buffer = [0; 100];
///     let length = other.recv(&mut buffer)?; // parks until one comes
///     assert_eq!(&buffer[..length], b"whole or not at all");
///     sender.join().unwrap()
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    inner: Registered<net::UnixDatagram>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

/// How long it takes at most until a receiver that had no room is tried again, if the kernel doesn't tell: nanoseconds.
const LATEST_ATTEMPT: u64 = 16_000_000;

socket!(UnixDatagram of net::UnixDatagram, Unix, "UnixDatagram");
timeouts!(UnixDatagram);

impl UnixDatagram {
    fn of(socket: net::UnixDatagram, address: Option<SocketAddr>) -> UnixDatagram {
        UnixDatagram {
            inner: Registered::new(socket, address.map(Into::into)),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    /// A socket at a path where nothing is yet.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::bind`].
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(net::UnixDatagram::bind(path)?)
    }

    /// A socket at an address, which may be an abstract one.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::bind_addr`].
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(net::UnixDatagram::bind_addr(address)?)
    }

    /// A socket without an address.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::unbound`].
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::pair`].
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_std(one)?, UnixDatagram::from_std(other)?))
    }

    /// Fixes the peer, by its path.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::connect`].
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.inner.connect(path)
    }

    /// Fixes the peer, by its address.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::connect_addr`].
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.inner.connect_addr(address)
    }

    /// Waits for a datagram; what doesn't fit into `buffer` is lost.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::recv_from`].
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.receive(|socket| socket.recv_from(buffer).map(Some))?;
        match received {
            Some(received) => Ok(received),
            None => Ok((0, SocketAddr::from_pathname("")?)),
        }
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::recv`].
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(|socket| socket.recv(buffer).map(Some))?.unwrap_or(0))
    }

    /// Nothing after `shutdown`. A blocking socket then says so; one that doesn't block says for ever that there is nothing
    /// yet. But epoll has told of it.
    fn receive<R>(
        &self,
        mut attempt: impl FnMut(&net::UnixDatagram) -> io::Result<Option<R>>,
    ) -> io::Result<Option<R>> {
        self.inner.run(self.reading(), |socket| match attempt(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.inner.may_be_over() => {
                if no_more_comes(socket) {
                    Ok(None)
                } else {
                    Err(error)
                }
            }
            other => other,
        })
    }

    /// Sends a datagram to the socket at a path; waits as long as that has no room for it.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::send_to`].
    pub fn send_to(&self, buffer: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_to_addr(buffer, &SocketAddr::from_pathname(path)?)
    }

    /// Sends a datagram to the socket at an address; waits as long as that has no room for it.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::send_to_addr`].
    pub fn send_to_addr(&self, buffer: &[u8], address: &SocketAddr) -> io::Result<usize> {
        // A receiver to whom it is not connected doesn't tell when it has room again (unix(7): writable is a socket that
        // has room itself, and each attempt that fails is followed by an event): who finds it full has to try again. The
        // pauses are waits as others are.
        let operation = self.writing();
        let deadline = operation.timeout.map_or(u64::MAX, clock::after);
        let mut pause = 500_000;
        loop {
            match self.inner.attempt(operation, |socket| socket.send_to_addr(buffer, address)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.inner.pause(operation, clock::now().saturating_add(pause).min(deadline))?;
                    if clock::now() >= deadline {
                        return Err(self.inner.timed_out(operation));
                    }
                    pause = (pause * 2).min(LATEST_ATTEMPT);
                }
                other => return other,
            }
        }
    }

    /// Sends a datagram to the peer to whom it is connected; waits as long as that has no room for it.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::send`].
    pub fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.inner.run(self.writing(), |socket| socket.send(buffer))
    }

    /// Ends receiving, sending or both; who waits for it is woken.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// The own address.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The address of the peer to whom it is connected.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }
}

/// Whether receiving was ended by `shutdown`.
fn no_more_comes(socket: &net::UnixDatagram) -> bool {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one entry, which lives across the call; it doesn't wait.
    let count = unsafe { libc::poll(&raw mut asked, 1, 0) };
    count == 1 && asked.revents & libc::POLLRDHUP != 0
}
