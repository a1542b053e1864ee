//! The server that the clients visit: one that is there, or an embedded one.

use super::{Problem, cli, complain, files, gate, serve};
use coro::net::TcpStream;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// For somebody to accept or refuse.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) embedded: bool,
    /// Connections at once that it can be trusted not to drop.
    pub(super) bears: usize,
}

/// Finds out whether somebody listens, and otherwise listens itself.
pub(super) fn reach(options: &cli::Load) -> Result<Target, Problem> {
    let address = options.addr;
    if address.port() == 0 {
        return if options.no_embed {
            Err(Problem::new("nobody listens on port 0: with --no-embed, say the server's port"))
        } else {
            embed(address)
        };
    }
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Ok(Target { address, embedded: false, bears: gate::NARROW }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && !options.no_embed => embed(address),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Problem::new(format!(
            "could not connect to {address}: ECONNREFUSED: {error}; nothing listens there: start a \
                 server, or leave out --no-embed to have one embedded"
        ))),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Problem::new(format!(
            "could not connect to {address}: neither accepted nor refused within {} s; is the address right, does a \
             firewall drop what is sent there, or is the server stuck?",
            PATIENCE.as_secs()
        ))),
        Err(error) => Err(Problem::new(format!("could not connect to {address}: {error}"))),
    }
}

fn embed(address: SocketAddr) -> Result<Target, Problem> {
    let (listener, address) = serve::listen(address)?;
    coro::CoroutineBuilder::new()
        .name("http-server")
        .spawn(move || {
            let error = serve::server(false, files::KEEP).run(&listener);
            complain(&Problem::new(format!(
                "the embedded server can't accept connections any more: {error}"
            )));
        })
        .map_err(|error| Problem::new(format!("could not start the embedded server: {error}")))?;
    Ok(Target { address, embedded: true, bears: serve::bears() })
}
