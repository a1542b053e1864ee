//! HTTP/1.0 and 1.1 over coroutines: a server with one coroutine per connection, and a client
//! that reads any server's answers to their end.
//!
//! ```
//! use coro::http::{Client, Head, Server, Status};
//! use coro::net::TcpListener;
//! use std::time::Duration;
//!
//! let answer = coro::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//!     let address = listener.local_addr().unwrap();
//!     let server = Server::new(|request, reply| {
//!         let text = format!("you asked for {}\n", request.path());
//!         reply.send(&Head::new(Status::OK, "text/plain"), text.as_bytes())
//!     });
//!     coro::spawn(move || server.run(&listener));
//!
//!     let patience = Duration::from_secs(60);
//!     let mut client = Client::connect(&address, patience).unwrap();
//!     let mut body = Vec::new();
//!     let answer = client.get("/tea", false, patience, |piece| body.extend_from_slice(piece));
//!     (answer.unwrap().status, String::from_utf8(body).unwrap())
//! });
//! assert_eq!(answer.unwrap(), (200, "you asked for /tea\n".to_string()));
//! ```
//!
//! # Life of a request
//!
//! | step | code |
//! |---|---|
//! | bytes arrive, within a deadline | `input` |
//! | head, framing, body: whole or refused | `request` |
//! | the handler runs, on the connection's coroutine | the closure given to [`Server::new`] |
//! | the answer is formatted | `reply`, `head`, `date`, `chunked` |
//! | answers leave in one send, when no further request is buffered | `output` |
//! | next request, or the end | `connection` |
//!
//! What decides (parsing, formatting, chunk decoding, dates) takes bytes and returns values, and
//! is tested so; what touches sockets is `input`, `output`, `connection`, `server` and `client`.
//!
//! # What it does not do
//!
//! TLS, HTTP/2, compression, request bodies in chunks (refused with 400), absolute-form targets
//! (refused with 400), trailers (read and dropped).

mod chunked;
mod client;
mod connection;
mod date;
mod deadline;
mod head;
mod input;
mod output;
mod proxy;
mod reply;
mod request;
mod response;
mod server;

pub use client::{Client, ExchangeError};
pub use head::{Head, Status};
pub use reply::{ChunkedBody, Reply, Sent};
pub use request::{Method, Request, Version};
pub use response::{Answer, Framing};
pub use server::Server;
