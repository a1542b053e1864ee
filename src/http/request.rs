//! Requests as they arrive: from bytes to a whole request, to a wish for more bytes, or to a refusal.
//! No sockets here: the same bytes give the same verdict in a test and on a connection.

use super::head::Status;
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;

/// How much of a peer's request is taken at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the request line and headers together.
    pub(super) head: usize,
    /// Bytes of the body.
    pub(super) body: usize,
}

/// Header lines of a request at most.
pub(super) const MAX_HEADERS: usize = 64;

/// The version that a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0: connections close after the answer unless agreed otherwise.
    Http10,
    /// HTTP/1.1: connections stay open unless agreed otherwise.
    Http11,
}

/// What the client wants done. Others are refused with 405 before a handler sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 9110")]
pub enum Method {
    Get,
    Head,
    Post,
    Options,
    Delete,
    Put,
}

impl Method {
    /// The value of the header `Allow` when all of them are.
    pub const ALL: &str = "GET, HEAD, POST, OPTIONS, DELETE, PUT";

    fn from_name(name: &str) -> Option<Method> {
        Some(match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            "DELETE" => Method::Delete,
            "PUT" => Method::Put,
            _ => return None,
        })
    }

    /// As in a request line: `GET`.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Options => "OPTIONS",
            Method::Delete => "DELETE",
            Method::Put => "PUT",
        }
    }
}

/// As in a request line: `GET`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One whole request, borrowed from the connection's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    method: Method,
    target: &'a str,
    version: Version,
    headers: &'a [httparse::Header<'a>],
    body: &'a [u8],
    keep_alive: bool,
    client: Option<IpAddr>,
}

impl<'a> Request<'a> {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The target's path as sent, with its percent signs: `/a%20b` of `/a%20b?c=d`.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// What stands behind the target's `?`, as sent, or nothing if there is none.
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The first header of this name; case does not matter.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers in the order sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Who asks: the peer, or for whom the peer says that it speaks ([`Server::accept_proxy`](super::Server::accept_proxy)).
    /// Nothing of a request that did not come over a connection.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(super) fn with_client(mut self, client: IpAddr) -> Request<'a> {
        self.client = Some(client);
        self
    }

    /// Whether the client lets the connection stay open after the answer.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }
}

/// Why a request is not answered by a handler. The connection closes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) why: &'static str,
    /// In which to answer: the request's if that much of it was readable.
    pub(super) version: Version,
    /// The request is readably a HEAD: a body would be taken for the next answer.
    pub(super) head_only: bool,
}

/// What the bytes received so far amount to.
#[derive(Debug)]
pub(super) enum Progress<'a> {
    /// The head's end is not there yet.
    PartOfHead,
    /// The head is there, the body is not: `total` bytes are needed.
    PartOfBody { total: usize, expects_continue: bool },
    /// All is there, in the first `total` bytes.
    Whole { request: Request<'a>, total: usize },
}

/// Parses the request at the front of `bytes`; `headers` is room for its header lines.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    headers: &'a mut [MaybeUninit<httparse::Header<'a>>; MAX_HEADERS],
    limits: Limits,
) -> Result<Progress<'a>, Refusal> {
    let mut parsed = httparse::Request::new(&mut []);
    let progress = parsed.parse_with_uninit_headers(bytes, headers);
    // What stands before the place where parsing stopped is there also when it failed.
    let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let head_only = parsed.method == Some("HEAD");
    let refuse = |status, why| Refusal { status, why, version, head_only };
    let too_large = refuse(Status::REQUEST_TOO_LARGE, "The request's head is too large.");
    let head = match progress {
        Ok(httparse::Status::Complete(head)) if head <= limits.head => head,
        Ok(httparse::Status::Partial) if bytes.len() <= limits.head => {
            return Ok(Progress::PartOfHead);
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(too_large),
        Err(error) => return Err(refuse(Status::BAD_REQUEST, malformed(error))),
    };
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err(refuse(Status::BAD_REQUEST, malformed(httparse::Error::Token)));
    };
    let method = Method::from_name(method)
        .ok_or(refuse(Status::NOT_ALLOWED, "The request's method is not one that this server knows."))?;
    let whole_server = target == "*" && method == Method::Options;
    if !target.starts_with('/') && !whole_server {
        return Err(refuse(Status::BAD_REQUEST, "The request's target does not begin with a slash."));
    }
    let headers: &'a [httparse::Header<'a>] = parsed.headers;
    let framing = read_framing(headers, method, version).map_err(|why| refuse(Status::BAD_REQUEST, why))?;
    if framing.body > limits.body {
        return Err(refuse(Status::REQUEST_TOO_LARGE, "The request's body is too large."));
    }
    let total = head + framing.body;
    if bytes.len() < total {
        return Ok(Progress::PartOfBody { total, expects_continue: framing.expects_continue });
    }
    let body = &bytes[head..total];
    let keep_alive = framing.keep_alive;
    let request = Request { method, target, version, headers, body, keep_alive, client: None };
    Ok(Progress::Whole { request, total })
}

/// What the headers say of the message's extent and of the connection.
struct Framing {
    body: usize,
    keep_alive: bool,
    expects_continue: bool,
}

/// Fails with what is wrong with the headers, which is a 400.
fn read_framing(
    headers: &[httparse::Header<'_>],
    method: Method,
    version: Version,
) -> Result<Framing, &'static str> {
    let mut length = None;
    let mut connection = ConnectionWish::default();
    let (mut expects_continue, mut has_host) = (false, false);
    for header in headers {
        let name = header.name;
        if name.eq_ignore_ascii_case("content-length") {
            let value = parse_length(header.value).ok_or("The request's Content-Length is not a number.")?;
            // Two lengths would let two readers of one connection see different requests.
            if length.is_some_and(|other| other != value) {
                return Err("The request has two Content-Lengths.");
            }
            length = Some(value);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("The request's body is encoded (Transfer-Encoding); send a Content-Length.");
        } else if name.eq_ignore_ascii_case("connection") {
            connection.read(header.value);
        } else if name.eq_ignore_ascii_case("expect") {
            expects_continue |= header.value.eq_ignore_ascii_case(b"100-continue");
        } else if name.eq_ignore_ascii_case("host") && mem::replace(&mut has_host, true) {
            // As with two lengths: a proxy may have looked at the other one (RFC 9112, section 3.2).
            return Err("The request has two Hosts.");
        }
    }
    if method == Method::Post && length.is_none() {
        return Err("A POST needs a Content-Length.");
    }
    Ok(Framing {
        body: length.unwrap_or(0),
        keep_alive: connection.keeps_alive(version),
        // RFC 9110: an expectation in a 1.0 request is ignored.
        expects_continue: expects_continue && version == Version::Http11,
    })
}

/// Digits only: `usize::from_str` would take a plus sign. A length beyond usize is as too large
/// as one that just exceeds the limit.
pub(super) fn parse_length(value: &[u8]) -> Option<usize> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(usize::MAX))
}

/// What the `Connection` headers of a message ask for; shared by both directions.
#[derive(Debug, Default)]
pub(super) struct ConnectionWish {
    close: bool,
    keep_alive: bool,
}

impl ConnectionWish {
    /// Takes one header's comma-separated words into account.
    pub(super) fn read(&mut self, value: &[u8]) {
        for word in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= word.eq_ignore_ascii_case(b"close");
            self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the connection stays open: `close` wins, else what is asked or usual.
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (self.keep_alive || version == Version::Http11)
    }
}

/// Whether a head that did not parse is worth parsing again: its end is there, or so much has come
/// that parsing all of it costs no more than was spent already. Else a peer that drips a large
/// head byte by byte would make the parser start over at each.
///
/// `parsed` bytes were there at the last parse, `seen` at the last look; only what is new since
/// then is looked at.
pub(super) fn worth_parsing(bytes: &[u8], parsed: usize, seen: usize) -> bool {
    // A line end and its successor may be cut apart: look back over "\n\r".
    let fresh = &bytes[seen.saturating_sub(2).min(bytes.len())..];
    bytes.len() >= parsed.saturating_mul(2)
        || fresh.windows(2).any(|pair| pair == b"\n\n")
        || fresh.windows(3).any(|triple| triple == b"\n\r\n")
}

fn malformed(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "The request names no HTTP version that this server speaks.",
        httparse::Error::HeaderName => "A header's name has a byte that it must not have.",
        httparse::Error::HeaderValue => "A header's value has a byte that it must not have.",
        httparse::Error::NewLine => "A line does not end as it should.",
        _ => "The request does not begin with METHOD TARGET VERSION, as in GET / HTTP/1.1.",
    }
}

#[cfg(test)]
mod tests;
