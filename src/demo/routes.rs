//! The endpoints of the embedded server: which path leads to which answer.
//! Routing is by segment: `/hello` and `/hello/you` lead to hello, `/helloworld` does not.

use super::{files, form};
use coro::http::{Head, Method, Reply, Request, Sent, Status};
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A peer can park a coroutine with `/sleep`; not for longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What the endpoints need beside the request.
#[derive(Debug, Default)]
pub(super) struct Routes {
    requests: AtomicU64,
    secret: RandomState,
}

impl Routes {
    /// Answers one request.
    pub(super) fn answer(&self, request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
        let path = form::path(request.path());
        let endpoint = path[1..].split('/').next().unwrap_or("");
        let dynamic = matches!(endpoint, "hello" | "sleep" | "chunked");
        match request.method() {
            Method::Options if path == "*" => {
                let head = Head::new(Status::OK, "text/plain");
                reply.send(&head.headers(&[("Allow", Method::ALL)]), b"")
            }
            Method::Put if dynamic && request.body().is_empty() => {
                reply.page(Status::BAD_REQUEST, "A PUT needs a body.")
            }
            _ => match endpoint {
                "hello" => self.hello(request, reply),
                "sleep" => sleep(request, reply),
                "chunked" => chunked(reply),
                _ => file(&path, request, reply),
            },
        }
    }

    fn hello(&self, request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
        let id = format!("{:016x}", self.request_id());
        let query = form::pairs(request.query().unwrap_or(""));
        let name = form::value(&query, "name").unwrap_or("world");
        let mut text = format!("Hello, {name}!");
        if form::value(&query, "dump_vars").is_some() {
            dump_variables(&mut text, request, &query);
            if form::value(&query, "dump_request_id") == Some("1") {
                write!(text, "\nRequest ID: <<{id}>>").expect("a String takes all");
            }
        }
        let head =
            Head::new(Status::OK, "text/plain").headers(&[("X-The-Answer-To-The-Universal-Question", "42")]);
        reply.send(&head.last_headers(&[("X-Request-Id", &id)]), text.as_bytes())
    }

    /// A number that the next request's can't be guessed from.
    fn request_id(&self) -> u64 {
        self.secret.hash_one(self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

fn dump_variables(text: &mut String, request: &Request<'_>, query: &[(String, String)]) {
    let header = |name| String::from_utf8_lossy(request.header(name).unwrap_or_default());
    dump(text, "Cookies", &form::cookies(&header("cookie")));
    dump(text, "Query String Variables", query);
    if request.method() == Method::Post {
        let urlencoded = header("content-type").starts_with("application/x-www-form-urlencoded");
        let body = String::from_utf8_lossy(if urlencoded { request.body() } else { b"" });
        dump(text, "POST data", &form::pairs(&body));
    }
}

fn dump(text: &mut String, title: &str, pairs: &[(String, String)]) {
    write!(text, "\n\n{title}\n{}\n\n", "-".repeat(title.len())).expect("a String takes all");
    for (name, value) in pairs {
        writeln!(text, "Key = \"{name}\"; Value = \"{value}\"").expect("a String takes all");
    }
}

fn sleep(request: &Request<'_>, mut reply: Reply<'_>) -> io::Result<Sent> {
    let query = form::pairs(request.query().unwrap_or(""));
    let Some(ms) = form::value(&query, "ms").and_then(|ms| ms.parse().ok()) else {
        return reply.page(Status::INTERNAL_ERROR, "How long? Say it as in /sleep?ms=500.");
    };
    let length = Duration::from_millis(ms);
    if length > LONGEST_SLEEP {
        return reply.page(Status::BAD_REQUEST, "The longest sleep has 60000 ms.");
    }
    let text = if length.is_zero() {
        "Did not sleep".to_string()
    } else {
        reply.flush_earlier()?;
        let start = Instant::now();
        coro::sleep(length);
        format!("Returned from sleep. diff_ms = {}'", start.elapsed().as_millis())
    };
    reply.send(&Head::new(Status::OK, "text/plain"), text.as_bytes())
}

fn chunked(reply: Reply<'_>) -> io::Result<Sent> {
    let mut body = reply.chunked(&Head::new(Status::OK, "text/plain"))?;
    body.write(b"Testing chunked encoding! First chunk\n")?;
    for i in 0..=10 {
        body.write(format!("*This is chunk {i}*\n").as_bytes())?;
    }
    body.write(b"Last chunk\n")?;
    body.finish()
}

fn file(path: &str, request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let Some(file) = files::find(path) else {
        return reply.page(Status::NOT_FOUND, "There is nothing at this path.");
    };
    match request.method() {
        Method::Get | Method::Head => reply.send(&Head::new(Status::OK, file.content_type), file.bytes),
        _ => reply.not_allowed("GET, HEAD", "Files can only be read."),
    }
}
