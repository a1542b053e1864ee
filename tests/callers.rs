//! Who misuses the library is told his own line: what panics names its caller's place, and not one in the library.

use std::net::Ipv4Addr;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use coro::net::{BufferedSender, TcpListener, TcpStream};
use coro::sync::{Once, Semaphore};
use coro::{CoroutineBuilder, Group, Pool, StreamServer};
use pretty_assertions::assert_eq;

/// Where the last panic was.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// The file in which `f` panics.
#[track_caller]
fn file_of_panic<T>(f: impl FnOnce() -> T) -> String {
    PLACE.lock().unwrap().clear();
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "it has to panic");
    PLACE.lock().unwrap().clone()
}

macro_rules! assert_names_the_caller {
    ($($call:expr),* $(,)?) => {$(
        assert_eq!(file_of_panic(|| $call), file!(), "{}", stringify!($call));
    )*};
}

/// One test, since they share the hook.
#[test]
fn panic_names_the_callers_line() {
    panic::set_hook(Box::new(|info| {
        *PLACE.lock().unwrap() = info.location().unwrap().file().to_owned();
    }));
    const SOON: Duration = Duration::from_millis(1);
    let group = Group::new();
    let pool = Pool::new(1);
    let mut ticks = coro::time::interval(SOON);
    assert_names_the_caller!(
        coro::spawn(|| ()),
        coro::spawn_local(|| ()),
        coro::spawn_after(SOON, || ()),
        coro::yield_now(),
        coro::sleep(SOON),
        coro::sleep(Duration::ZERO),
        coro::time::sleep_until(Instant::now() + SOON),
        coro::time::interval(Duration::ZERO),
        ticks.tick(),
        group.spawn(|| ()),
        pool.spawn(|| ()),
        coro::JoinSet::new().spawn(|| ()),
        coro::Handle::current(),
        pool.map([1], |n| n),
        Pool::new(0),
        coro::scope(|scope| scope.spawn(|| ()).id()),
        coro::offload(|| panic!("its own")),
        Semaphore::new(usize::MAX).release(1),
    );
    let failed = Once::new();
    let _ = catch_unwind(AssertUnwindSafe(|| failed.call_once(|| panic!("once"))));
    assert_names_the_caller!(failed.call_once(|| ()), failed.wait());
    coro::run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let sender = BufferedSender::new(stream);
        assert_names_the_caller!(
            sender.set_watermarks(2, 1),
            StreamServer::new(listener, |_, _| ()).max_connections(0),
            coro::scope(|scope| {
                CoroutineBuilder::new().spawn_scoped(scope, || panic!("in the scope")).unwrap();
            }),
        );
    })
    .unwrap();
    // Its own panics are as they were.
    let _ = panic::take_hook();
}
