//! Verdicts on requests, good and bad. Apart from `request` only for its length.

use super::*;
use pretty_assertions::assert_eq;

const LIMITS: Limits = Limits { head: 1000, body: 100 };

/// Parses `text` and shows the verdict as one line.
fn verdict(text: &str) -> String {
    let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
    match parse(text.as_bytes(), &mut headers, LIMITS) {
        Err(refusal) => format!("{} {}", refusal.status.code(), refusal.why),
        Ok(Progress::PartOfHead) => "part of head".into(),
        Ok(Progress::PartOfBody { total, expects_continue }) => {
            format!("part of body, total {total}, continue {expects_continue}")
        }
        Ok(Progress::Whole { request, total }) => format!(
            "{:?} {} {:?} body {} keep-alive {} of {total}",
            request.method(),
            request.path(),
            request.query(),
            String::from_utf8_lossy(request.body()),
            request.keep_alive(),
        ),
    }
}

#[test]
fn a_whole_request_is_taken_apart() {
    assert_eq!(
        verdict("GET /a%20b?c=d?e HTTP/1.1\r\nHost: x\r\n\r\nGET"),
        "Get /a%20b Some(\"c=d?e\") body  keep-alive true of 38"
    );
    assert_eq!(
        verdict("POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
        "Post /p None body hello keep-alive true of 44"
    );
}

#[test]
fn version_and_connection_header_decide_on_keep_alive() {
    for (version, header, kept) in [
        ("1.0", "", false),
        ("1.1", "", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: TE , Close\r\n", false),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: upgrade\r\n", true),
    ] {
        let line = verdict(&format!("GET / HTTP/{version}\r\n{header}\r\n"));
        assert!(line.contains(&format!("keep-alive {kept}")), "{version} {header:?}: {line}");
    }
}

#[test]
fn every_prefix_of_a_good_request_asks_for_more() {
    let text = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
    let head = text.len() - 2;
    for end in 0..text.len() {
        let expected = if end < head { "part of head" } else { "part of body, total 48, continue false" };
        assert_eq!(verdict(&text[..end]), expected, "cut at {end}");
    }
}

#[test]
fn a_continuation_is_expected_of_1_1_only() {
    let head = "HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 9\r\n\r\n";
    assert!(verdict(&format!("PUT / {head}")).ends_with("continue true"));
    assert!(verdict(&format!("PUT / {}", head.replace("1.1", "1.0"))).ends_with("continue false"));
}

#[test]
fn malformed_requests_are_refused_with_400() {
    for text in [
        "GET /\r\n\r\n",
        "GET / FROG/1.0\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET http://example.com/ HTTP/1.1\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n",
        "GET hello HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nA : space before the colon\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        "\x16\x03\x01\x02\0\x01",
        "POST / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    ] {
        let line = verdict(text);
        assert!(line.starts_with("400 "), "{text:?}: {line}");
    }
}

#[test]
fn a_refusal_says_what_is_wrong() {
    for (text, why) in [
        ("GET /\r\n\r\n", "METHOD TARGET VERSION"),
        ("GET  / HTTP/1.1\r\n\r\n", "METHOD TARGET VERSION"),
        ("GET / HTTP/2.0\r\n\r\n", "no HTTP version"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "two Hosts"),
        ("PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two Content-Lengths"),
    ] {
        assert!(verdict(text).contains(why), "{text:?}: {}", verdict(text));
    }
}

#[test]
fn a_refusal_keeps_the_version_and_heads_wish_for_no_body() {
    let long = "x".repeat(2000);
    for rest in [
        "A : b\r\n\r\n",
        "A: b\rc\r\n\r\n",
        "Content-Length: x\r\n\r\n",
        "Content-Length: 101\r\n\r\n",
        &"A: b\r\n".repeat(65),
        &format!("A: {long}\r\n\r\n"),
        &format!("A: {long}"),
    ] {
        for (line, version, head_only) in [
            ("GET / HTTP/1.1", Version::Http11, false),
            ("GET / HTTP/1.0", Version::Http10, false),
            ("HEAD / HTTP/1.0", Version::Http10, true),
        ] {
            let text = format!("{line}\r\n{rest}");
            let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
            let refusal = parse(text.as_bytes(), &mut headers, LIMITS).unwrap_err();
            assert_eq!((refusal.version, refusal.head_only), (version, head_only), "{text:.60?}");
        }
    }
}

#[test]
fn an_unknown_method_is_refused_with_405() {
    for text in ["FROG / HTTP/1.1\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "TRACE / HTTP/1.0\r\n\r\n"] {
        assert!(verdict(text).starts_with("405 "), "{text:?}");
    }
}

#[test]
fn what_exceeds_a_limit_is_refused_with_413() {
    let long = "x".repeat(2000);
    for text in [
        format!("GET /{long}"),
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65)),
        "PUT / HTTP/1.1\r\nContent-Length: 101\r\n\r\n".into(),
        format!("PUT / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", "9".repeat(30)),
    ] {
        assert!(verdict(&text).starts_with("413 "), "{text:?}: {}", verdict(&text));
    }
}

#[test]
fn a_1_1_request_without_host_is_taken() {
    assert!(verdict("GET / HTTP/1.1\r\n\r\n").starts_with("Get / "));
}

#[test]
fn bare_line_feeds_and_empty_lines_before_are_taken() {
    assert!(verdict("\r\n\nGET / HTTP/1.1\nA: b\n\n").starts_with("Get / "));
}

#[test]
fn options_may_ask_for_the_whole_server() {
    assert!(verdict("OPTIONS * HTTP/1.1\r\n\r\n").starts_with("Options * "));
}

#[test]
fn a_dripped_head_is_parsed_at_its_end_and_a_few_times_before() {
    let text = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(900));
    let (mut parsed, mut times) = (0, Vec::new());
    for end in 1..=text.len() {
        if worth_parsing(&text.as_bytes()[..end], parsed, end - 1) {
            times.push(end);
            parsed = end;
        }
    }
    assert_eq!(times, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, text.len()]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_get_a_verdict_that_fits_them(
        line in "[A-Z]{1,7} [ -~]{0,40} HTTP/1\\.[0-9]\r\n",
        rest in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        cut in 0usize..300,
    ) {
        let bytes = [line.as_bytes(), &rest].concat();
        let bytes = &bytes[cut.min(bytes.len()).saturating_sub(60)..];
        let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
        match parse(bytes, &mut headers, LIMITS) {
            Ok(Progress::Whole { request, total }) => {
                assert!(total <= bytes.len() && request.body().len() <= LIMITS.body);
            }
            Ok(Progress::PartOfBody { total, .. }) => {
                assert!(total > bytes.len() && total <= LIMITS.head + LIMITS.body);
            }
            Ok(Progress::PartOfHead) => assert!(bytes.len() <= LIMITS.head),
            Err(refusal) => assert!(matches!(refusal.status.code(), 400 | 405 | 413)),
        }
    }
}
