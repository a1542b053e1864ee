//! `StreamServer`: accepts connections, gives each a coroutine, bounds their number, and stops in order. The word and the
//! shape are gevent's.
//!
//! - [`handle`]: how it is waited for and stopped

mod handle;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Acquire;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use self::handle::End;
pub use self::handle::{ServerHandle, Stopped};
use super::handle::JoinHandle;
use super::spawn::CoroutineBuilder;
use super::stats::stats;
use crate::abi::wait::WaitReason;
use crate::coroutine::cancel::Target;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::error::Result;
use crate::net::{Closer, TcpListener, TcpStream, ToSocketAddrs};
use crate::scheduler::park::{self, WaitList};
use crate::scheduler::worker;
use crate::sync::{self, Receiver, Sender};
use crate::sys::{clock, lock};
use crate::time;

/// After an accept that failed for want of something, this long until the next: connections end meanwhile and give it
/// back.
const BREATH: Duration = Duration::from_millis(50);

/// Connections at once, unless set.
const MOST: usize = 100_000;

/// A server that gives each connection a coroutine.
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// coro::run(|| {
///     let server = coro::StreamServer::bind("127.0.0.1:0", |mut stream, peer| {
///         let _ = writeln!(stream, "hello, {peer}");
///     })?;
///     let server = server.max_connections(1000).start()?;
///     let mut text = String::new();
///     coro::net::TcpStream::connect(server.local_addr())?.read_to_string(&mut text)?;
///     assert!(text.starts_with("hello, 127.0.0.1:"));
///     server.stop(Duration::from_secs(10)); // no new ones; those that there are may finish
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a server accepts nothing before its `start` is called"]
pub struct StreamServer<H> {
    listeners: Vec<TcpListener>,
    handler: H,
    most: usize,
    name: String,
}

/// What a connection is given to.
pub(crate) trait Handler: Fn(TcpStream, SocketAddr) + Send + Sync + 'static {}

impl<F> Handler for F where F: Fn(TcpStream, SocketAddr) + Send + Sync + 'static {}

impl<H> StreamServer<H>
where
    H: Fn(TcpStream, SocketAddr) + Send + Sync + 'static,
{
    /// A server at `address`: each connection runs `handler`, in a coroutine of its own.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs, handler: H) -> io::Result<StreamServer<H>> {
        Ok(StreamServer::new(TcpListener::bind(address)?, handler))
    }

    /// A server with a listener for each worker, of which the kernel chooses one for each connection
    /// ([`TcpListener::bind_shared`]): where connections come and go often, accepting is spread as well.
    ///
    /// # Errors
    /// As [`TcpListener::bind_shared`]; outside a runtime.
    pub fn bind_per_worker(address: impl ToSocketAddrs, handler: H) -> io::Result<StreamServer<H>> {
        let workers = stats()?.workers;
        let first = TcpListener::bind_shared(address)?;
        let bound = first.local_addr()?;
        let mut server = StreamServer::new(first, handler);
        for _ in 1..workers {
            server.listeners.push(TcpListener::bind_shared(bound)?);
        }
        Ok(server)
    }

    /// A server on a listener that is there.
    pub fn new(listener: TcpListener, handler: H) -> StreamServer<H> {
        StreamServer { listeners: vec![listener], handler, most: MOST, name: "connection".into() }
    }

    /// How many connections may be served at once; others wait in the listener's backlog. 100,000 unless set.
    ///
    /// # Panics
    /// If it is zero.
    #[track_caller]
    pub fn max_connections(mut self, most: usize) -> StreamServer<H> {
        assert!(most > 0, "StreamServer::max_connections: a server for 0 connections serves nobody");
        self.most = most;
        self
    }

    /// The name of the coroutines that serve; `connection` unless set.
    pub fn name(mut self, name: impl Into<String>) -> StreamServer<H> {
        self.name = name.into();
        self
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners[0].local_addr()
    }

    /// Begins to accept, in a coroutine for each listener.
    ///
    /// # Errors
    /// When a coroutine can't be spawned.
    pub fn start(self) -> io::Result<ServerHandle> {
        let address = self.local_addr()?;
        let shared = Arc::new(Shared::new(self.most, self.name));
        let handler = Arc::new(self.handler);
        let listeners: Vec<Arc<TcpListener>> = self.listeners.into_iter().map(Arc::new).collect();
        let seats = Arc::new(Seats::default());
        let is_spread = listeners.len() > 1;
        let (end, acceptors) = End::with_acceptors(listeners.len());
        for (listener, acceptor) in listeners.iter().zip(acceptors) {
            let (shared, handler, listener) = (shared.clone(), handler.clone(), listener.clone());
            let seats = is_spread.then(|| seats.clone());
            accept_somewhere(seats, move || {
                let error = shared.accept(&listener, &handler);
                // A stop closes the listener, of which the error would tell.
                let is_stopped = shared.is_stopping.load(Acquire);
                acceptor.end(if is_stopped { io::Error::other("the server was stopped") } else { error });
            })?;
        }
        Ok(ServerHandle::new(shared, end, listeners, address))
    }

    /// Serves until the listener is of no more use.
    ///
    /// # Errors
    /// Always one: what accepting failed with, or why it could not begin.
    pub fn serve_forever(self) -> io::Error {
        match self.start() {
            Ok(server) => server.wait(),
            Err(error) => error,
        }
    }
}

impl<H> fmt::Debug for StreamServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamServer").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// What acceptors and connections share.
pub(crate) struct Shared {
    /// A value for each connection: who accepts waits while it is full, and a debugger shows how full.
    places: (Sender<()>, Mutex<Receiver<()>>),
    name: String,
    is_stopping: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    connections: HashMap<u64, Connection>,
    waiting: Waiters,
    stop: Option<Stop>,
}

/// Since the first stop: how many connections there were then, and how many of them were cut off.
#[derive(Clone, Copy)]
struct Stop {
    served: usize,
    cut: usize,
}

/// One that is being served.
#[derive(Clone, Copy)]
struct Connection {
    closer: Closer,
    /// Its coroutine; `None`: it is being spawned.
    target: Option<Target>,
    is_cut: bool,
}

impl Shared {
    pub(crate) fn new(most: usize, name: String) -> Shared {
        let (sender, receiver) = sync::channel(most);
        Shared {
            places: (sender, Mutex::new(receiver)),
            name,
            is_stopping: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock::of(&self.state)
    }

    /// Accepts, until the listener is of no more use; says why.
    pub(crate) fn accept(self: &Arc<Self>, listener: &TcpListener, handler: &Arc<impl Handler>) -> io::Error {
        loop {
            // Before a connection is taken: those beyond the limit stay in the backlog.
            let Ok(()) = self.places.0.send(()) else { unreachable!("the receiver is in `self`") };
            let place = Place { shared: self.clone(), number: None };
            match listener.accept() {
                Ok((stream, peer)) => self.serve(place, stream, peer, handler.clone()),
                Err(error) if self.is_stopping.load(Acquire) => return error,
                Err(error) if passes_by_itself(&error) => {}
                Err(error) if passes_with_time(&error) => {
                    drop(place);
                    time::sleep(BREATH);
                }
                Err(error) => return error,
            }
        }
    }

    fn serve(
        self: &Arc<Self>,
        mut place: Place,
        stream: TcpStream,
        peer: SocketAddr,
        handler: Arc<impl Handler>,
    ) {
        let mut state = self.state();
        if state.stop.is_some() {
            // Amid a stop, which may have seen that nobody is served, and have returned: it is closed.
            return;
        }
        state.next += 1;
        let number = state.next;
        let connection = Connection { closer: stream.closer(), target: None, is_cut: false };
        state.connections.insert(number, connection);
        drop(state);
        place.number = Some(number);
        let spawned = CoroutineBuilder::new().name(self.name.as_str()).spawn(move || {
            // Given back last, after the stream was closed, however the handler ends.
            let _place = place;
            handler(stream, peer);
        });
        match spawned {
            // On another worker it may have ended already.
            Ok(handle) => {
                if let Some(connection) = self.state().connections.get_mut(&number) {
                    connection.target = Some(handle.target());
                }
            }
            // No stack is free: the connection closed with the closure that owned it. The others need time to end.
            Err(_) => time::sleep(BREATH),
        }
    }

    fn connections(&self) -> Vec<Connection> {
        self.state().connections.values().copied().collect()
    }

    /// Waits, until a time, for the connections that there are.
    fn wait_until_all_have_ended(&self, deadline: u64) {
        while !self.state().connections.is_empty() && clock::now() < deadline {
            // A sleep that ends early. In a child by `fork`, which can't wait, the connections are the parent's.
            if park::block_until(WaitReason::Sleep, 0, self, Some(deadline)).is_err() {
                return;
            }
        }
    }
}

/// Those who wait until no connection is left.
impl WaitList for Shared {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut state = self.state();
        let must_wait = !state.connections.is_empty();
        if must_wait {
            state.waiting.push(waiter);
        }
        must_wait
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        self.state().waiting.remove(waiter)
    }
}

/// A connection's place among those that may be.
struct Place {
    shared: Arc<Shared>,
    /// Once it is taken.
    number: Option<u64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let receiver = lock::of(&self.shared.places.1);
        let _ = receiver.try_recv();
        drop(receiver);
        let Some(number) = self.number else { return };
        let mut state = self.shared.state();
        state.connections.remove(&number);
        let waiting =
            if state.connections.is_empty() { std::mem::take(&mut state.waiting) } else { Waiters::new() };
        drop(state);
        park::wake_all(waiting);
    }
}

/// Which workers have an acceptor.
#[derive(Default)]
struct Seats(Mutex<Vec<u32>>);

impl Seats {
    /// Whether the worker had none.
    fn take(&self) -> bool {
        let index = worker::current().map_or(0, |worker| worker.index);
        let mut taken = lock::of(&self.0);
        let is_free = !taken.contains(&index);
        if is_free {
            taken.push(index);
        }
        is_free
    }
}

/// Attempts to begin on a worker that has no acceptor.
const ATTEMPTS: u32 = 200;

/// Starts an acceptor, with `seats` on a worker of its own if one can be had: where it begins is where it stays, and who
/// finds itself where another one is has itself begun elsewhere.
fn accept_somewhere(seats: Option<Arc<Seats>>, accept: impl FnOnce() + Send + 'static) -> io::Result<()> {
    fn begin(
        seats: Option<Arc<Seats>>,
        accept: Box<dyn FnOnce() + Send>,
        attempts: u32,
    ) -> Result<JoinHandle<()>> {
        CoroutineBuilder::new().name("acceptor").spawn(move || {
            if let Some(seats) = &seats
                && attempts > 0
                && !seats.take()
            {
                // Idle workers look for work when somebody has spawned; this one gives them time for it.
                let next = begin(Some(seats.clone()), accept, attempts - 1);
                time::sleep(Duration::from_micros(200));
                drop(next);
                return;
            }
            accept();
        })
    }
    begin(seats, Box::new(accept), ATTEMPTS)?;
    Ok(())
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
    use std::io::Read as _;

    use super::*;

    #[test]
    fn connection_that_comes_through_beside_a_stop_is_closed_and_not_served() {
        crate::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, peer) = listener.accept().unwrap();
            let shared = Arc::new(Shared::new(1, "connection".into()));
            shared.places.0.send(()).unwrap();
            let place = Place { shared: shared.clone(), number: None };
            shared.begin_to_stop();
            shared.serve(place, stream, peer, Arc::new(|_, _| panic!("it is served")));
            assert_eq!((client.read(&mut [0]).unwrap(), shared.connections().len()), (0, 0));
            assert_eq!(shared.stopped(), Stopped { finished: 0, cut: 0, left: 0 });
            shared.places.0.try_send(()).expect("its place was given back");
        })
        .unwrap();
    }

    #[test]
    fn what_a_peer_or_a_full_table_brings_about_does_not_end_the_server() {
        use libc::{EBADF, ECONNABORTED, EHOSTUNREACH, EINVAL, ENETDOWN, ENOTSOCK, EPERM, EPROTO};
        use libc::{EMFILE, ENFILE};
        for (errno, by_itself, with_time) in [
            (ECONNABORTED, true, false),
            (EPROTO, true, false),
            (EHOSTUNREACH, true, false),
            (ENETDOWN, true, false),
            (EPERM, true, false),
            (EMFILE, false, true),
            (ENFILE, false, true),
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
