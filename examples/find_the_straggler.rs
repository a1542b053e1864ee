//! A program that should have ended: main waits for a scope, and somebody in it has not. Who, and what does that one wait for?
//!
//! ```text
//! cargo run --example find_the_straggler        it says what it has done, and stays
//! gdb -x gdb/coro.py -p $(pidof find_the_straggler)
//! (gdb) coro why main                           the members that are left, each with what it waits for
//! (gdb) coro info shard-1                       what it belongs to, and where that was made
//! (gdb) coro bt shard-2                         where in its code it waits
//! ```
//!
//! The way out: a deadline on the read, and `coro::timeout` around what may hang.

use std::io::{self, Read, Write};
use std::net;

use coro::net::TcpStream;
use coro::{CoroutineBuilder, Pool};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = net::TcpListener::bind("127.0.0.1:0")?;
    let (mut streams, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        streams.push(net::TcpStream::connect(server.local_addr()?)?);
        peers.push(server.accept()?.0);
    }
    // Two are answered, and one is forgotten.
    peers[0].write_all(b"done\n")?;
    peers[1].write_all(b"done\n")?;
    coro::run(|| {
        let uploads = Pool::new(1); // one at a time
        coro::scope(|scope| {
            for (number, stream) in streams.into_iter().enumerate() {
                let uploads = uploads.clone();
                let shard = move || fetch(TcpStream::from_std(stream)?, &uploads);
                CoroutineBuilder::new().name(format!("shard-{number}")).spawn_scoped(scope, shard)?;
            }
            println!("3 shards begun");
            coro::Result::Ok(())
        })
    })??;
    println!("all is done"); // never
    Ok(())
}

fn fetch(mut stream: TcpStream, uploads: &Pool) -> io::Result<()> {
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?; // the first bug: no deadline
    uploads.spawn(|| coro::offload(upload));
    Ok(())
}

/// The second bug: a file that never ends.
fn upload() {
    let end = io::pipe().and_then(|(mut end, _kept)| end.read(&mut [0]));
    println!("uploaded: {end:?}");
}
