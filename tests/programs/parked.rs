//! A coroutine for each thing that can be waited for, all waiting: what a reader of the registry is tested on.
//!
//! Prints `parked` when all others wait; then main waits too, for ever.

use std::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use std::io::Read;

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, CoroutineBuilder, JoinHandle};

const FOR_EVER: Duration = Duration::MAX;

/// How many coroutines have come to where they wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    // A small region makes a small core.
    Builder::new().max_coroutines(64).run(park_all).unwrap();
}

fn park_all() {
    let mutex = Arc::new(Mutex::new(()));
    let contended = mutex.clone();
    let (sender, _receiver) = channel(1);
    sender.send(()).unwrap();
    let (_sender, receiver) = channel::<()>(1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (stream, _peer) = connection();

    let sleeper = spawn("sleeper", move || sleep_with(&mutex)); // line SLEEPER
    spawn("locker", move || drop(waiting(|| contended.lock()))); // line LOCKER
    spawn("joiner", move || waiting(|| sleeper.join()).unwrap()); // line JOINER
    spawn("receiver", move || waiting(|| receiver.recv()).unwrap()); // line RECEIVER
    spawn("sender", move || waiting(|| sender.send(())).unwrap()); // line SENDER
    spawn("acceptor", move || drop(waiting(|| listener.accept()))); // line ACCEPTOR
    spawn("reader", move || drop(waiting(|| (&stream).read(&mut [0])))); // line READER

    while WAITING.load(Ordering::Relaxed) < 7 {
        coro::yield_now();
    }
    println!("parked");
    coro::sleep(FOR_EVER);
}

#[track_caller]
fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    CoroutineBuilder::new().name(name).spawn(f).unwrap()
}

/// Waits by `f`. No other coroutine runs between the count and the wait, so main sees who waits.
fn waiting<T>(f: impl FnOnce() -> T) -> T {
    WAITING.fetch_add(1, Ordering::Relaxed);
    f()
}

fn sleep_with(mutex: &Mutex<()>) {
    let _guard = mutex.lock().unwrap();
    waiting(|| coro::sleep(FOR_EVER));
}

/// A connection on which nothing comes.
fn connection() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (TcpStream::from_std(listener.accept().unwrap().0).unwrap(), peer)
}
