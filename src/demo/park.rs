//! Parked coroutines: many that wait, in all the ways there are.
//!
//! Each way has a function of its own, never inlined, in which its coroutines wait with variables worth looking at. A
//! coroutine is called by its way and a number, but for the `owner` of the mutex for which others wait.

use super::lot::{Lot, has_memory_for, resident_bytes};
use super::{Problem, cli, hints, report, run_with_room_for, say};
use coro::JoinHandle;
use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, Receiver, Sender, channel};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a sleep is that shall not end.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// `main park`.
pub(super) fn run(options: &cli::Park) -> Result<(), Problem> {
    let n = options.n.get();
    has_memory_for(n)?;
    run_with_room_for(n.saturating_add(16), || {
        let before = resident_bytes();
        let start = Instant::now();
        let mut lot = Lot::new(n, options.wake);
        lot.park_on_sockets()?;
        // Before those who want the lock: so it gets it.
        let owner = lot.park_the_owner()?;
        let first = if options.wake { Way::Receive } else { Way::Sleep };
        let ways = [first, Way::Join, Way::Mutex, Way::Receive, Way::Send];
        // Full, so that those who send wait.
        let (sender, receiver) = channel(1);
        let _ = sender.send(0);
        for way in ways.into_iter().cycle() {
            if lot.spawned() == n {
                break;
            }
            match way {
                Way::Sleep => lot.spawn("sleep", wait_in_sleep)?,
                Way::Join => lot.park_on_last()?,
                Way::Mutex => {
                    let (gate, number) = (lot.gate.clone(), lot.spawned());
                    lot.spawn("mutex", move || wait_in_mutex(&gate, number))?;
                }
                Way::Receive => {
                    let (sender, receiver) = channel(1);
                    lot.wake_by(sender);
                    lot.spawn("receive", move || wait_in_receive(&receiver))?;
                }
                Way::Send => {
                    let (sender, number) = (sender.clone(), lot.spawned());
                    lot.spawn("send", move || wait_in_send(&sender, number))?;
                }
            }
        }
        lot.wait_until_parked();
        let elapsed = start.elapsed();
        let bytes = resident_bytes().saturating_sub(before);
        lot.wait_until_full();
        if options.yielding {
            keep_two_yielding()?;
        }
        say(&lot.describe(elapsed, bytes));

        if !options.wake {
            say(&hints::park(n));
            loop {
                coro::sleep(LONG);
            }
        }
        let start = Instant::now();
        drop((owner, receiver));
        lot.wake_and_join()?;
        let elapsed = start.elapsed();
        let rate = report::rate(n as u64, elapsed);
        say(&format!("woke and joined them in {:.3} s ({rate}/s)", elapsed.as_secs_f64()));
        Ok(())
    })
}

/// What a coroutine waits for, of those ways of which there may be many.
#[derive(Debug, Clone, Copy)]
enum Way {
    Sleep,
    Join,
    Mutex,
    Receive,
    Send,
}

/// For a line that never comes.
#[inline(never)]
pub(super) fn wait_in_read(mut stream: TcpStream) {
    let mut line = [b'.'; 64];
    let mut bytes = 0;
    while let Ok(count @ 1..) = stream.read(&mut line) {
        bytes += count;
    }
    black_box((bytes, &line));
}

/// To a peer who doesn't read.
#[inline(never)]
pub(super) fn wait_in_write(mut stream: &TcpStream) {
    let line = [b'x'; 64];
    let mut bytes = 0;
    while let Ok(count) = stream.write(&line) {
        bytes += count;
    }
    black_box((bytes, &line));
}

#[inline(never)]
pub(super) fn wait_in_accept(listener: TcpListener) {
    let address = listener.local_addr();
    let accepted = listener.accept();
    black_box((&accepted, &address));
}

/// To a listener that doesn't answer. The kernel gives up after two minutes; then it tries again.
#[inline(never)]
pub(super) fn wait_in_connect(address: SocketAddr) {
    let mut attempt = 1;
    let mut made = Vec::new();
    loop {
        match TcpStream::connect(address) {
            // There was room for one more.
            Ok(stream) => made.push(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => attempt += 1,
            Err(error) => {
                black_box((attempt, &made, error));
                return;
            }
        }
    }
}

#[inline(never)]
pub(super) fn wait_in_sleep() {
    let started = Instant::now();
    let deadline = started + LONG;
    coro::time::sleep_until(deadline);
    black_box((started, deadline));
}

#[inline(never)]
pub(super) fn wait_in_join(last: JoinHandle<()>) {
    let id = last.id();
    let result = last.join();
    black_box((id, result.is_ok()));
}

#[inline(never)]
pub(super) fn wait_in_mutex(gate: &Mutex<usize>, number: usize) {
    let started = Instant::now();
    let mut last = gate.lock();
    if let Ok(last) = &mut last {
        **last = number;
    }
    black_box((started, last.is_ok()));
}

#[inline(never)]
pub(super) fn wait_in_send(sender: &Sender<usize>, number: usize) {
    let value = number * number;
    let result = sender.send(value);
    black_box((value, result.is_ok()));
}

#[inline(never)]
pub(super) fn wait_in_receive(receiver: &Receiver<usize>) {
    let mut values = 0;
    while let Ok(value) = receiver.recv() {
        values += value;
    }
    black_box(values);
}

/// Has the lock for which the others wait, and waits itself: until `end` comes, or else sleeping.
#[inline(never)]
pub(super) fn hold_the_mutex(gate: &Mutex<usize>, end: Option<Receiver<usize>>) {
    let held = gate.lock();
    match &end {
        Some(end) => wait_in_receive(end),
        None => wait_in_sleep(),
    }
    black_box(held.is_ok());
}

/// Gives way again and again. Of two who do, one runs at any time, and the other one is ready.
#[inline(never)]
fn wait_in_yield() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns + 1);
        coro::yield_now();
    }
}

fn keep_two_yielding() -> Result<(), Problem> {
    for k in 1..=2 {
        let name = format!("yield-{k}");
        coro::CoroutineBuilder::new()
            .name(name.as_str())
            .spawn(wait_in_yield)
            .map_err(|error| Problem::new(format!("could not start coroutine {name}: {error}")))?;
    }
    Ok(())
}
