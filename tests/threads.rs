//! Coroutines and OS threads: handles, locks, channels and sockets that go from one thread to another, and several
//! runtimes at once.

use std::io::{Read, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, Receiver, Sender, channel};
use coro::{JoinHandle, run, spawn, yield_now};
use pretty_assertions::assert_eq;

const LONG: Duration = Duration::from_secs(1_000_000);

/// Runs a function in a runtime on a thread of its own.
fn runtime<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::spawn(move || run(main).unwrap())
}

#[test]
fn plain_thread_joins_a_coroutine() {
    let (hand_over, handles) = mpsc::channel::<[JoinHandle<u32>; 3]>();
    let (go, wait) = channel(1);
    let (finish, end) = channel::<()>(1);
    let runtime = runtime(move || {
        let value = spawn(move || wait.recv().unwrap());
        let panic = spawn(|| std::panic::resume_unwind(Box::new("payload")));
        let cancelled = spawn(|| {
            coro::sleep(LONG);
            0
        });
        hand_over.send([value, panic, cancelled]).unwrap();
        end.recv().unwrap();
    });
    let [value, panic, cancelled] = handles.recv().unwrap();
    let payload = panic.join().unwrap_err().try_into_panic().unwrap();
    assert_eq!(payload.downcast_ref(), Some(&"payload"));
    go.send(1).unwrap();
    assert_eq!(value.join().unwrap(), 1);
    finish.send(()).unwrap();
    assert!(cancelled.join().unwrap_err().is_cancelled(), "main returned");
    runtime.join().unwrap();
}

#[test]
fn plain_thread_blocks_in_join_until_the_value_is_there() {
    for n in 0..200 {
        let (hand_over, handles) = mpsc::channel();
        let (go, wait) = channel(1);
        let runtime = runtime(move || {
            let other = spawn(move || wait.recv().unwrap() + 1);
            let waits = spawn(move || other.join().unwrap() + 1);
            hand_over.send(waits).unwrap();
            // The end of main would cancel what it has handed over.
            while coro::stats().unwrap().alive > 0 {
                coro::sleep(Duration::from_micros(200));
            }
        });
        let handle: JoinHandle<i32> = handles.recv().unwrap();
        let sender = thread::spawn(move || go.send(n).unwrap());
        assert_eq!(handle.join().unwrap(), n + 2);
        sender.join().unwrap();
        runtime.join().unwrap();
    }
}

#[test]
fn coroutine_joins_one_of_another_runtime() {
    let (hand_over, handles) = mpsc::channel::<JoinHandle<u32>>();
    let (go, wait) = channel(1);
    let (done, end) = channel::<()>(1);
    let first = runtime(move || {
        hand_over.send(spawn(move || wait.recv().unwrap())).unwrap();
        end.recv().unwrap();
    });
    run(|| {
        let handle = handles.recv().unwrap();
        let joiner = spawn(move || handle.join().unwrap());
        yield_now();
        assert!(!joiner.is_finished());
        go.send(5).unwrap();
        assert_eq!(joiner.join().unwrap(), 5);
        done.send(()).unwrap();
    })
    .unwrap();
    first.join().unwrap();
}

/// Sends back what comes, plus one.
fn echo(receiver: Receiver<u64>, sender: Sender<u64>) {
    receiver.iter().for_each(|n| sender.send(n + 1).unwrap());
}

/// Sends numbers one at a time, each when the last has come back.
fn ping(sender: Sender<u64>, receiver: Receiver<u64>, count: u64) {
    for n in 0..count {
        sender.send(n).unwrap();
        assert_eq!(receiver.recv(), Ok(n + 1));
    }
}

/// The ends for both: what `ping` needs, and what `echo` needs.
type Ends = (Sender<u64>, Receiver<u64>);

fn crossed() -> (Ends, Ends) {
    let ((to, from_here), (back, from_there)) = (channel(1), channel(1));
    ((to, from_there), (back, from_here))
}

/// More than enough for a lost wake-up to show: each round puts both sides to sleep.
const ROUNDS: u64 = 5000;

#[test]
fn thread_and_parked_coroutine_wake_each_other_over_channels() {
    let ((to, from_there), (back, from_here)) = crossed();
    let thread = thread::spawn(move || echo(from_here, back));
    run(|| spawn(move || ping(to, from_there, ROUNDS)).join().unwrap()).unwrap();
    thread.join().unwrap();
}

#[test]
fn two_runtimes_wake_each_other_over_channels() {
    let ((to, from_there), (back, from_here)) = crossed();
    let other = runtime(move || spawn(move || echo(from_here, back)).join().unwrap());
    run(|| {
        let busy = spawn(|| (0..1000).for_each(|_| yield_now()));
        spawn(move || ping(to, from_there, ROUNDS)).join().unwrap();
        busy.join().unwrap();
    })
    .unwrap();
    other.join().unwrap();
}

#[test]
fn threads_and_coroutines_of_two_runtimes_exclude_each_other_by_one_mutex() {
    let total = Arc::new(Mutex::new(0_u64));
    let add = |total: &Mutex<u64>, pause: fn()| {
        for _ in 0..500 {
            let mut total = total.lock().unwrap();
            let before = *total;
            pause();
            *total = before + 1;
        }
    };
    let threads = [(); 2].map(|()| {
        let total = total.clone();
        thread::spawn(move || add(&total, thread::yield_now))
    });
    let runtimes = [(); 2].map(|()| {
        let total = total.clone();
        runtime(move || {
            let adders: Vec<_> = (0..4)
                .map(|_| {
                    let total = total.clone();
                    spawn(move || add(&total, yield_now))
                })
                .collect();
            adders.into_iter().for_each(|adder| adder.join().unwrap());
        })
    });
    threads.into_iter().chain(runtimes).for_each(|thread| thread.join().unwrap());
    assert_eq!(*total.lock().unwrap(), 500 * (2 + 2 * 4));
}

/// Both ends of a connection, made in the caller's runtime or outside one.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn two_runtimes_talk_over_tcp() {
    let (say_where, place) = mpsc::channel();
    let server = runtime(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        say_where.send(listener.local_addr().unwrap()).unwrap();
        for stream in listener.incoming().take(20) {
            let mut stream = stream.unwrap();
            spawn(move || std::io::copy(&mut &stream.try_clone().unwrap(), &mut stream).unwrap());
        }
        while coro::stats().unwrap().alive > 0 {
            coro::sleep(Duration::from_micros(200));
        }
    });
    let address = place.recv().unwrap();
    run(|| {
        let clients: Vec<_> = (0..20_u8)
            .map(|n| {
                spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    for round in 0..50 {
                        stream.write_all(&[n, round]).unwrap();
                        let mut answer = [0; 2];
                        stream.read_exact(&mut answer).unwrap();
                        assert_eq!(answer, [n, round]);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    })
    .unwrap();
    server.join().unwrap();
}

#[test]
fn stream_of_one_runtime_is_used_in_another_while_the_first_lives_and_after_its_end() {
    let (hand_over, streams) = mpsc::channel::<(TcpStream, TcpStream)>();
    let (finish, end) = channel::<()>(1);
    let first = runtime(move || {
        let (mut client, mut server) = run_ping(connection());
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        hand_over.send((client, server)).unwrap();
        end.recv().unwrap();
    });
    run(|| {
        let ends = run_ping(streams.recv().unwrap());
        let (client, server) = (Arc::new(ends.0), ends.1);
        // It waits by the first one's epoll set when that ends, and has to be told to find another.
        let reader = client.clone();
        let waits = spawn(move || {
            let mut byte = [0];
            (&*reader).read_exact(&mut byte).unwrap();
            byte[0]
        });
        yield_now();
        finish.send(()).unwrap();
        first.join().unwrap();
        (&server).write_all(&[7]).unwrap();
        assert_eq!(waits.join().unwrap(), 7);
        run_ping((Arc::into_inner(client).unwrap(), server));
    })
    .unwrap();
}

/// Sends bytes to and fro, so that both ends wait.
fn run_ping(ends: (TcpStream, TcpStream)) -> (TcpStream, TcpStream) {
    let (client, mut server) = ends;
    let echo = spawn(move || {
        for _ in 0..20 {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            server.write_all(&byte).unwrap();
        }
        server
    });
    for n in 0..20 {
        let mut byte = [0];
        (&client).write_all(&[n]).unwrap();
        (&client).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [n]);
    }
    (client, echo.join().unwrap())
}

#[test]
fn two_runtimes_read_and_write_one_stream() {
    let (client, server) = run(connection).unwrap();
    let client = Arc::new(client);
    let reader = client.clone();
    const LENGTH: usize = 3 << 20;
    let reading = runtime(move || {
        let mut bytes = vec![0; LENGTH];
        (&*reader).read_exact(&mut bytes).unwrap();
        bytes.iter().all(|byte| *byte == 5)
    });
    let echoing = runtime(move || std::io::copy(&mut (&server).take(LENGTH as u64), &mut &server).unwrap());
    run(|| (&*client).write_all(&vec![5; LENGTH]).unwrap()).unwrap();
    assert!(reading.join().unwrap());
    assert_eq!(echoing.join().unwrap(), LENGTH as u64);
}

#[test]
fn runtimes_come_and_go_on_many_threads_and_leave_each_other_alone() {
    let threads = [(); 4].map(|()| {
        thread::spawn(|| {
            for round in 0..150_usize {
                let handles = run(|| {
                    let handles: Vec<_> = (0..20)
                        .map(|n| {
                            spawn(move || {
                                (0..n).for_each(|_| yield_now());
                                round * 100 + n
                            })
                        })
                        .collect();
                    (0..10).for_each(|_| yield_now());
                    spawn(|| coro::sleep(LONG));
                    handles.iter().for_each(|handle| handle.wait().unwrap());
                    spawn(|| unreachable!("main returns before"));
                    handles
                });
                for (n, handle) in handles.unwrap().into_iter().enumerate() {
                    assert_eq!(handle.join().unwrap(), round * 100 + n);
                }
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
