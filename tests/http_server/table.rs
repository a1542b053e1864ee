//! Each endpoint of lwan's testrunner, with `--lwan-compat` and, where it is the same, without.

use super::{Server, body, chunks, header, headers, receive_one, status};
use pretty_assertions::assert_eq;
use std::io::{BufReader, Read, Write};

const COMPAT: &[&str] = &["--lwan-compat"];

/// Both kinds of server; what a test asks both of them, they answer alike.
fn both() -> [Server; 2] {
    [Server::start(&[]), Server::start(COMPAT)]
}

fn post(target: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[test]
fn compat_routes_by_the_longest_prefix_whatever_its_case() {
    let server = Server::start(COMPAT);
    for target in ["/hello", "/helloworld", "/HELLO", "/hello/x", "/Hello?dump=1"] {
        assert_eq!(body(&server.get(target)), "Hello, world!", "{target}");
    }
    assert_eq!(body(&server.get("/LUA/HELLO")), "Hello, World!", "and not the shorter /lua");
    let plain = Server::start(&[]);
    for target in ["/helloworld", "/HELLO", "/quit-lwan"] {
        assert_eq!(status(&plain.get(target)), "HTTP/1.1 404 Not found", "{target}");
    }
}

#[test]
fn custom_header_comes_back() {
    for server in both() {
        let answer = server.exchange("GET /customhdr?hdr=X-Mine HTTP/1.1\r\nx-mine: a b\r\n\r\n");
        assert_eq!(
            (body(&answer), header(&answer, "Content-Type")),
            ("Header value: 'a b'", Some("text/plain"))
        );
        for target in ["/customhdr", "/customhdr?hdr=X-Other"] {
            assert_eq!(status(&server.get(target)), "HTTP/1.1 404 Not found");
        }
    }
}

#[test]
fn quit_ends_the_process() {
    let mut server = Server::start(COMPAT);
    let mut stream = server.connect();
    stream.write_all(b"GET /quit-lwan HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn proxy_headers_of_both_versions_name_the_client_for_the_connection() {
    let binary =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 9, 10, 0, 0, 1, 0, 80, 1, 2]].concat();
    let six: Vec<u8> = (0..36).collect();
    let binary_six = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"[..], &six].concat();
    for server in both() {
        for (before, client) in [
            (&b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\r\n"[..], "192.0.2.1"),
            (b"PROXY TCP6 2001:db8::1 ::1 5 80\r\n", "2001:db8::1"),
            (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
            (&binary, "192.0.2.9"),
            (&binary_six, "1:203:405:607:809:a0b:c0d:e0f"),
            (b"", "127.0.0.1"),
        ] {
            let stream = server.connect();
            let mut reader = BufReader::new(&stream);
            // In pieces, as a proxy may send it.
            for piece in before.chunks(7) {
                (&stream).write_all(piece).unwrap();
            }
            for _ in 0..2 {
                (&stream).write_all(b"GET /proxy HTTP/1.1\r\n\r\n").unwrap();
                let answer = receive_one(&mut reader);
                assert_eq!(header(&answer, "X-Proxy"), Some(client));
                assert!(body(&answer).contains("<h1>OK</h1>"), "{answer}");
            }
        }
        let answer = server.exchange("PROXY TCP4 nobody\r\nGET /proxy HTTP/1.1\r\n\r\n");
        assert_eq!(status(&answer), "HTTP/1.1 400 Bad request");
    }
}

#[test]
fn events_have_neither_length_nor_chunks() {
    for (target, event) in [
        ("/sse", (|n| format!("event: currval\r\ndata: Current value is {n}\r\n\r\n")) as fn(u32) -> String),
        ("/lua/sse", |n| format!("event: counter-changed\r\ndata: event{n}\r\n\r\n")),
    ] {
        let expected: String = (0..=10).map(event).collect();
        for server in both() {
            let answer = server.get(target);
            assert_eq!(
                (body(&answer), header(&answer, "Content-Type")),
                (&*expected, Some("text/event-stream"))
            );
            assert_eq!(
                (header(&answer, "Content-Length"), header(&answer, "Transfer-Encoding")),
                (None, None)
            );
        }
        // With lwan's manners it stays open.
        let server = Server::start(COMPAT);
        let mut stream = server.connect();
        write!(stream, "GET {target} HTTP/1.1\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = super::receive_head(&mut reader);
        assert_eq!(header(&head, "Connection"), None);
        let mut events = vec![0; expected.len()];
        reader.read_exact(&mut events).unwrap();
        assert_eq!(String::from_utf8(events).unwrap(), expected);
        stream.write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(body(&receive_one(&mut reader)), "Hello, world!");
        let closes = Server::start(&[]).get(target);
        assert_eq!(header(&closes, "Connection"), Some("close"));
    }
}

#[test]
fn beacon_is_an_image_of_41_bytes() {
    for server in both() {
        for target in ["/beacon", "/favicon.ico"] {
            let answer = server.get_bytes(target);
            let head = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(
                (status(&head), header(&head, "Content-Type")),
                ("HTTP/1.1 200 OK", Some("image/gif"))
            );
            assert_eq!(header(&head, "Content-Length"), Some("41"));
            assert!(answer[answer.len() - 41..].starts_with(b"GIF89a") && answer.ends_with(b";"));
        }
    }
}

#[test]
fn posts_are_blended_and_summed() {
    for server in both() {
        let right = post("/post/blend", "application/json", "{\"will-it-blend\": true}");
        let answer = server.exchange(right);
        assert_eq!(body(&answer), "{\"did-it-blend\": \"oh-hell-yeah\"}");
        assert_eq!(header(&answer, "Content-Type"), Some("application/json"));
        for wrong in [
            post("/post/blend", "application/json", "{\"will-it-blend\": false}"),
            post("/post/blend", "text/plain", "{\"will-it-blend\": true}"),
            "GET /post/blend HTTP/1.1\r\n\r\n".into(),
            post("/post/big", "text/plain", "x"),
            "GET /post/big HTTP/1.1\r\n\r\n".into(),
        ] {
            assert_eq!(status(&server.exchange(&wrong)), "HTTP/1.1 400 Bad request", "{wrong:?}");
        }
        let big = "tro".repeat(300_000);
        let sum: i64 = big.bytes().map(i64::from).sum();
        let answer = server.exchange(post("/post/big", "x-test/trololo", &big));
        assert_eq!(body(&answer), format!("{{\"received\": 900000, \"sum\": {sum}}}"));
        let answer = server.exchange(post("/post/big", "x-test/trololo", "ÿ"));
        assert_eq!(body(&answer), "{\"received\": 2, \"sum\": -126}", "bytes are signed");
    }
}

#[test]
fn query_string_is_looked_up() {
    for server in both() {
        assert_eq!(body(&server.get("/get-query-string?q=a%20b&a+b=c%26")), "a b = c&");
        assert_eq!(body(&server.get("/get-query-string?q=a&a=")), "a = ");
        assert_eq!(status(&server.get("/get-query-string?a=b")), "HTTP/1.1 400 Bad request");
        assert_eq!(status(&server.get("/get-query-string?q=b")), "HTTP/1.1 404 Not found");
        // A value with a NUL is dropped, name and all.
        assert_eq!(status(&server.get("/get-query-string?q=a&a=x%00y")), "HTTP/1.1 404 Not found");
    }
}

#[test]
fn redirects_lead_elsewhere() {
    for server in both() {
        for (target, expected, place) in [
            ("/elsewhere", "301 Moved permanently", "http://lwan.ws"),
            ("/redirect307", "307 Temporary Redirect", "http://lwan.ws"),
            (
                "/pattern/foo/1234x5678",
                "301 Moved permanently",
                "/hello?name=prexmiddle5678othermiddle1234post",
            ),
            ("/pattern/lua/redir/6x7", "301 Moved permanently", "/hello?name=redirected42"),
        ] {
            let answer = server.get(target);
            assert_eq!(status(&answer), format!("HTTP/1.1 {expected}"));
            assert_eq!(header(&answer, "Location"), Some(place));
            assert_eq!(header(&answer, "Content-Type"), Some("text/html"));
        }
    }
}

#[test]
fn greetings_under_other_names() {
    for server in both() {
        for (target, expected) in [
            ("/read-env/user", "Hello, somebody!"),
            ("/pattern/42/backref", "Hello, fourtytwo!"),
            ("/pattern/bar/7/test", "Hello, rewritten7!"),
            ("/pattern/lua/rewrite/6x7", "Hello, rewritten42!"),
        ] {
            let answer = server.get(target);
            assert_eq!((body(&answer), status(&answer)), (expected, "HTTP/1.1 200 OK"), "{target}");
            assert_eq!(header(&answer, "X-The-Answer-To-The-Universal-Question"), Some("42"));
        }
        assert_eq!(status(&server.get("/pattern/41/backref")), "HTTP/1.1 404 Not found");
    }
}

#[test]
fn style_is_the_cookies() {
    for server in both() {
        for (cookie, expected) in [("style=dark", "dark"), ("a=b; style=dark", "dark"), ("style=x", "light")]
        {
            let answer = server.exchange(format!("GET /css/test.css HTTP/1.1\r\nCookie: {cookie}\r\n\r\n"));
            assert_eq!(body(&answer), format!("Hello, {expected}!"));
        }
        assert_eq!(status(&server.get("/css/other.css")), "HTTP/1.1 404 Not found");
    }
}

#[test]
fn teapots_say_so() {
    for server in both() {
        let answer = server.get("/brew-coffee");
        assert_eq!(status(&answer), "HTTP/1.1 418 I'm a teapot");
        assert!(body(&answer).contains("<h1>I'm a teapot</h1>"));
        for (target, expected) in [
            ("/lua/brew_coffee", "HTTP/1.1 418 I'm a teapot"),
            ("/lua/invalid_code", "HTTP/1.1 500 Internal server error"),
        ] {
            let answer = server.get(target);
            assert_eq!((status(&answer), body(&answer)), (expected, ""));
            assert_eq!(header(&answer, "Content-Length"), Some("0"));
        }
    }
}

#[test]
fn admin_is_for_those_in_the_file_as_it_is_now() {
    for compat in [&[][..], COMPAT] {
        let server = Server::start(compat);
        let ask = |credentials: &str| {
            server.exchange(format!("GET /admin HTTP/1.1\r\nAuthorization: Basic {credentials}\r\n\r\n"))
        };
        let refused = server.get("/admin");
        assert_eq!(status(&refused), "HTTP/1.1 401 Not authorized");
        assert_eq!(header(&refused, "WWW-Authenticate"), Some("Basic realm=\"Administration Page\""));
        // foobar:foobar
        assert_eq!(status(&ask("Zm9vYmFyOmZvb2Jhcg==")), "HTTP/1.1 401 Not authorized");
        server.write("htpasswd", "foobar = foobar\n");
        assert_eq!(body(&ask("Zm9vYmFyOmZvb2Jhcg==")), "Hello, world!");
        assert_eq!(status(&ask("Zm9vYmFyOmZvb2Jheg==")), "HTTP/1.1 401 Not authorized");
        server.write("htpasswd", "foobar = foobaz\n");
        assert_eq!(body(&ask("Zm9vYmFyOmZvb2Jheg==")), "Hello, world!");
        assert_eq!(status(&ask("Zm9vYmFyOmZvb2Jhcg==")), "HTTP/1.1 401 Not authorized");
    }
}

#[test]
fn scripts_answer_in_chunks() {
    for server in both() {
        for (target, pieces) in [
            ("/inline", vec!["Hello".to_string()]),
            ("/multiply?a=6&b=7", vec!["<p>RESULT: 6*7=42</p>".into()]),
            ("/multiply?a=0.5&b=3", vec!["<p>RESULT: 0.5*3=1.5</p>".into()]),
            ("/lua/chunked", (0..=10).map(|n| format!("Chunk #{n}\n")).collect()),
        ] {
            let answer = server.get(target);
            assert_eq!(header(&answer, "Transfer-Encoding"), Some("chunked"));
            assert_eq!(chunks(body(&answer)), pieces, "{target}");
        }
        let list = server.get("/lua/");
        for name in ["hello", "cookie", "sse", "chunked", "random", "brew_coffee", "invalid_code"] {
            assert!(chunks(body(&list)).concat().contains(name), "{list}");
        }
        assert_eq!(status(&server.get("/multiply?a=x&b=7")), "HTTP/1.1 400 Bad request");
    }
}

#[test]
fn scripts_answer() {
    for server in both() {
        assert_eq!(body(&server.get("/lua/hello")), "Hello, World!");
        assert_eq!(body(&server.get("/lua/hello?name=you")), "Hello, you!");
        let random = || server.get("/lua/random");
        let number =
            |answer: &str| body(answer).strip_prefix("Random number: ").unwrap().parse::<u64>().unwrap();
        assert_ne!(number(&random()), number(&random()));
        let answer = server.get("/lua/cookie");
        assert_eq!(body(&answer), "Cookie FOO not set");
        assert_eq!(headers(&answer, "Set-Cookie"), ["SESSION_ID=1234; HttpOnly", "LANG=pt_BR"]);
        assert_eq!(header(&answer, "Yet-Another-Header"), Some("42"));
        assert!(header(&answer, "Other-Header").is_some());
        let answer = server.exchange("GET /lua/cookie HTTP/1.1\r\nCookie: FOO=BAR\r\n\r\n");
        assert_eq!(body(&answer), "Cookie FOO has value: BAR");
    }
}

#[test]
fn keep_alive_time_is_from_the_environment_with_compat() {
    let server = Server::start_with_environment(COMPAT, &[("KEEP_ALIVE_TIMEOUT", "1")]);
    let stream = server.connect();
    let mut reader = BufReader::new(&stream);
    (&stream).write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
    receive_one(&mut reader);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn several_workers_serve_at_one_address() {
    for arguments in [&["--workers", "2"][..], &["--workers", "2", "--lwan-compat"]] {
        let server = Server::start(arguments);
        let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
        for (n, stream) in streams.iter().enumerate() {
            let mut stream: &std::net::TcpStream = stream;
            write!(stream, "GET /hello?name={n} HTTP/1.1\r\n\r\n").unwrap();
        }
        for (n, stream) in streams.iter().enumerate() {
            assert_eq!(body(&receive_one(&mut BufReader::new(stream))), format!("Hello, {n}!"));
        }
    }
}
