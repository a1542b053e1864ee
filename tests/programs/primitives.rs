//! What a debugger is to see of locks, channels and the like: one of each kind in a known state, some with coroutines that
//! wait for it. `primitives`.
//!
//! Prints `parked` when all are there, and waits for ever; `show` has them all as its arguments.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use coro::sync::{
    Barrier, Condvar, Event, Mutex, MutexGuard, Once, OnceLock, OneshotReceiver, OneshotSender, Receiver,
    RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit, Sender, WaitGroup, channel,
    oneshot, unbounded,
};
use coro::{Builder, CoroutineBuilder, CoroutineId, JoinHandle};

const FOR_EVER: Duration = Duration::MAX;

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    Builder::new().max_coroutines(64).run(make_all).unwrap();
}

/// Locks, free and held, with waiters and without.
#[expect(dead_code, reason = "debuggers read them")]
struct Locks {
    free: Mutex<u32>,
    held: Mutex<u32>,
    mine: Mutex<u32>,
    poisoned: Mutex<u32>,
    open: RwLock<u32>,
    read: RwLock<u32>,
    written: RwLock<u32>,
}

/// What is counted, and what happens.
#[expect(dead_code, reason = "debuggers read them")]
struct Signals {
    changed: Condvar,
    permits: Semaphore,
    used_up: Semaphore,
    meeting: Barrier,
    to_do: Once,
    being_done: Once,
    done: Once,
    failed: Once,
    unmade: OnceLock<u32>,
    made: OnceLock<u32>,
    pending: Event,
    happened: Event,
    members: WaitGroup,
}

/// Channels by what is in them.
#[expect(dead_code, reason = "debuggers read them")]
struct Ends {
    empty: (Sender<u32>, Receiver<u32>),
    half: (Sender<u32>, Receiver<u32>),
    full: (Sender<u32>, Receiver<u32>),
    no_bound: (Sender<u32>, Receiver<u32>),
    no_room: (Sender<u32>, Receiver<u32>),
    once: (OneshotSender<u32>, OneshotReceiver<u32>),
}

/// What main itself has.
#[expect(dead_code, reason = "debuggers read them")]
struct Own<'a> {
    guard: MutexGuard<'a, u32>,
    read: RwLockReadGuard<'a, u32>,
    written: RwLockWriteGuard<'a, u32>,
    permit: SemaphorePermit<'a>,
    waits: JoinHandle<()>,
    waits_id: CoroutineId,
    ended: JoinHandle<()>,
    ended_id: CoroutineId,
}

fn make_all() {
    let locks = Arc::new(Locks {
        free: Mutex::new(1),
        held: Mutex::new(2),
        mine: Mutex::new(3),
        poisoned: Mutex::new(4),
        open: RwLock::new(5),
        read: RwLock::new(6),
        written: RwLock::new(7),
    });
    let signals = Arc::new(Signals {
        changed: Condvar::new(),
        permits: Semaphore::new(3),
        used_up: Semaphore::new(1),
        meeting: Barrier::new(3),
        to_do: Once::new(),
        being_done: Once::new(),
        done: Once::new(),
        failed: Once::new(),
        unmade: OnceLock::new(),
        made: OnceLock::new(),
        pending: Event::new(),
        happened: Event::new(),
        members: WaitGroup::new(),
    });
    let ends = Arc::new(Ends {
        empty: channel(4),
        half: channel(4),
        full: channel(2),
        no_bound: unbounded(),
        no_room: channel(0),
        once: oneshot(),
    });
    signals.done.call_once(|| ());
    signals.made.set(8).unwrap();
    signals.happened.set();
    signals.changed.notify_all();
    for sender in [&ends.half.0, &ends.full.0, &ends.full.0, &ends.no_bound.0] {
        sender.send(9).unwrap();
    }
    let permit = signals.permits.acquire_many(2);
    let (guard, written) = (locks.mine.lock().unwrap(), locks.written.write().unwrap());

    // #4; the others have the numbers that follow.
    let waits = begin("owner", &locks, |locks| {
        let _held = (locks.held.lock(), locks.read.read());
        coro::sleep(FOR_EVER);
    });
    let ended = begin("ends", &locks, |_| ());
    begin("poisons", &locks, |locks| {
        let _held = locks.poisoned.lock();
        // Not `panic!`, whose words nobody needs.
        std::panic::resume_unwind(Box::new(()));
    });
    begin("fails", &signals, |signals| {
        signals.failed.call_once(|| std::panic::resume_unwind(Box::new(())));
    });
    begin("locker", &locks, |locks| drop(locks.held.lock()));
    begin("reader", &locks, |locks| drop(locks.written.read()));
    begin("writer", &locks, |locks| drop(locks.read.write()));
    begin("user", &signals, |signals| {
        let _permit = signals.used_up.acquire();
        coro::sleep(FOR_EVER);
    });
    begin("buyer", &signals, |signals| drop(signals.used_up.acquire()));
    begin("comer", &signals, |signals| {
        signals.meeting.wait();
    });
    begin("maker", &signals, |signals| signals.being_done.call_once(|| coro::sleep(FOR_EVER)));
    begin("taker", &signals, |signals| signals.being_done.call_once(|| ()));
    begin("listener", &signals, |signals| signals.pending.wait());
    begin("watcher", &signals, |signals| {
        let lock = Mutex::new(());
        drop(signals.changed.wait(lock.lock().unwrap()));
    });
    begin("counter", &signals, |signals| signals.members.clone().wait());
    begin("receiver", &ends, |ends| {
        let _ = ends.empty.1.recv();
    });
    begin("sender", &ends, |ends| ends.full.0.send(10).unwrap());
    begin("bringer", &ends, |ends| ends.no_room.0.send(11).unwrap());
    begin("chooser", &ends, |ends| {
        coro::select! {
            recv(ends.empty.1) -> _ => (),
            send(ends.no_room.0, 12) -> _ => (),
        }
    });
    while how_many_wait() < 16 {
        coro::yield_now();
    }
    let read = locks.open.read().unwrap();
    let (waits_id, ended_id) = (waits.id(), ended.id());
    let own = Own { guard, read, written, permit, waits, waits_id, ended, ended_id };
    show(&locks, &signals, &ends, &own);
}

fn begin<S: Send + Sync + 'static>(
    name: &str,
    shared: &Arc<S>,
    f: impl FnOnce(&S) + Send + 'static,
) -> JoinHandle<()> {
    let shared = shared.clone();
    CoroutineBuilder::new().name(name).spawn(move || f(&shared)).unwrap()
}

fn how_many_wait() -> usize {
    coro::stats().unwrap().parked().map(|(_, count)| count).sum()
}

/// Where main waits, with all of them as its arguments.
#[inline(never)]
fn show(locks: &Locks, signals: &Signals, ends: &Ends, own: &Own<'_>) {
    println!("parked");
    coro::sleep(FOR_EVER);
    black_box((locks, signals, ends, own));
}
