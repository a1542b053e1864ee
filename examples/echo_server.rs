//! A server that sends back what it gets: one coroutine a connection, which reads as if it were alone.
//!
//! ```text
//! cargo run --example echo_server           it says where it listens
//! nc 127.0.0.1 7007                         in another terminal, twice: say something, and leave it open
//! gdb -x gdb/coro.py -p $(pidof echo_server)
//! (gdb) coro list -wait io                  the listener accepts; each connection reads, from whom it says
//! (gdb) coro list -fd 6                     who waits on descriptor 6
//! (gdb) coro bt NUMBER                      of one of them: std's copy loop, TcpStream::read, and where it waits
//! (gdb) coro select NUMBER
//! (gdb) up                                  into serve; its locals:
//! (gdb) info locals
//! (gdb) detach                              the server goes on as if nothing had been
//! ```

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use coro::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".into());
    coro::run(|| {
        let listener = TcpListener::bind(&address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, peer) = listener.accept()?;
            coro::CoroutineBuilder::new().name(format!("echo {peer}")).spawn(move || {
                if let Err(error) = serve(stream, peer) {
                    eprintln!("{peer}: {error}");
                }
            })?;
        }
    })?
}

#[inline(never)]
fn serve(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut echoed = 0;
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            println!("{peer} has gone after {echoed} bytes");
            return Ok(());
        }
        stream.write_all(&buffer[..got])?;
        echoed += got;
    }
}
