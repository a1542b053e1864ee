//! What a peer can't do that does not behave: malformed, oversized, slow, gone.

use super::{Server, body, header, receive_one, status};
use fastrand::Rng;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pretty_assertions::assert_eq;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

#[test]
fn a_peer_that_reads_late_gets_everything_and_holds_nobody_up() {
    const TIMES: usize = 500;
    let server = Server::start(&[]);
    let stream = server.connect();
    // 16 MB of answers don't fit into the sockets' buffers.
    (&stream).write_all("GET /zero HTTP/1.1\r\n\r\n".repeat(TIMES).as_bytes()).unwrap();
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
    let mut reader = BufReader::new(&stream);
    for _ in 0..TIMES {
        assert_eq!(body(&receive_one(&mut reader)).len(), 32_768);
    }
}

#[test]
fn malformed_requests_get_a_page_and_the_connections_end() {
    let server = Server::start(&[]);
    for (request, expected) in [
        ("GET /\r\n\r\n", "400 Bad request"),
        ("GET / FROG/1.0\r\n\r\n", "400 Bad request"),
        ("GET / HTTP/2.0\r\n\r\n", "400 Bad request"),
        ("GET http://x/ HTTP/1.1\r\n\r\n", "400 Bad request"),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "400 Bad request"),
        ("POST /hello HTTP/1.1\r\n\r\n", "400 Bad request"),
        ("POST /hello HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400 Bad request"),
        ("POST /hello HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 Bad request"),
        ("PUT /hello HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "400 Bad request"),
        ("FROG / HTTP/1.1\r\n\r\n", "405 Not allowed"),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "405 Not allowed"),
        ("PUT /hello HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n", "413 Request too large"),
    ] {
        // A second request behind it must not be answered. The connection stays open on our side,
        // so that its end is the server's doing.
        let mut stream = server.connect();
        stream.write_all(format!("{request}GET /hello HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), format!("HTTP/1.1 {expected}"), "{request:?}");
        assert_eq!(header(&answer, "Connection"), Some("close"), "{request:?}");
        assert_eq!(header(&answer, "Content-Type"), Some("text/html"), "{request:?}");
        assert!(body(&answer).contains(&format!("<h1>{}</h1>", &expected[4..])), "{answer}");
        assert!(!answer.contains("Hello, world!"), "{answer}");
    }
}

#[test]
fn a_refusal_speaks_the_requests_version() {
    let server = Server::start(&[]);
    let headers = "A: b\r\n".repeat(65);
    for (request, expected) in [
        ("POST /hello HTTP/1.0\r\n\r\n", "HTTP/1.0 400 Bad request"),
        ("GET /hello HTTP/1.0\r\nA : b\r\n\r\n", "HTTP/1.0 400 Bad request"),
        (&format!("GET /hello HTTP/1.0\r\n{headers}\r\n"), "HTTP/1.0 413 Request too large"),
    ] {
        let answer = server.exchange(request);
        assert_eq!((status(&answer), header(&answer, "Connection")), (expected, None), "{request:.50?}");
    }
}

#[test]
fn a_refused_head_gets_no_body() {
    let server = Server::start(&[]);
    for headers in ["A : b", "Content-Length: x", "Content-Length: 2000000", "Host: a\r\nHost: b"] {
        let answer = server.exchange(format!("HEAD /hello HTTP/1.1\r\n{headers}\r\n\r\n"));
        assert_eq!((header(&answer, "Connection"), body(&answer)), (Some("close"), ""), "{headers}");
        assert_ne!(header(&answer, "Content-Length"), Some("0"), "{headers}");
    }
}

#[test]
fn what_is_too_large_is_refused_without_a_reset() {
    let server = Server::start(&[]);
    let too_large = "HTTP/1.1 413 Request too large";
    let url = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    assert_eq!(status(&server.exchange(url)), too_large);
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10_000));
    assert_eq!(status(&server.exchange(headers)), too_large);
    let body = "x".repeat(2_000_000);
    let request = format!("POST /hello HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(status(&server.exchange(request)), too_large);
}

#[test]
fn a_last_answer_is_not_reset_away_by_what_comes_behind_the_request() {
    let server = Server::start(&[]);
    // Of lengths with which the server's reads end just where the request does, and others.
    for length in [60, 4095, 4096, 4097, 8192] {
        let start = "GET /hello HTTP/1.1\r\nConnection: close\r\nA: ";
        let request = format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4));
        let answer = server.exchange(request + &"x".repeat(100_000));
        assert_eq!(body(&answer), "Hello, world!", "{length}");
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start(&["--keep-alive-timeout", "1"]);
    let mut stream = server.connect();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_peer_that_drips_is_closed() {
    let server = Server::start(&["--request-timeout", "1"]);
    for dripped in ["GET / HTTP/1.1\r\nA: ", "PUT /hello HTTP/1.1\r\nContent-Length: 999999\r\n\r\n"] {
        let mut stream = server.connect();
        let mut sender = stream.try_clone().unwrap();
        let dripper = std::thread::spawn(move || {
            let mut sent = sender.write_all(dripped.as_bytes());
            // Each byte comes well within the timeout; all of them never end.
            while sent.is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(20));
                sent = sender.write_all(b"x");
            }
        });
        let mut answer = Vec::new();
        // A reset is an end as well: bytes were still under way.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "a partial request is not answered");
        drop(stream);
        dripper.join().unwrap();
    }
}

#[test]
fn slow_peers_hold_nobody_up() {
    let server = Server::start(&[]);
    let slow: Vec<TcpStream> = (0..100)
        .map(|i| {
            let mut stream = server.connect();
            stream.write_all(&b"GET /hello HTTP/1.1\r\nA: b"[..i % 25]).unwrap();
            stream
        })
        .collect();
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
    drop(slow);
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
}

#[test]
fn peers_wait_while_the_server_has_no_descriptor_left() {
    let server = Server::start_with_files(30);
    let taken: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
            stream
        })
        .collect();
    // Whom it has accepted it answers, and keeps; the others lie in its backlog, until those have gone.
    for stream in taken {
        assert_eq!(body(&receive_one(&mut BufReader::new(&stream))), "Hello, world!");
    }
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
}

#[test]
fn a_thousand_idle_peers_hold_nobody_up() {
    let server = Server::start(&[]);
    // The usual soft limit would leave nothing to the other tests.
    let (_, most_files) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most_files, most_files).unwrap();
    let idle: Vec<TcpStream> = (0..1000).map(|_| server.connect()).collect();
    let mut stream = &idle[idle.len() - 1];
    stream.write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(body(&receive_one(&mut BufReader::new(stream))), "Hello, world!");
    drop(idle);
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
}

#[test]
fn peers_that_go_amid_anything_leave_the_server_serving() {
    let server = Server::start(&[]);
    let request = b"PUT /hello HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    for end in 0..=request.len() {
        server.connect().write_all(&request[..end]).unwrap();
    }
    for _ in 0..20 {
        // Gone with unread answers, so that the server's send meets a reset.
        server.connect().write_all("GET /zero HTTP/1.1\r\n\r\n".repeat(50).as_bytes()).unwrap();
        server.connect().write_all(b"GET /sleep?ms=1 HTTP/1.1\r\n\r\n").unwrap();
    }
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
}

#[test]
fn garbage_leaves_the_server_serving() {
    let server = Server::start(&[]);
    // The same garbage in every run.
    let mut random = Rng::with_seed(1);
    for round in 0..50 {
        let garbage: Vec<u8> = (0..round * 40).map(|_| random.u8(..)).collect();
        let mut stream = server.connect();
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(body(&server.get("/hello")), "Hello, world!");
}

/// Slow-loris: each peer sends a byte of its head now and then, and never all of it.
#[test]
fn a_thousand_slow_peers_are_closed_by_the_timeout_and_hold_nobody_up() {
    let server = Server::start(&["--request-timeout", "3"]);
    let (_, most_files) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most_files, most_files).unwrap();
    let slow: Vec<TcpStream> = (0..1000).map(|_| server.connect()).collect();
    let head = b"GET /hello HTTP/1.1\r\nA: ";
    let mut open = vec![true; slow.len()];
    for sent in 0.. {
        for (stream, is_open) in slow.iter().zip(&mut open).filter(|(_, is_open)| **is_open) {
            let mut stream: &TcpStream = stream;
            // The server has closed it: the byte is answered by a reset, which the next one meets.
            *is_open = stream.write_all(&[*head.get(sent).unwrap_or(&b'x')]).is_ok();
        }
        // Meanwhile others are served.
        assert_eq!(body(&server.get("/hello")), "Hello, world!");
        if !open.contains(&true) {
            break;
        }
    }
    for mut stream in slow {
        // An end or a reset, and never an answer.
        assert_eq!(stream.read(&mut [0; 100]).unwrap_or(0), 0);
    }
}
