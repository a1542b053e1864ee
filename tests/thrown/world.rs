//! What the operations are about: one of each thing that coroutines wait for, and counts of what must come out even.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use coro::net::UnixStream;
use coro::sync::{
    Barrier, Condvar, Event, Mutex, Receiver, RwLock, Semaphore, Sender, TryLockError, channel, unbounded,
};
use coro::{Group, Pool, sleep, spawn, yield_now};
use pretty_assertions::assert_eq;

/// Permits of the semaphore.
pub(crate) const PERMITS: usize = 3;
/// So many meet at the barrier: not more than one and the helper, who may be the last to be there.
const MEETING: usize = 2;

/// What is done and undone; in the end each pair is even.
#[derive(Default)]
pub(crate) struct Count {
    operations: AtomicU64,
    /// Values made and dropped.
    pub(crate) values: Pair,
    /// Deferred functions, asked for and run.
    pub(crate) deferred: Pair,
    /// Values sent, and received, over both channels.
    pub(crate) sent: Pair,
    /// Bytes written and read.
    pub(crate) bytes: Pair,
    /// Tokens given to, and taken by, those who wait at the condition variable.
    pub(crate) tokens: Pair,
}

#[derive(Default)]
pub(crate) struct Pair(AtomicU64, AtomicU64);

impl Pair {
    pub(crate) fn one_more(&self) {
        self.0.fetch_add(1, SeqCst);
    }
    pub(crate) fn one_less(&self) {
        self.1.fetch_add(1, SeqCst);
    }
    fn both(&self) -> (u64, u64) {
        // The second first: it never gets ahead.
        let second = self.1.load(SeqCst);
        (self.0.load(SeqCst), second)
    }
}

impl Count {
    pub(crate) fn note_operation(&self) {
        self.operations.fetch_add(1, SeqCst);
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(SeqCst)
    }

    /// When the runtime has ended.
    pub(crate) fn assert_even(&self) {
        // Jobs that were left behind end on their threads.
        while self.values.both().0 > self.values.both().1 {
            thread::yield_now();
        }
        for (what, pair) in [("values", &self.values), ("deferred functions", &self.deferred)] {
            let (done, undone) = pair.both();
            assert_eq!(done, undone, "{what}");
        }
    }
}

pub(crate) struct Value(Arc<Count>, AtomicBool);

impl Value {
    pub(crate) fn new(count: &Arc<Count>) -> Value {
        count.values.one_more();
        Value(count.clone(), AtomicBool::new(false))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(!self.1.swap(true, SeqCst), "dropped twice");
        self.0.values.one_less();
    }
}

/// What all share.
pub(crate) struct Things {
    pub(crate) count: Arc<Count>,
    /// Its value counts the operations that have had it, which `locked` counts, too.
    pub(crate) lock: Mutex<u64>,
    pub(crate) locked: AtomicU64,
    pub(crate) table: RwLock<u64>,
    pub(crate) written: AtomicU64,
    pub(crate) semaphore: Semaphore,
    pub(crate) tokens: Mutex<u64>,
    pub(crate) given: Condvar,
    pub(crate) event: Event,
    pub(crate) barrier: Barrier,
    pub(crate) bounded: (Sender<Value>, Receiver<Value>),
    pub(crate) unbounded: (Sender<Value>, Receiver<Value>),
    pub(crate) stream: (UnixStream, UnixStream),
    pub(crate) group: Group,
    pub(crate) pool: Pool,
    is_over: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct World(Arc<Things>);

impl std::ops::Deref for World {
    type Target = Things;
    fn deref(&self) -> &Things {
        &self.0
    }
}

impl World {
    pub(crate) fn new() -> World {
        World(Arc::new(Things {
            count: Arc::default(),
            lock: Mutex::new(0),
            locked: AtomicU64::new(0),
            table: RwLock::new(0),
            written: AtomicU64::new(0),
            semaphore: Semaphore::new(PERMITS),
            tokens: Mutex::new(0),
            given: Condvar::new(),
            event: Event::new(),
            barrier: Barrier::new(MEETING),
            bounded: channel(4),
            unbounded: unbounded(),
            stream: UnixStream::pair().unwrap(),
            group: Group::new(),
            pool: Pool::new(3),
            is_over: AtomicBool::new(false),
        }))
    }

    /// So that nobody waits for ever for somebody who doesn't come.
    pub(crate) fn help(&self) {
        let mut turn = 0_u64;
        while !self.is_over.load(SeqCst) {
            turn += 1;
            self.give_token();
            self.event.set();
            self.event.clear();
            self.barrier.wait_timeout(Duration::from_micros(50));
            for (sender, receiver) in [&self.bounded, &self.unbounded] {
                // In turn, with a pause in between: it is not to take itself what it has made room for.
                if turn.is_multiple_of(2) {
                    if receiver.try_recv().is_ok() {
                        self.count.sent.one_less();
                    }
                } else if sender.try_send(Value::new(&self.count)).is_ok() {
                    self.count.sent.one_more();
                }
            }
            self.drain();
            sleep(Duration::from_micros(50));
        }
    }

    /// The helper has nothing to do any more.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, SeqCst);
    }

    pub(crate) fn give_token(&self) {
        *self.tokens.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
        self.count.tokens.one_more();
        self.given.notify_one();
    }

    /// Reads what is there.
    fn drain(&self) {
        self.stream.1.set_read_timeout(Some(Duration::from_micros(1))).unwrap();
        let mut byte = [0];
        loop {
            match (&self.stream.1).read(&mut byte) {
                Ok(1) => self.count.bytes.one_less(),
                Err(error) if error.kind() == ErrorKind::TimedOut => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// When nobody uses it any more: all is given back, and nobody is on a list.
    pub(crate) fn assert_all_is_free(&self) {
        let locks = [
            self.lock.try_lock().map(|value| *value).or_else(value_of),
            self.tokens.try_lock().map(|value| *value).or_else(value_of),
            self.table.try_write().map(|value| *value).or_else(value_of),
        ];
        let [locked, tokens, written] = locks.map(|lock| lock.expect("somebody has left it locked"));
        assert_eq!(locked, self.locked.load(SeqCst));
        assert_eq!(written, self.written.load(SeqCst));
        let (given, taken) = self.count.tokens.both();
        assert_eq!(given - taken, tokens, "tokens");
        assert_eq!(self.semaphore.available_permits(), PERMITS);
        drop(self.semaphore.try_acquire_many(PERMITS).expect("somebody waits for ever"));
        // The one who comes last finds the others, and nobody else.
        let others: Vec<_> = (1..MEETING)
            .map(|_| {
                let world = self.clone();
                spawn(move || world.barrier.wait().is_leader())
            })
            .collect();
        (0..20).for_each(|_| yield_now());
        assert!(others.iter().all(|other| !other.is_finished()), "somebody has come who isn't there");
        let is_leader = self.barrier.wait().is_leader();
        let leaders = others.into_iter().map(|other| other.join().unwrap());
        assert_eq!(leaders.filter(|leads| *leads).count() + usize::from(is_leader), 1);
        for (_, receiver) in [&self.bounded, &self.unbounded] {
            receiver.try_iter().for_each(|_| self.count.sent.one_less());
        }
        self.drain();
        for (what, pair) in [("values sent", &self.count.sent), ("bytes", &self.count.bytes)] {
            let (done, undone) = pair.both();
            assert_eq!(done, undone, "{what}");
        }
        assert!(self.group.is_empty() && self.pool.is_empty());
    }
}

/// Of a lock that is only poisoned.
fn value_of<G: std::ops::Deref<Target = u64>>(error: TryLockError<G>) -> Result<u64, &'static str> {
    match error {
        TryLockError::Poisoned(poisoned) => Ok(**poisoned.get_ref()),
        TryLockError::WouldBlock => Err("locked"),
    }
}
