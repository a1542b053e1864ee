//! A client library that knows nothing of coroutines, over our streams: the `imap` crate, which blocks, asks three mail
//! servers at the same time. Here the servers are coroutines too, and answer each only when all three have been asked:
//! a client that blocked its thread would wait for ever.
//!
//! ```text
//! cd examples/libraries
//! cargo run --bin third_party_client
//! gdb -x ../../gdb/coro.py --args target/debug/third_party_client
//! (gdb) break third_party_client::answer
//! (gdb) run
//! (gdb) coro list                           three clients wait in reads, in the midst of imap's parser
//! (gdb) coro bt NUMBER
//! ```

use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coro::net::TcpStream;
use coro::{StreamServer, yield_now};

type Problem = Box<dyn std::error::Error + Send + Sync>;

const CLIENTS: usize = 3;

fn main() -> Result<(), Problem> {
    coro::run(|| {
        let asked = Arc::new(AtomicUsize::new(0));
        let server = StreamServer::bind("127.0.0.1:0", move |stream, peer| {
            if let Err(error) = serve(stream, &asked) {
                eprintln!("{peer}: {error}");
            }
        })?;
        let server = server.name("imap-server").start()?;
        let address = server.local_addr();
        let clients = (0..CLIENTS).map(|n| {
            coro::CoroutineBuilder::new().name(format!("client-{n}")).spawn(move || {
                let mut client = imap::Client::new(TcpStream::connect(address)?);
                client.read_greeting()?;
                let mut session = client.login(format!("user{n}"), "secret").map_err(|(error, _)| error)?;
                let mails = session.select("INBOX")?.exists;
                session.logout()?;
                Ok::<String, Problem>(format!("user{n} has {mails} mails"))
            })
        });
        for client in clients.collect::<Result<Vec<_>, _>>()? {
            println!("{}", client.join().expect("no client panics")?);
        }
        println!("{} connections left", server.stop(Duration::from_secs(10)).left);
        Ok(())
    })?
}

/// As much of IMAP (RFC 3501) as the client needs.
fn serve(stream: TcpStream, asked: &AtomicUsize) -> io::Result<()> {
    writeln!(&stream, "* OK ready\r")?;
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (tag, command) = (words.next().unwrap_or("*"), words.next().unwrap_or(""));
        if command.eq_ignore_ascii_case("select") {
            asked.fetch_add(1, Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) < CLIENTS {
                yield_now();
            }
        }
        answer(&stream, tag, command)?;
    }
    Ok(())
}

#[inline(never)]
fn answer(mut stream: &TcpStream, tag: &str, command: &str) -> io::Result<()> {
    let before = match &*command.to_ascii_uppercase() {
        "SELECT" => "* FLAGS (\\Seen)\r\n* 42 EXISTS\r\n* 0 RECENT\r\n",
        "LOGOUT" => "* BYE see you\r\n",
        _ => "",
    };
    stream.write_all(format!("{before}{tag} OK done\r\n").as_bytes())
}
