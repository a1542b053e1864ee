//! A buffered sender keeps its promises: it returns at once below the high watermark, waits above it until the low one,
//! loses nothing silently, and costs no more than it says.

#[path = "support/runtimes.rs"]
mod runtimes;
#[path = "support/tcp.rs"]
mod tcp;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use coro::net::{BufferedSender, Crossing, TcpListener, TcpStream, UnixStream};
use coro::{spawn, yield_now};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pretty_assertions::assert_eq;

use runtimes::wait_until_parked;
use tcp::{ANYWHERE, connection, join_all, run};

/// The heap, counted: bytes in use.
struct Counted;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), SeqCst);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static HEAP: Counted = Counted;

/// The tests measure the process, or its counters: one at a time.
fn turn() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn alone<T>(test: impl FnOnce() -> T) -> T {
    let _turn = turn();
    run(test)
}

#[test]
fn sender_waits_at_the_high_mark_until_the_low_one() {
    alone(|| {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let sender = Arc::new(BufferedSender::new(stream));
        // Wide apart: the kernel takes some hundred kilobytes at a time.
        sender.set_watermarks(500_000, 2_000_000);
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = told.clone();
        sender.on_crossing(move |crossing| notes.lock().unwrap().push(crossing));
        // What the kernel takes is not buffered.
        while sender.buffered() == 0 {
            sender.send(&[1; 10_000]).unwrap();
        }
        while sender.buffered() < 2_000_000 {
            assert_eq!((sender.crossings(), told.lock().unwrap().len()), ((0, 0), 0));
            sender.send(&[1; 10_000]).unwrap();
        }
        assert_eq!((sender.crossings(), &**told.lock().unwrap()), ((1, 0), &[Crossing::Above][..]));
        let (own, full) = (sender.clone(), sender.buffered());
        assert!(full < 2_010_000, "{full}");
        let waits = spawn(move || {
            own.send(&[2; 10_000]).unwrap();
            own.buffered()
        });
        wait_until_parked("write", 1);
        // Drained a little it waits on: not before the low mark it is woken.
        let mut taken = 0;
        while !waits.is_finished() {
            taken += peer.read(&mut [0; 7000]).unwrap();
            if sender.buffered() > 500_000 && !waits.is_finished() {
                assert_eq!(sender.crossings().1, 0);
            }
            yield_now();
        }
        assert!(waits.join().unwrap() <= 510_000);
        assert_eq!(*told.lock().unwrap(), [Crossing::Above, Crossing::Below]);
        // The rest of what left the buffer lies in the kernel, which takes more in large pieces than in small ones.
        assert!(taken >= 1_200_000, "{taken}");
        let reader = spawn(move || {
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).unwrap();
            rest
        });
        sender.flush().unwrap();
        assert_eq!(sender.buffered(), 0);
        drop(sender);
        let rest = reader.join().unwrap();
        assert!(rest.ends_with(&[2; 10_000]) && rest[..rest.len() - 10_000].iter().all(|byte| *byte == 1));
    });
}

#[test]
fn bytes_arrive_in_order_through_any_marks_and_two_workers() {
    let _turn = turn();
    for workers in [1, 2] {
        let received = coro::Builder::new().workers(workers).run(|| {
            let (client, server) = connection();
            let reader = spawn(move || {
                let mut bytes = Vec::new();
                let mut buffer = [0; 3001];
                while let n @ 1.. = (&server).read(&mut buffer).unwrap() {
                    bytes.extend_from_slice(&buffer[..n]);
                    if bytes.len() % 7 == 0 {
                        yield_now();
                    }
                }
                bytes
            });
            let writer = spawn(move || {
                let mut sender = BufferedSender::new(client);
                let mut next = 0_u32;
                for round in 0..2000_u32 {
                    if round % 100 == 0 {
                        let high = 1 + (round as usize * 37) % 9000;
                        sender.set_watermarks(high / 3, high);
                    }
                    let message: Vec<u8> = (0..round * 13 % 700).map(|n| ((next + n) % 251) as u8).collect();
                    next += message.len() as u32;
                    sender.write_all(&message).unwrap();
                }
                let stream = sender.close().unwrap();
                drop(stream);
                next
            });
            (reader.join().unwrap(), writer.join().unwrap())
        });
        let (bytes, count) = received.unwrap();
        assert_eq!(bytes.len(), count as usize);
        assert!(bytes.iter().zip(0_u32..).all(|(byte, n)| *byte == (n % 251) as u8));
    }
}

#[test]
fn thousand_peers_that_never_read_cost_the_high_mark_and_a_message_each() {
    const PEERS: usize = 1000;
    const HIGH: usize = 32 * 1024;
    const MESSAGE: usize = 10_000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    alone(|| {
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let address = listener.local_addr().unwrap();
        let mut ends = Vec::new();
        for _ in 0..PEERS {
            let client = TcpStream::connect(address).unwrap();
            let server = Arc::new(listener.accept().unwrap().0);
            // So that it is the sender that holds most of what isn't read.
            server.set_send_buffer_size(4096).unwrap();
            client.set_recv_buffer_size(4096).unwrap();
            ends.push((client, server));
        }
        let before = IN_USE.load(SeqCst);
        let senders: Vec<_> = ends
            .iter()
            .map(|(_, server)| {
                let sender = Arc::new(BufferedSender::new(server.clone()));
                sender.set_watermarks(HIGH / 4, HIGH);
                let own = sender.clone();
                let sends = spawn(move || {
                    let message = [5; MESSAGE];
                    // Until the end of the test: nobody reads.
                    while own.send(&message).is_ok() {}
                });
                (sender, sends)
            })
            .collect();
        wait_until_parked("write", PEERS);
        let each = (IN_USE.load(SeqCst) - before) / PEERS;
        let most = senders.iter().map(|(sender, _)| sender.buffered()).max().unwrap();
        let held = senders.iter().map(|(sender, _)| sender.buffered()).sum::<usize>() / PEERS;
        println!("{each} bytes of heap for each peer, {held} of them buffered; {most} buffered at most");
        assert!(held <= each, "the heap is not counted");
        assert!((HIGH..HIGH + MESSAGE).contains(&most), "{most} bytes buffered");
        // With the coroutine's own, its handle, and half a piece that is not full.
        assert!(each < HIGH + MESSAGE + 4096, "{each} bytes of heap for each of {PEERS} peers");
        // The others are not held up, and who drains one resumes its sender.
        let count = senders[7].0.crossings().0;
        while senders[7].0.crossings().0 == count {
            assert!((&ends[7].0).read(&mut [0; 16_384]).unwrap() > 0);
            yield_now();
        }
        let (above, below) = senders[7].0.crossings();
        // It went on at a low mark after each high one; and may have been drained once more since.
        assert!(above > count && below >= count && above - below <= 1, "{above} times up, {below} down");
        for (sender, _) in &senders {
            sender.get_ref().close();
            sender.set_linger(Duration::from_millis(1));
        }
        for (sender, sends) in senders {
            // A write to a closed socket ends the sender.
            drop(sender);
            drop(sends);
        }
    });
}

#[test]
fn what_was_not_sent_at_the_end_is_told_and_counted() {
    alone(|| {
        let before = BufferedSender::<TcpStream>::unsent();
        let (stream, peer) = UnixStream::pair().unwrap();
        let sender = BufferedSender::new(stream);
        sender.set_linger(Duration::from_millis(5));
        while sender.buffered() < 10_000 {
            sender.send(&[1; 1000]).unwrap();
        }
        let buffered = sender.buffered();
        let unsent = sender.close().unwrap_err();
        assert_eq!(unsent.bytes(), buffered);
        assert!(
            unsent.to_string().contains("buffered bytes were not sent: the peer on descriptor"),
            "{unsent}"
        );
        assert_eq!(std::io::Error::from(unsent).kind(), ErrorKind::TimedOut);
        assert_eq!(BufferedSender::<TcpStream>::unsent() - before, buffered as u64);
        drop(peer);

        // A peer that reads late gets everything, by dropping too.
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let sender = BufferedSender::new(stream);
        let message = vec![9; 500_000];
        sender.send(&message).unwrap();
        let reader = spawn(move || {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).map(|_| bytes)
        });
        drop(sender);
        assert!(reader.join().unwrap().unwrap() == message);
        assert_eq!(BufferedSender::<TcpStream>::unsent() - before, buffered as u64);
    });
}

#[test]
fn peer_that_goes_wakes_the_sender_with_an_error() {
    alone(|| {
        let (stream, peer) = UnixStream::pair().unwrap();
        let sender = Arc::new(BufferedSender::new(stream));
        sender.set_linger(Duration::from_millis(1));
        let waits = [true, false].map(|sends| {
            let sender = sender.clone();
            spawn(move || {
                loop {
                    let done = if sends { sender.send(&[1; 9000]) } else { sender.flush() };
                    match done {
                        Ok(()) => yield_now(),
                        Err(error) => return (error.kind(), error.to_string()),
                    }
                }
            })
        });
        wait_until_parked("write", 2);
        drop(peer);
        for (kind, text) in join_all(waits) {
            assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
            assert!(text.contains("buffered bytes were not sent"), "{text}");
        }
        assert!(matches!(
            sender.send(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ));
    });
}

#[test]
fn send_that_waits_too_long_takes_nothing() {
    alone(|| {
        let (stream, _peer) = UnixStream::pair().unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        let sender = BufferedSender::new(stream);
        sender.set_linger(Duration::ZERO);
        let error = std::iter::repeat_with(|| sender.send(&[1; 10_000])).find_map(Result::err).unwrap();
        let buffered = sender.buffered();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(sender.send(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(sender.flush().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(sender.buffered(), buffered);
        assert!((64 * 1024..64 * 1024 + 10_000).contains(&buffered), "{buffered}");
    });
}

#[test]
fn reader_of_the_same_stream_goes_on() {
    alone(|| {
        let (client, server) = connection();
        let client = Arc::new(client);
        let sender = BufferedSender::new(client.clone());
        let echo = spawn(move || std::io::copy(&mut &server, &mut &server).unwrap());
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let reader = spawn(move || {
            let mut buffer = [0; 5000];
            while let n @ 1.. = (&*client).read(&mut buffer).unwrap() {
                count.fetch_add(n, Relaxed);
            }
        });
        for _ in 0..300 {
            sender.send(&[3; 10_000]).unwrap();
        }
        sender.flush().unwrap();
        sender.close().unwrap().shutdown(std::net::Shutdown::Write).unwrap();
        reader.join().unwrap();
        assert_eq!((read.load(Relaxed), echo.join().unwrap()), (3_000_000, 3_000_000));
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    let _turn = turn();
    let (stream, _peer) = run(UnixStream::pair).unwrap();
    let sender = BufferedSender::new(stream);
    let error = sender.send(b"x").unwrap_err();
    assert!(error.to_string().contains("BufferedSender::send was called outside a runtime"), "{error}");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sender.set_watermarks(5, 5)));
    assert!(panic.is_err());
}
