//! How often somebody is overtaken who waits for a mutex that many want, on two workers.

use std::hint;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use super::*;
use crate::abi::record::Record;
use crate::abi::state::{State, Word};
use crate::stack::region;
use crate::{Builder, JoinHandle, registry, spawn, spawn_local};

/// Of each of the two workers.
const COROUTINES: usize = 4;
const ALL: usize = 2 * COROUTINES;
const ROUNDS: u32 = 400;
/// How long each has the lock, at the shortest, in nanoseconds: so few can have it in a time.
const TURN: u64 = 20_000;
/// While somebody waits: as many as have it until nobody overtakes any more, and until somebody looks whether it is so; then
/// all who came before, one who got it in the moment in which the first of them was about to be told, and those at both ends.
const BOUND: u32 = (PATIENCE / TURN) as u32 + 2 + ALL as u32 + 3;

/// What is seen of each by those who have the lock.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Which of its locks it wants.
    call: u32,
    /// How many had it since it was seen to wait for that.
    overtaken: u32,
}

struct Wanted {
    lock: Mutex<[Seen; ALL]>,
    records: [OnceLock<&'static Record>; ALL],
    calls: [AtomicU32; ALL],
    worst: AtomicU32,
}

impl Wanted {
    /// Whether it is parked for the lock. Who has been told, and doesn't run yet, is overtaken by whom it can't run beside.
    fn waits(&self, who: usize) -> bool {
        let object = ptr::from_ref(&self.lock).addr() as u64;
        self.records[who].get().is_some_and(|record| {
            Word(record.state.load(Relaxed)).state() == State::Parked
                && record.wait_reason.load(Relaxed) == WaitReason::Mutex as u32
                && record.wait_object.load(Relaxed) == object
        })
    }

    /// By one who has the lock.
    fn look(&self, me: usize, seen: &mut [Seen; ALL]) {
        for who in (0..ALL).filter(|who| *who != me && self.waits(*who)) {
            let call = self.calls[who].load(Relaxed);
            if seen[who].call != call {
                seen[who] = Seen { call, overtaken: 0 };
            }
            seen[who].overtaken += 1;
            self.worst.fetch_max(seen[who].overtaken, Relaxed);
        }
    }

    fn want_again_and_again(&self, me: usize) {
        let id = crate::current().unwrap().id().as_u64();
        let record = registry::iterate(region::get().unwrap()).find(|record| record.id() == id);
        self.records[me].set(record.unwrap()).unwrap();
        for _ in 0..ROUNDS {
            self.calls[me].fetch_add(1, Relaxed);
            let mut seen = self.lock.lock().unwrap();
            let until = clock::now() + TURN;
            self.look(me, &mut seen);
            while clock::now() < until {
                hint::spin_loop();
            }
        }
    }
}

#[test]
fn nobody_who_waits_is_overtaken_for_long() {
    let wanted = Arc::new(Wanted {
        lock: Mutex::default(),
        records: Default::default(),
        calls: Default::default(),
        worst: AtomicU32::new(0),
    });
    let both = Arc::new(std::sync::Barrier::new(2));
    Builder::new()
        .workers(2)
        .run(|| {
            let sides = [0, 1].map(|side| {
                let (wanted, both) = (wanted.clone(), both.clone());
                spawn(move || {
                    // Holds its thread: so each has one of the workers.
                    both.wait();
                    let begin = |n| {
                        let wanted = wanted.clone();
                        spawn_local(move || wanted.want_again_and_again(side * COROUTINES + n))
                    };
                    let all: Vec<JoinHandle<()>> = (0..COROUTINES).map(begin).collect();
                    all.into_iter().for_each(|one| one.join().unwrap());
                })
            });
            sides.into_iter().for_each(|side| side.join().unwrap());
        })
        .unwrap();
    let worst = wanted.worst.load(Relaxed);
    assert!(worst > 0, "they did wait for each other");
    assert!(worst <= BOUND, "{worst} had the lock while one waited, and not {BOUND} at the most");
}
