//! The head of an answer: status, reason, headers, in the order in which they leave.

use super::request::Version;
use std::fmt;

/// A status code with the reason that stands behind it on the status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(u16);

impl Status {
    /// 200
    pub const OK: Status = Status(200);
    /// 206
    pub const PARTIAL_CONTENT: Status = Status(206);
    /// 301
    pub const MOVED_PERMANENTLY: Status = Status(301);
    /// 304
    pub const NOT_MODIFIED: Status = Status(304);
    /// 307
    pub const TEMPORARY_REDIRECT: Status = Status(307);
    /// 400
    pub const BAD_REQUEST: Status = Status(400);
    /// 401
    pub const NOT_AUTHORIZED: Status = Status(401);
    /// 404
    pub const NOT_FOUND: Status = Status(404);
    /// 405
    pub const NOT_ALLOWED: Status = Status(405);
    /// 413
    pub const REQUEST_TOO_LARGE: Status = Status(413);
    /// 416
    pub const RANGE_UNSATISFIABLE: Status = Status(416);
    /// 418
    pub const I_AM_A_TEAPOT: Status = Status(418);
    /// 500
    pub const INTERNAL_ERROR: Status = Status(500);

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The words behind the number: `Not found` of 404.
    pub const fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            206 => "Partial content",
            301 => "Moved permanently",
            304 => "Not modified",
            307 => "Temporary Redirect",
            400 => "Bad request",
            401 => "Not authorized",
            404 => "Not found",
            405 => "Not allowed",
            413 => "Request too large",
            416 => "Requested range unsatisfiable",
            418 => "I'm a teapot",
            500 => "Internal server error",
            _ => "Unknown",
        }
    }

    /// Whether no body, and so no length of one, may follow (RFC 9110, section 15.4.5).
    pub(super) const fn is_bodiless(self) -> bool {
        self.0 == 304
    }

    /// Whether the connection closes after such an answer: the client has misunderstood
    /// something, and what else it sent is better not taken for requests.
    pub(super) const fn closes(self) -> bool {
        matches!(self.0, 400 | 405 | 413)
    }
}

/// As on the status line: `404 Not found`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

/// What a handler says of its answer, beside the body.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub(super) status: Status,
    pub(super) content_type: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) last_headers: &'a [(&'a str, &'a str)],
}

impl<'a> Head<'a> {
    /// A head with nothing special in it.
    pub const fn new(status: Status, content_type: &'a str) -> Head<'a> {
        Head { status, content_type, headers: &[], last_headers: &[] }
    }

    /// Adds headers right after the status line.
    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Head<'a> {
        self.headers = headers;
        self
    }

    /// Adds headers after the length.
    pub const fn last_headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Head<'a> {
        self.last_headers = headers;
        self
    }
}

/// What the connection knows, and the handler doesn't, of an answer's head.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// `Date: `, and the line's end.
    pub(super) date_line: &'a str,
    pub(super) expires: Option<&'a str>,
    pub(super) length: Length,
    /// The lines that every answer of this server ends with.
    pub(super) common: &'a [u8],
}

/// How the client finds the body's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// Room for most heads, and a small body.
const USUAL: usize = 512;

/// Appends the whole head, up to and with the empty line.
pub(super) fn write_head(out: &mut Vec<u8>, head: &Head<'_>, context: &Context<'_>) {
    out.reserve(USUAL);
    write_status_line(out, context.version, head.status);
    for (name, value) in head.headers {
        write_header(out, name, value);
    }
    out.extend_from_slice(context.date_line.as_bytes());
    // Only what is not the version's default is said.
    match (context.version, context.keep_alive) {
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Version::Http11, false) => out.extend_from_slice(b"Connection: close\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"Content-Type: ");
    write_value(out, head.content_type);
    if let Some(expires) = context.expires {
        out.extend_from_slice(b"Expires: ");
        write_value(out, expires);
    }
    match context.length {
        Length::Known(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Length::UntilClose => {}
    }
    for (name, value) in head.last_headers {
        write_header(out, name, value);
    }
    out.extend_from_slice(context.common);
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, version: Version, status: Status) {
    if (version, status) == (Version::Http11, Status::OK) {
        // Most are: in one piece.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    let digit = |place| b'0' + (status.code() / place % 10) as u8;
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends one header line. What would end the name becomes a dash.
pub(super) fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    let begin = out.len();
    out.extend_from_slice(name.as_bytes());
    for byte in &mut out[begin..] {
        *byte = if matches!(*byte, 0..=b' ' | b':') { b'-' } else { *byte };
    }
    out.extend_from_slice(b": ");
    write_value(out, value);
}

/// Appends a header's value, and its line's end. One within the value would begin a header of the
/// sender's choice; it becomes a space, as RFC 9110 (section 5.5) lets a recipient do it.
fn write_value(out: &mut Vec<u8>, value: &str) {
    let begin = out.len();
    out.extend_from_slice(value.as_bytes());
    // Without a branch in it, so that the compiler takes many at a time.
    for byte in &mut out[begin..] {
        *byte = if matches!(*byte, b'\r' | b'\n' | 0) { b' ' } else { *byte };
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal digits. `write!` takes ten times as long, for a thing that is in every answer.
fn write_number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; usize::MAX.ilog10() as usize + 1];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// A page for a status: what errors, and handlers without a text of their own, answer with.
pub(super) fn status_page(status: Status, description: &str) -> String {
    let (code, reason) = (status.code(), status.reason());
    let mut text = String::with_capacity(description.len());
    for letter in description.chars() {
        match letter {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '"' => text.push_str("&quot;"),
            other => text.push(other),
        }
    }
    format!(
        "<!DOCTYPE html><html><head><title>{code} {reason}</title></head>\
         <body><h1>{reason}</h1><p>{text}</p></body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    const CONTEXT: Context<'_> = Context {
        version: Version::Http11,
        keep_alive: true,
        date_line: "Date: D\r\n",
        expires: None,
        length: Length::Known(5),
        common: b"server: s\r\n",
    };

    fn text(head: &Head<'_>, context: &Context<'_>) -> String {
        let mut out = Vec::new();
        write_head(&mut out, head, context);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn headers_leave_in_their_order() {
        let head = Head::new(Status::OK, "text/plain")
            .headers(&[("X-First", "1"), ("X-Second", "2")])
            .last_headers(&[("X-Last", "3")]);
        let context = Context { keep_alive: false, expires: Some("E"), ..CONTEXT };
        assert_eq!(
            text(&head, &context),
            "HTTP/1.1 200 OK\r\nX-First: 1\r\nX-Second: 2\r\nDate: D\r\nConnection: close\r\n\
             Content-Type: text/plain\r\nExpires: E\r\nContent-Length: 5\r\nX-Last: 3\r\n\
             server: s\r\n\r\n"
        );
    }

    #[test]
    fn connection_is_said_only_when_it_is_not_the_default() {
        let head = Head::new(Status::OK, "t");
        for (version, keep_alive, said) in [
            (Version::Http11, true, None),
            (Version::Http11, false, Some("Connection: close\r\n")),
            (Version::Http10, false, None),
            (Version::Http10, true, Some("Connection: keep-alive\r\n")),
        ] {
            let text = text(&head, &Context { version, keep_alive, ..CONTEXT });
            assert_eq!(text.contains("Connection"), said.is_some(), "{text}");
            assert!(text.contains(said.unwrap_or("")), "{text}");
        }
    }

    #[test]
    fn a_length_is_said_in_one_way() {
        let head = Head::new(Status::OK, "t");
        let chunked = text(&head, &Context { length: Length::Chunked, ..CONTEXT });
        assert!(chunked.contains("Transfer-Encoding: chunked\r\n"));
        assert!(!chunked.contains("Content-Length"));
        let until_close = text(&head, &Context { length: Length::UntilClose, ..CONTEXT });
        assert!(!until_close.contains("Transfer-Encoding") && !until_close.contains("Content-Length"));
    }

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0, 7, 10, 99, 100, 4096, 1_000_000, usize::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn a_value_cannot_begin_a_header_of_its_own() {
        let mut out = Vec::new();
        write_header(&mut out, "A", "b\r\nSet-Cookie: c");
        assert_eq!(out, b"A: b  Set-Cookie: c\r\n");
    }

    #[test]
    fn a_name_cannot_end_before_its_end() {
        let mut out = Vec::new();
        write_header(&mut out, "A\r\nSet-Cookie: c\0", "d");
        assert_eq!(out, b"A--Set-Cookie--c-: d\r\n");
    }

    #[test]
    fn status_is_shown_as_on_the_status_line() {
        assert_eq!(Status::NOT_FOUND.to_string(), "404 Not found");
    }

    #[test]
    fn a_page_shows_its_description_as_text() {
        let page = status_page(Status::NOT_FOUND, "<b>&\"");
        assert!(page.contains("<h1>Not found</h1><p>&lt;b&gt;&amp;&quot;</p>"), "{page}");
    }
}
