//! The coroutines that `main park` has parked, what they wait for, and what wakes them.

use super::{Problem, park, report};
use coro::JoinHandle;
use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, Sender, channel};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Backlog, MsgFlags, listen, send, setsockopt, sockopt};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// At most so many wait for a connection, and as many for data, for room, and for an answer: they take file
/// descriptors.
const SOCKETS: usize = 8;
/// After so many spawns, or wake-ups, the others have a turn.
const AT_ONCE: usize = 100;
/// What a parked coroutine occupies at the least, in bytes: a page of its stack, and what it waits for.
const LEAST: usize = 8 << 10;
/// A small send buffer is soon full. The kernel makes it twice that.
const SEND_BUFFER: usize = 4096;
/// For so long at most the last acknowledgements are waited for: what the peer has dropped, for want of room, has none.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The parked coroutines, and what wakes them.
pub(super) struct Lot {
    n: usize,
    wake: bool,
    spawned: usize,
    /// How many have come to their waiting point; the next thing each of them does is to wait.
    parked: Arc<AtomicUsize>,
    /// How many of each way.
    ways: BTreeMap<&'static str, usize>,
    handles: Vec<JoinHandle<()>>,
    pub(super) gate: Arc<Mutex<usize>>,
    senders: Vec<Sender<usize>>,
    doors: Vec<SocketAddr>,
    lines: Vec<TcpStream>,
    /// Of those who wait for room.
    full: Vec<Arc<TcpStream>>,
    /// Listeners that don't answer, each with the connection that fills it.
    deaf: Vec<(net::TcpListener, net::TcpStream)>,
}

impl Lot {
    pub(super) fn new(n: usize, wake: bool) -> Lot {
        Lot {
            n,
            wake,
            spawned: 0,
            parked: Arc::default(),
            ways: BTreeMap::new(),
            handles: Vec::new(),
            gate: Arc::default(),
            senders: Vec::new(),
            doors: Vec::new(),
            lines: Vec::new(),
            full: Vec::new(),
            deaf: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn spawned(&self) -> usize {
        self.spawned
    }

    /// Keeps what wakes one.
    pub(super) fn wake_by(&mut self, sender: Sender<usize>) {
        self.senders.push(sender);
    }

    pub(super) fn wait_until_parked(&self) {
        while self.parked.load(Ordering::Relaxed) < self.n {
            coro::yield_now();
        }
    }

    /// Waits until those who wait for room do so for good. Peers acknowledge late, by 40 ms, what they have taken; then there is
    /// room once more, and in what somebody looks at, these few would have waited for less long than the others.
    pub(super) fn wait_until_full(&self) {
        let start = Instant::now();
        while !self.full.iter().all(|stream| is_full(stream)) && start.elapsed() < LAST_WORDS {
            coro::sleep(Duration::from_millis(1));
        }
    }

    /// Starts one that is called by its way and number.
    pub(super) fn spawn(
        &mut self,
        way: &'static str,
        wait: impl FnOnce() + Send + 'static,
    ) -> Result<(), Problem> {
        let number = self.ways.entry(way).or_default();
        *number += 1;
        let name = format!("{way}-{number}");
        self.spawn_named(name, wait)
    }

    fn spawn_named(&mut self, name: String, wait: impl FnOnce() + Send + 'static) -> Result<(), Problem> {
        let parked = self.parked.clone();
        let handle = coro::CoroutineBuilder::new()
            .name(name)
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
        // A demo of good manners: who makes many lets them run meanwhile, before the monitor asks for it.
        if self.spawned.is_multiple_of(AT_ONCE) {
            coro::yield_now();
        }
        Ok(())
    }

    /// Parks one in joining the last one; if there is none, the turn passes.
    pub(super) fn park_on_last(&mut self) -> Result<(), Problem> {
        match self.handles.pop() {
            Some(last) => self.spawn("join", move || park::wait_in_join(last)),
            None => Ok(()),
        }
    }

    /// Parks the one with the lock; returns what ends its wait, if it is to be woken.
    pub(super) fn park_the_owner(&mut self) -> Result<Option<Sender<usize>>, Problem> {
        let (sender, receiver) = if self.wake { Some(channel(1)) } else { None }.unzip();
        let gate = self.gate.clone();
        *self.ways.entry("owner").or_default() += 1;
        self.spawn_named("owner".into(), move || park::hold_the_mutex(&gate, receiver))?;
        Ok(sender)
    }

    /// Parks a few in accepting, and as many in reading, writing and connecting.
    pub(super) fn park_on_sockets(&mut self) -> Result<(), Problem> {
        let problem =
            |error: io::Error| Problem::new(format!("could not prepare sockets to wait on: {error}"));
        for _ in 0..(self.n / 8).min(SOCKETS) {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(problem)?;
            let address = listener.local_addr().map_err(problem)?;
            for way in ["read", "write"] {
                let line = TcpStream::connect(address).map_err(problem)?;
                let (stream, _) = listener.accept().map_err(problem)?;
                self.lines.push(line);
                if way == "read" {
                    self.spawn(way, move || park::wait_in_read(stream))?;
                } else {
                    fill(&stream).map_err(problem)?;
                    let stream = Arc::new(stream);
                    self.full.push(stream.clone());
                    self.spawn(way, move || park::wait_in_write(&stream))?;
                }
            }
            self.doors.push(address);
            self.spawn("accept", move || park::wait_in_accept(listener))?;
            // It can't be woken early.
            if !self.wake {
                let (listener, first) = deaf_listener().map_err(problem)?;
                let address = listener.local_addr().map_err(problem)?;
                self.deaf.push((listener, first));
                self.spawn("connect", move || park::wait_in_connect(address))?;
            }
        }
        Ok(())
    }

    pub(super) fn wake_and_join(self) -> Result<(), Problem> {
        drop(self.lines);
        let mut senders = self.senders;
        while !senders.is_empty() {
            senders.truncate(senders.len().saturating_sub(AT_ONCE));
            coro::yield_now();
        }
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

    pub(super) fn describe(&self, elapsed: Duration, bytes: usize) -> String {
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

/// Sends as much as the kernel takes, to a peer who doesn't read.
fn fill(stream: &TcpStream) -> io::Result<()> {
    setsockopt(stream, sockopt::SndBuf, &SEND_BUFFER)?;
    loop {
        match send(stream.as_raw_fd(), &[b'x'; SEND_BUFFER], MsgFlags::MSG_DONTWAIT) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether no more is taken, and none of what was taken is on its way: who gets no acknowledgement gets no room.
fn is_full(stream: &TcpStream) -> bool {
    let bytes = |request| {
        let mut bytes = 0;
        // SAFETY: the kernel writes a number of that type.
        let result = unsafe { libc::ioctl(stream.as_raw_fd(), request, &raw mut bytes) };
        (result == 0).then_some::<libc::c_int>(bytes)
    };
    let (unsent, unacknowledged) = (bytes(libc::SIOCOUTQNSD), bytes(libc::TIOCOUTQ));
    let room = poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO);
    unsent == unacknowledged && room == Ok(0)
}

/// A listener that doesn't answer: it has room for one connection that waits to be accepted, and has that one.
fn deaf_listener() -> io::Result<(net::TcpListener, net::TcpStream)> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    // On a socket that listens already, this only changes the backlog (listen(2), as Linux does it).
    listen(&listener, Backlog::new(0)?)?;
    let first = net::TcpStream::connect(listener.local_addr()?)?;
    // Until it has come: from then on the kernel drops all others' requests.
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    Ok((listener, first))
}

/// The memory that the process occupies now, or 0 if the system doesn't say.
pub(super) fn resident_bytes() -> usize {
    bytes_in("/proc/self/status", "VmRSS:").unwrap_or(0)
}

/// Refuses more coroutines than there is memory for: the kernel would kill the process, minutes later, and say nothing here.
pub(super) fn has_memory_for(n: usize) -> Result<(), Problem> {
    // Swapped out coroutines are no less parked.
    let available = bytes_in("/proc/meminfo", "MemAvailable:");
    let swap = bytes_in("/proc/meminfo", "SwapFree:").unwrap_or(0);
    match available.map(|available| available + swap) {
        Some(available) if n.saturating_mul(LEAST) > available => Err(Problem::new(format!(
            "{n} parked coroutines want {} MiB of memory at the least, and {} MiB are available; park at most {}",
            n.saturating_mul(LEAST) >> 20,
            available >> 20,
            available / LEAST
        ))),
        _ => Ok(()),
    }
}

/// A number of kB in one of the kernel's tables.
fn bytes_in(table: &str, name: &str) -> Option<usize> {
    let table = std::fs::read_to_string(table).ok()?;
    let rest = table.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: usize = rest.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}
