//! The embedded server: on its own, or in the same process as its clients.

use super::routes::Routes;
use super::{Problem, cli, files, limits, run_with, say};
use coro::http::{Reply, Request, Sent, Server};
use coro::net::TcpListener;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Connections at once; the next are served when one of these has ended.
const MOST_CONNECTIONS: usize = 20_000;

/// Listens at `address`, or says why not.
pub(super) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Problem> {
    bind(address).map_err(|error| refuse(address, &error))
}

fn refuse(address: SocketAddr, error: &io::Error) -> Problem {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; something listens there already: end it, or choose another --addr",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for root",
        _ if error.raw_os_error() == Some(nix::libc::EMFILE) => "; raise the limit of open files (ulimit -n)",
        _ => "",
    };
    Problem::new(format!("could not listen on {address}: {error}{advice}"))
}

fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// How many connections at once a listener of ours does not drop.
pub(super) fn bears() -> usize {
    // The kernel cuts every backlog at this limit.
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    limit.trim().parse().unwrap_or(128).min(TcpListener::BACKLOG)
}

/// The server as it answers, with default timeouts. `keep`: how long it keeps a file after it was opened.
pub(super) fn server(
    compat: bool,
    keep: Duration,
) -> Server<impl Fn(&Request<'_>, Reply<'_>) -> io::Result<Sent> + Send + Sync + 'static> {
    let routes = Routes::new(compat, keep);
    Server::new(move |request: &Request<'_>, reply: Reply<'_>| routes.answer(request, reply))
        .expires_after(Duration::from_secs(38 * 24 * 3600))
        .accept_proxy()
        .header("server", "lwan/testrunner")
        .header("x-global-header", "present")
}

/// `main serve`.
pub(super) fn run(options: &cli::Serve) -> Result<(), Problem> {
    limits::make_all_room_for_sockets();
    let workers = options.workers.get();
    let idle = seconds_or(options.keep_alive_timeout, "KEEP_ALIVE_TIMEOUT", options)?;
    let keep = seconds_or(files::KEEP.as_secs(), "CACHE_FOR", options)?;
    let main = || {
        let server = server(options.lwan_compat, Duration::from_secs(keep))
            .idle_timeout(Duration::from_secs(idle))
            .request_timeout(Duration::from_secs(options.request_timeout));
        let refused = |error| Problem::new(format!("could not start the server: {error}"));
        let server = if workers > 1 {
            let server = server.on_each_worker(options.addr).map_err(|error| refuse(options.addr, &error))?;
            server.max_connections(MOST_CONNECTIONS).start()
        } else {
            server.on(listen(options.addr)?.0).max_connections(MOST_CONNECTIONS).start()
        };
        let server = server.map_err(refused)?;
        let bound = server.local_addr();
        say(&format!("serving on http://{bound}/ until killed"));
        let error = server.wait();
        Err(Problem::new(format!("could not accept connections on {bound} any more: {error}")))
    };
    run_with(coro::Builder::new().workers(workers).max_coroutines(MOST_CONNECTIONS + 100), main)
}

/// As lwan, its stand-in takes some settings from the environment, too.
fn seconds_or(default: u64, name: &str, options: &cli::Serve) -> Result<u64, Problem> {
    match std::env::var(name) {
        Ok(text) if options.lwan_compat => {
            text.parse().map_err(|_| Problem::new(format!("{name}={text:?} is no number of seconds")))
        }
        _ => Ok(default),
    }
}
