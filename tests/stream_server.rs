//! A stream server: bounds its connections, bears errors of accept, spreads over workers, and stops in order.

#[path = "support/runtimes.rs"]
mod runtimes;
#[path = "support/tcp.rs"]
mod tcp;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use coro::net::{TcpListener, TcpStream};
use coro::sync::Event;
use coro::{Stopped, StreamServer, select, spawn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pretty_assertions::assert_eq;

use runtimes::wait_until_parked;
use tcp::{ANYWHERE, join_all, run};

const LONG: Duration = Duration::from_secs(1000);

/// One test runs out of descriptors, which are the process's: one at a time.
fn alone() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn echo(stream: TcpStream) {
    let _ = std::io::copy(&mut &stream, &mut &stream);
}

#[test]
fn connections_beyond_the_limit_wait_for_one_to_end() {
    let _alone = alone();
    run(|| {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (inside, highest) = (now.clone(), most.clone());
        let server = StreamServer::bind(ANYWHERE, move |stream: TcpStream, _| {
            highest.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            echo(stream);
            inside.fetch_sub(1, SeqCst);
        });
        let server = server.unwrap().max_connections(3).name("echo").start().unwrap();
        let address = server.local_addr();
        let clients = (0..20_u8).map(|own| {
            spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&[own]).unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                byte[0]
            })
        });
        assert_eq!(join_all(clients.collect::<Vec<_>>()), (0..20).collect::<Vec<_>>());
        assert_eq!(most.load(SeqCst), 3);
        assert_eq!(server.stop(LONG).left, 0);
    });
}

#[test]
fn stop_refuses_new_ones_and_lets_the_others_finish() {
    let _alone = alone();
    run(|| {
        let server = StreamServer::bind(ANYWHERE, |stream, _| echo(stream)).unwrap().start().unwrap();
        let address = server.local_addr();
        let mut streams: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stream in &mut streams {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        assert_eq!(server.connections(), 5);
        let stops = spawn(move || server.stop(LONG));
        wait_until_parked("sleep", 1);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        for stream in &mut streams {
            stream.write_all(b"y").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            assert!(!stops.is_finished());
        }
        drop(streams);
        assert_eq!(stops.join().unwrap(), Stopped { finished: 5, cut: 0, left: 0 });
    });
}

#[test]
fn stop_cuts_those_off_who_do_not_finish() {
    let _alone = alone();
    run(|| {
        let server = StreamServer::bind(ANYWHERE, |stream, _| echo(stream)).unwrap().start().unwrap();
        let mut streams: Vec<_> = (0..5).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
        for stream in &mut streams {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        assert_eq!(server.stop(Duration::from_millis(10)), Stopped { finished: 0, cut: 5, left: 0 });
        for mut stream in streams {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn stop_cancels_who_waits_for_something_else_and_counts_who_holds_that_back() {
    let _alone = alone();
    run(|| {
        let (go, ended) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
        let handler = {
            let (go, ended) = (go.clone(), ended.clone());
            move |mut stream: TcpStream, _| {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                stream.write_all(b"begun").unwrap();
                if byte == *b"h" {
                    coro::shield(|| go.wait());
                    ended.fetch_add(1, SeqCst);
                }
                coro::sleep(Duration::from_secs(1_000_000));
                ended.fetch_add(100, SeqCst);
            }
        };
        let server = StreamServer::bind(ANYWHERE, handler).unwrap().start().unwrap();
        let streams = [b"s", b"s", b"h"].map(|what| {
            let mut stream = TcpStream::connect(server.local_addr()).unwrap();
            stream.write_all(what).unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream
        });
        assert_eq!(server.stop(Duration::from_millis(1)), Stopped { finished: 0, cut: 3, left: 1 });
        go.set();
        drop(streams);
        // Its cancel comes now.
        while ended.load(SeqCst) < 1 {
            coro::yield_now();
        }
        assert_eq!(ended.load(SeqCst), 1);
    });
}

#[test]
fn panic_in_a_handler_ends_its_connection_only() {
    let _alone = alone();
    run(|| {
        let server = StreamServer::bind(ANYWHERE, |mut stream: TcpStream, _| {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            std::panic::resume_unwind(Box::new(byte));
        });
        // More than the limit: each gives its place back.
        let server = server.unwrap().max_connections(2).start().unwrap();
        for _ in 0..10 {
            let mut stream = TcpStream::connect(server.local_addr()).unwrap();
            stream.write_all(b"x").unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        assert_eq!(server.stop(LONG).left, 0);
    });
}

#[test]
fn without_descriptors_it_waits_and_does_not_spin() {
    let _alone = alone();
    run(|| {
        let server = StreamServer::bind(ANYWHERE, |stream, _| echo(stream)).unwrap().start().unwrap();
        // std's, which don't give way: nothing is accepted before there are no numbers left.
        let clients = (0..5).map(|_| std::net::TcpStream::connect(server.local_addr()).unwrap());
        let clients: Vec<_> = clients.collect();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        setrlimit(Resource::RLIMIT_NOFILE, open() as u64 + 8, hard).unwrap();
        let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let (before, start) = (coro::stats().unwrap(), Instant::now());
        while start.elapsed() < Duration::from_millis(400) {
            coro::sleep(Duration::from_millis(100));
        }
        let after = coro::stats().unwrap();
        assert_eq!(server.connections(), 0);
        assert!(after.polls - before.polls < 200, "{} polls in 0.4 s", after.polls - before.polls);
        drop(taken);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        // Nobody was lost.
        for stream in clients {
            let mut stream = TcpStream::from_std(stream).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        server.stop(LONG);
    });
}

#[test]
fn listener_for_each_worker_is_accepted_on_by_each() {
    let _alone = alone();
    coro::Builder::new()
        .workers(2)
        .run(|| {
            let threads = Arc::new(Mutex::new(BTreeSet::new()));
            let seen = threads.clone();
            let server = StreamServer::bind_per_worker(ANYWHERE, move |mut stream: TcpStream, _| {
                seen.lock().unwrap().insert(format!("{:?}", thread::current().id()));
                let _ = stream.write_all(b"x");
            });
            let server = server.unwrap().start().unwrap();
            let address = server.local_addr();
            let mut rounds = 0;
            while threads.lock().unwrap().len() < 2 {
                let clients = (0..20).map(|_| {
                    spawn(move || TcpStream::connect(address).unwrap().read_exact(&mut [0]).unwrap())
                });
                join_all(clients.collect::<Vec<_>>());
                rounds += 1;
                assert!(rounds < 1000, "all on one worker");
            }
            assert_eq!(server.stop(LONG).left, 0);
        })
        .unwrap();
}

#[test]
fn listener_that_is_closed_ends_the_server_with_the_reason() {
    let _alone = alone();
    run(|| {
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let clone = listener.try_clone().unwrap();
        let serves = spawn(move || StreamServer::new(listener, |stream, _| echo(stream)).serve_forever());
        wait_until_parked("accept", 1);
        // Ends listening at the socket that both handles are of.
        clone.close();
        assert_eq!(serves.join().unwrap().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn all_who_wait_for_a_server_and_stop_it_are_told_the_same() {
    let _alone = alone();
    run(|| {
        let server = StreamServer::bind(ANYWHERE, |stream, _| echo(stream)).unwrap().start().unwrap();
        let mut streams: Vec<_> = (0..4).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
        for stream in &mut streams {
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let server = server.clone();
                spawn(move || server.wait().to_string())
            })
            .collect();
        let on_a_thread = {
            let server = server.clone();
            thread::spawn(move || server.wait().to_string())
        };
        wait_until_parked("event", 3);
        assert!(!select! { wait(server) => true, _ => false });
        let patient = {
            let server = server.clone();
            spawn(move || server.stop(LONG))
        };
        // It has stopped accepting, and waits.
        select! { wait(server) => (), after(LONG) => panic!("it is stopped") }
        streams.pop();
        while server.connections() > 3 {
            coro::yield_now();
        }
        let expected = Stopped { finished: 1, cut: 3, left: 0 };
        assert_eq!(server.stop(Duration::from_millis(1)), expected, "the impatient one cuts off");
        assert_eq!(patient.join().unwrap(), expected);
        assert_eq!(server.stop(Duration::ZERO), expected);
        assert!(join_all(waiting).iter().all(|said| said == "the server was stopped"));
        assert_eq!(on_a_thread.join().unwrap(), "the server was stopped");
        assert_eq!(server.wait().to_string(), "the server was stopped");
        // What it was bound to is free, whoever has a handle.
        TcpListener::bind(server.local_addr()).unwrap();
    });
}

#[test]
fn plain_thread_that_stops_a_server_waits_for_its_connections() {
    let _alone = alone();
    run(|| {
        let server = StreamServer::bind(ANYWHERE, |stream, _| echo(stream)).unwrap().start().unwrap();
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let stops = {
            let server = server.clone();
            thread::spawn(move || server.stop(LONG))
        };
        server.wait();
        // It is served as before.
        stream.write_all(b"y").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        drop(stream);
        while !stops.is_finished() {
            coro::yield_now();
        }
        assert_eq!(stops.join().unwrap(), Stopped { finished: 1, cut: 0, left: 0 });
    });
}

#[test]
fn who_waits_on_a_thread_is_told_when_the_server_ends_with_its_runtime() {
    let _alone = alone();
    let waits = coro::run(|| {
        let server = StreamServer::bind(ANYWHERE, |stream, _| echo(stream)).unwrap().start().unwrap();
        wait_until_parked("accept", 1);
        thread::spawn(move || server.wait().to_string())
    });
    assert_eq!(waits.unwrap().join().unwrap(), "the server was ended with its runtime");
}
