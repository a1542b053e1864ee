//! TLS by rustls over coroutines: a server that sends back what it gets, and a client that trusts its certificate. rustls
//! reads and writes a stream as if that blocked; only the coroutine waits.
//!
//! ```text
//! cd examples/libraries
//! cargo run --bin tls_echo                  a server and three clients, in one process
//! cargo run --bin tls_echo -- wait          the same, but the clients stay connected
//! gdb -x ../../gdb/coro.py -p $(pidof tls_echo)
//! (gdb) coro group                          the connections: one group, with rustls between ours and the wait
//! (gdb) coro bt NUMBER                      from the handler through rustls to TcpStream::read
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coro::StreamServer;
use coro::net::TcpStream;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

type Problem = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Problem> {
    let waits = std::env::args().nth(1).is_some_and(|word| word == "wait");
    coro::run(move || {
        let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = identity.cert.der().clone();
        let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der())?;
        let server = server(certificate.clone(), key)?;
        let server = StreamServer::bind("127.0.0.1:0", move |stream, peer| {
            if let Err(error) = echo(stream, server.clone()) {
                eprintln!("{peer}: {error}");
            }
        })?;
        let server = server.name("tls").start()?;
        let address = server.local_addr();
        let client = client(certificate)?;
        let clients = (0..3).map(|n| {
            let client = client.clone();
            coro::spawn(move || talk(address, client, n, waits))
        });
        for client in clients.collect::<Vec<_>>() {
            println!("{}", client.join().expect("no client panics")?);
        }
        let stopped = server.stop(Duration::from_secs(10));
        println!("{} connections left", stopped.left);
        Ok(())
    })?
}

fn server(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Problem> {
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config))
}

fn client(trusted: CertificateDer<'static>) -> Result<Arc<ClientConfig>, Problem> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted)?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

#[inline(never)]
fn echo(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream);
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            got => stream.write_all(&buffer[..got])?,
        }
    }
    stream.conn.send_close_notify();
    stream.flush()
}

#[inline(never)]
fn talk(address: SocketAddr, config: Arc<ClientConfig>, n: u32, waits: bool) -> Result<String, Problem> {
    let name = ServerName::try_from("localhost")?;
    let connection = ClientConnection::new(config, name)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, TcpStream::connect(address)?));
    writeln!(stream.get_mut(), "client {n} speaks in private")?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if waits {
        println!("connected; waiting for a line that never comes");
        stream.read_line(&mut line)?;
    }
    let stream = stream.get_mut();
    let version = stream.conn.protocol_version().expect("there was a handshake");
    stream.conn.send_close_notify();
    stream.flush()?;
    // To its end, which has to be a proper one and no cut.
    stream.read_to_end(&mut Vec::new())?;
    Ok(format!("{version:?}: {}", line.trim_end()))
}
