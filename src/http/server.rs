//! The server: what it allows a peer, and how it is put on a listener.

use super::connection::{self, Allowance};
use super::date::DateCache;
use super::head;
use super::reply::{Common, Reply, Sent};
use super::request::{Limits, Request};
use crate::net::{TcpListener, TcpStream, ToSocketAddrs};
use crate::runtime::stream_server::{Shared, StreamServer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What answers requests: a function of the request that uses the reply. It runs on the
/// connection's coroutine and may wait.
pub(super) trait Handler:
    Fn(&Request<'_>, Reply<'_>) -> io::Result<Sent> + Send + Sync + 'static
{
}

impl<F> Handler for F where F: Fn(&Request<'_>, Reply<'_>) -> io::Result<Sent> + Send + Sync + 'static {}

/// Connections at once; a stack for each is what there are fewer of.
const MOST: usize = 1_000_000;

/// Of the coroutines that serve.
const NAME: &str = "http-connection";

/// An HTTP server, to be [`run`](Server::run) on a listener.
///
/// It bounds what a peer can take: a head of 32 KiB and 64 headers, a body of 1,000,000 bytes,
/// 15 seconds of idleness, 15 for a head, 30 for a body, 15 to take an answer.
#[must_use = "a server accepts nothing before its `run` is called, or a `StreamServer` of it is started"]
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
            proxy: false,
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

    /// Believes a PROXY header (version 1 or 2) before a request; for the rest of the connection the client is who is named
    /// in it. For servers that only proxies can reach: anybody else could name whom he likes.
    pub fn accept_proxy(mut self) -> Self {
        self.allowance.proxy = true;
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
        let shared = Arc::new(Shared::new(MOST, NAME.into()));
        shared.accept(listener, &Arc::new(self.into_handler()))
    }

    /// The same as a [`StreamServer`], on a listener: to be started, and stopped in order.
    pub fn on(
        self,
        listener: TcpListener,
    ) -> StreamServer<impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static> {
        StreamServer::new(listener, self.into_handler()).name(NAME)
    }

    /// The same with a listener for each worker: see [`StreamServer::bind_per_worker`].
    ///
    /// # Errors
    ///
    /// As that.
    pub fn on_each_worker(
        self,
        address: impl ToSocketAddrs,
    ) -> io::Result<StreamServer<impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static>> {
        Ok(StreamServer::bind_per_worker(address, self.into_handler())?.name(NAME))
    }

    fn into_handler(self) -> impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static {
        move |stream, peer| {
            // How a connection ended is its peer's affair; there is nobody to tell.
            let _ = connection::serve(&stream, peer, &self.handler, &self.common, &self.allowance);
        }
    }
}
