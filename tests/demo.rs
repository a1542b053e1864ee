//! The program `main` as a user sees it: what it prints, and how it ends.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
use pretty_assertions::assert_eq;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

struct Ended {
    code: Option<i32>,
    signal: Option<i32>,
    out: String,
    err: String,
}

/// Runs `main` to its end.
fn main(arguments: &[&str]) -> Ended {
    let output = command(arguments).output().expect("the program starts");
    Ended {
        code: output.status.code(),
        signal: output.status.signal(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_main"));
    command.args(arguments);
    command
}

/// The text behind a label of the summary.
fn figure<'a>(ended: &'a Ended, label: &str) -> &'a str {
    let line = ended.out.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in:\n{}\n{}", ended.out, ended.err)).trim()
}

/// A server on a thread that answers each request with `answer`, whatever it is, and closes.
fn canned_server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines();
            // To the request's end, so that closing does not reset the answer away.
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = (&stream).write_all(&answer);
        }
    });
    address
}

fn against(answer: impl Into<Vec<u8>>) -> Ended {
    let address = canned_server(answer).to_string();
    main(&["--addr", &address, "--no-embed", "--rounds", "2", "-n", "5"])
}

#[test]
fn the_demo_ends_without_errors_and_with_figures() {
    let ended = main(&["--addr", "127.0.0.1:0", "--rounds", "3", "-n", "20"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    assert!(figure(&ended, "rounds").starts_with("3 in "));
    assert!(figure(&ended, "connections").starts_with("60, "));
    assert!(figure(&ended, "requests").starts_with("60, "));
    assert!(figure(&ended, "latency").starts_with("p50 "));
    assert_eq!(figure(&ended, "errors"), "0");
}

#[test]
fn kept_connections_serve_all_rounds() {
    let ended =
        main(&["--addr", "127.0.0.1:0", "--rounds", "4", "-n", "5", "--keep-alive", "--path", "/chunked"]);
    assert_eq!(figure(&ended, "errors"), "0");
    assert!(figure(&ended, "connections").starts_with("5, "), "{}", ended.out);
    assert!(figure(&ended, "requests").starts_with("20, "), "{}", ended.out);
    assert_eq!(figure(&ended, "bodies"), "4,960 bytes");
}

#[test]
fn without_a_server_no_embed_says_that_the_connection_is_refused() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address = getsockname::<SockaddrIn>(socket.as_raw_fd()).unwrap().to_string();
    let ended = main(&["--addr", &address, "--no-embed"]);
    assert_eq!((ended.code, ended.signal, ended.out.as_str()), (Some(1), None, ""));
    for part in ["ECONNREFUSED", &address, "--no-embed"] {
        assert!(ended.err.contains(part), "{part} in {}", ended.err);
    }
}

#[test]
fn any_well_formed_answer_is_read_to_its_end() {
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nup to the end",
        "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let ended = against(answer);
        assert_eq!((figure(&ended, "errors"), ended.code), ("0", Some(0)), "{answer:?}");
    }
}

#[test]
fn a_large_body_is_read_to_its_end() {
    let ended = against([b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![b'x'; 3_000_000]].concat());
    assert_eq!((figure(&ended, "errors"), figure(&ended, "bodies")), ("0", "30,000,000 bytes"));
}

#[test]
fn any_other_answer_is_counted_with_its_reason() {
    let large_head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(200_000));
    for (answer, reason) in [
        ("", "truncated: the server closed without an answer"),
        ("HTTP/1.1 200", "truncated: the server closed amid the answer"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", "truncated: the server closed amid"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbody", "truncated: the server"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "malformed: the answer is"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed: the answer is not HTTP"),
        ("\x7fELF\x02\x01\x01\0\0", "malformed: the answer is not HTTP"),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status: 503"),
        (&large_head, "malformed: the answer is not HTTP: its head is larger than 64 KiB"),
    ] {
        let ended = against(answer);
        assert_eq!((ended.code, ended.signal), (Some(1), None), "{answer:.80?}");
        assert!(ended.out.contains(&format!("5 × {reason}")), "{answer:.80?}: {}", ended.out);
        assert!(ended.err.contains("not one request of a round succeeded"), "{}", ended.err);
    }
}

#[test]
fn an_address_in_use_is_said_to_be_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = main(&["serve", "--addr", &address]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&format!("could not listen on {address}")), "{}", ended.err);
    assert!(ended.err.contains("something listens there already"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "it is told once: {}", ended.err);
}

#[test]
fn a_reader_that_has_gone_is_no_reason_to_die() {
    let mut child = command(&["--addr", "127.0.0.1:0", "--rounds", "1", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_problem_that_nobody_reads_has_the_same_status() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(&["--addr", "127.0.0.1:0", "--no-embed"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn floats_survive_switches() {
    let ended = main(&["floats", "-n", "50", "--steps", "60"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.contains("all equal"), "{}", ended.out);
}

#[test]
fn parked_coroutines_can_be_woken() {
    for n in ["1", "2", "8", "500"] {
        let ended = main(&["park", n, "--wake"]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(ended.out.contains(&format!("parked {n} coroutines in ")), "{}", ended.out);
        assert!(ended.out.contains("woke and joined them in "), "{}", ended.out);
    }
}

/// Without the monitor's advice to yield. As many as there is room for with mprotect redzones, too.
#[test]
fn many_are_parked_and_nobody_is_kept_waiting_and_too_many_are_refused() {
    let ended = main(&["park", "30000", "--wake"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    // Fewer than there are addresses for, and more than any machine has memory for.
    let ended = main(&["park", "200000000"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(
        ended.err.starts_with("main: 200000000 parked coroutines want 1562500 MiB of memory"),
        "{}",
        ended.err
    );
}

/// Starts what does not end by itself, waits until it has said `words`, and kills it.
fn stays(arguments: &[&str], words: &str) {
    let mut child: Child = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.any(|line| line.unwrap().contains(words));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(said, "{arguments:?} never said {words:?}");
    assert_eq!(status.signal(), Some(9), "{arguments:?} ended by itself");
}

#[test]
fn what_shall_stay_stays_and_says_how_to_look_at_it() {
    stays(&["park", "100"], "parked 100 coroutines in ");
    stays(&["park", "100"], "gdb -x gdb/coro.py --args ");
    stays(&["deadlock"], "gdb -x gdb/coro.py --args ");
    stays(&["hang"], "gdb -x gdb/coro.py --args ");
    stays(&["leak"], "gdb -x gdb/coro.py --args ");
}

#[test]
fn leak_gets_larger_and_larger() {
    stays(&["leak"], "2000 requests, 2000 coroutines");
}

#[test]
fn load_and_server_run_on_several_workers() {
    let ended = main(&["--addr", "127.0.0.1:0", "--workers", "2", "--rounds", "5", "-n", "50"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(
        ended.out.contains("/, on 2 workers\n") && ended.out.contains("requests      250, "),
        "{}",
        ended.out
    );
    let ended = main(&["--addr", "127.0.0.1:0", "--workers", "257"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("257"), "{}", ended.err);
}

#[test]
fn a_hang_keeps_the_other_coroutine_from_running() {
    let mut child = command(&["hang"]).stdout(Stdio::piped()).spawn().unwrap();
    // It has used that much CPU time, so the spinning one has long begun.
    let stat = format!("/proc/{}/stat", child.id());
    let user_ticks = || -> u64 {
        let text = std::fs::read_to_string(&stat).unwrap();
        text.rsplit(") ").next().unwrap().split(' ').nth(11).unwrap().parse().unwrap()
    };
    while user_ticks() < 20 {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("so nobody else runs"), "{out}");
    assert!(!out.contains("had a turn"), "{out}");
}

#[test]
fn an_overflow_dies_of_sigsegv() {
    for how in ["recursion", "frame"] {
        let ended = main(&["overflow", how]);
        assert_eq!((ended.signal, ended.code), (Some(11), None), "{how}: {}", ended.err);
    }
}

/// Not under AddressSanitizer, which keeps the signals: nothing is told then.
#[cfg(not(feature = "sanitize"))]
#[test]
fn an_overflow_is_told_and_dies_of_sigsegv() {
    for (how, function, verdict) in [
        (
            "recursion",
            "main::demo::overflow::recurse (src/demo/overflow.rs:",
            "runaway recursion: main::demo::overflow::recurse, ",
        ),
        ("mutual", "", "runaway recursion: main::demo::overflow::p"),
        (
            "frame",
            "main::demo::overflow::large_frame (src/demo/overflow.rs:",
            "a large frame: main::demo::overflow::large_frame, ",
        ),
        (
            "malloc",
            ", called by main::demo::overflow::allocate (src/demo/",
            "runaway recursion: main::demo::overflow::allocate, ",
        ),
        (
            "callback",
            "main::demo::overflow::recurse (src/demo/overflow.rs:",
            "runaway recursion: main::demo::overflow::recurse, ",
        ),
        (
            "signal",
            "the kernel found no room for its handler",
            "runaway recursion: main::demo::overflow::nearly_to_the_end, ",
        ),
    ] {
        let ended = main(&["overflow", how]);
        assert_eq!((ended.signal, ended.code), (Some(11), None), "{how}: {}", ended.err);
        assert!(ended.out.contains(&format!("overflow {how}")), "{}", ended.out);
        for words in [
            "fatal: coroutine #4 'overflow' overflowed its stack",
            function,
            &format!("verdict   {verdict}"),
            "<coroutine start>",
        ] {
            assert!(ended.err.contains(words), "{how}: no {words:?} in:\n{}", ended.err);
        }
    }
}

/// As above.
#[cfg(not(feature = "sanitize"))]
#[test]
fn stray_pointers_are_told_with_both_sides() {
    let mut cases = vec![("wild", "used a wild pointer: into the redzone of coroutine #4 'victim'")];
    if cfg!(debug_assertions) {
        cases.push((
            "stale",
            "used a freed stack: of coroutine #5 'victim', which has ended (spawned at src/demo/stray.rs:",
        ));
    }
    for (command, words) in cases {
        let ended = main(&[command]);
        assert_eq!((ended.signal, ended.code), (Some(11), None), "{command}: {}", ended.err);
        assert!(ended.err.contains("'culprit'") && ended.err.contains(words), "{command}: {}", ended.err);
    }
}

#[test]
fn a_server_can_be_asked_while_the_demo_runs() {
    // The embedded server is an ordinary one: others can use it as well.
    let mut child = command(&["--addr", "127.0.0.1:0", "--rounds", "100000", "-n", "10"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("against http://")?.1.split('/').next()?.to_string())
        })
        .unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /100.html HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&"X".repeat(100)), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
}
