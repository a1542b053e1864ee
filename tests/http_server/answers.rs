//! What a peer gets that behaves: endpoints, headers, keep-alive, pipelining.

use super::{Server, body, header, receive_one, status};
use pretty_assertions::assert_eq;
use std::io::{BufReader, Read, Write};

#[test]
fn hello_answers_with_headers_in_their_order() {
    let answer = Server::start(&[]).get("/hello");
    let masked: Vec<String> = answer
        .lines()
        .map(|line| match line.split_once(": ") {
            Some((name @ ("Date" | "Expires"), value)) if value.ends_with(" GMT") => {
                format!("{name}: (date)")
            }
            Some((name @ "X-Request-Id", value)) => format!("{name}: {} digits", value.len()),
            _ => line.to_string(),
        })
        .collect();
    assert_eq!(
        masked,
        [
            "HTTP/1.1 200 OK",
            "X-The-Answer-To-The-Universal-Question: 42",
            "Date: (date)",
            "Content-Type: text/plain",
            "Expires: (date)",
            "Content-Length: 13",
            "X-Request-Id: 16 digits",
            "server: lwan/testrunner",
            "x-global-header: present",
            "",
            "Hello, world!",
        ]
    );
}

#[test]
fn a_query_leaves_expires_out_and_names_are_decoded() {
    let answer = Server::start(&[]).get("/hello?name=J%c3%b6rg+%41.");
    assert_eq!(body(&answer), "Hello, Jörg A.!");
    assert_eq!(header(&answer, "Expires"), None);
}

#[test]
fn hello_dumps_what_it_was_sent() {
    let answer = Server::start(&[]).exchange(
        "POST /hello?dump_vars=1&b=2&a=1 HTTP/1.1\r\nCookie: x=y; FOO=BAR\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nq=p%20q",
    );
    assert_eq!(
        body(&answer),
        "Hello, world!\n\nCookies\n-------\n\nKey = \"FOO\"; Value = \"BAR\"\n\
         Key = \"x\"; Value = \"y\"\n\n\nQuery String Variables\n----------------------\n\n\
         Key = \"a\"; Value = \"1\"\nKey = \"b\"; Value = \"2\"\nKey = \"dump_vars\"; Value = \"1\"\n\
         \n\nPOST data\n---------\n\nKey = \"q\"; Value = \"p q\"\n"
    );
}

#[test]
fn a_request_id_is_shown_as_it_is_sent() {
    let answer = Server::start(&[]).get("/hello?dump_vars=1&dump_request_id=1");
    let id = header(&answer, "X-Request-Id").unwrap();
    assert!(body(&answer).ends_with(&format!("\nRequest ID: <<{id}>>")), "{answer}");
}

#[test]
fn the_built_in_files_are_served() {
    let server = Server::start(&[]);
    assert!(body(&server.get("/")).contains("It works!"));
    assert_eq!(body(&server.get("/")), body(&server.get("/index.html")));
    assert_eq!(body(&server.get("/100.html")), "X".repeat(100));
    assert_eq!(body(&server.get("/zero")), "\0".repeat(32_768));
    assert_eq!(status(&server.get("/nope")), "HTTP/1.1 404 Not found");
    assert_eq!(status(&server.get("/../etc/passwd")), "HTTP/1.1 404 Not found");
}

#[test]
fn routing_is_by_segment() {
    let server = Server::start(&[]);
    assert_eq!(body(&server.get("/hello/there")), "Hello, world!");
    assert_eq!(body(&server.get("/h%65llo")), "Hello, world!");
    assert_eq!(status(&server.get("/helloworld")), "HTTP/1.1 404 Not found");
}

#[test]
fn head_gives_the_head_alone() {
    let server = Server::start(&[]);
    for (target, length) in [("/100.html", "100"), ("/hello", "13"), ("/zero", "32768")] {
        let answer = server.exchange(format!("HEAD {target} HTTP/1.1\r\n\r\n"));
        assert_eq!((header(&answer, "Content-Length"), body(&answer)), (Some(length), ""));
    }
    let answer = server.exchange("HEAD /chunked HTTP/1.1\r\n\r\n");
    assert_eq!((header(&answer, "Transfer-Encoding"), body(&answer)), (Some("chunked"), ""));
    let answer = server.exchange("HEAD /nope HTTP/1.1\r\n\r\n");
    assert_eq!((status(&answer), body(&answer)), ("HTTP/1.1 404 Not found", ""));
}

#[test]
fn chunks_are_for_1_1_only() {
    let server = Server::start(&[]);
    let mut lines = vec!["Testing chunked encoding! First chunk\n".to_string()];
    lines.extend((0..=10).map(|i| format!("*This is chunk {i}*\n")));
    lines.push("Last chunk\n".into());
    let chunks: String = lines.iter().map(|line| format!("{:x}\r\n{line}\r\n", line.len())).collect();

    let answer = server.get("/chunked");
    assert_eq!(body(&answer), chunks + "0\r\n\r\n");
    assert_eq!(header(&answer, "Transfer-Encoding"), Some("chunked"));
    assert_eq!(header(&answer, "Content-Length"), None);

    let answer = server.exchange("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((body(&answer), status(&answer)), (lines.concat().as_str(), "HTTP/1.0 200 OK"));
    assert_eq!(header(&answer, "Transfer-Encoding"), None);
    assert_eq!(header(&answer, "Connection"), None, "a 1.0 connection closes by default");
}

#[test]
fn sleep_sleeps() {
    let server = Server::start(&[]);
    let answer = server.get("/sleep?ms=20");
    let text = body(&answer).strip_prefix("Returned from sleep. diff_ms = ").expect(&answer);
    assert!(text.trim_end_matches('\'').parse::<u64>().unwrap() >= 20, "{text}");
    assert_eq!(body(&server.get("/sleep?ms=0")), "Did not sleep");
    assert_eq!(status(&server.get("/sleep")), "HTTP/1.1 500 Internal server error");
    assert_eq!(status(&server.get("/sleep?ms=99999999999")), "HTTP/1.1 400 Bad request");
}

#[test]
fn a_connection_serves_until_somebody_wants_its_end() {
    let server = Server::start(&[]);
    let stream = server.connect();
    let mut reader = BufReader::new(&stream);
    for name in ["a", "b", "c"] {
        write!(&stream, "GET /hello?name={name} HTTP/1.1\r\n\r\n").unwrap();
        let answer = receive_one(&mut reader);
        assert_eq!(body(&answer), format!("Hello, {name}!"));
        assert_eq!(header(&answer, "Connection"), None);
    }
    write!(&stream, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    assert_eq!(header(&receive_one(&mut reader), "Connection"), Some("keep-alive"));
    write!(&stream, "GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(header(&receive_one(&mut reader), "Connection"), Some("close"));
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the server has closed");
}

#[test]
fn a_1_0_connection_closes_by_default() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!((status(&answer), body(&answer)), ("HTTP/1.0 200 OK", "Hello, world!"));
    assert_eq!(header(&answer, "Connection"), None);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let requests: String = (0..256).map(|i| format!("GET /hello?name={i} HTTP/1.1\r\n\r\n")).collect();
    let stream = server.connect();
    (&stream).write_all(requests.as_bytes()).unwrap();
    let mut reader = BufReader::new(&stream);
    for i in 0..256 {
        assert_eq!(body(&receive_one(&mut reader)), format!("Hello, {i}!"));
    }
}

#[test]
fn an_answer_does_not_wait_for_a_later_requests_sleep() {
    let server = Server::start(&[]);
    let stream = server.connect();
    let requests = "GET /hello HTTP/1.1\r\n\r\nGET /sleep?ms=60000 HTTP/1.1\r\n\r\n";
    (&stream).write_all(requests.as_bytes()).unwrap();
    let mut reader = BufReader::new(&stream);
    assert_eq!(body(&receive_one(&mut reader)), "Hello, world!");
    assert_eq!(reader.buffer(), b"", "the second answer came along with the first");
}

#[test]
fn every_method_says_hello() {
    let server = Server::start(&[]);
    for method in ["GET", "POST", "OPTIONS", "DELETE", "PUT"] {
        let request = format!("{method} /hello HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(body(&server.exchange(request)), "Hello, world!", "{method}");
    }
}

#[test]
fn a_body_of_the_largest_size_is_taken() {
    let body = "x".repeat(1_000_000);
    let request = format!("PUT /hello HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(status(&Server::start(&[]).exchange(request)), "HTTP/1.1 200 OK");
}

#[test]
fn a_client_that_waits_for_leave_to_send_its_body_gets_it() {
    let server = Server::start(&[]);
    let stream = server.connect();
    let mut reader = BufReader::new(&stream);
    let head = "PUT /hello HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    (&stream).write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    reader.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    (&stream).write_all(b"body").unwrap();
    assert_eq!(body(&receive_one(&mut reader)), "Hello, world!");
}
