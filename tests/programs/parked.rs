//! A coroutine for each thing that can be waited for, all waiting: what a reader of the registry is tested on.
//!
//! Prints `parked` when all others wait; then main waits too, for ever.

use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, CoroutineBuilder, JoinHandle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Backlog, listen};

const FOR_EVER: Duration = Duration::MAX;

/// How many coroutines have come to where they wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    // Before there is a runtime, or its region.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A small region makes a small core.
    Builder::new().max_coroutines(64).run(|| park_all(listener)).unwrap();
}

fn park_all(listener: TcpListener) {
    let mutex = Arc::new(Mutex::new(()));
    let contended = mutex.clone();
    let (sender, _receiver) = channel(1);
    sender.send(()).unwrap();
    let (_sender, receiver) = channel::<()>(1);
    let (stream, _peer) = connection();
    let (full, _silent) = connection();
    let (deaf, _listener, _first) = listener_that_does_not_answer();

    let sleeper = spawn("sleeper", move || sleep_with(&mutex)); // line SLEEPER
    spawn("locker", move || drop(waiting(|| contended.lock()))); // line LOCKER
    spawn("joiner", move || waiting(|| sleeper.join()).unwrap()); // line JOINER
    spawn("receiver", move || waiting(|| receiver.recv()).unwrap()); // line RECEIVER
    spawn("sender", move || waiting(|| sender.send(())).unwrap()); // line SENDER
    spawn("acceptor", move || drop(waiting(|| listener.accept()))); // line ACCEPTOR
    spawn("reader", move || drop(waiting(|| (&stream).read(&mut [0])))); // line READER
    spawn("writer", move || waiting(|| write_until_full(&full))); // line WRITER
    spawn("connector", move || waiting(|| connect_for_ever(deaf))); // line CONNECTOR

    while WAITING.load(Ordering::Relaxed) < 9 {
        coro::yield_now();
    }
    println!("parked");
    coro::sleep(FOR_EVER);
}

#[track_caller]
fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    CoroutineBuilder::new().name(name).spawn(f).unwrap()
}

/// Waits by `f`. No other coroutine runs between the count and the wait, so main sees who waits; but the writer, who
/// gives way now and then until nothing fits any more: the process sleeps only after that.
fn waiting<T>(f: impl FnOnce() -> T) -> T {
    WAITING.fetch_add(1, Ordering::Relaxed);
    f()
}

fn sleep_with(mutex: &Mutex<()>) {
    let _guard = mutex.lock().unwrap();
    waiting(|| coro::sleep(FOR_EVER));
}

/// Writes more than the kernel takes, to a peer who doesn't read.
fn write_until_full(mut stream: &TcpStream) {
    loop {
        stream.write_all(&[0; 4096]).unwrap();
    }
}

/// Waits for a connection; and again, when the kernel has given it up after two minutes.
fn connect_for_ever(address: SocketAddr) {
    while TcpStream::connect(address).is_err() {}
}

/// A listener with room for one connection that waits to be accepted, and that one: the kernel answers nobody else.
fn listener_that_does_not_answer() -> (SocketAddr, net::TcpListener, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let first = net::TcpStream::connect(address).unwrap();
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    (address, listener, first)
}

/// A connection on which nothing comes.
fn connection() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (TcpStream::from_std(listener.accept().unwrap().0).unwrap(), peer)
}
