//! What networks and systems do to programs: ends amid anything, peers that don't read, signals and stops at any time, no
//! descriptors left. Nothing hangs, spins or gets lost; each becomes an error that says what it is.

#[path = "support/runtimes.rs"]
mod runtimes;
#[path = "support/tcp.rs"]
mod tcp;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::thread::JoinHandleExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};

use coro::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use coro::{Builder, signal, spawn, yield_now};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use pretty_assertions::assert_eq;

use runtimes::wait_until_parked;
use tcp::{ANYWHERE, connection, join_all, run};

/// Limits and signals are the process's: one at a time.
fn alone() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn without_descriptors_everything_is_an_error_and_goes_on_afterwards() {
    let _alone = alone();
    run(|| {
        let listener = TcpListener::bind(ANYWHERE).unwrap();
        let address = listener.local_addr().unwrap();
        let std = std::net::TcpStream::connect(address).unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // No further number: those below are taken, and the limit stands behind them.
        let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).take(50).collect();
        let highest = std::os::fd::AsRawFd::as_raw_fd(taken.last().unwrap());
        setrlimit(Resource::RLIMIT_NOFILE, highest as u64 + 1, hard).unwrap();
        let fill: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        let errors = [
            listener.accept().map(drop).unwrap_err(),
            TcpStream::connect(address).map(drop).unwrap_err(),
            UdpSocket::bind(ANYWHERE).map(drop).unwrap_err(),
            UnixStream::pair().map(drop).unwrap_err(),
            listener.try_clone().map(drop).unwrap_err(),
        ];
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        drop((fill, taken));
        for error in errors {
            assert_eq!(error.raw_os_error(), Some(nix::libc::EMFILE), "{error}");
        }
        // The connection was not lost, nor its event.
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!(peer, std.local_addr().unwrap());
        (&std).write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn reset_amid_a_transfer_ends_both_directions_with_errors() {
    let _alone = alone();
    run(|| {
        let (client, server) = connection();
        let server = Arc::new(server);
        let (reads, writes) = (server.clone(), server.clone());
        let writer = spawn(move || (&*writes).write_all(&vec![1; 64 << 20]).unwrap_err().kind());
        let reader = spawn(move || (&*reads).read_exact(&mut [0; 100]).unwrap_err().kind());
        wait_until_parked("write", 1);
        wait_until_parked("read", 1);
        (&client).read_exact(&mut [0; 5000]).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let mut kinds = [writer.join().unwrap(), reader.join().unwrap()].map(|kind| format!("{kind:?}"));
        kinds.sort();
        // Who comes first gets the socket's error, the other one what is left of the connection.
        assert!(
            kinds == ["ConnectionReset", "UnexpectedEof"] || kinds == ["BrokenPipe", "ConnectionReset"],
            "{kinds:?}"
        );
    });
}

#[test]
fn write_to_who_has_gone_is_a_broken_pipe_and_no_signal() {
    let _alone = alone();
    run(|| {
        let (mut one, other) = UnixStream::pair().unwrap();
        drop(other);
        assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(
            one.write_vectored(&[std::io::IoSlice::new(b"x")]).unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn half_closed_unix_streams_work_the_other_way() {
    let _alone = alone();
    run(|| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        let reader = spawn(move || {
            let mut text = String::new();
            one.read_to_string(&mut text).unwrap();
            text
        });
        yield_now();
        other.write_all(b"still").unwrap();
        drop(other);
        assert_eq!(reader.join().unwrap(), "still");
    });
}

/// The peer's window is zero: the kernel probes it, and reports it open much later.
#[test]
fn writer_goes_on_when_a_closed_window_opens() {
    let _alone = alone();
    run(|| {
        let (client, server) = connection();
        client.set_recv_buffer_size(4096).unwrap();
        server.set_send_buffer_size(4096).unwrap();
        let bytes: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = bytes.clone();
        let writer = spawn(move || (&server).write_all(&bytes).unwrap());
        for stop in [10_000, 30_000, 60_000] {
            wait_until_parked("write", 1);
            let start = if stop == 10_000 { 0 } else { stop / 3 };
            let start = if stop == 60_000 { 30_000 } else { start };
            let mut part = vec![0; stop - start];
            (&client).read_exact(&mut part).unwrap();
            assert!(part == expected[start..stop]);
        }
        writer.join().unwrap();
    });
}

#[test]
fn partial_writes_lose_nothing() {
    let _alone = alone();
    run(|| {
        let (client, server) = connection();
        server.set_send_buffer_size(2000).unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
        let expected = bytes.clone();
        let writer = spawn(move || {
            let (mut rest, mut writes) = (&bytes[..], 0);
            while !rest.is_empty() {
                let count = (&server).write(rest).unwrap();
                rest = &rest[count..];
                writes += 1;
            }
            writes
        });
        let mut received = Vec::new();
        let mut buffer = [0; 777];
        while let n @ 1.. = (&client).read(&mut buffer).unwrap() {
            received.extend_from_slice(&buffer[..n]);
        }
        assert!(received == expected);
        assert!(writer.join().unwrap() > 3, "the test wants writes that were cut");
    });
}

#[test]
fn signals_a_thousand_times_a_second_disturb_nothing() {
    let _alone = alone();
    extern "C" fn nothing(_: i32) {}
    // Without SA_RESTART: each system call that blocks ends with EINTR.
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, and nobody else in this program uses the signal.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let sent = Arc::new(AtomicU32::new(0));
    let seen = sent.clone();
    let work = thread::spawn(|| {
        run(move || {
            let (client, server) = connection();
            let echo = spawn(move || std::io::copy(&mut &server, &mut &server).unwrap());
            let client = Arc::new(client);
            let reader = client.clone();
            let reader = spawn(move || {
                let mut bytes = vec![0; 8 << 20];
                (&*reader).read_exact(&mut bytes).unwrap();
                bytes.iter().all(|byte| *byte == 3)
            });
            (&*client).write_all(&vec![3; 8 << 20]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert!(reader.join().unwrap());
            // Sleeps and connects, too.
            let listener = TcpListener::bind(ANYWHERE).unwrap();
            let address = listener.local_addr().unwrap();
            let mut rounds = 0;
            while rounds < 50 || seen.load(Relaxed) <= 20 {
                rounds += 1;
                coro::sleep(Duration::from_millis(1));
                let connects = spawn(move || TcpStream::connect(address).unwrap());
                listener.accept().unwrap();
                connects.join().unwrap();
            }
            echo.join().unwrap()
        })
    });
    let thread = work.as_pthread_t();
    while !work.is_finished() {
        // SAFETY: the thread is joined below, so its number is its own.
        assert_eq!(unsafe { nix::libc::pthread_kill(thread, nix::libc::SIGUSR1) }, 0);
        sent.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(work.join().unwrap(), 8 << 20);
}

/// Signals to the process, for which any of its threads is interrupted, also amid a switch.
#[test]
fn signals_amid_switches_disturb_nothing_and_are_heard() {
    const KINDS: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT];
    const TIMES: u32 = 50;
    let _alone = alone();
    let is_over = Arc::new(AtomicBool::new(false));
    let switches = |seed: u64| {
        let is_over = is_over.clone();
        move || {
            let mut own = [seed; 20];
            while !is_over.load(Relaxed) {
                own = black_box(own).map(|value| value + 1);
                yield_now();
                assert!(own.iter().all(|value| *value == own[0]));
            }
        }
    };
    let run = Builder::new().workers(2).run(|| {
        let mut signals = signal::listen(&KINDS.map(|kind| kind as i32)).unwrap();
        let listener = spawn(move || {
            let mut heard = [0; 3];
            while heard.iter().any(|times| *times < TIMES) {
                let signal = signals.wait().unwrap();
                heard[KINDS.iter().position(|kind| *kind as i32 == signal).unwrap()] += 1;
            }
        });
        let switching: Vec<_> = (0..6).map(|seed| spawn(switches(seed))).collect();
        let is_heard = is_over.clone();
        let sender = thread::spawn(move || {
            while !is_heard.load(Relaxed) {
                KINDS.iter().for_each(|kind| kill(Pid::this(), *kind).unwrap());
                thread::yield_now();
            }
        });
        listener.join().unwrap();
        is_over.store(true, Relaxed);
        join_all(switching);
        sender.join().unwrap();
    });
    run.unwrap();
}

/// Of the whole process, as by Ctrl-Z, again and again, wherever its threads are.
#[test]
fn stops_at_any_moment_disturb_nothing() {
    const CHILD: &str = "CORO_TEST_CHILD";
    const STOPS: u32 = 100;
    let _alone = alone();
    if env::var_os(CHILD).is_some() {
        Builder::new().workers(2).run(work_until_told).unwrap();
        return;
    }
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", "stops_at_any_moment_disturb_nothing", "--nocapture", "--test-threads=1"]);
    let mut child = again.env(CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.ends_with("began")).unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..STOPS {
        kill(pid, Signal::SIGSTOP).unwrap();
        assert_eq!(waitpid(pid, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
        kill(pid, Signal::SIGCONT).unwrap();
        // It works, for a while of any length.
        thread::sleep(Duration::from_micros(random.u64(..3000)));
    }
    drop(child.stdin.take());
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
}

/// Until standard input ends: sockets, times, other threads, each of which has to give what it should.
fn work_until_told() {
    let is_told = Arc::new(AtomicBool::new(false));
    let tell = is_told.clone();
    thread::spawn(move || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        tell.store(true, Relaxed);
    });
    println!("began");
    let (client, server) = connection();
    let echo = spawn(move || std::io::copy(&mut &server, &mut &server).unwrap());
    let told = is_told.clone();
    let sleeper = spawn(move || {
        while !told.load(Relaxed) {
            coro::sleep(Duration::from_micros(300));
            assert_eq!(coro::offload(|| 3), 3);
            assert!(coro::timeout(Duration::from_micros(300), || coro::sleep(Duration::MAX)).is_err());
        }
    });
    let mut sent = 0;
    while !is_told.load(Relaxed) {
        let (bytes, mut back) = ([sent as u8; 5000], [0; 5000]);
        (&client).write_all(&bytes).unwrap();
        (&client).read_exact(&mut back).unwrap();
        assert!(bytes == back);
        sent += 5000;
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(echo.join().unwrap(), sent);
    sleeper.join().unwrap();
}

/// How many rude peers there are; `CORO_RUDE_PEERS` in the environment: so many.
fn rude_peers() -> usize {
    let asked = env::var("CORO_RUDE_PEERS").ok();
    asked.map_or(400, |count| count.parse().expect("CORO_RUDE_PEERS is a number"))
}

/// What they are; but for those which the runtime itself opens when it is first asked, and the folder's.
fn open_descriptors() -> BTreeSet<String> {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let opened = links.filter_map(|link| Some((link.file_name(), fs::read_link(link.path()).ok()?)));
    let others = opened.filter(|(_, to)| !to.ends_with("pagemap") && !to.ends_with("fd"));
    others.map(|(number, to)| format!("{} {}", number.display(), to.display())).collect()
}

/// In a process of its own, whose descriptors and coroutines are nobody else's.
#[test]
fn many_peers_that_come_and_go_in_any_way_leave_the_others_alone_and_nothing_behind() {
    const CHILD: &str = "CORO_TEST_CHILD";
    if env::var_os(CHILD).is_none() {
        let name = "many_peers_that_come_and_go_in_any_way_leave_the_others_alone_and_nothing_behind";
        let mut again = Command::new(env::current_exe().unwrap());
        again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
        // It inherits the limit of descriptors, which another test may have lowered.
        let alone = alone();
        let again = again.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(alone);
        let output = again.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said.lines().filter(|line| line.contains(" rude peers")).for_each(|line| println!("{line}"));
        return;
    }
    for workers in [1, 2] {
        Builder::new().workers(workers).run(|| peers_come_and_go(workers)).unwrap();
    }
}

fn peers_come_and_go(workers: usize) {
    let before = open_descriptors();
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    let polite = (0..50).map(|n: u8| {
        spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            for _ in 0..20 {
                stream.write_all(&[n; 500]).unwrap();
                let mut bytes = [0; 500];
                stream.read_exact(&mut bytes).unwrap();
                assert_eq!(bytes, [n; 500]);
            }
        })
    });
    let polite: Vec<_> = polite.collect();
    let (count, mut random) = (rude_peers(), fastrand::Rng::with_seed(7));
    for first in (0..count).step_by(200) {
        let rude = (first..count.min(first + 200)).map(|_| {
            let (end, length) = (random.u8(0..6), random.usize(0..20_000));
            spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&vec![7; length]).unwrap();
                match end {
                    0 => drop(stream),
                    1 => reset(stream),
                    2 => stream.shutdown(Shutdown::Write).unwrap(),
                    3 => stream.close(),
                    // In the middle of what comes back; and at its end.
                    4 => _ = stream.read(&mut [0; 100]),
                    _ => {
                        stream.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(std::io::copy(&mut stream, &mut std::io::sink()).unwrap(), length as u64);
                    }
                }
            })
        });
        join_all(rude.collect::<Vec<_>>());
    }
    join_all(polite);
    assert!(!server.is_finished());
    server.cancel().unwrap();
    assert!(server.join().is_err());
    // Nobody is left: the server's coroutine of each connection has seen its end.
    while coro::stats().unwrap().alive > 0 {
        coro::sleep(Duration::from_millis(1));
    }
    assert_eq!(open_descriptors(), before, "descriptors are left open, or too many are closed");
    println!("\n{count} rude peers, workers: {workers}");
}

/// Closes with a reset instead of an end.
fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}
