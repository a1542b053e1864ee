//! An echo server and an HTTP server that says hello.

use std::io::{Read, Write};

use coro::http::{Head, Server, Status};
use coro::net::TcpListener;

pub(crate) fn echo(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    for stream in listener.incoming() {
        let mut stream = stream.expect("connections can be accepted");
        stream.set_nodelay(true).expect("it is a TCP socket");
        coro::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
        });
    }
}

pub(crate) fn http(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let server = Server::new(|_, reply| reply.send(&Head::new(Status::OK, "text/plain"), b"Hello, World!"));
    let error = server.run(&listener);
    eprintln!("peers: could not accept connections any more: {error}");
}
