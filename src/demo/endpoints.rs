//! The endpoints that say something of the request, or of HTTP.

use super::form;
use super::routes::Asked;
use coro::http::{ChunkedBody, Head, Method, Reply, Sent, Status};
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A peer can park a coroutine with `/sleep`; not for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// An image of one white pixel, with a comment in it that makes it 41 bytes (GIF89a).
const PIXEL: [u8; 41] =
    *b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0!\xfe\x02:)\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The decoded query.
pub(super) fn query(asked: &Asked<'_>) -> Vec<(String, String)> {
    form::pairs(asked.request.query().unwrap_or(""))
}

/// A header's value as text; empty if there is none.
pub(super) fn header(asked: &Asked<'_>, name: &str) -> String {
    String::from_utf8_lossy(asked.request.header(name).unwrap_or_default()).into_owned()
}

/// An answer of text.
pub(super) fn say(reply: Reply<'_>, text: &str) -> io::Result<Sent> {
    reply.send(&Head::new(Status::OK, "text/plain"), text.as_bytes())
}

pub(super) fn hello(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let query = query(asked);
    greet(asked, &query, form::value(&query, "name").unwrap_or("world"), reply)
}

/// `/hello` to a name.
pub(super) fn greet(
    asked: &Asked<'_>,
    query: &[(String, String)],
    name: &str,
    reply: Reply<'_>,
) -> io::Result<Sent> {
    let id = format!("{:016x}", asked.routes.request_id());
    let mut text = format!("Hello, {name}!");
    if form::value(query, "dump_vars").is_some() {
        dump_variables(&mut text, asked, query);
        if form::value(query, "dump_request_id") == Some("1") {
            write!(text, "\nRequest ID: <<{id}>>").expect("a String takes all");
        }
    }
    let head =
        Head::new(Status::OK, "text/plain").headers(&[("X-The-Answer-To-The-Universal-Question", "42")]);
    reply.send(&head.last_headers(&[("X-Request-Id", &id)]), text.as_bytes())
}

fn dump_variables(text: &mut String, asked: &Asked<'_>, query: &[(String, String)]) {
    dump(text, "Cookies", &form::cookies(&header(asked, "cookie")));
    dump(text, "Query String Variables", query);
    if asked.request.method() == Method::Post {
        let urlencoded = header(asked, "content-type").starts_with("application/x-www-form-urlencoded");
        let body = String::from_utf8_lossy(if urlencoded { asked.request.body() } else { b"" });
        dump(text, "POST data", &form::pairs(&body));
    }
}

fn dump(text: &mut String, title: &str, pairs: &[(String, String)]) {
    write!(text, "\n\n{title}\n{}\n\n", "-".repeat(title.len())).expect("a String takes all");
    for (name, value) in pairs {
        writeln!(text, "Key = \"{name}\"; Value = \"{value}\"").expect("a String takes all");
    }
}

pub(super) fn read_user(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let user = std::env::var("USER").unwrap_or_default();
    greet(asked, &[], &user, reply)
}

pub(super) fn custom_header(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let query = query(asked);
    let value = form::value(&query, "hdr").and_then(|name| asked.request.header(name));
    match value {
        Some(value) => say(reply, &format!("Header value: '{}'", String::from_utf8_lossy(value))),
        None => reply.page(Status::NOT_FOUND, "Which header? Say it as in /customhdr?hdr=Host, and send it."),
    }
}

pub(super) fn sleep(asked: &Asked<'_>, mut reply: Reply<'_>) -> io::Result<Sent> {
    let query = query(asked);
    let Some(ms) = form::value(&query, "ms").and_then(|ms| ms.parse().ok()) else {
        return reply.page(Status::INTERNAL_ERROR, "How long? Say it as in /sleep?ms=500.");
    };
    let length = Duration::from_millis(ms);
    if length > LONGEST_SLEEP {
        return reply.page(Status::BAD_REQUEST, "The longest sleep has 60000 ms.");
    }
    if length.is_zero() {
        return say(reply, "Did not sleep");
    }
    reply.flush_earlier()?;
    let start = Instant::now();
    coro::sleep(length);
    say(reply, &format!("Returned from sleep. diff_ms = {}'", start.elapsed().as_millis()))
}

pub(super) fn proxy(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let client = asked.request.client().as_ref().map_or_else(String::new, IpAddr::to_string);
    reply.page_with(Status::OK, &[("X-Proxy", &client)], "Whom the PROXY header names is in X-Proxy.")
}

pub(super) fn chunked(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let mut body = reply.chunked(&Head::new(Status::OK, "text/plain"))?;
    body.write(b"Testing chunked encoding! First chunk\n")?;
    for i in 0..=10 {
        body.write(format!("*This is chunk {i}*\n").as_bytes())?;
    }
    body.write(b"Last chunk\n")?;
    body.finish()
}

pub(super) fn events(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    send_events(asked, reply, |n| format!("event: currval\r\ndata: Current value is {n}\r\n\r\n"))
}

/// Eleven events. With lwan's manners the connection stays open for more requests; else they end with it, which is the only
/// end that a stream without a length has.
pub(super) fn send_events(
    asked: &Asked<'_>,
    reply: Reply<'_>,
    event: impl Fn(u32) -> String,
) -> io::Result<Sent> {
    let mut body: ChunkedBody<'_> =
        reply.events(&Head::new(Status::OK, "text/event-stream"), asked.routes.compat)?;
    for n in 0..=10 {
        body.write(event(n).as_bytes())?;
        body.flush()?;
    }
    body.finish()
}

pub(super) fn beacon(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    reply.send(&Head::new(Status::OK, "image/gif"), &PIXEL)
}

pub(super) fn blend(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let is_right = asked.request.method() == Method::Post
        && header(asked, "content-type") == "application/json"
        && asked.request.body() == br#"{"will-it-blend": true}"#;
    if !is_right {
        return reply.page(Status::BAD_REQUEST, "POST {\"will-it-blend\": true} as application/json.");
    }
    reply.send(&Head::new(Status::OK, "application/json"), br#"{"did-it-blend": "oh-hell-yeah"}"#)
}

pub(super) fn sum(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let is_right =
        asked.request.method() == Method::Post && header(asked, "content-type") == "x-test/trololo";
    if !is_right {
        return reply.page(Status::BAD_REQUEST, "POST something as x-test/trololo.");
    }
    let body = asked.request.body();
    let sum: i64 = body.iter().map(|&byte| i64::from(byte as i8)).sum();
    let text = format!("{{\"received\": {}, \"sum\": {sum}}}", body.len());
    reply.send(&Head::new(Status::OK, "application/json"), text.as_bytes())
}

pub(super) fn query_string(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let query = query(asked);
    let Some(name) = form::value(&query, "q") else {
        return reply.page(Status::BAD_REQUEST, "Which? Say it as in /get-query-string?q=color&color=red.");
    };
    match form::value(&query, name) {
        Some(value) => say(reply, &format!("{name} = {value}")),
        None => reply.page(Status::NOT_FOUND, "The query has nothing of that name."),
    }
}

const ELSEWHERE: &str = "http://lwan.ws";

pub(super) fn elsewhere(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    reply.page_with(Status::MOVED_PERMANENTLY, &[("Location", ELSEWHERE)], "It is elsewhere now.")
}

pub(super) fn redirect_307(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    reply.page_with(Status::TEMPORARY_REDIRECT, &[("Location", ELSEWHERE)], "It is elsewhere for a while.")
}

pub(super) fn style(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    if !asked.rest.eq_ignore_ascii_case("/test.css") {
        return reply.page(Status::NOT_FOUND, "There is /css/test.css only.");
    }
    let cookies = form::cookies(&header(asked, "cookie"));
    let style = if form::value(&cookies, "style") == Some("dark") { "dark" } else { "light" };
    reply.send(&Head::new(Status::OK, "text/css"), format!("Hello, {style}!").as_bytes())
}

pub(super) fn brew_coffee(_: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    reply.page(Status::I_AM_A_TEAPOT, "It is short and stout.")
}
