//! How connections end, how many share them, and what that does to descriptors: nobody waits for ever, no event goes
//! to a number's next owner, and no descriptor is lost.

#[path = "support/tcp.rs"]
mod tcp;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{env, fs};

use coro::net::{TcpListener, TcpStream, UnixStream};
use coro::{JoinHandle, spawn, yield_now};
use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg, setsockopt, sockopt};
use pretty_assertions::assert_eq;

use tcp::{ANYWHERE, connection, join_all, run};

/// Closes with a reset instead of an end.
fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}

/// Sends a byte with a descriptor beside it: a read ends behind it.
fn send_descriptor(stream: &std::os::unix::net::UnixStream) {
    let fds = [stream.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let bytes = [IoSlice::new(b"a")];
    assert_eq!(sendmsg::<()>(stream.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None), Ok(1));
}

#[test]
fn short_read_at_a_mark_in_the_stream_is_not_taken_for_the_last() {
    run(|| {
        let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut here = UnixStream::from_std(here).unwrap();
        let mut bytes = [0; 100];
        for _ in 0..3 {
            send_descriptor(&there);
            there.write_all(b"bc").unwrap();
            // The event is told of here, and from the second time on by a set that has the descriptor already.
            coro::sleep(Duration::from_millis(2));
            assert_eq!([(); 2].map(|()| here.read(&mut bytes).unwrap()), [1, 2]);
        }

        let (mut client, mut server) = connection();
        let first = spawn(move || {
            client.write_all(b"0").unwrap();
            client
        });
        assert_eq!(server.read(&mut bytes).unwrap(), 1);
        let mut client = first.join().unwrap();
        client.write_all(b"abc").unwrap();
        assert_eq!(send(client.as_raw_fd(), b"!", MsgFlags::MSG_OOB), Ok(1));
        client.write_all(b"def").unwrap();
        coro::sleep(Duration::from_millis(2));
        // The urgent byte is not among them.
        let (mut text, mut count) = (Vec::new(), 0);
        while text.len() < 6 {
            let length = server.read(&mut bytes).unwrap();
            text.extend_from_slice(&bytes[..length]);
            count += 1;
        }
        assert_eq!((&*text, count), (&b"abcdef"[..], 2));
    });
}

#[test]
fn end_that_comes_in_one_event_with_data_is_not_missed() {
    run(|| {
        for is_parked in [true, false] {
            for is_closed in [true, false] {
                let (mut client, mut server) = connection();
                let reader = spawn(move || {
                    let mut bytes = [0; 100];
                    let reads = [(); 3].map(|()| server.read(&mut bytes).unwrap());
                    (reads, server)
                });
                if is_parked {
                    yield_now();
                }
                client.write_all(b"data").unwrap();
                // Nothing ran in between: the reader's first event tells of both.
                let client = if is_closed {
                    drop(client);
                    None
                } else {
                    client.shutdown(Shutdown::Write).unwrap();
                    Some(client)
                };
                assert_eq!(reader.join().unwrap().0, [4, 0, 0]);
                drop(client);
            }
        }
    });
}

#[test]
fn end_of_the_peer_wakes_a_reader() {
    run(|| {
        let (client, mut server) = connection();
        let reader = spawn(move || server.read(&mut [0]).unwrap());
        yield_now();
        drop(client);
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn reset_wakes_a_reader_with_an_error() {
    run(|| {
        let (client, mut server) = connection();
        let reader = spawn(move || server.read(&mut [0]).unwrap_err().kind());
        yield_now();
        reset(client);
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn reset_wakes_a_writer_whose_buffer_is_full() {
    run(|| {
        let (client, mut server) = connection();
        let writer = spawn(move || {
            let error = server.write_all(&vec![0; 64 << 20]).unwrap_err();
            (error.kind(), server.write(b"x").unwrap_err().kind())
        });
        (&client).read_exact(&mut [0; 1000]).unwrap();
        reset(client);
        assert_eq!(writer.join().unwrap(), (ErrorKind::ConnectionReset, ErrorKind::BrokenPipe));
    });
}

#[test]
fn write_after_the_end_is_a_broken_pipe() {
    run(|| {
        let (mut client, _server) = connection();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (mut client, server) = connection();
        drop(server);
        // The first write is answered by a reset, and a later one finds it.
        let error = loop {
            if let Err(error) = client.write(b"x") {
                break error;
            }
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        assert_eq!(client.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn many_acceptors_of_one_listener_serve_all() {
    run(|| {
        let listener = Arc::new(TcpListener::bind(ANYWHERE).unwrap());
        let address = listener.local_addr().unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let (listener, served) = (listener.clone(), served.clone());
            spawn(move || {
                for stream in listener.incoming() {
                    served.fetch_add(1, Relaxed);
                    stream.unwrap().write_all(b"x").unwrap();
                }
            });
        }
        yield_now();
        let clients = (0..200).map(|_| {
            spawn(move || {
                let mut text = String::new();
                TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
                text
            })
        });
        assert_eq!(join_all(clients.collect::<Vec<_>>()), ["x"; 200]);
        assert_eq!(served.load(Relaxed), 200);
    });
}

/// Whether this process is the child of a test; if not, runs the test again in a child: alone, so that it can count
/// and choose descriptors.
fn is_child(test: &str) -> bool {
    const CHILD: &str = "CORO_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    false
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn opened_and_closed_connections_leave_no_descriptor_behind() {
    if !is_child("opened_and_closed_connections_leave_no_descriptor_behind") {
        return;
    }
    let round = |count: usize| {
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(move || {
            for stream in listener.incoming().take(count) {
                let mut stream = stream.unwrap();
                spawn(move || {
                    let mut bytes = [0; 2];
                    stream.read_exact(&mut bytes).unwrap();
                    // Some end by themselves, some are reset, some are ended by the client.
                    match bytes[0] % 3 {
                        0 => drop(stream),
                        1 => reset(stream),
                        _ => assert_eq!(stream.read(&mut bytes).unwrap(), 0),
                    }
                });
            }
        });
        let clients = (0..10).map(|own| {
            spawn(move || {
                for n in 0..count / 10 {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let clone = stream.try_clone().unwrap();
                    let kind = (own + n) as u8;
                    stream.write_all(&[kind, 0]).unwrap();
                    if kind % 3 != 2 {
                        assert!(matches!(clone.peek(&mut [0]), Ok(0) | Err(_)));
                    }
                }
            })
        });
        join_all(clients.collect::<Vec<_>>());
        server.join().unwrap();
        while coro::stats().unwrap().alive > 0 {
            yield_now();
        }
    };
    run(|| {
        round(10);
        let before = open_descriptors();
        round(5000);
        assert_eq!(open_descriptors(), before);
    });
    // Not only the connections: a runtime itself gives back all but its thread's bell.
    let before = open_descriptors();
    (0..20).for_each(|_| run(|| round(10)));
    assert_eq!(open_descriptors(), before);
}

/// The old connections live on through duplicates, and epoll would go on telling of them under the number.
#[test]
fn events_of_a_closed_descriptor_do_not_reach_the_numbers_next_owner() {
    if !is_child("events_of_a_closed_descriptor_do_not_reach_the_numbers_next_owner") {
        return;
    }
    const NUMBER: i32 = 500;
    run(|| {
        let mut old = Vec::new();
        for n in 0..50_u8 {
            let (client, mut server) = connection();
            let keep = client.into_std().unwrap();
            // SAFETY: `is_child`: nobody else in the process chooses descriptors, and the last owner has closed it.
            let stream = unsafe {
                assert_eq!(nix::libc::dup2(keep.as_raw_fd(), NUMBER), NUMBER);
                OwnedFd::from_raw_fd(NUMBER)
            };
            let mut stream = TcpStream::from_std(stream.into()).unwrap();
            let reader = spawn(move || {
                let mut bytes = [0; 2];
                stream.read_exact(&mut bytes).unwrap();
                bytes
            });
            yield_now();
            // To all that had the number before.
            for (_keep, peer) in &mut old {
                Write::write_all(peer, b"old").unwrap();
                yield_now();
            }
            assert!(!reader.is_finished());
            server.write_all(&[n, n]).unwrap();
            assert_eq!(reader.join().unwrap(), [n, n]);
            old.push((keep, server));
        }
    });
}

#[test]
fn closed_number_can_be_watched_again_at_once() {
    if !is_child("closed_number_can_be_watched_again_at_once") {
        return;
    }
    run(|| {
        for n in 0..100_u8 {
            let (client, server) = connection();
            let number = client.as_raw_fd();
            let reader = spawn(move || (&client).read(&mut [0; 9]).unwrap());
            yield_now();
            (&server).write_all(&[n]).unwrap();
            assert_eq!(reader.join().unwrap(), 1);
            // The kernel hands out the lowest number that is free: the closed one is among the next.
            let clones = [(); 2].map(|()| server.try_clone().unwrap());
            let mut reused = clones.into_iter().find(|clone| clone.as_raw_fd() == number).unwrap();
            let reader = spawn(move || reused.read(&mut [0; 9]).unwrap());
            yield_now();
            assert_eq!(reader.join().unwrap(), 0, "the client was closed");
        }
    });
}

#[test]
fn reader_that_is_always_ready_does_not_starve_others() {
    run(|| {
        let (mut client, mut server) = connection();
        client.write_all(&[1; 20_000]).unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let count = turns.clone();
        spawn(move || {
            loop {
                count.fetch_add(1, Relaxed);
                yield_now();
            }
        });
        let reader = spawn(move || {
            (0..20_000).for_each(|_| server.read_exact(&mut [0]).unwrap());
            turns.load(Relaxed)
        });
        // It never has to wait, and gives way all the same: every 128 reads or so.
        assert!(reader.join().unwrap() >= 100);
    });
}

#[test]
fn sleeper_has_its_turn_beside_two_who_are_always_ready() {
    run(|| {
        let (client, server) = connection();
        let pump = |from: Arc<TcpStream>, to: Arc<TcpStream>| {
            spawn(move || {
                let mut buffer = [0; 4096];
                loop {
                    (&*to).write_all(&buffer).unwrap();
                    let _ = (&*from).read(&mut buffer).unwrap();
                }
            })
        };
        let (client, server) = (Arc::new(client), Arc::new(server));
        let pumps = [pump(client.clone(), server.clone()), pump(server, client)];
        coro::sleep(Duration::from_millis(20));
        assert!(!pumps.iter().any(JoinHandle::is_finished));
    });
}
