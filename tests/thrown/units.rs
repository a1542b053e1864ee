//! What is given in units, each of which one taker gets: some takers are ended, by a cancel or a timeout, just when units are
//! given. What such a one was told of, and does not take, another one gets.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use coro::net::UnixStream;
use coro::sync::{Condvar, Mutex, RwLock, Semaphore, channel, unbounded};
use coro::{Builder, select, spawn, timeout, yield_now};
use fastrand::Rng;

/// How many takers are ended, and how many are not.
const ENDED: usize = 3;
const STAYING: usize = 3;

type Step = Arc<dyn Fn() + Send + Sync>;

/// Gives a unit; takes one, and may wait for it.
struct Units {
    give: Step,
    take: Step,
}

fn units(give: impl Fn() + Send + Sync + 'static, take: impl Fn() + Send + Sync + 'static) -> Units {
    Units { give: Arc::new(give), take: Arc::new(take) }
}

/// Rounds in which takers come, are ended and given units at random moments. No unit is left or missing in the end: else
/// somebody who stays would wait for ever.
fn no_unit_is_lost(make: impl Fn() -> Units + Send + Sync + Copy) {
    Builder::new()
        .workers(2)
        .run(move || {
            let mut random = Rng::with_seed(1);
            for _ in 0..60 {
                let Units { give, take } = make();
                let limits = [(); ENDED].map(|()| Duration::from_micros(random.u64(..300)));
                let mut ended = Vec::new();
                let mut staying = Vec::new();
                for limit in limits {
                    // Half of them are to be cancelled.
                    let limit = if random.bool() { limit } else { Duration::from_secs(1000) };
                    let first = take.clone();
                    ended.push((spawn(move || timeout(limit, || first()).is_ok()), limit.as_secs() > 0));
                    let second = take.clone();
                    staying.push(spawn(move || second()));
                }
                (0..random.u64(..3)).for_each(|_| yield_now());
                // As many as stay: whoever is to be ended may get one, and then there is one more to come.
                let mut given = 0;
                let mut victims = ended.iter().filter(|(_, is_to_be_cancelled)| *is_to_be_cancelled);
                while given < STAYING {
                    match random.u64(..3) {
                        0 => {
                            give();
                            given += 1;
                        }
                        1 => drop(victims.next().map(|(victim, _)| victim.cancel().unwrap())),
                        _ => yield_now(),
                    }
                }
                victims.for_each(|(victim, _)| victim.cancel().unwrap());
                for (victim, _) in ended {
                    if victim.join().unwrap_or(false) {
                        give();
                    }
                }
                staying.into_iter().for_each(|one| one.join().unwrap());
            }
        })
        .unwrap();
}

#[test]
fn permits() {
    no_unit_is_lost(|| {
        let giver = Arc::new(Semaphore::new(0));
        let taker = giver.clone();
        units(move || giver.release(1), move || taker.acquire().forget())
    });
}

#[test]
fn notifications() {
    no_unit_is_lost(|| {
        let giver = Arc::new((Mutex::new(0), Condvar::new()));
        let taker = giver.clone();
        let give = move || {
            let mut left = giver.0.lock().unwrap();
            *left += 1;
            giver.1.notify_one();
            // Who was told has to wait for the lock, too.
            yield_now();
        };
        let take = move || *taker.1.wait_while(taker.0.lock().unwrap(), |left| *left == 0).unwrap() -= 1;
        units(give, take)
    });
}

#[test]
fn values_and_room_for_them() {
    no_unit_is_lost(|| {
        let (sender, receiver) = channel(ENDED + STAYING);
        units(move || sender.send(()).unwrap(), move || receiver.recv().unwrap())
    });
    no_unit_is_lost(|| {
        let (sender, receiver) = unbounded();
        units(move || sender.send(()).unwrap(), move || receiver.recv().unwrap())
    });
    no_unit_is_lost(|| {
        let (sender, receiver) = channel(1);
        sender.send(()).unwrap();
        // A place that is free already is left so.
        units(move || receiver.recv().unwrap(), move || sender.send(()).unwrap())
    });
}

#[test]
fn values_of_several_channels() {
    no_unit_is_lost(|| {
        let ((one, from_one), (other, from_other)) = (channel(10), unbounded());
        let turn = std::sync::atomic::AtomicUsize::new(0);
        let give = move || {
            if turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst).is_multiple_of(2) {
                one.send(()).unwrap();
            } else {
                other.send(()).unwrap();
            }
        };
        let take = move || {
            select! {
                recv(from_one) -> value => value.unwrap(),
                recv(from_other) -> value => value.unwrap(),
            }
        };
        units(give, take)
    });
}

#[test]
fn bytes() {
    no_unit_is_lost(|| {
        let (writes, reads) = UnixStream::pair().unwrap();
        units(
            move || assert_eq!((&writes).write(&[1]).unwrap(), 1),
            move || assert_eq!((&reads).read(&mut [0]).unwrap(), 1),
        )
    });
}

/// A lock is not given in units: each who has it gives it on. One who holds it gives others their turns meanwhile.
#[test]
fn locks() {
    no_unit_is_lost(|| {
        let giver = Arc::new((Mutex::new(()), RwLock::new(())));
        let taker = giver.clone();
        let give = move || {
            let _held = (giver.0.lock().unwrap(), giver.1.write().unwrap());
            yield_now();
        };
        let take = move || {
            drop(taker.0.lock().unwrap());
            drop(taker.1.read().unwrap());
            drop(taker.1.write().unwrap());
        };
        units(give, take)
    });
}
