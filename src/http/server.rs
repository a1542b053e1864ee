//! The server: accepts, and gives each connection a coroutine.

use super::connection::{self, Allowance};
use super::date::DateCache;
use super::head;
use super::reply::{Common, Reply, Sent};
use super::request::{Limits, Request};
use crate::net::{TcpListener, TcpStream};
use crate::runtime::spawn::CoroutineBuilder;
use crate::time;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What answers requests: a function of the request that uses the reply. It runs on the
/// connection's coroutine and may wait.
pub(super) trait Handler:
    Fn(&Request<'_>, Reply<'_>) -> io::Result<Sent> + Send + Sync + 'static
{
}

impl<F> Handler for F where F: Fn(&Request<'_>, Reply<'_>) -> io::Result<Sent> + Send + Sync + 'static {}

/// After an accept that failed for want of something, this long until the next: connections end
/// meanwhile and give it back.
const BREATH: Duration = Duration::from_millis(50);

/// An HTTP server, to be [`run`](Server::run) on a listener.
///
/// It bounds what a peer can take: a head of 32 KiB and 64 headers, a body of 1,000,000 bytes,
/// 15 seconds of idleness, 15 for a head, 30 for a body, 15 to take an answer.
#[derive(Debug)]
pub struct Server<H> {
    handler: H,
    common: Common,
    allowance: Allowance,
}

impl<H> Server<H>
where
    H: Fn(&Request<'_>, Reply<'_>) -> io::Result<Sent> + Send + Sync + 'static,
{
    /// A server that answers by `handler`.
    pub fn new(handler: H) -> Server<H> {
        let common = Common { dates: DateCache::new(Duration::ZERO), expires: false, headers: Vec::new() };
        let allowance = Allowance {
            limits: Limits { head: 32 * 1024, body: 1_000_000 },
            idle: Duration::from_secs(15),
            head: Duration::from_secs(15),
            body: Duration::from_secs(30),
            write: Duration::from_secs(15),
        };
        Server { handler, common, allowance }
    }

    /// Adds a header to every answer, after all others.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        head::write_header(&mut self.common.headers, name, value);
        self
    }

    /// Says `Expires`, that long after `Date`, in answers to requests without a query.
    pub fn expires_after(mut self, lifetime: Duration) -> Self {
        self.common.dates = DateCache::new(lifetime);
        self.common.expires = true;
        self
    }

    /// Closes connections on which no request begins for that long.
    pub fn idle_timeout(mut self, patience: Duration) -> Self {
        self.allowance.idle = patience;
        self
    }

    /// Closes connections whose request takes longer than that, from its first byte to its
    /// head's end, and again to its body's end; however steadily it drips.
    pub fn request_timeout(mut self, patience: Duration) -> Self {
        (self.allowance.head, self.allowance.body) = (patience, patience);
        self
    }

    /// Accepts and serves connections, each in a coroutine named `http-connection`.
    ///
    /// Returns only when the listener is of no more use, with what it said.
    pub fn run(self, listener: &TcpListener) -> io::Error {
        let server = Arc::new(self);
        loop {
            match listener.accept() {
                Ok((stream, _)) => server.clone().spawn_connection(stream),
                Err(error) if passes_by_itself(&error) => {}
                Err(error) if passes_with_time(&error) => time::sleep(BREATH),
                Err(error) => return error,
            }
        }
    }

    fn spawn_connection(self: Arc<Self>, stream: TcpStream) {
        let spawned = CoroutineBuilder::new().name("http-connection").spawn(move || {
            // How a connection ended is its peer's affair; there is nobody to tell.
            let _ = connection::serve(&stream, &self.handler, &self.common, &self.allowance);
        });
        if spawned.is_err() {
            // No stack is free: the connection closed with the closure that owned it. The
            // others need time to end.
            time::sleep(BREATH);
        }
    }
}

/// The connection was gone before it was accepted. accept(2) also reports what is wrong with the network, or forbidden
/// by a firewall, for the one connection that it took off the queue.
fn passes_by_itself(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    use libc::{EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENONET, ENOPROTOOPT, EPERM, EPROTO};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut | WouldBlock)
        || matches!(
            error.raw_os_error(),
            Some(EHOSTDOWN | EHOSTUNREACH | ENETDOWN | ENETUNREACH | ENONET | ENOPROTOOPT | EPERM | EPROTO)
        )
}

/// File descriptors or memory ran out.
fn passes_with_time(error: &io::Error) -> bool {
    use libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_or_a_full_table_brings_about_does_not_end_the_server() {
        use libc::{EBADF, ECONNABORTED, EHOSTUNREACH, EINVAL, EMFILE, ENETDOWN, ENOTSOCK, EPERM, EPROTO};
        for (errno, by_itself, with_time) in [
            (ECONNABORTED, true, false),
            (EPROTO, true, false),
            (EHOSTUNREACH, true, false),
            (ENETDOWN, true, false),
            (EPERM, true, false),
            (EMFILE, false, true),
            (EBADF, false, false),
            (EINVAL, false, false),
            (ENOTSOCK, false, false),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(
                (passes_by_itself(&error), passes_with_time(&error)),
                (by_itself, with_time),
                "{error}"
            );
        }
    }
}
