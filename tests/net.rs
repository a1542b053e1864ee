//! TCP as std's, where a wait parks the coroutine: bytes, ends, errors, timeouts and descriptors.

#[path = "support/tcp.rs"]
mod tcp;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use coro::net::{TcpListener, TcpStream};
use coro::{spawn, yield_now};
use fastrand::Rng;
use nix::sys::socket::{self, Backlog};
use pretty_assertions::assert_eq;

use tcp::{ANYWHERE, connection, dead_address, join_all, run};

#[test]
fn hundred_connections_echo_a_megabyte_each_in_chunks_of_any_size() {
    const LENGTH: usize = 1 << 20;
    let mut random = Rng::with_seed(99);
    let pattern: Arc<[u8]> = (0..LENGTH + 100).map(|_| random.u8(..)).collect();
    run(|| {
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(move || {
            let echoes = listener.incoming().take(100).map(|stream| {
                let stream = stream.unwrap();
                spawn(move || {
                    let mut random = Rng::with_seed(stream.as_raw_fd() as u64);
                    let mut buffer = vec![0; 65536];
                    loop {
                        let room = 1 + random.usize(..buffer.len());
                        match (&stream).read(&mut buffer[..room]).unwrap() {
                            0 => return,
                            n => (&stream).write_all(&buffer[..n]).unwrap(),
                        }
                    }
                })
            });
            join_all(echoes.collect::<Vec<_>>());
        });
        let clients = (0..100).map(|own| {
            let pattern = pattern.clone();
            spawn(move || {
                let random = move |side| Rng::with_seed(2 * own as u64 + side);
                let stream = Arc::new(TcpStream::connect(address).unwrap());
                let (reader, expected) = (stream.clone(), pattern.clone());
                let reader = spawn(move || {
                    let (mut random, mut buffer, mut rest) = (random(0), vec![0; 65536], &expected[own..]);
                    loop {
                        let room = 1 + random.usize(..buffer.len());
                        match (&*reader).read(&mut buffer[..room]).unwrap() {
                            0 => return expected.len() - own - rest.len(),
                            n => assert!(buffer[..n] == *rest.split_off(..n).unwrap(), "{} left", rest.len()),
                        }
                    }
                });
                let (mut random, mut rest) = (random(1), &pattern[own..own + LENGTH]);
                while !rest.is_empty() {
                    let (chunk, behind) = rest.split_at((1 + random.usize(..100_000)).min(rest.len()));
                    (&*stream).write_all(chunk).unwrap();
                    rest = behind;
                }
                stream.shutdown(Shutdown::Write).unwrap();
                reader.join().unwrap()
            })
        });
        assert_eq!(join_all(clients.collect::<Vec<_>>()), [LENGTH; 100]);
        server.join().unwrap();
    });
}

#[test]
fn half_closed_connection_still_works_the_other_way() {
    run(|| {
        let (mut client, mut server) = connection();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let answer = spawn(move || {
            let mut text = String::new();
            server.read_to_string(&mut text).unwrap();
            yield_now();
            server.write_all(text.to_uppercase().as_bytes()).unwrap();
        });
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "QUESTION");
        answer.join().unwrap();
    });
}

#[test]
fn shutdown_wakes_a_reader() {
    run(|| {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (client, _server) = connection();
            let client = Arc::new(client);
            let own = client.clone();
            let reader = spawn(move || (&*own).read(&mut [0]));
            yield_now();
            client.shutdown(how).unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 0);
        }
    });
}

#[test]
fn read_that_takes_too_long_is_timed_out_and_the_next_one_works() {
    run(|| {
        let (mut client, mut server) = connection();
        assert_eq!(client.read_timeout().unwrap(), None);
        client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_millis(5)));
        for _ in 0..2 {
            let error = client.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let said = error.to_string();
            let peer = server.local_addr().unwrap();
            assert!(said.starts_with("a read on descriptor "), "{said}");
            assert!(said.ends_with(&format!(" with {peer} did not happen within 5ms")), "{said}");
            assert_eq!(client.peek(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        server.write_all(b"x").unwrap();
        client.set_read_timeout(None).unwrap();
        assert_eq!(client.read(&mut [0; 9]).unwrap(), 1);
    });
}

#[test]
fn write_that_takes_too_long_is_timed_out() {
    run(|| {
        let (mut client, _server) = connection();
        client.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        let error = client.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("a write on descriptor"), "{error}");
    });
}

#[test]
fn timeout_of_zero_is_refused() {
    run(|| {
        let (client, server) = connection();
        let zero = Some(Duration::ZERO);
        let address = server.local_addr().unwrap();
        for result in [
            client.set_read_timeout(zero),
            client.set_write_timeout(zero),
            TcpStream::connect_timeout(&address, Duration::ZERO).map(drop),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        client.set_read_timeout(Some(Duration::MAX)).unwrap();
    });
}

#[test]
fn connect_to_nobody_is_refused() {
    run(|| {
        let (_socket, address) = dead_address();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let refused = TcpStream::connect_timeout(&address, Duration::from_secs(1000)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn connect_goes_on_to_the_next_address() {
    run(|| {
        let (_socket, dead) = dead_address();
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let alive = listener.local_addr().unwrap();
        let stream = TcpStream::connect(&[dead, alive][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
    });
}

/// A listener whose queue is full: the kernel answers no further connection.
#[test]
fn connect_that_takes_too_long_is_timed_out() {
    let (socket, address) = dead_address();
    socket::listen(&socket, Backlog::new(0).unwrap()).unwrap();
    run(|| {
        let mut streams = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&address, Duration::from_millis(20)) {
                Ok(stream) => streams.push(stream),
                Err(error) => break error,
            }
            assert!(streams.len() < 10, "the queue is never full");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("a connect on descriptor"), "{error}");
    });
}

#[test]
fn peek_leaves_the_data() {
    run(|| {
        let (client, mut server) = connection();
        let peeker = spawn(move || {
            let mut bytes = [0; 3];
            let peeked = (client.peek(&mut bytes).unwrap(), client.peek(&mut bytes).unwrap());
            (&client).read_exact(&mut bytes).unwrap();
            (peeked, bytes)
        });
        yield_now();
        server.write_all(b"abc").unwrap();
        assert_eq!(peeker.join().unwrap(), ((3, 3), *b"abc"));
    });
}

#[test]
fn vectored_operations_use_all_buffers() {
    run(|| {
        let (mut client, mut server) = connection();
        assert_eq!(client.write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b"de")]).unwrap(), 5);
        let (mut first, mut second) = ([0; 2], [0; 9]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(server.read_vectored(&mut buffers).unwrap(), 5);
        assert_eq!((&first, &second[..3]), (b"ab", &b"cde"[..]));
    });
}

#[test]
fn clone_is_the_same_connection() {
    run(|| {
        let (client, mut server) = connection();
        client.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        client.set_nodelay(true).unwrap();
        let mut clone = client.try_clone().unwrap();
        assert_eq!(clone.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(clone.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert!(clone.nodelay().unwrap());
        let reader = spawn(move || {
            let mut bytes = [0; 2];
            clone.read_exact(&mut bytes).unwrap();
            bytes
        });
        yield_now();
        // The clone is still watched when the first is closed.
        drop(client);
        server.write_all(b"ab").unwrap();
        assert_eq!(reader.join().unwrap(), *b"ab");
    });
}

#[test]
fn streams_and_listeners_go_over_to_std_and_come_back() {
    run(|| {
        let (client, server) = connection();
        let server = spawn(move || {
            let mut server = server;
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            server.into_std().unwrap()
        });
        yield_now();
        let mut client = client.into_std().unwrap();
        client.write_all(b"1").unwrap();
        let mut server = server.join().unwrap();
        client.write_all(b"2").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"2", "std's blocks");

        let mut server = TcpStream::from_std(server).unwrap();
        let reader = spawn(move || server.read(&mut [0; 9]).unwrap());
        yield_now();
        client.write_all(b"345").unwrap();
        assert_eq!(reader.join().unwrap(), 3);

        let listener = TcpListener::from_std(net::TcpListener::bind(ANYWHERE).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let _waiting = TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
        let _waiting = TcpStream::connect(address).unwrap();
        listener.into_std().unwrap().accept().unwrap();

        // A raw descriptor stays in non-blocking mode, as it was.
        let (client, _server) = connection();
        let descriptor = client.into_raw_fd();
        // SAFETY: `into_raw_fd` gave it to us, to own.
        let mut client = net::TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn one_reads_and_one_writes_the_same_stream() {
    const LENGTH: usize = 4 << 20;
    run(|| {
        let (client, server) = connection();
        let echo = spawn(move || io::copy(&mut &server, &mut &server).unwrap());
        let client = Arc::new(client);
        let reader = client.clone();
        let reader = spawn(move || {
            let mut bytes = vec![0; LENGTH];
            (&*reader).read_exact(&mut bytes).unwrap();
            bytes.iter().all(|byte| *byte == 3)
        });
        (&*client).write_all(&vec![3; LENGTH]).unwrap();
        assert!(reader.join().unwrap());
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(echo.join().unwrap(), LENGTH as u64);
    });
}

#[test]
fn two_readers_of_one_stream_are_both_woken() {
    run(|| {
        let (client, mut server) = connection();
        let client = Arc::new(client);
        for _ in 0..20 {
            let readers = [(); 2].map(|()| {
                let client = client.clone();
                spawn(move || {
                    let mut byte = [0];
                    (&*client).read_exact(&mut byte).unwrap();
                    byte[0]
                })
            });
            yield_now();
            server.write_all(&[1, 2]).unwrap();
            let mut bytes = join_all(readers);
            bytes.sort_unstable();
            assert_eq!(bytes, [1, 2]);
        }
    });
}
