//! Operations to be counted instruction by instruction: `instructions CASE N` does N of them and nothing else that
//! depends on N.
//!
//! `tests/instructions.rs` runs this under callgrind twice, with two values of N, and takes the difference: what an
//! operation costs is then free of what a start costs. No case looks at I/O meanwhile, whose turn the clock decides.

use std::io::{Read, Write};
use std::process::ExitCode;

use coro::bench::{RawCoroutine, without_polling};
use coro::http::{Head, Server, Status};
use coro::net::{TcpListener, TcpStream};
use coro::sync::channel;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (case, n) = match &arguments[..] {
        [case, n] => (case.as_str(), n.parse::<usize>().unwrap_or(0)),
        _ => ("", 0),
    };
    let done = n > 0 && if case == "switch" { switch(n) } else { in_runtime(case, n) };
    if done {
        return ExitCode::SUCCESS;
    }
    eprintln!("usage: instructions switch|yield|spawn|wake|echo|http N, with N above 0");
    ExitCode::from(2)
}

/// Round trips between two stacks.
fn switch(n: usize) -> bool {
    let coroutine = RawCoroutine::new(false).expect("there are stacks");
    (0..n).for_each(|_| coroutine.resume());
    coroutine.resumed() == n
}

fn in_runtime(case: &str, n: usize) -> bool {
    coro::run(|| {
        without_polling();
        match case {
            "yield" => yields(n),
            "spawn" => (0..n).for_each(|_| coro::spawn(|| ()).join().expect("it does nothing")),
            "wake" => wakes(n),
            "echo" => echoes(n).expect("there is a loopback interface"),
            "http" => requests(n).expect("there is a loopback interface"),
            _ => return false,
        }
        true
    })
    .expect("a runtime starts")
}

/// Two coroutines in turn.
fn yields(n: usize) {
    let other = coro::spawn(move || (0..n / 2).for_each(|_| coro::yield_now()));
    (0..n / 2).for_each(|_| coro::yield_now());
    other.join().expect("it only yields");
}

/// A coroutine parks, is woken, and parks again.
fn wakes(n: usize) {
    let (sender, receiver) = channel(1);
    let sleeper = coro::spawn(move || receiver.iter().count());
    for _ in 0..n {
        sender.send(()).expect("it receives");
        coro::yield_now();
    }
    drop(sender);
    assert_eq!(sleeper.join().expect("it only receives"), n);
}

/// A message to and fro, both ends in this process: two writes, two reads and two waits, and two looks at I/O.
fn echoes(n: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let answers = coro::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            server.write_all(&buffer[..count]).expect("somebody reads it");
        }
    });
    let mut buffer = [0; 64];
    for _ in 0..n {
        client.write_all(b"hello")?;
        assert_eq!(client.read(&mut buffer)?, 5);
    }
    drop(client);
    answers.join().expect("it only answers");
    Ok(())
}

/// The same with a request for a small page, as a load generator asks for it, and the answer.
fn requests(n: usize) -> std::io::Result<()> {
    let server = Server::new(|_, reply| reply.send(&Head::new(Status::OK, "text/plain"), b"Hello, World!"));
    let server = server.on(TcpListener::bind("127.0.0.1:0")?).start()?;
    let mut client = TcpStream::connect(server.local_addr())?;
    let mut buffer = [0; 512];
    for _ in 0..n {
        client.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")?;
        let count = client.read(&mut buffer)?;
        assert!(buffer[..count].ends_with(b"Hello, World!"));
    }
    drop(client);
    server.stop(std::time::Duration::from_secs(60));
    Ok(())
}
