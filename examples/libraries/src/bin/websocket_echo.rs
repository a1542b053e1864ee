//! WebSockets by tungstenite over coroutines: a server that sends messages back, and clients. The library is written for
//! sockets that block, and needs no change.
//!
//! ```text
//! cd examples/libraries
//! cargo run --bin websocket_echo                    a server and three clients, in one process
//! cargo run --bin websocket_echo -- serve                the server alone; it says where
//! gdb -x ../../gdb/coro.py -p $(pidof websocket_echo)
//! (gdb) coro list -wait io                          the acceptor, and one for each connection
//! (gdb) coro bt NUMBER                              tungstenite's frames, above TcpStream::read
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use coro::StreamServer;
use coro::net::TcpStream;
use tungstenite::Message;

type Problem = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Problem> {
    let serves = std::env::args().nth(1).is_some_and(|word| word == "serve");
    coro::run(move || {
        let server = StreamServer::bind("127.0.0.1:0", |stream, peer| {
            if let Err(error) = echo(stream) {
                eprintln!("{peer}: {error}");
            }
        })?;
        let server = server.name("websocket").start()?;
        let address = server.local_addr();
        if serves {
            println!("listening on ws://{address}/");
            return Err(server.wait().into());
        }
        let clients = (0..3).map(|n| coro::spawn(move || talk(address, n)));
        for client in clients.collect::<Vec<_>>() {
            println!("{}", client.join().expect("no client panics")?);
        }
        println!("{} connections left", server.stop(Duration::from_secs(10)).left);
        Ok(())
    })?
}

#[inline(never)]
fn echo(stream: TcpStream) -> Result<(), Problem> {
    let mut socket = tungstenite::accept(stream)?;
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message)?,
            // Pings are answered by the library.
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[inline(never)]
fn talk(address: SocketAddr, n: usize) -> Result<String, Problem> {
    let stream = TcpStream::connect(address)?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)?;
    let text = "ha".repeat(1 + n * 10_000);
    socket.send(Message::text(text.clone()))?;
    let answer = socket.read()?;
    assert_eq!(answer.to_text()?, text);
    socket.close(None)?;
    // Until the peer has closed, too.
    while socket.read().is_ok() {}
    Ok(format!("client {n}: {} bytes came back", text.len()))
}
