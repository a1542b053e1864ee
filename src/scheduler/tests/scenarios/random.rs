//! Scenarios that are made up: programs of random operations, whose results are known.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::plays::{Played, run, same};
use crate::sync::{self, Event, Mutex};
use crate::sys::explore;

/// What all share; each adds to the count what it has to.
#[derive(Default)]
struct Shared {
    done: AtomicU64,
    locked: Mutex<u64>,
}

#[derive(Clone, Debug)]
enum Operation {
    Yield,
    Sleep(u64),
    Lock,
    /// Somebody else sends so many through a channel with so much room.
    Receive(u64, usize),
    /// The same, from a plain thread.
    ReceiveFromThread(u64),
    Spawn(Program),
    /// One that would wait for ever.
    SpawnAndCancel,
    /// With a deadline that may come first.
    SpawnAndWait(u64),
}

type Program = Vec<Operation>;

fn program(dice: &mut Rng, depth: u64) -> Program {
    let length = 1 + dice.u64(..4);
    let operation = |dice: &mut Rng| match dice.u64(..if depth > 0 { 9 } else { 5 }) {
        0 | 1 => Operation::Yield,
        2 => Operation::Sleep(dice.u64(..300)),
        3 | 4 => Operation::Lock,
        5 => Operation::Receive(1 + dice.u64(..3), dice.usize(..3)),
        6 => Operation::ReceiveFromThread(1 + dice.u64(..3)),
        7 => Operation::Spawn(program(dice, depth - 1)),
        _ if dice.u64(..2) == 0 => Operation::SpawnAndCancel,
        _ => Operation::SpawnAndWait(dice.u64(..100)),
    };
    (0..length).map(|_| operation(dice)).collect()
}

/// What a program adds to the counts: of what is done, and under the lock.
fn expected(program: &Program) -> (u64, u64) {
    program.iter().fold((0, 0), |(done, locked), operation| {
        let (more_done, more_locked) = match operation {
            Operation::Lock => (1, 1),
            Operation::Spawn(program) => {
                let (done, locked) = expected(program);
                (done + 1, locked)
            }
            Operation::Receive(count, _) | Operation::ReceiveFromThread(count) => (*count, 0),
            _ => (1, 0),
        };
        (done + more_done, locked + more_locked)
    })
}

fn execute(program: Program, shared: &Arc<Shared>) {
    let mut children = Vec::new();
    for operation in program {
        let mut count = 1;
        match operation {
            Operation::Yield => crate::yield_now(),
            Operation::Sleep(micros) => crate::sleep(Duration::from_micros(micros)),
            Operation::Lock => {
                let mut locked = shared.locked.lock().expect("nobody panics here");
                let before = *locked;
                if before.is_multiple_of(2) {
                    crate::yield_now();
                }
                *locked = before + 1;
            }
            Operation::Receive(values, room) => {
                let (to, from) = sync::channel(room);
                children.push(crate::spawn(move || (0..values).for_each(|n| to.send(n).expect("we listen"))));
                count = from.iter().count() as u64;
            }
            Operation::ReceiveFromThread(values) => {
                let (to, from) = sync::channel(1);
                let send = move || (0..values).for_each(|n| to.send(n).expect("we listen"));
                let thread = explore::spawn(thread::Builder::new().name("plain".into()), send);
                count = from.iter().count() as u64;
                explore::join(thread.expect("a thread can be started")).expect("it doesn't panic");
            }
            Operation::Spawn(program) => {
                let shared = shared.clone();
                children.push(crate::spawn(move || execute(program, &shared)));
            }
            Operation::SpawnAndCancel => {
                let waiter = crate::spawn(|| Event::new().wait());
                waiter.cancel().expect("it may be cancelled");
                count = waiter.join().is_err_and(|error| error.is_cancelled()).into();
            }
            Operation::SpawnAndWait(micros) => {
                let sleeper = crate::spawn(|| crate::sleep(Duration::from_micros(50)));
                if let Err(handle) = sleeper.join_timeout(Duration::from_micros(micros)) {
                    children.push(handle);
                }
            }
        }
        shared.done.fetch_add(count, SeqCst);
    }
    children.into_iter().for_each(|child| child.join().expect("nobody panics or is cancelled here"));
}

/// The scenario of this number.
pub(super) fn play(number: u64) -> Played {
    let mut dice = Rng::with_seed(number);
    let workers = 2 + dice.usize(..2);
    let programs: Vec<Program> = (0..2 + dice.u64(..3)).map(|_| program(&mut dice, 2)).collect();
    let expected = programs.iter().map(expected).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let shared = Arc::new(Shared::default());
    run(workers, || {
        let spawn = |program| {
            let shared = shared.clone();
            crate::spawn(move || execute(program, &shared))
        };
        let all: Vec<_> = programs.into_iter().map(spawn).collect();
        all.into_iter().for_each(|one| one.join().expect("nobody panics or is cancelled here"));
    })?;
    same("done", shared.done.load(SeqCst), expected.0)?;
    let locked = *shared.locked.lock().expect("nobody panics here");
    same("done under the lock", locked, expected.1)
}
