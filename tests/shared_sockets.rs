//! Sockets that several coroutines share, on one worker or two: closed by one of them, used at both ends, waited for in order.

#[path = "support/runtimes.rs"]
mod runtimes;
#[path = "support/tcp.rs"]
mod tcp;

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use coro::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use coro::{spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::wait_until_parked;
use tcp::{ANYWHERE, connection, join_all, run};

#[test]
fn closed_socket_wakes_all_who_wait_on_it_with_an_error() {
    run(|| {
        let (client, mut server) = connection();
        let client = Arc::new(client);
        let waits = [true, true, false].map(|reads| {
            let client = client.clone();
            spawn(move || match reads {
                true => (&*client).read(&mut [0]).unwrap_err(),
                false => (&*client).write_all(&vec![0; 64 << 20]).unwrap_err(),
            })
        });
        wait_until_parked("read", 2);
        wait_until_parked("write", 1);
        client.close();
        for error in join_all(waits) {
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            assert!(error.to_string().contains("was closed by who shares it"), "{error}");
        }
        assert_eq!(client.peek(&mut [0]).unwrap_err().kind(), ErrorKind::NotConnected);
        // The peer is told, after what was sent.
        io::copy(&mut server, &mut io::sink()).unwrap();

        let listener = Arc::new(TcpListener::bind(ANYWHERE).unwrap());
        let address = listener.local_addr().unwrap();
        let own = listener.clone();
        let accepts = spawn(move || own.incoming().count());
        wait_until_parked("accept", 1);
        listener.close();
        assert_eq!(accepts.join().unwrap(), 0);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);

        let socket = Arc::new(UdpSocket::bind(ANYWHERE).unwrap());
        let own = socket.clone();
        let receives = spawn(move || own.recv(&mut [0]).unwrap_err().kind());
        wait_until_parked("read", 1);
        socket.close();
        assert_eq!(receives.join().unwrap(), ErrorKind::NotConnected);
    });
}

#[test]
fn number_of_a_closed_socket_is_not_reused_while_somebody_has_it() {
    run(|| {
        let (one, _other) = UnixStream::pair().unwrap();
        one.close();
        // What is opened now gets another number, and what comes there goes nowhere else.
        let (mut next, peer) = UnixStream::pair().unwrap();
        (&peer).write_all(b"not for you").unwrap();
        assert_eq!((&one).read(&mut [0; 20]).unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(next.read(&mut [0; 20]).unwrap(), 11);
        drop(one);
        // The source is another one's now, and works.
        let (one, mut other) = UnixStream::pair().unwrap();
        let reader = spawn(move || (&one).read(&mut [0]).unwrap());
        yield_now();
        other.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

/// A `tx` end and an `rx` end of one stream, each on a worker of its own.
#[test]
fn two_workers_read_and_write_one_stream() {
    const LENGTH: usize = 8 << 20;
    coro::Builder::new()
        .workers(2)
        .run(|| {
            let (client, server) = connection();
            let (client, server) = (Arc::new(client), Arc::new(server));
            let threads = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
            let note = |threads: &Arc<std::sync::Mutex<std::collections::BTreeSet<_>>>| {
                threads.lock().unwrap().insert(format!("{:?}", std::thread::current().id()));
            };
            let send = |stream: Arc<TcpStream>| {
                let threads = threads.clone();
                spawn(move || {
                    note(&threads);
                    let bytes: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
                    bytes.chunks(10_007).for_each(|chunk| (&*stream).write_all(chunk).unwrap());
                    stream.shutdown(Shutdown::Write).unwrap();
                })
            };
            let receive = |stream: Arc<TcpStream>| {
                let threads = threads.clone();
                spawn(move || {
                    note(&threads);
                    let (mut at, mut buffer) = (0, vec![0; 30_011]);
                    loop {
                        match (&*stream).read(&mut buffer).unwrap() {
                            0 => return at,
                            n => {
                                let is_right =
                                    buffer[..n].iter().zip(at..).all(|(b, n)| *b == (n % 251) as u8);
                                assert!(is_right, "at {at}");
                                at += n;
                            }
                        }
                    }
                })
            };
            let sent = [send(client.clone()), send(server.clone())];
            let received = [receive(client), receive(server)];
            assert_eq!(join_all(received), [LENGTH; 2]);
            join_all(sent);
            assert_eq!(threads.lock().unwrap().len(), 2, "both workers had a part");
        })
        .unwrap();
}

#[test]
fn who_waits_for_the_same_is_queued_in_order() {
    run(|| {
        let (client, server) = connection();
        let client = Arc::new(client);
        let (order, took) = coro::sync::channel(10);
        let readers = (0..5_u8).map(|own| {
            let (client, order) = (client.clone(), order.clone());
            let reader = spawn(move || {
                let mut byte = [0];
                (&*client).read_exact(&mut byte).unwrap();
                order.send((own, byte[0])).unwrap();
            });
            wait_until_parked("read", own as usize + 1);
            reader
        });
        let readers: Vec<_> = readers.collect();
        (&server).write_all(&[10, 11, 12, 13, 14]).unwrap();
        join_all(readers);
        drop(order);
        assert_eq!(took.iter().collect::<Vec<_>>(), (0..5).map(|n| (n, n + 10)).collect::<Vec<_>>());
    });
}
