//! What holds in a child process that a coroutine has made by `fork`: the runtime stays the parent's.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, net};

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, Group, sleep, spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::Counted;

const LONG: Duration = Duration::from_secs(1_000_000);
const CHILD: &str = "CORO_TEST_CHILD";

/// Runs one of this file's tests as a process of its own: what forks has no other test's threads beside it.
fn alone(test: &str, main: impl FnOnce()) {
    if env::var_os(CHILD).is_some() {
        main();
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    let output = child.output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{}: {}{}", output.status, said[0], said[1]);
}

/// Forks; the child does `f`, and ends with 0 if that returns `true`.
fn fork(f: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child does what the tests are about, and ends by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = catch_unwind(AssertUnwindSafe(f));
        // SAFETY: ends the child without its parent's exit handlers.
        unsafe { libc::_exit(if matches!(done, Ok(true)) { 0 } else { 9 }) };
    }
    pid
}

fn status(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status has room.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

fn says(error: &impl ToString, tried: &str) -> bool {
    let said = error.to_string();
    let is_clear = said.starts_with(tried) && said.contains("in a child process made by fork");
    if !is_clear {
        eprintln!("for {tried} it said: {said}");
    }
    is_clear
}

#[test]
fn in_the_child_each_use_of_the_runtime_is_a_clear_error_and_no_hang() {
    alone("in_the_child_each_use_of_the_runtime_is_a_clear_error_and_no_hang", || {
        for workers in [1, 2] {
            let run = || {
                let handle = spawn(|| sleep(LONG));
                let (_sender, receiver) = channel::<()>(1);
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let (group, runtime) = (Group::new(), coro::Handle::current());
                let mut set = coro::JoinSet::new();
                set.spawn(|| sleep(LONG));
                group.spawn(|| sleep(LONG));
                yield_now();
                let panics = |f: &dyn Fn(), tried: &str| {
                    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
                    says(payload.downcast_ref::<String>().unwrap(), tried)
                };
                let child = fork(|| {
                    coro::current().is_none()
                        && says(&coro::run(|| ()).unwrap_err(), "coro::run")
                        && says(&coro::CoroutineBuilder::new().spawn(|| ()).unwrap_err(), "coro::spawn")
                        && says(&runtime.spawn(|| ()).unwrap_err(), "Handle::spawn")
                        && says(&coro::stats().unwrap_err(), "coro::stats")
                        && says(&coro::defer(|| ()).unwrap_err(), "coro::defer")
                        && says(&coro::timeout(LONG, || ()).unwrap_err(), "coro::timeout")
                        && says(&handle.wait().unwrap_err(), "JoinHandle::join")
                        && says(&handle.wait_timeout(LONG).unwrap_err(), "JoinHandle::join")
                        && says(&group.wait().unwrap_err(), "a wait for a group")
                        && says(&set.join_next().unwrap().unwrap_err(), "a wait for a group")
                        // That one has been let go, so that loops end.
                        && set.join_next_timeout(LONG).is_none()
                        && says(&listener.accept().unwrap_err(), "an accept")
                        && says(&coro::wait_readable(&std::io::stdin(), None).unwrap_err(), "a read")
                        && panics(&|| sleep(LONG), "coro::sleep")
                        && panics(&yield_now, "coro::yield_now")
                        && handle.cancel().is_ok()
                        && coro::offload(|| 5) == 5
                });
                assert_eq!(status(child), 0);
                // What can't be refused ends the child.
                assert_eq!(status(fork(|| receiver.recv().is_ok())) & 0x7f, libc::SIGABRT);
                handle.cancel().unwrap();
            };
            Builder::new().workers(workers).run(run).unwrap();
        }
    });
}

#[test]
fn childs_drops_take_no_socket_from_the_parent_who_gets_all_its_events() {
    alone("childs_drops_take_no_socket_from_the_parent_who_gets_all_its_events", || {
        for workers in [1, 2] {
            let run = || {
                let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                let mut pairs: Vec<(TcpStream, net::TcpStream)> = (0..20)
                    .map(|_| {
                        let here = TcpStream::from_std(net::TcpStream::connect(address).unwrap()).unwrap();
                        (here, listener.accept().unwrap().0)
                    })
                    .collect();
                // Registered in the epoll set, since each waits once.
                let echo = |pairs: &mut Vec<(TcpStream, net::TcpStream)>| {
                    coro::scope(|scope| {
                        for (here, _) in pairs.iter() {
                            scope.spawn(move || {
                                let (mut here, mut byte) = (here, [0]);
                                here.read_exact(&mut byte).unwrap();
                                assert_eq!(byte, *b"e");
                            });
                        }
                        yield_now();
                        for (_, mut peer) in pairs.iter().map(|(here, peer)| (here, peer)) {
                            peer.write_all(b"e").unwrap();
                        }
                    });
                };
                echo(&mut pairs);
                let mut mine = Some(pairs);
                let child = fork(|| {
                    drop(mine.take());
                    true
                });
                assert_eq!(status(child), 0);
                let mut pairs = mine.unwrap();
                echo(&mut pairs);
                echo(&mut pairs);
            };
            Builder::new().workers(workers).run(run).unwrap();
        }
    });
}

#[test]
fn child_that_returns_from_main_unwinds_nothing_and_joins_nobody() {
    alone("child_that_returns_from_main_unwinds_nothing_and_joins_nobody", || {
        for workers in [1, 2] {
            let dropped = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let value = Counted(dropped.clone());
            let pid = Builder::new()
                .workers(workers)
                .run(|| {
                    let parked = spawn(move || {
                        let _value = value;
                        sleep(LONG);
                    });
                    (0..3).for_each(|_| yield_now());
                    drop(parked);
                    // SAFETY: the child returns from here, and ends by `_exit` below.
                    unsafe { libc::fork() }
                })
                .unwrap();
            let count = dropped.load(std::sync::atomic::Ordering::SeqCst);
            if pid == 0 {
                // SAFETY: ends the child.
                unsafe { libc::_exit(count as i32) };
            }
            assert_eq!((status(pid), count), (0, 1));
        }
    });
}

#[test]
fn child_execs_and_one_that_comes_to_its_coroutines_end_dies_and_says_so() {
    alone("child_execs_and_one_that_comes_to_its_coroutines_end_dies_and_says_so", || {
        coro::run(|| {
            let lock = Arc::new(Mutex::new(()));
            let executing = spawn(move || {
                let _guard = lock.lock().unwrap();
                let pid = fork(|| {
                    use std::os::unix::process::CommandExt;
                    drop(Command::new("true").exec());
                    false
                });
                status(pid)
            });
            assert_eq!(executing.join().unwrap(), 0);
            // SAFETY: the child comes to the end of its coroutine, which ends it.
            let returning = spawn(|| unsafe { libc::fork() });
            let pid = returning.join().unwrap();
            assert_eq!(status(pid) & 0x7f, libc::SIGABRT);
            sleep(Duration::from_millis(1));
        })
        .unwrap();
    });
}
