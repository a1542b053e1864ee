//! `/admin`: Basic authentication (RFC 7617) by a file of names and passwords.

use super::endpoints::{header, hello};
use super::routes::Asked;
use coro::http::{Reply, Sent, Status};
use std::fs;
use std::io;

/// In the working directory: lines of `name = password`. It is small, and read at each request: so a change counts at once.
const FILE: &str = "htpasswd";

pub(super) fn admin(asked: &Asked<'_>, reply: Reply<'_>) -> io::Result<Sent> {
    let known = fs::read_to_string(FILE).unwrap_or_default();
    if is_known(&header(asked, "authorization"), &known) {
        return hello(asked, reply);
    }
    let challenge = [("WWW-Authenticate", "Basic realm=\"Administration Page\"")];
    reply.page_with(Status::NOT_AUTHORIZED, &challenge, "Who are you?")
}

/// Whether what an `Authorization` header says is in the file.
fn is_known(authorization: &str, file: &str) -> bool {
    let Some((scheme, credentials)) = authorization.split_once(' ') else { return false };
    let Some(credentials) = decode(credentials.trim()) else { return false };
    let Some((name, password)) = credentials.split_once(':') else { return false };
    scheme.eq_ignore_ascii_case("basic")
        && file
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .any(|(its, word)| (its.trim() == name) & is_same(word.trim().as_bytes(), password.as_bytes()))
}

/// Looks at all bytes, so that the time it takes doesn't tell how many are right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Base64 (RFC 4648, section 4) of UTF-8.
fn decode(text: &str) -> Option<String> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &letter in group {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..][..group.len() * 6 / 8]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, decoded) in [
            ("", Some("")),
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("YWxhZGRpbjpvcGVu", Some("aladdin:open")),
            ("Kys/", Some("++?")),
            ("Y Q=", None),
            ("/w==", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn who_is_in_the_file_is_known() {
        let file = "# user = none\nfoobar = foobar\n\nname=two words\n";
        for (authorization, known) in [
            ("Basic Zm9vYmFyOmZvb2Jhcg==", true),
            ("basic  Zm9vYmFyOmZvb2Jhcg==", true),
            ("Basic bmFtZTp0d28gd29yZHM=", true),
            ("Basic Zm9vYmFyOmZvb2Jhegz=", false),
            ("Digest Zm9vYmFyOmZvb2Jhcg==", false),
            ("Basic IyB1c2VyOm5vbmU=", false),
            ("Basic Zm9vYmFy", false),
            ("Basic", false),
            ("", false),
        ] {
            assert_eq!(is_known(authorization, file), known, "{authorization}");
        }
    }
}
