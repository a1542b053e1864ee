//! Placement: coroutines that one worker spawns, and that stay where they begin, are spread over all.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use coro::net::TcpListener;
use coro::sync::channel;
use coro::{Builder, spawn, yield_now};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pretty_assertions::assert_eq;

const LONG: Duration = Duration::from_secs(1_000_000);

fn with_workers<T>(count: usize, main: impl FnOnce() -> T) -> T {
    Builder::new().workers(count).run(main).unwrap()
}

#[test]
fn ten_thousand_that_are_spawned_one_by_one_are_spread() {
    // As a server's accepted connections: they come one by one, and each waits when it has begun.
    let by_thread = with_workers(2, || {
        let (report, reports) = channel(16);
        for _ in 0..10_000 {
            let report = report.clone();
            spawn(move || {
                report.send(thread::current().id()).unwrap();
                coro::sleep(LONG);
            });
            yield_now();
        }
        let mut by_thread = BTreeMap::new();
        for _ in 0..10_000 {
            *by_thread.entry(format!("{:?}", reports.recv().unwrap())).or_insert(0) += 1;
        }
        by_thread
    });
    assert_eq!(by_thread.len(), 2, "{by_thread:?}");
    assert!(by_thread.values().all(|count| *count <= 6500), "1.3 times the mean: {by_thread:?}");
}

/// Connects one after the other, so that ten thousand need not be open on this side.
fn connect_and_say(address: std::net::SocketAddr, count: usize) {
    for n in 0..count {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(&[n as u8]).unwrap();
        let mut back = [0];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [n as u8]);
    }
}

#[test]
fn ten_thousand_connections_that_one_listener_accepts_are_spread() {
    let (_, most_files) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most_files, most_files).unwrap();
    let connections = 10_000.min(most_files.saturating_sub(1000) as usize);
    let by_thread = with_workers(2, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = [connections / 2, connections - connections / 2]
            .map(|count| thread::spawn(move || connect_and_say(address, count)));
        let by_thread = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
        for stream in listener.incoming().take(connections) {
            let (mut stream, by_thread) = (stream.unwrap(), by_thread.clone());
            spawn(move || {
                let here = format!("{:?}", thread::current().id());
                *by_thread.lock().unwrap().entry(here).or_default() += 1;
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                stream.write_all(&byte).unwrap();
                // It stays, as a connection that is used now and then.
                coro::sleep(LONG);
            });
        }
        while clients.iter().any(|client| !client.is_finished()) {
            coro::sleep(Duration::from_millis(1));
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        let by_thread = by_thread.lock().unwrap();
        by_thread.clone()
    });
    assert_eq!(by_thread.values().sum::<usize>(), connections);
    assert_eq!(by_thread.len(), 2, "{by_thread:?}");
    let most = by_thread.values().max().unwrap();
    assert!(most * 2 * 10 <= connections * 13, "1.3 times the mean: {by_thread:?}");
}
