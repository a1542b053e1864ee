//! Random operations on several workers, held against a model: coroutines spawn, yield, sleep, are woken by an OS thread,
//! join, and end. What each returns depends on its seed alone, so a model that runs nothing at all can tell it: a lost or
//! doubled wake-up, a result that went to the wrong handle or a coroutine that was lost shows.
//!
//! 100,000 operations on two and on four workers; `CORO_OPERATIONS` says otherwise (tests/long/workers.sh).

use std::collections::VecDeque;
use std::env;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use coro::sync::{Sender, channel};
use coro::{Builder, JoinHandle, spawn, yield_now};
use fastrand::Rng;
use pretty_assertions::assert_eq;

/// So many live at a time below the root, at most.
const DEPTH: u32 = 3;
/// Roots that live at a time.
const ROOTS: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Yield,
    /// For so many microseconds.
    Sleep(u64),
    /// Sends the number to a thread, which sends it back, plus one.
    Wake(u64),
    /// A child with this seed.
    Spawn(u64),
    /// Of the oldest child that wasn't joined yet, if there is one.
    Join,
}

/// What the coroutine of a seed does.
fn plan(seed: u64, depth: u32) -> Vec<Operation> {
    let mut random = Rng::with_seed(seed);
    let length = random.u32(4..24);
    (0..length)
        .map(|_| match random.u32(..100) {
            0..40 => Operation::Yield,
            40..50 => Operation::Sleep(random.u64(..60)),
            50..60 => Operation::Wake(random.u64(..)),
            60..80 if depth > 0 => Operation::Spawn(random.u64(..)),
            _ => Operation::Join,
        })
        .collect()
}

fn mix(sum: u64, value: u64) -> u64 {
    (sum.rotate_left(7) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What it returns, how many coroutines it makes, itself included, and how many operations they do: in the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    result: u64,
    coroutines: u64,
    operations: u64,
}

fn expected(seed: u64, depth: u32) -> Expected {
    let mut all = Expected { result: seed, coroutines: 1, operations: 0 };
    let mut children = VecDeque::new();
    for operation in plan(seed, depth) {
        all.operations += 1;
        match operation {
            Operation::Yield | Operation::Sleep(_) => {}
            Operation::Wake(number) => all.result = mix(all.result, number.wrapping_add(1)),
            Operation::Spawn(seed) => {
                let child = expected(seed, depth - 1);
                all.coroutines += child.coroutines;
                all.operations += child.operations;
                children.push_back(child.result);
            }
            Operation::Join => {
                all.result = children.pop_front().map_or(all.result, |child| mix(all.result, child))
            }
        }
    }
    all
}

/// What the thread is asked: send this, plus one, there.
type Question = (u64, Sender<u64>);

#[derive(Clone)]
struct World {
    thread: mpsc::Sender<Question>,
    ended: Arc<AtomicU64>,
}

fn live(world: &World, seed: u64, depth: u32) -> u64 {
    let mut result = seed;
    let mut children = VecDeque::<JoinHandle<u64>>::new();
    let here = thread::current().id();
    for operation in plan(seed, depth) {
        match operation {
            Operation::Yield => yield_now(),
            Operation::Sleep(microseconds) => coro::sleep(Duration::from_micros(microseconds)),
            Operation::Wake(number) => {
                let (back, answer) = channel(1);
                world.thread.send((number, back)).unwrap();
                result = mix(result, answer.recv().unwrap());
                assert_eq!(answer.recv().ok(), None, "an answer comes once");
            }
            Operation::Spawn(seed) => {
                let world = world.clone();
                children.push_back(spawn(move || live(&world, seed, depth - 1)));
            }
            Operation::Join => {
                if let Some(child) = children.pop_front() {
                    result = mix(result, child.join().unwrap());
                }
            }
        }
        assert_eq!(thread::current().id(), here);
    }
    world.ended.fetch_add(1, Relaxed);
    // Those that were not joined go on by themselves.
    result
}

fn run_on(workers: usize, operations: u64) -> coro::Stats {
    let (ask, questions) = mpsc::channel::<Question>();
    let answering = thread::spawn(move || {
        questions.iter().for_each(|(number, back)| back.send(number.wrapping_add(1)).unwrap())
    });
    let world = World { thread: ask, ended: Arc::default() };
    let (stats, made) = Builder::new()
        .workers(workers)
        .run(|| {
            let mut sum = Expected::default();
            let mut roots = VecDeque::new();
            let mut random = Rng::with_seed(workers as u64);
            while sum.operations < operations || !roots.is_empty() {
                while sum.operations < operations && roots.len() < ROOTS {
                    let (seed, world) = (random.u64(..), world.clone());
                    let root = expected(seed, DEPTH);
                    sum.operations += root.operations;
                    sum.coroutines += root.coroutines;
                    roots.push_back((spawn(move || live(&world, seed, DEPTH)), root.result));
                }
                let (root, result) = roots.pop_front().unwrap();
                assert_eq!(root.join().unwrap(), result);
            }
            while coro::stats().unwrap().alive > 0 {
                coro::sleep(Duration::from_micros(500));
            }
            coro::debug::check().unwrap();
            (coro::stats().unwrap(), sum)
        })
        .unwrap();
    assert_eq!((stats.spawned, world.ended.load(SeqCst)), (made.coroutines, made.coroutines));
    drop(world);
    answering.join().unwrap();
    stats
}

#[test]
fn random_operations_on_several_workers_are_as_the_model_says() {
    let operations = env::var("CORO_OPERATIONS").map_or(100_000, |count| count.parse().unwrap());
    for workers in [2, 4] {
        let stats = run_on(workers, operations);
        println!(
            "{workers} workers: {operations} operations, {} coroutines, {} switches, {} steals",
            stats.spawned, stats.switches, stats.steals
        );
        assert!(stats.steals > 0, "nobody has stolen anything: {stats:?}");
    }
}
