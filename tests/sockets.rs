//! Sockets of all kinds: datagrams, Unix sockets, options, descriptors in and out, and names.

#[path = "support/runtimes.rs"]
mod runtimes;
#[path = "support/tcp.rs"]
mod tcp;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{fs, process};

use coro::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use coro::spawn;
use nix::sys::socket::{self, Backlog};
use pretty_assertions::assert_eq;

use runtimes::wait_until_parked;
use tcp::{ANYWHERE, connection, dead_address, join_all, run};

/// A folder for Unix sockets, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("coro-sockets-{}-{}", process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn datagrams_go_to_and_fro() {
    run(|| {
        let server = UdpSocket::bind(ANYWHERE).unwrap();
        let address = server.local_addr().unwrap();
        let echo = spawn(move || {
            let mut buffer = [0; 100];
            for _ in 0..100 {
                let (length, peer) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&buffer[..length], peer).unwrap();
            }
            server
        });
        let clients = (0..10_u8).map(|own| {
            spawn(move || {
                let client = UdpSocket::bind(ANYWHERE).unwrap();
                client.connect(address).unwrap();
                assert_eq!(client.peer_addr().unwrap(), address);
                for n in 0..10 {
                    client.send(&[own, n]).unwrap();
                    let mut buffer = [0; 9];
                    assert_eq!(client.peek(&mut buffer).unwrap(), 2);
                    assert_eq!(client.recv(&mut buffer).unwrap(), 2);
                    assert_eq!(buffer[..2], [own, n]);
                }
            })
        });
        join_all(clients.collect::<Vec<_>>());
        let server = echo.join().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(server.recv(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(server.peek_from(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn datagram_to_nobody_comes_back_as_an_error() {
    run(|| {
        // Where no other test binds: the number is free again.
        let gone = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind(ANYWHERE).unwrap();
        socket.connect(gone).unwrap();
        let shared = Arc::new(socket);
        let own = shared.clone();
        let waits = spawn(move || own.recv(&mut [0]).unwrap_err().kind());
        wait_until_parked("read", 1);
        shared.send(b"x").unwrap();
        assert_eq!(waits.join().unwrap(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn udp_options_are_those_of_std() {
    run(|| {
        let socket = UdpSocket::bind(ANYWHERE).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_ttl(7).unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        socket.set_multicast_ttl_v4(3).unwrap();
        let (group, interface) = (Ipv4Addr::new(239, 1, 2, 3), Ipv4Addr::LOCALHOST);
        socket.join_multicast_v4(&group, &interface).unwrap();
        socket.leave_multicast_v4(&group, &interface).unwrap();
        let std = socket.try_clone().unwrap().into_std().unwrap();
        assert_eq!((std.broadcast().unwrap(), std.ttl().unwrap()), (true, 7));
        assert_eq!((socket.multicast_loop_v4().unwrap(), socket.multicast_ttl_v4().unwrap()), (false, 3));
    });
}

#[test]
fn unix_streams_are_as_tcp_ones() {
    let folder = Folder::new();
    run(|| {
        let path = folder.path("echo");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let server = spawn(move || {
            for stream in listener.incoming().take(20) {
                let stream = stream.unwrap();
                spawn(move || {
                    io::copy(&mut &stream, &mut &stream).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                });
            }
        });
        let clients = (0..20_u8).map(|own| {
            let path = path.clone();
            spawn(move || {
                let mut stream = UnixStream::connect(&path).unwrap();
                assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
                let mut reader = stream.try_clone().unwrap();
                let bytes = vec![own; 300_000];
                let reader = spawn(move || {
                    let mut bytes = Vec::new();
                    reader.read_to_end(&mut bytes).unwrap();
                    bytes
                });
                let (first, second) = bytes.split_at(1000);
                let count = stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]).unwrap();
                stream.write_all(&bytes[count..]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert!(reader.join().unwrap() == bytes);
            })
        });
        join_all(clients.collect::<Vec<_>>());
        server.join().unwrap();
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_all(b"abcd").unwrap();
        let (mut first, mut second) = ([0; 3], [0; 3]);
        let count = other.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]);
        assert_eq!((count.unwrap(), &first, &second[..1]), (4, b"abc", &b"d"[..]));
        other.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(other.read(&mut first).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn unix_addresses_may_be_abstract() {
    run(|| {
        let name = format!("coro-sockets-{}", process::id());
        let address = unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let mut client = UnixStream::connect_addr(&address).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed());
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let nobody = unix::net::SocketAddr::from_abstract_name("coro-sockets: nobody").unwrap();
        assert_eq!(UnixStream::connect_addr(&nobody).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let unnamed = client.local_addr().unwrap();
        assert_eq!(UnixStream::connect_addr(&unnamed).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

/// The kernel says EAGAIN, and never that there is room.
#[test]
fn unix_connect_waits_for_a_listener_without_room() {
    let folder = Folder::new();
    run(|| {
        let path = folder.path("full");
        let listener = UnixListener::bind(&path).unwrap();
        socket::listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let connects = (0..5).map(|_| {
            let path = path.clone();
            spawn(move || UnixStream::connect(path).unwrap())
        });
        let connects: Vec<_> = connects.collect();
        // One has found room; the others wait, and the worker runs.
        wait_until_parked("receive", 4);
        let accepted: Vec<_> = (0..5).map(|_| listener.accept().unwrap()).collect();
        assert_eq!(join_all(connects).len(), accepted.len());
    });
}

#[test]
fn unix_datagrams_wait_for_a_receiver_without_room() {
    // More than there is room for: the kernel bounds their number (net.unix.max_dgram_qlen) and the sender's bytes.
    const MANY: u16 = 2000;
    let folder = Folder::new();
    run(|| {
        let path = folder.path("datagrams");
        let receiver = UnixDatagram::bind(&path).unwrap();
        for is_connected in [true, false] {
            let sender = UnixDatagram::unbound().unwrap();
            let path = path.clone();
            let sender = spawn(move || {
                if is_connected {
                    sender.connect(&path).unwrap();
                }
                for n in 0..MANY {
                    let bytes = n.to_be_bytes();
                    let sent = if is_connected { sender.send(&bytes) } else { sender.send_to(&bytes, &path) };
                    assert_eq!(sent.unwrap(), 2);
                }
            });
            wait_until_parked("write", 1);
            for n in 0..MANY {
                let mut buffer = [0; 9];
                let (length, peer) = receiver.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], peer.is_unnamed()), (&n.to_be_bytes()[..], true));
            }
            sender.join().unwrap();
        }
        // Who can't wait for ever says so.
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_write_timeout(Some(Duration::from_millis(30))).unwrap();
        let error = (0..MANY).find_map(|_| sender.send_to(b"x", &path).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn unix_datagram_pair_and_shutdown() {
    run(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        one.send(b"abc").unwrap();
        assert_eq!(other.recv(&mut [0; 9]).unwrap(), 3);
        let shared = Arc::new(other);
        let own = shared.clone();
        let waits = spawn(move || own.recv(&mut [0]).unwrap());
        wait_until_parked("read", 1);
        shared.shutdown(Shutdown::Read).unwrap();
        assert_eq!(waits.join().unwrap(), 0);
    });
}

#[test]
fn options_of_streams_can_be_set_and_read() {
    run(|| {
        let (client, mut server) = connection();
        assert_eq!((client.keepalive().unwrap(), client.linger().unwrap()), (None, None));
        client.set_keepalive(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(client.keepalive().unwrap(), Some(Duration::from_secs(30)));
        client.set_keepalive(None).unwrap();
        assert_eq!(client.keepalive().unwrap(), None);
        assert_eq!(client.set_keepalive(Some(Duration::MAX)).unwrap_err().kind(), ErrorKind::InvalidInput);
        client.set_send_buffer_size(20_000).unwrap();
        client.set_recv_buffer_size(30_000).unwrap();
        // The kernel doubles them.
        assert_eq!(
            (client.send_buffer_size().unwrap(), client.recv_buffer_size().unwrap()),
            (40_000, 60_000)
        );
        client.set_ttl(9).unwrap();
        assert_eq!((client.ttl().unwrap(), client.take_error().unwrap().is_none()), (9, true));
        let error = client.set_linger(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        client.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn several_listeners_share_an_address_and_each_connection_goes_to_one() {
    run(|| {
        let first = TcpListener::bind_shared(ANYWHERE).unwrap();
        let address = first.local_addr().unwrap();
        let second = TcpListener::bind_shared(address).unwrap();
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
        let accepts = [first, second].map(|listener| {
            spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.unwrap().write_all(b"x");
                }
            })
        });
        for _ in 0..50 {
            TcpStream::connect(address).unwrap().read_exact(&mut [0]).unwrap();
        }
        drop(accepts);
    });
}

#[test]
fn adopted_descriptors_have_to_be_of_the_right_kind() {
    run(|| {
        let owned = |socket: net::TcpStream| OwnedFd::from(socket);
        let listener = net::TcpListener::bind(ANYWHERE).unwrap();
        let plain = || owned(net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let mut stream = TcpStream::try_from(plain()).unwrap();
        listener.accept().unwrap().0.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let says = |error: io::Error, parts: &[&str]| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        says(
            TcpListener::try_from(plain()).unwrap_err(),
            &["adopted as a TcpListener", "another kind (stream)"],
        );
        says(
            UnixStream::try_from(plain()).unwrap_err(),
            &["adopted as a UnixStream", "another address family"],
        );
        says(UdpSocket::try_from(plain()).unwrap_err(), &["adopted as a UdpSocket", "(stream)"]);
        let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        says(TcpStream::try_from(file).unwrap_err(), &["adopted as a TcpStream", "no socket"]);
        let listener = TcpListener::try_from(OwnedFd::from(listener)).unwrap();
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        listener.accept().unwrap();
        let (one, other) = unix::net::UnixDatagram::pair().unwrap();
        let one = UnixDatagram::try_from(OwnedFd::from(one)).unwrap();
        other.send(b"x").unwrap();
        assert_eq!(one.recv(&mut [0]).unwrap(), 1);
        let other = UnixDatagram::from_std(other).unwrap().into_std().unwrap();
        assert_eq!(other.take_error().unwrap().map(|error| error.kind()), None);
    });
}

#[test]
fn names_are_addresses_wherever_one_is_wanted() {
    run(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let address = listener.local_addr().unwrap();
        let port = address.port();
        assert!(address.ip().is_loopback());
        for stream in [
            TcpStream::connect(("localhost", port)),
            TcpStream::connect(("localhost".to_owned(), port)),
            TcpStream::connect(format!("localhost:{port}")),
            TcpStream::connect(&*address.to_string()),
            TcpStream::connect_within(("localhost", port), Duration::from_secs(60)),
        ] {
            assert_eq!(stream.unwrap().peer_addr().unwrap(), address);
        }
        let error = "no name at all:80".to_socket_addrs().unwrap_err();
        assert!(error.to_string().starts_with("could not look up \"no name at all:80\": "), "{error}");
    });
}

#[test]
fn connect_within_a_time_leaves_some_for_each_address() {
    run(|| {
        // Its queue is full: the kernel doesn't answer.
        let silent = net::TcpListener::bind(ANYWHERE).unwrap();
        socket::listen(&silent, Backlog::new(0).unwrap()).unwrap();
        let silent_address = silent.local_addr().unwrap();
        let _first = net::TcpStream::connect(silent_address).unwrap();
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let alive = listener.local_addr().unwrap();
        let (_socket, dead) = dead_address();
        let timeout = Duration::from_millis(300);
        let addresses = [silent_address, dead, alive];
        let stream = TcpStream::connect_within(&addresses[..], timeout).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        let error = TcpStream::connect_within(&addresses[..2], timeout).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for part in
            ["any of 2", &format!("{silent_address}: a connect on"), &format!("{dead}: Connection refused")]
        {
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = TcpStream::connect_within(silent_address, timeout).unwrap_err();
        let start = format!("could not connect to {silent_address}: a connect on descriptor ");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().contains(" did not happen within "), "{error}");
        let none: &[SocketAddr] = &[];
        for timeout in [timeout, Duration::ZERO] {
            assert_eq!(TcpStream::connect_within(none, timeout).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    });
}
