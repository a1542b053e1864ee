//! All primitives at once, by random operations on two workers, held against what a simple model says of each: whoever has a
//! lock is alone, permits are never more than there are, what was sent is what was received, and in order.
//!
//! `CORO_SYNC_OPERATIONS`: how many; tests/long/sync.sh asks for many.

use std::collections::{HashMap, VecDeque};
use std::env;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use coro::sync::{
    Barrier, Condvar, Event, Mutex, OnceLock, Receiver, RwLock, Semaphore, SendTimeoutError, Sender,
    TrySendError, WaitGroup, channel, oneshot, unbounded,
};
use coro::{Builder, select, spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::{LONG, join_all};

const ACTORS: u64 = 16;
const PERMITS: usize = 3;
/// Of each channel.
const RECEIVERS: usize = 3;
const ROOM: usize = 4;

/// Who sent it, and which of its values it is.
type Value = (u64, u64);

/// What all share.
struct World {
    /// The numbers of a pair differ only while somebody has the lock.
    lock: Mutex<(u64, u64)>,
    shared: RwLock<(u64, u64)>,
    permits: Semaphore,
    in_use: AtomicU64,
    /// A queue with a bound, of a mutex and two condition variables.
    queue: Mutex<VecDeque<u64>>,
    has_room: Condvar,
    has_value: Condvar,
    senders: Vec<Sender<Value>>,
}

/// What the operations have come to, of one actor or of all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    locked: u64,
    written: u64,
    queued: u64,
    /// By the channel: how many, and the sum of what was sent.
    sent: [(u64, u64); 4],
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.locked += other.locked;
        self.written += other.written;
        self.queued += other.queued;
        for (sum, other) in self.sent.iter_mut().zip(other.sent) {
            *sum = (sum.0 + other.0, sum.1 + other.1);
        }
    }
}

/// Numbers as if by chance (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

struct Actor {
    world: Arc<World>,
    chance: Chance,
    who: u64,
    /// Of its values.
    next: u64,
    sums: Sums,
}

impl Actor {
    fn act(&mut self) {
        match self.chance.below(10) {
            0 => self.lock(),
            1 => self.share(),
            2 => self.use_permits(),
            3 => self.queue(),
            4..8 => self.send(),
            8 => self.choose(),
            _ => self.meet(),
        }
    }

    /// Gives way, now and then.
    fn pause(&mut self) {
        if self.chance.below(4) == 0 {
            yield_now();
        }
    }

    fn lock(&mut self) {
        let world = self.world.clone();
        let guard = match self.chance.below(3) {
            0 => world.lock.try_lock().ok(),
            1 => world.lock.try_lock_for(Duration::from_micros(10)).ok(),
            _ => Some(world.lock.lock().unwrap()),
        };
        let Some(mut pair) = guard else { return };
        assert_eq!(pair.0, pair.1, "nobody else is in it");
        pair.0 += 1;
        self.pause();
        pair.1 += 1;
        self.sums.locked += 1;
    }

    fn share(&mut self) {
        let world = self.world.clone();
        if self.chance.below(3) > 0 {
            let pair = world.shared.read().unwrap();
            assert_eq!(pair.0, pair.1, "nobody writes");
            self.pause();
            assert_eq!(pair.0, pair.1, "nobody writes");
            return;
        }
        let mut pair = world.shared.write().unwrap();
        assert_eq!(pair.0, pair.1, "nobody else writes");
        pair.0 += 1;
        self.pause();
        pair.1 += 1;
        self.sums.written += 1;
    }

    fn use_permits(&mut self) {
        let world = self.world.clone();
        let count = 1 + self.chance.below(PERMITS as u64);
        let _permit = world.permits.acquire_many(count as usize);
        assert!(world.in_use.fetch_add(count, Relaxed) + count <= PERMITS as u64, "there are no more");
        self.pause();
        world.in_use.fetch_sub(count, Relaxed);
    }

    fn queue(&mut self) {
        let world = self.world.clone();
        let mut queue =
            world.has_room.wait_while(world.queue.lock().unwrap(), |queue| queue.len() >= ROOM).unwrap();
        queue.push_back(self.who);
        drop(queue);
        world.has_value.notify_one();
        self.sums.queued += self.who;
    }

    fn send(&mut self) {
        let world = self.world.clone();
        let to = self.chance.below(4) as usize;
        let value = (self.who, self.next);
        let is_sent = match self.chance.below(3) {
            0 => match world.senders[to].try_send(value) {
                Ok(()) => true,
                Err(TrySendError::Full(back)) => {
                    assert_eq!(back, value);
                    false
                }
                Err(TrySendError::Disconnected(_)) => panic!("there are receivers"),
            },
            1 => match world.senders[to].send_timeout(value, Duration::from_micros(10)) {
                Ok(()) => true,
                Err(SendTimeoutError::Timeout(back)) => {
                    assert_eq!(back, value);
                    false
                }
                Err(SendTimeoutError::Disconnected(_)) => panic!("there are receivers"),
            },
            _ => world.senders[to].send(value).is_ok(),
        };
        if is_sent {
            self.note_sent(to);
        }
    }

    fn note_sent(&mut self, to: usize) {
        let (count, sum) = self.sums.sent[to];
        self.sums.sent[to] = (count + 1, sum + self.next);
        self.next += 1;
    }

    /// Sends to one of two channels.
    fn choose(&mut self) {
        let world = self.world.clone();
        let one = self.chance.below(4) as usize;
        let other = (one + 1) % 4;
        let value = (self.who, self.next);
        let to = select! {
            send(world.senders[one], value) -> sent => { sent.unwrap(); Some(one) }
            send(world.senders[other], value) -> sent => { sent.unwrap(); Some(other) }
            after(LONG) => None,
        };
        self.note_sent(to.unwrap());
    }

    /// Things of their own for three who meet.
    fn meet(&mut self) {
        let made = AtomicU64::new(0);
        let all = Arc::new((Barrier::new(3), Event::new(), OnceLock::new(), made));
        let (members, (to_us, ours)) = (WaitGroup::new(), oneshot());
        let mut to_us = Some(to_us);
        let others: Vec<_> = (0..2)
            .map(|n| {
                let (all, member, to_us) = (all.clone(), members.clone(), to_us.take());
                spawn(move || {
                    let leads = all.0.wait().is_leader();
                    all.1.wait();
                    let value = *all.2.get_or_init(|| {
                        yield_now();
                        all.3.fetch_add(1, Relaxed);
                        n
                    });
                    if let Some(to_us) = to_us {
                        to_us.send(value).unwrap();
                    }
                    drop(member);
                    (leads, value)
                })
            })
            .collect();
        let leads = all.0.wait().is_leader();
        all.1.set();
        let value = ours.recv().unwrap();
        members.wait();
        let others = join_all(others);
        assert_eq!(others.iter().filter(|one| one.0).count() + usize::from(leads), 1, "one of them leads");
        assert!(others.iter().all(|one| one.1 == value), "all see one value");
        assert_eq!(all.3.load(Relaxed), 1, "it is made once");
    }
}

/// Receives until the end, in one way or another; says how many came, and their sum.
fn receive(receiver: &Receiver<Value>, mut chance: Chance) -> (u64, u64) {
    let (mut count, mut sum, mut last) = (0, 0, HashMap::new());
    loop {
        let got = match chance.below(3) {
            0 => receiver.recv().ok(),
            1 => select! { recv(receiver) -> got => got.ok(), after(LONG) => None },
            _ => match receiver.recv_timeout(Duration::from_micros(10)) {
                Ok(value) => Some(value),
                Err(coro::sync::RecvTimeoutError::Timeout) => continue,
                Err(coro::sync::RecvTimeoutError::Disconnected) => None,
            },
        };
        let Some((who, number)) = got else { return (count, sum) };
        let before = last.insert(who, number);
        assert!(before.is_none_or(|before| before < number), "the values of one keep their order");
        count += 1;
        sum += number;
    }
}

/// Takes out of the queue until there is a zero.
fn take_out(world: &World) -> u64 {
    let mut sum = 0;
    loop {
        let mut queue =
            world.has_value.wait_while(world.queue.lock().unwrap(), |queue| queue.is_empty()).unwrap();
        let value = queue.pop_front().unwrap();
        drop(queue);
        world.has_room.notify_one();
        if value == 0 {
            return sum;
        }
        sum += value;
    }
}

#[test]
fn random_operations_come_to_what_a_model_says() {
    let operations = env::var("CORO_SYNC_OPERATIONS").map_or(20_000, |count| count.parse().unwrap());
    Builder::new().workers(2).run(|| act_all(operations)).unwrap();
}

fn act_all(operations: u64) {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        [channel(0), channel(1), channel(ROOM), unbounded()].into_iter().unzip();
    let world = Arc::new(World {
        lock: Mutex::default(),
        shared: RwLock::new((0, 0)),
        permits: Semaphore::new(PERMITS),
        in_use: AtomicU64::new(0),
        queue: Mutex::default(),
        has_room: Condvar::new(),
        has_value: Condvar::new(),
        senders,
    });
    let takers: Vec<Vec<_>> = (0..)
        .zip(receivers)
        .map(|(number, receiver)| {
            let take = |n| {
                let receiver = receiver.clone();
                spawn(move || receive(&receiver, Chance(1000 + number * 10 + n)))
            };
            (0..RECEIVERS as u64).map(take).collect()
        })
        .collect();
    let taker = {
        let world = world.clone();
        spawn(move || take_out(&world))
    };
    let actors = (1..=ACTORS).map(|who| {
        let world = world.clone();
        spawn(move || {
            let mut actor = Actor { world, chance: Chance(who), who, next: 0, sums: Sums::default() };
            (0..operations / ACTORS).for_each(|_| actor.act());
            actor.sums
        })
    });
    let mut sums = Sums::default();
    join_all(actors).iter().for_each(|own| sums.add(own));
    world.queue.lock().unwrap().push_back(0);
    world.has_value.notify_one();
    let queued = taker.join().unwrap();
    let world = Arc::into_inner(world).expect("the others have ended");
    assert_eq!(*world.lock.lock().unwrap(), (sums.locked, sums.locked));
    assert_eq!(*world.shared.read().unwrap(), (sums.written, sums.written));
    assert_eq!((world.permits.available_permits(), queued), (PERMITS, sums.queued));
    drop(world.senders);
    let received = takers
        .into_iter()
        .map(|takers| join_all(takers).into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
    assert_eq!(received.collect::<Vec<_>>(), sums.sent);
}
