//! `/pattern/…`: paths that are taken apart, and lead to redirects or to another endpoint.

use super::endpoints::greet;
use super::routes::Asked;
use coro::http::{Reply, Sent, Status};
use std::io;

pub(super) fn pattern(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    match find(asked.rest) {
        Some(Found::Greeting(name)) => greet(asked, &[], &name, reply),
        Some(Found::Elsewhere(place)) => {
            reply.page_with(Status::MOVED_PERMANENTLY, &[("Location", &place)], "It is elsewhere now.")
        }
        None => reply.page(Status::NOT_FOUND, "No pattern is like this path."),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Greeting(String),
    Elsewhere(String),
}

fn find(path: &str) -> Option<Found> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments[..] {
        ["42", "backref"] => Some(Found::Greeting("fourtytwo".into())),
        ["foo", numbers] => {
            let (first, second) = numbers.split_once('x')?;
            let place = format!("/hello?name=prexmiddle{second}othermiddle{first}post");
            (is_number(first) && is_number(second)).then_some(Found::Elsewhere(place))
        }
        ["bar", number, "test"] if is_number(number) => Some(Found::Greeting(format!("rewritten{number}"))),
        ["lua", "redir", product] => {
            Some(Found::Elsewhere(format!("/hello?name=redirected{}", multiplied(product)?)))
        }
        ["lua", "rewrite", product] => Some(Found::Greeting(format!("rewritten{}", multiplied(product)?))),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// 42 of `6x7`.
fn multiplied(text: &str) -> Option<u64> {
    let (a, b) = text.split_once('x')?;
    a.parse::<u64>().ok()?.checked_mul(b.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_their_patterns_say() {
        let greeting = |name: &str| Some(Found::Greeting(name.into()));
        let elsewhere = |place: &str| Some(Found::Elsewhere(place.into()));
        for (path, found) in [
            ("/42/backref", greeting("fourtytwo")),
            ("/43/backref", None),
            ("/foo/1234x5678", elsewhere("/hello?name=prexmiddle5678othermiddle1234post")),
            ("/foo/1234x", None),
            ("/foo/12y34", None),
            ("/bar/7/test", greeting("rewritten7")),
            ("/bar/seven/test", None),
            ("/lua/redir/6x7", elsewhere("/hello?name=redirected42")),
            ("/lua/rewrite/6x7", greeting("rewritten42")),
            ("/lua/rewrite/6x", None),
            ("/lua/rewrite/99999999999999999999x2", None),
            ("", None),
        ] {
            assert_eq!(find(path), found, "{path}");
        }
    }
}
