//! Parked coroutines: many that wait, in all the ways there are.

use super::{Problem, cli, hints, report, run_with_room_for, say};
use coro::JoinHandle;
use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use std::fmt::Write;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// At most so many wait for a connection, and as many for data: they take file descriptors.
const SOCKETS: usize = 8;
/// How long a sleep is that shall not end.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// `main park`.
pub(super) fn run(options: &cli::Park) -> Result<(), Problem> {
    let n = options.n.get();
    run_with_room_for(n.saturating_add(16), || {
        let before = resident_bytes();
        let start = Instant::now();
        // Locked here, so that those who want it wait; full, so that those who send wait.
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock();
        let (sender, receiver) = channel(1);
        let _ = sender.send(());

        let mut lot = Lot { n, ..Lot::default() };
        lot.park_on_sockets()
            .map_err(|error| Problem::new(format!("could not prepare sockets to wait on: {error}")))?;
        let first = if options.wake { Way::Receive } else { Way::Sleep };
        let ways = [first, Way::Join, Way::Lock, Way::Receive, Way::Send];
        for way in ways.into_iter().cycle() {
            if lot.spawned == n {
                break;
            }
            match way {
                Way::Sleep => lot.spawn("sleep", || coro::sleep(LONG))?,
                Way::Join => lot.park_on_last()?,
                Way::Lock => {
                    let gate = gate.clone();
                    lot.spawn("lock", move || drop(gate.lock()))?;
                }
                Way::Receive => {
                    let (sender, receiver) = channel::<()>(1);
                    lot.senders.push(sender);
                    lot.spawn("receive", move || {
                        let _ = receiver.recv();
                    })?;
                }
                Way::Send => {
                    let sender = sender.clone();
                    lot.spawn("send", move || {
                        let _ = sender.send(());
                    })?;
                }
            }
        }
        while lot.parked.load(Ordering::Relaxed) < n {
            coro::yield_now();
        }
        let elapsed = start.elapsed();
        say(&lot.describe(elapsed, resident_bytes().saturating_sub(before)));

        if !options.wake {
            say(&hints::park(n));
            loop {
                coro::sleep(LONG);
            }
        }
        let start = Instant::now();
        drop(closed);
        drop(receiver);
        lot.wake_and_join()?;
        let elapsed = start.elapsed();
        let rate = report::rate(n as u64, elapsed);
        say(&format!("woke and joined them in {:.3} s ({rate}/s)", elapsed.as_secs_f64()));
        Ok(())
    })
}

/// What a coroutine waits for.
#[derive(Debug, Clone, Copy)]
enum Way {
    Sleep,
    Join,
    Lock,
    Receive,
    Send,
}

/// The parked coroutines, and what wakes them.
#[derive(Default)]
struct Lot {
    n: usize,
    spawned: usize,
    /// How many have come to their waiting point; the next thing each of them does is to wait.
    parked: Arc<AtomicUsize>,
    ways: std::collections::BTreeMap<&'static str, usize>,
    handles: Vec<JoinHandle<()>>,
    senders: Vec<coro::sync::Sender<()>>,
    doors: Vec<SocketAddr>,
    lines: Vec<TcpStream>,
}

impl Lot {
    fn spawn(&mut self, way: &'static str, wait: impl FnOnce() + Send + 'static) -> Result<(), Problem> {
        let parked = self.parked.clone();
        let handle = coro::CoroutineBuilder::new()
            .name(way)
            .spawn(move || {
                parked.fetch_add(1, Ordering::Relaxed);
                wait();
            })
            .map_err(|error| {
                let (at, n) = (self.spawned, self.n);
                Problem::new(format!("could not start coroutine {at} of {n}: {error}"))
            })?;
        self.handles.push(handle);
        self.spawned += 1;
        *self.ways.entry(way).or_default() += 1;
        Ok(())
    }

    /// Parks one in joining the last one; if there is none, the turn passes.
    fn park_on_last(&mut self) -> Result<(), Problem> {
        match self.handles.pop() {
            Some(last) => self.spawn("join", move || drop(last.join())),
            None => Ok(()),
        }
    }

    /// Parks a few in accepting, and as many in reading.
    fn park_on_sockets(&mut self) -> io::Result<()> {
        let other = |problem: Problem| io::Error::other(problem.to_string());
        for _ in 0..(self.n / 8).min(SOCKETS) {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let line = TcpStream::connect(listener.local_addr()?)?;
            let (mut stream, _) = listener.accept()?;
            self.lines.push(line);
            self.spawn("read", move || drop(stream.read(&mut [0; 16]))).map_err(other)?;
            self.doors.push(listener.local_addr()?);
            self.spawn("accept", move || drop(listener.accept())).map_err(other)?;
        }
        Ok(())
    }

    fn wake_and_join(self) -> Result<(), Problem> {
        drop((self.senders, self.lines));
        for door in self.doors {
            TcpStream::connect(door)
                .map_err(|error| Problem::new(format!("could not wake who accepts on {door}: {error}")))?;
        }
        for handle in self.handles {
            handle
                .join()
                .map_err(|error| Problem::new(format!("a coroutine did not end in order: {error}")))?;
        }
        Ok(())
    }

    fn describe(&self, elapsed: Duration, bytes: usize) -> String {
        let n = self.n;
        let mut text = format!(
            "parked {n} coroutines in {:.3} s ({}/s, {:.1} KiB of memory each):",
            elapsed.as_secs_f64(),
            report::rate(n as u64, elapsed),
            bytes as f64 / 1024.0 / n as f64,
        );
        for (way, count) in &self.ways {
            write!(text, " {count} {way},").expect("a String takes all");
        }
        text.pop();
        text
    }
}

/// The memory that the process occupies now, or 0 if the system doesn't say.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}
