//! Which path leads to which endpoint of the embedded server.
//!
//! By segment: `/hello` and `/hello/you` lead to hello, `/helloworld` does not. With `--lwan-compat` as lwan does it: the
//! longest prefix, whatever comes behind it, and case doesn't matter.

use super::{admin, endpoints, files, form, lua, pattern};
use coro::http::{Head, Method, Reply, Request, Sent, Status};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the endpoints need beside the request.
#[derive(Debug)]
pub(super) struct Routes {
    requests: AtomicU64,
    secret: RandomState,
    /// Answer as lwan's testrunner does, where that is not what the RFCs say.
    pub(super) compat: bool,
    pub(super) files: files::Files,
}

/// What an endpoint answers with; `rest` is the path behind the endpoint's own.
pub(super) struct Asked<'a> {
    pub(super) routes: &'a Routes,
    pub(super) request: &'a Request<'a>,
    pub(super) rest: &'a str,
}

type Endpoint = fn(&Asked<'_>, Reply<'_>) -> io::Result<Sent>;

/// All but the files, which are at all other paths.
const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("/hello", endpoints::hello),
    ("/customhdr", endpoints::custom_header),
    ("/sleep", endpoints::sleep),
    ("/proxy", endpoints::proxy),
    ("/chunked", endpoints::chunked),
    ("/sse", endpoints::events),
    ("/beacon", endpoints::beacon),
    ("/favicon.ico", endpoints::beacon),
    ("/post/blend", endpoints::blend),
    ("/post/big", endpoints::sum),
    ("/get-query-string", endpoints::query_string),
    ("/elsewhere", endpoints::elsewhere),
    ("/redirect307", endpoints::redirect_307),
    ("/read-env/user", endpoints::read_user),
    ("/css", endpoints::style),
    ("/brew-coffee", endpoints::brew_coffee),
    ("/admin", admin::admin),
    ("/inline", lua::inline),
    ("/multiply", lua::multiply),
    ("/lua", lua::handlers),
    ("/lua/hello", lua::hello),
    ("/lua/cookie", lua::cookie),
    ("/lua/sse", lua::events),
    ("/lua/chunked", lua::chunked),
    ("/lua/random", lua::random),
    ("/lua/brew_coffee", lua::brew_coffee),
    ("/lua/invalid_code", lua::invalid_code),
    ("/pattern", pattern::pattern),
];

impl Routes {
    pub(super) fn new(compat: bool, keep: Duration) -> Routes {
        let files = files::Files::new(compat, keep);
        Routes { requests: AtomicU64::new(0), secret: RandomState::new(), compat, files }
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Request<'_>, reply: Reply<'_>) -> io::Result<Sent> {
        let path = form::path(request.path());
        if request.method() == Method::Options && path == "*" {
            let head = Head::new(Status::OK, "text/plain");
            return reply.send(&head.headers(&[("Allow", Method::ALL)]), b"");
        }
        if self.compat && is_below(&path, "/quit-lwan", true) {
            std::process::exit(0);
        }
        let matching = ENDPOINTS.iter().filter(|(prefix, _)| is_below(&path, prefix, self.compat));
        let Some((prefix, endpoint)) = matching.max_by_key(|(prefix, _)| prefix.len()) else {
            return self.files.answer(&path, request, reply);
        };
        if request.method() == Method::Put && request.body().is_empty() {
            return reply.page(Status::BAD_REQUEST, "A PUT needs a body.");
        }
        endpoint(&Asked { routes: self, request, rest: &path[prefix.len()..] }, reply)
    }

    /// A number that the next request's can't be guessed from.
    pub(super) fn request_id(&self) -> u64 {
        self.secret.hash_one(self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whether a path is an endpoint's.
fn is_below(path: &str, prefix: &str, compat: bool) -> bool {
    let Some(start) = path.get(..prefix.len()) else { return false };
    if compat {
        return start.eq_ignore_ascii_case(prefix);
    }
    start == prefix && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_by_segment_or_as_lwan_does_it() {
        for (path, by_segment, by_prefix) in [
            ("/hello", true, true),
            ("/hello/", true, true),
            ("/hello/you", true, true),
            ("/helloworld", false, true),
            ("/HeLLo", false, true),
            ("/hell", false, false),
            ("/hellö", false, false),
            ("/a/hello", false, false),
        ] {
            assert_eq!(is_below(path, "/hello", false), by_segment, "{path}");
            assert_eq!(is_below(path, "/hello", true), by_prefix, "{path}");
        }
    }
}
