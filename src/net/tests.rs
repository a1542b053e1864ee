//! What a debugger is told of file descriptors.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, Backlog};

use super::registered::Registered;
use super::told::Told;
use super::{TcpListener, TcpStream};
use crate::abi::objects::Role;
use crate::abi::wait::WaitReason;
use crate::registry;
use crate::registry::descriptors::{self, Address};
use crate::stack::region;
use crate::{spawn, yield_now};

const ANYWHERE: &str = "127.0.0.1:0";

fn own_id() -> u64 {
    crate::current().unwrap().id().as_u64()
}

fn role(fd: &impl AsRawFd) -> u32 {
    role_of(fd.as_raw_fd())
}

fn role_of(number: RawFd) -> u32 {
    region::get().unwrap().descriptor(number as usize).unwrap().role.load(Acquire)
}

/// Role, address and last user.
fn told(fd: &impl AsRawFd) -> (u32, Option<SocketAddr>, u64) {
    let row = region::get().unwrap().descriptor(fd.as_raw_fd() as usize).unwrap();
    let role = row.role.load(Acquire);
    let bytes: Vec<u8> = row.address.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    let address = match (row.address_length.load(Relaxed), u16::from_ne_bytes([bytes[0], bytes[1]]).into()) {
        (0, _) => None,
        (16, libc::AF_INET) => Some(([bytes[4], bytes[5], bytes[6], bytes[7]], port).into()),
        (28, libc::AF_INET6) => Some((<[u8; 16]>::try_from(&bytes[8..24]).unwrap(), port).into()),
        other => panic!("length and family: {other:?}"),
    };
    (role, address, row.last_user.load(Relaxed))
}

const STREAM: u32 = Role::Stream as u32;
const LISTENER: u32 = Role::Listener as u32;

#[test]
fn both_ends_of_a_connection_and_the_listener_are_told() {
    for at in [ANYWHERE, "[::1]:0"] {
        // Containers often have no address of version 6.
        let errno = net::TcpListener::bind(at).err().and_then(|error| error.raw_os_error());
        if let (Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT), "[::1]:0") = (errno, at) {
            println!("there is no {at} here: it is left out");
            continue;
        }
        crate::run(|| {
            let me = own_id();
            let listener = TcpListener::bind(at).unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(told(&listener), (LISTENER, Some(address), me));
            let connects = spawn(move || (TcpStream::connect(address).unwrap(), own_id()));
            let (server, peer) = listener.accept().unwrap();
            assert_eq!(told(&server), (STREAM, Some(peer), me));
            let (client, id) = connects.join().unwrap();
            assert_eq!(told(&client), (STREAM, Some(address), id));
            assert_eq!(client.local_addr().unwrap(), peer);
        })
        .unwrap();
    }
}

#[test]
fn connection_that_is_not_made_yet_has_its_peers_address() {
    let listener = net::TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap();
    // Room for one: when that waits to be accepted, the kernel answers nobody else.
    socket::listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let _first = net::TcpStream::connect(address).unwrap();
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    crate::run(|| {
        let connects = spawn(move || TcpStream::connect(address).map(drop));
        yield_now();
        let id = connects.id().as_u64();
        let record = registry::iterate(region::get().unwrap()).find(|record| record.id() == id).unwrap();
        assert_eq!(record.wait_reason.load(Relaxed), WaitReason::Connect as u32);
        let number = record.wait_object.load(Relaxed) as RawFd;
        assert_eq!(told(&number), (STREAM, Some(address), id));
        // main returns, and ends it.
    })
    .unwrap();
}

#[test]
fn last_user_is_the_one_that_waited_last() {
    crate::run(|| {
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = Arc::new(listener.accept().unwrap().0);
        assert_eq!(told(&*server).2, own_id(), "it was accepted");
        let readers = [(); 2].map(|()| {
            let server = server.clone();
            spawn(move || (&*server).read(&mut [0]).unwrap())
        });
        yield_now();
        assert_eq!(told(&*server).2, readers[1].id().as_u64());
        client.write_all(b"12").unwrap();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 1);
        }
        let again = server.clone();
        let reader = spawn(move || (&*again).read(&mut [0]).unwrap());
        yield_now();
        assert_eq!(told(&*server).2, reader.id().as_u64());
        client.write_all(b"3").unwrap();
        reader.join().unwrap();
    })
    .unwrap();
}

#[test]
fn sockets_of_std_are_asked_and_given_back() {
    crate::run(|| {
        let listener = net::TcpListener::bind(ANYWHERE).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::from_std(net::TcpStream::connect(address).unwrap()).unwrap();
        assert_eq!(told(&client), (STREAM, Some(address), own_id()));
        let clone = client.try_clone().unwrap();
        assert_eq!(told(&clone), (STREAM, Some(address), own_id()));
        // Not closed, so that nobody else gets the numbers meanwhile.
        let client = client.into_std().unwrap();
        assert_eq!(role(&client), Role::None as u32);
        let clone = clone.into_raw_fd();
        assert_eq!(role_of(clone), Role::None as u32);
        // SAFETY: it was given out just now, and to nobody else.
        drop(unsafe { OwnedFd::from_raw_fd(clone) });
        let listener = TcpListener::from_std(listener).unwrap();
        assert_eq!(told(&listener), (LISTENER, Some(address), own_id()));
        let listener = OwnedFd::from(listener);
        assert_eq!(role(&listener), Role::None as u32);
    })
    .unwrap();
}

/// A listener that looks, when it is closed, whether it has a role.
struct Looks(net::TcpListener, Rc<Cell<Option<u32>>>);

impl AsFd for Looks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Told for Looks {
    const ROLE: Role = Role::Listener;
    fn ask_address(&self) -> Option<Address> {
        self.0.local_addr().ok().map(Address::from)
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.1.set(Some(role(&self.0)));
    }
}

#[test]
fn closed_descriptor_has_no_role_before_its_number_is_free() {
    crate::run(|| {
        let seen = Rc::new(Cell::new(None));
        let looks = || Looks(net::TcpListener::bind(ANYWHERE).unwrap(), seen.clone());
        let dropped = Registered::new(looks(), None);
        assert_eq!(role(&dropped.0), LISTENER);
        drop(dropped);
        assert_eq!(seen.take(), Some(Role::None as u32));
        drop(Registered::new(looks(), None).into_inner());
        assert_eq!(seen.take(), Some(Role::None as u32));
    })
    .unwrap();
}

#[test]
fn socket_used_outside_a_runtime_is_of_no_coroutine() {
    crate::run(|| ()).unwrap();
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(told(&listener), (LISTENER, Some(address), 0));
    let listener = thread::spawn(move || {
        crate::run(move || {
            let accepts = spawn(move || {
                let _ = listener.accept().unwrap();
                (listener, own_id())
            });
            yield_now();
            let id = accepts.id().as_u64();
            drop(net::TcpStream::connect(address).unwrap());
            let (listener, own) = accepts.join().unwrap();
            assert_eq!(own, id);
            assert_eq!(told(&listener), (LISTENER, Some(address), id));
            listener
        })
        .unwrap()
    });
    listener.join().unwrap();
}

#[test]
fn numbers_without_a_row_are_not_recorded() {
    crate::run(|| ()).unwrap();
    let count = region::get().unwrap().geometry.descriptor_count as RawFd;
    for number in [-1, RawFd::MIN, count, RawFd::MAX] {
        assert!(region::get().unwrap().descriptor(number as usize).is_none());
        descriptors::open(number, Role::Stream, || unreachable!("nobody is told"), 1);
        descriptors::wait(number, Role::Stream, || unreachable!("nobody is told"), 1);
        descriptors::close(number);
    }
    assert!(region::get().unwrap().descriptor(count as usize - 1).is_some());
}
