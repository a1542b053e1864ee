//! The endpoints that lwan's testrunner has as Lua scripts. Here they are functions as others are.

use super::endpoints::{header, query, say, send_events};
use super::form;
use super::routes::Asked;
use coro::http::{Head, Reply, Sent, Status};
use std::io;

/// An answer in one chunk.
fn chunk(reply: Reply<'_>, head: &Head<'_>, text: &str) -> io::Result<Sent> {
    let mut body = reply.chunked(head)?;
    body.write(text.as_bytes())?;
    body.finish()
}

pub(super) fn inline(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    chunk(reply, &Head::new(Status::OK, "text/html"), "Hello")
}

pub(super) fn multiply(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let query = query(asked);
    let number = |name| form::value(&query, name).and_then(|text| text.parse::<f64>().ok());
    match (number("a"), number("b")) {
        (Some(a), Some(b)) => {
            let text = format!("<p>RESULT: {a}*{b}={}</p>", a * b);
            chunk(reply, &Head::new(Status::OK, "text/html"), &text)
        }
        _ => reply.page(Status::BAD_REQUEST, "Which numbers? Say it as in /multiply?a=6&b=7."),
    }
}

const NAMES: [&str; 7] = ["brew_coffee", "chunked", "cookie", "hello", "invalid_code", "random", "sse"];

pub(super) fn handlers(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    if !matches!(asked.rest, "" | "/") {
        return reply.page(Status::NOT_FOUND, "There is no handler of that name.");
    }
    let list: String = NAMES.iter().map(|name| format!("/lua/{name}\n")).collect();
    chunk(reply, &Head::new(Status::OK, "text/plain"), &list)
}

pub(super) fn hello(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let query = query(asked);
    say(reply, &format!("Hello, {}!", form::value(&query, "name").unwrap_or("World")))
}

pub(super) fn cookie(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let headers = [
        ("Set-Cookie", "SESSION_ID=1234; HttpOnly"),
        ("Set-Cookie", "LANG=pt_BR"),
        ("Other-Header", "Some value"),
        ("Yet-Another-Header", "42"),
    ];
    let cookies = form::cookies(&header(asked, "cookie"));
    let text = match form::value(&cookies, "FOO") {
        Some(value) => format!("Cookie FOO has value: {value}"),
        None => "Cookie FOO not set".into(),
    };
    reply.send(&Head::new(Status::OK, "text/plain").headers(&headers), text.as_bytes())
}

pub(super) fn events(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    send_events(asked, reply, |n| format!("event: counter-changed\r\ndata: event{n}\r\n\r\n"))
}

pub(super) fn chunked(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let mut body = reply.chunked(&Head::new(Status::OK, "text/plain"))?;
    for n in 0..=10 {
        body.write(format!("Chunk #{n}\n").as_bytes())?;
    }
    body.finish()
}

pub(super) fn random(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    say(reply, &format!("Random number: {}", asked.routes.request_id()))
}

pub(super) fn brew_coffee(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    reply.send(&Head::new(Status::I_AM_A_TEAPOT, "text/html"), b"")
}

pub(super) fn invalid_code(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    reply.send(&Head::new(Status::INTERNAL_ERROR, "text/html"), b"")
}
