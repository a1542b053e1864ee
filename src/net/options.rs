//! Options of TCP streams: those that std has, and those that servers set beside them.

use std::io;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::TcpStream;

impl TcpStream {
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

    /// What becomes of unsent data when the socket is closed (`SO_LINGER`): `None` (at first): the kernel goes on sending
    /// it; `Some(Duration::ZERO)`: it is dropped, and the peer gets a reset. With any other duration closing would block
    /// the *thread* for up to so many seconds, which is refused; [`BufferedSender::close`](super::BufferedSender::close)
    /// waits as a coroutine.
    ///
    /// # Errors
    /// `InvalidInput` for a duration that is not zero; what the system says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        if linger.is_some_and(|linger| !linger.is_zero()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "lingering at close would block the thread with all its coroutines; use None, Some(Duration::ZERO) \
                 for a reset, or BufferedSender::close",
            ));
        }
        let option = libc::linger { l_onoff: linger.is_some().into(), l_linger: 0 };
        Ok(setsockopt(self, sockopt::Linger, &option)?)
    }

    /// What becomes of unsent data when the socket is closed.
    ///
    /// # Errors
    /// What the system says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        let option = getsockopt(self, sockopt::Linger)?;
        Ok((option.l_onoff != 0).then(|| Duration::from_secs(option.l_linger.max(0) as u64)))
    }

    /// Has the kernel ask a silent peer whether it is still there, first after `idle`, then as often (`SO_KEEPALIVE`,
    /// `TCP_KEEPIDLE`, `TCP_KEEPINTVL`; whole seconds, one at least); one that doesn't answer nine times is gone, and
    /// who waits gets `TimedOut`. `None`: it doesn't.
    ///
    /// # Errors
    /// What the system says: more than nine hours are `InvalidInput`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        if let Some(idle) = idle {
            let seconds = u32::try_from(idle.as_secs().max(1)).unwrap_or(u32::MAX);
            setsockopt(self, sockopt::TcpKeepIdle, &seconds)?;
            setsockopt(self, sockopt::TcpKeepInterval, &seconds)?;
        }
        Ok(setsockopt(self, sockopt::KeepAlive, &idle.is_some())?)
    }

    /// After how much silence the kernel asks whether the peer is still there.
    ///
    /// # Errors
    /// What the system says.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        if !getsockopt(self, sockopt::KeepAlive)? {
            return Ok(None);
        }
        Ok(Some(Duration::from_secs(getsockopt(self, sockopt::TcpKeepIdle)?.into())))
    }

    /// How much the kernel buffers for sending, in bytes (`SO_SNDBUF`). It takes twice as much, for what it needs itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(setsockopt(self, sockopt::SndBuf, &bytes)?)
    }

    /// How much the kernel buffers for sending.
    ///
    /// # Errors
    /// What the system says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        Ok(getsockopt(self, sockopt::SndBuf)?)
    }

    /// How much the kernel buffers of what was received (`SO_RCVBUF`), as [`TcpStream::set_send_buffer_size`].
    ///
    /// # Errors
    /// What the system says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(setsockopt(self, sockopt::RcvBuf, &bytes)?)
    }

    /// How much the kernel buffers of what was received.
    ///
    /// # Errors
    /// What the system says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        Ok(getsockopt(self, sockopt::RcvBuf)?)
    }
}
