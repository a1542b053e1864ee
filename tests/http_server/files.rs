//! The files of the embedded server: built in or of `./wwwroot`, whole or in part, listed, packed, mapped for a while.

use super::{Server, body, header, status};
use pretty_assertions::assert_eq;
use std::fs;
use std::process::Command;

const COMPAT: &[&str] = &["--lwan-compat"];

fn part(server: &Server, range: &str) -> (String, usize, Option<String>) {
    let answer = server.exchange(format!("GET /zero HTTP/1.1\r\nRange: {range}\r\n\r\n"));
    let length = if answer.contains("<h1>") { 0 } else { body(&answer).len() };
    let code = status(&answer).split(' ').nth(1).unwrap().to_owned();
    (code, length, header(&answer, "Content-Range").map(String::from))
}

#[test]
fn ranges_are_lwans_with_compat() {
    let server = Server::start(COMPAT);
    for (range, code, length) in [
        ("bytes=0-50", "206", 50),
        ("bytes=50-50", "416", 0),
        ("bytes=50-0", "416", 0),
        ("bytes=0-40000", "416", 0),
        ("bytes=-100", "206", 100),
        ("bytes=50-", "206", 32_768 - 50),
    ] {
        assert_eq!(part(&server, range), (code.into(), length, None), "{range}");
    }
    let answer = server.exchange("GET /zero HTTP/1.1\r\nRange: bytes=0-50\r\n\r\n");
    assert_eq!(status(&answer), "HTTP/1.1 206 Partial content");
    let answer = server.exchange("GET /zero HTTP/1.1\r\nRange: bytes=50-50\r\n\r\n");
    assert_eq!(status(&answer), "HTTP/1.1 416 Requested range unsatisfiable");
}

#[test]
fn ranges_are_the_rfcs_without() {
    let server = Server::start(&[]);
    for (range, code, length, content_range) in [
        ("bytes=0-50", "206", 51, Some("bytes 0-50/32768")),
        ("bytes=50-50", "206", 1, Some("bytes 50-50/32768")),
        ("bytes=-100", "206", 100, Some("bytes 32668-32767/32768")),
        ("bytes=32700-99999", "206", 68, Some("bytes 32700-32767/32768")),
        ("bytes=32768-", "416", 0, Some("bytes */32768")),
        ("bytes=50-0", "200", 32_768, None),
        ("bytes=0-1,4-5", "200", 32_768, None),
    ] {
        assert_eq!(part(&server, range), (code.into(), length, content_range.map(String::from)), "{range}");
    }
    let answer = server.exchange("HEAD /zero HTTP/1.1\r\nRange: bytes=0-50\r\n\r\n");
    assert_eq!((header(&answer, "Content-Length"), body(&answer)), (Some("51"), ""));
}

#[test]
fn large_files_say_when_they_changed_and_who_has_them_is_told() {
    for arguments in [&[][..], COMPAT] {
        let server = Server::start(arguments);
        let modified = server.get("/zero");
        let modified = header(&modified, "Last-Modified").unwrap();
        for (since, expected) in [
            (modified, "HTTP/1.1 304 Not modified"),
            ("Fri, 31 Dec 9999 23:59:59 GMT", "HTTP/1.1 304 Not modified"),
            ("Sat, 01 Jan 2000 00:00:00 GMT", "HTTP/1.1 200 OK"),
            ("nonsense", "HTTP/1.1 200 OK"),
        ] {
            let answer = server.exchange(format!("GET /zero HTTP/1.1\r\nIf-Modified-Since: {since}\r\n\r\n"));
            assert_eq!(status(&answer), expected, "{since}");
            if expected.contains("304") {
                assert_eq!((header(&answer, "Content-Length"), body(&answer)), (None, ""));
            }
        }
    }
}

#[test]
fn small_files_are_packed_for_who_takes_it() {
    for arguments in [&[][..], COMPAT] {
        let server = Server::start(arguments);
        for accepts in ["deflate", "gzip, deflate", "defl"] {
            let request = format!("GET /100.html HTTP/1.1\r\nAccept-Encoding: {accepts}\r\n\r\n");
            let answer = server.exchange_bytes(request);
            let head = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(header(&head, "Content-Encoding"), Some("deflate"), "{accepts}");
            let length: usize = header(&head, "Content-Length").unwrap().parse().unwrap();
            assert!(length < 100);
            let packed = &answer[answer.len() - length..];
            // A zlib stream (RFC 1950): method 8, and a check sum of the two bytes.
            assert_eq!((packed[0] & 15, u16::from_be_bytes([packed[0], packed[1]]) % 31), (8, 0));
            assert_eq!(miniz_oxide::inflate::decompress_to_vec_zlib(packed).unwrap(), [b'X'; 100]);
        }
        for (target, accepts) in [("/100.html", "gzip"), ("/zero", "deflate"), ("/icons/back.gif", "deflate")]
        {
            let request = format!("GET {target} HTTP/1.1\r\nAccept-Encoding: {accepts}\r\n\r\n");
            let answer = server.exchange_bytes(request);
            let head = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!((status(&head), header(&head, "Content-Encoding")), ("HTTP/1.1 200 OK", None));
        }
    }
}

/// A file is known, as long as it was, for some seconds; it may be cut short meanwhile.
#[test]
fn a_file_that_was_cut_short_ends_its_connection_and_not_the_server() {
    let text: String = ('a'..='z').cycle().take(200_000).collect();
    // Two pages, so that the second one would be gone from a mapping.
    let small = &text[..9000];
    for arguments in [&[][..], COMPAT] {
        // Longer than this test may take.
        let files = [("large.txt", &*text), ("small.txt", small), ("packed.txt", small)];
        let server = Server::start_with(arguments, &[("CACHE_FOR", "1000")], &files);
        let cut = |name: &str, length| {
            let path = server.folder().join("wwwroot").join(name);
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
        };
        assert_eq!(body(&server.get("/large.txt")), text);
        assert_eq!(body(&server.get("/small.txt")), small);
        assert_eq!(body(&server.get("/packed.txt")), small);
        for (name, length) in [("large.txt", 70_000), ("small.txt", 0), ("packed.txt", 10)] {
            cut(name, length);
        }
        let answer = server.get("/large.txt");
        // Without compat it may have been forgotten, on a busy machine.
        match header(&answer, "Content-Length") {
            Some("200000") => assert_eq!(body(&answer), &text[..70_000]),
            length => assert!(arguments.is_empty() && length == Some("70000"), "{length:?}"),
        }
        for name in ["small.txt", "packed.txt"] {
            let request = format!("GET /{name} HTTP/1.1\r\nAccept-Encoding: deflate\r\n\r\n");
            let answer = server.exchange_bytes(request);
            assert_eq!(status(&String::from_utf8_lossy(&answer)), "HTTP/1.1 200 OK", "{name}");
        }
        assert_eq!(body(&server.get("/hello")), "Hello, world!");
    }
}

#[test]
fn time_that_is_no_number_is_an_error() {
    for name in ["CACHE_FOR", "KEEP_ALIVE_TIMEOUT"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_main"));
        command.args(["serve", "--addr", "127.0.0.1:0", "--lwan-compat"]).env(name, "soon");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = format!("{name}=\"soon\" is no number of seconds");
        assert!(!output.status.success() && said.contains(&expected), "{said}");
    }
}

#[test]
fn part_of_a_file_is_sent_to_who_asks_for_it() {
    let text: String = ('a'..='z').cycle().take(200_000).collect();
    let server = Server::start_with_files_of(&[], &[("large.txt", &text)]);
    let answer = server.exchange("GET /large.txt HTTP/1.1\r\nRange: bytes=100000-150000\r\n\r\n");
    assert_eq!(body(&answer), &text[100_000..=150_000]);
}

#[test]
fn directories_are_listed() {
    for has_folder in [false, true] {
        for arguments in [&[][..], COMPAT] {
            let server = if has_folder {
                Server::start_with_files_of(
                    arguments,
                    &[
                        ("icons/back.gif", "GIF"),
                        ("icons/file.gif", "GIF"),
                        ("icons/folder.gif", "GIF"),
                        ("icons/README.TXT", "\"a/b\" isn't\n"),
                        ("index.html", "It works!"),
                    ],
                )
            } else {
                Server::start(arguments)
            };
            let answer = server.get("/icons");
            assert_eq!(status(&answer), "HTTP/1.1 301 Moved permanently");
            assert_eq!(header(&answer, "Location"), Some("/icons/"));
            assert_eq!(header(&answer, "Content-Type"), Some("text/plain"));
            let answer = server.get("/icons/");
            assert_eq!(header(&answer, "Content-Type"), Some("text/html"));
            for part in [
                "<h1>Index of icons</h1>",
                "<a href=\"back.gif\">back.gif</a>",
                "<pre>",
                "&quot;",
                "&#x2f;",
                "&#x27;",
            ] {
                assert!(body(&answer).contains(part), "no {part} in {answer}");
            }
            assert!(body(&server.get("/")).contains("It works!"));
        }
    }
}

#[test]
fn folders_files_are_served_and_nothing_outside() {
    let server = Server::start_with_files_of(
        &[],
        &[
            ("index.html", "<p>own</p>"),
            ("a/b.txt", "text"),
            ("a/index.html", "index of a"),
            ("empty", ""),
            ("large.txt", &"x".repeat(200_000)),
        ],
    );
    server.write("secret", "secret");
    std::os::unix::fs::symlink("../secret", server.folder().join("wwwroot/link")).unwrap();
    assert_eq!(body(&server.get("/")), "<p>own</p>");
    assert_eq!(body(&server.get("/a/")), "index of a");
    let answer = server.get("//a///b.txt");
    assert_eq!((body(&answer), header(&answer, "Content-Type")), ("text", Some("text/plain")));
    assert_eq!(body(&server.get("/empty")), "");
    assert_eq!(body(&server.get("/large.txt")).len(), 200_000);
    for target in [
        "/../secret",
        "/a/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/link",
        "/nope",
        "/a/b.txt/c",
        "/100.html",
    ] {
        assert_eq!(status(&server.get(target)), "HTTP/1.1 404 Not found", "{target}");
    }
}

#[test]
fn served_files_are_mapped_and_let_go_of() {
    let files = [("mapped.html", "mapped")];
    let has_mapped = |server: &Server| {
        let maps = fs::read_to_string(format!("/proc/{}/maps", server.process.id())).unwrap();
        maps.contains("mapped.html")
    };
    let server = Server::start_with(COMPAT, &[("CACHE_FOR", "1000000")], &files);
    assert!(!has_mapped(&server));
    assert_eq!(body(&server.get("/mapped.html")), "mapped");
    assert!(has_mapped(&server));
    let server = Server::start_with(COMPAT, &[("CACHE_FOR", "1")], &files);
    assert_eq!(body(&server.get("/mapped.html")), "mapped");
    while has_mapped(&server) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(body(&server.get("/mapped.html")), "mapped");
}
