//! The handle of a server that runs: by which it is waited for and stopped, from anywhere.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::Shared;
use crate::net::TcpListener;
use crate::scheduler::cancel;
use crate::sync::Event;
use crate::sync::select::waitable_by;
use crate::sys::{clock, lock};

/// How long a stop waits for those whose connections it has cut, and then for those whom it has cancelled.
const AFTER_THE_CUT: Duration = Duration::from_secs(1);

/// A server that runs. A value of it is a handle: clones are of the same server, and when all are dropped the server goes on.
/// Coroutines and plain threads may use it; in [`select!`](crate::select), `wait(server) => server.wait()` is for its end.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let server = coro::StreamServer::bind("127.0.0.1:0", |_stream, _peer| ())?.start()?;
///     let stops = server.clone();
///     coro::spawn(move || stops.stop(Duration::from_secs(10)));
///     assert_eq!(server.wait().to_string(), "the server was stopped");
///     assert_eq!(server.stop(Duration::from_secs(10)).left, 0); // once more: the same answer
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ServerHandle {
    running: Arc<Running>,
}

struct Running {
    shared: Arc<Shared>,
    end: Arc<End>,
    /// Until they are closed: what is bound by them is free then, whoever has a handle.
    listeners: Mutex<Vec<Arc<TcpListener>>>,
    address: SocketAddr,
}

/// How a server has stopped: see [`ServerHandle::stop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were served to their end within the grace period.
    pub finished: usize,
    /// Connections that were cut off after it.
    pub cut: usize,
    /// Those of them whose coroutines have not ended even so: they compute, or hold a cancel back.
    pub left: usize,
}

impl ServerHandle {
    pub(super) fn new(
        shared: Arc<Shared>,
        end: Arc<End>,
        listeners: Vec<Arc<TcpListener>>,
        address: SocketAddr,
    ) -> ServerHandle {
        ServerHandle { running: Arc::new(Running { shared, end, listeners: Mutex::new(listeners), address }) }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.running.address
    }

    /// How many connections are being served.
    pub fn connections(&self) -> usize {
        self.running.shared.connections().len()
    }

    /// Waits until accepting is not possible any more, and says why; the same to all who ask, and whenever they do.
    /// Connections may still be served then: [`stop`](ServerHandle::stop) waits for those.
    pub fn wait(&self) -> io::Error {
        self.running.end.is_over.wait();
        self.running.end.reason()
    }

    /// Stops: accepts no more at once; connections that are being served may go on for as long as `grace`. Then they are
    /// cut off: who waits on one, or uses it, gets an error. Who has not ended a second later waits for something else, and is
    /// [cancelled](crate::JoinHandle::cancel) (not under `panic = "abort"`).
    ///
    /// Returns when all have ended, or a second after that. It may be called again, also by several at a time: each one's
    /// grace is its own, and what is counted are all connections since the first call. A coroutine that is cancelled here has
    /// stopped the accepting, and cuts nobody off.
    ///
    /// A connection's handler is one of those that it waits for: there it is to be called by another coroutine, which the handler
    /// spawns. Called by the handler itself it cuts that off, and unwinds it.
    pub fn stop(&self, grace: Duration) -> Stopped {
        let shared = &self.running.shared;
        shared.begin_to_stop();
        // Under the lock, so that nothing is open any more when another one's stop returns. (It wakes, for which the lock isn't needed.)
        lock::of(&self.running.listeners).drain(..).for_each(|listener| listener.close());
        shared.wait_until_all_have_ended(clock::after(grace));
        if shared.cut_off() > 0 {
            shared.wait_until_all_have_ended(clock::after(AFTER_THE_CUT));
        }
        let deaf = shared.connections();
        if !deaf.is_empty() && !cfg!(panic = "abort") {
            deaf.iter().filter_map(|connection| connection.target).for_each(cancel::cancel);
            shared.wait_until_all_have_ended(clock::after(AFTER_THE_CUT));
        }
        shared.stopped()
    }
}

waitable_by! {
    /// Ready when `wait` doesn't wait: nothing more is accepted.
    impl[] ServerHandle: server => server.running.end.is_over
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("address", &self.running.address).finish_non_exhaustive()
    }
}

/// Whether accepting is over, and why.
pub(super) struct End {
    /// Acceptors that have not ended.
    accepting: AtomicUsize,
    /// The first one's.
    reason: OnceLock<io::Error>,
    is_over: Event,
}

/// An acceptor, until this is dropped, however it ends.
pub(super) struct Acceptor(Arc<End>);

impl End {
    /// With so many acceptors.
    pub(super) fn with_acceptors(count: usize) -> (Arc<End>, impl Iterator<Item = Acceptor>) {
        let accepting = AtomicUsize::new(count);
        let end = Arc::new(End { accepting, reason: OnceLock::new(), is_over: Event::new() });
        let acceptors = std::iter::repeat_n(end.clone(), count).map(Acceptor);
        (end, acceptors)
    }

    /// Another value each time, since an `io::Error` can't be cloned.
    fn reason(&self) -> io::Error {
        match self.reason.get() {
            None => io::Error::other("the server was ended with its runtime"),
            Some(error) => match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            },
        }
    }
}

impl Acceptor {
    /// It has ended by itself.
    pub(super) fn end(self, reason: io::Error) {
        // Another one may have been first.
        let _ = self.0.reason.set(reason);
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // AcqRel: the last one's `set`, which releases, comes after all that the others have done.
        if self.0.accepting.fetch_sub(1, AcqRel) == 1 {
            self.0.is_over.set();
        }
    }
}

impl Shared {
    pub(super) fn begin_to_stop(&self) {
        let mut state = self.state();
        let served = state.connections.len();
        state.stop.get_or_insert(super::Stop { served, cut: 0 });
        drop(state);
        self.is_stopping.store(true, Release);
    }

    /// Cuts off all that are being served; how many those are.
    fn cut_off(&self) -> usize {
        let mut state = self.state();
        let mut cut = Vec::new();
        for connection in state.connections.values_mut() {
            cut.push((connection.closer, mem::replace(&mut connection.is_cut, true)));
        }
        let new = cut.iter().filter(|(_, was_cut)| !was_cut).count();
        if let Some(stop) = &mut state.stop {
            stop.cut += new;
        }
        // It wakes, for which the lock isn't needed.
        drop(state);
        cut.iter().for_each(|(closer, _)| closer.close());
        cut.len()
    }

    /// What there is to be said of the stop so far.
    pub(super) fn stopped(&self) -> Stopped {
        let state = self.state();
        let (served, cut) = state.stop.map_or((0, 0), |stop| (stop.served, stop.cut));
        let left = state.connections.len();
        Stopped { finished: served.saturating_sub(cut), cut, left }
    }
}
