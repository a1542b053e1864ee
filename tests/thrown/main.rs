//! Cancels, panics and timeouts thrown at random into random operations, on two workers: nothing is lost, stuck or leaked,
//! and each destructor runs exactly once.
//!
//! - [`world`]: what the operations are about, and how it must be in the end
//! - [`operations`]: the operations
//! - [`units`]: what is given in units, to takers some of whom are ended just then
//!
//! In rounds, which are independent of each other and print their seeds: 40,000 operations in all, or as many as
//! `CORO_OPERATIONS` says (tests/long/thrown.sh); `CORO_SEED` is the first round's.

mod operations;
mod units;
mod world;

use std::env;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use coro::net::TcpStream;
use coro::{Builder, sleep, spawn, yield_now};
use fastrand::Rng;
use pretty_assertions::assert_eq;

use self::operations::live;
use self::world::World;

/// Operations of a round.
const ROUND: u64 = 10_000;

fn asked(variable: &str, otherwise: u64) -> u64 {
    env::var(variable)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[test]
fn nothing_is_lost_stuck_or_leaked_and_each_destructor_runs_exactly_once() {
    let wanted = asked("CORO_OPERATIONS", 4 * ROUND);
    let first = asked("CORO_SEED", 0x2545_f491_4f6c_dd1d);
    for round in 0..wanted.div_ceil(ROUND) {
        // Far from each other, and never 0.
        let seed = first.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        println!("round {round}: CORO_SEED={seed}");
        play(seed);
    }
}

/// A round.
fn play(seed: u64) {
    let main = move || {
        let world = World::new();
        let helper = spawn({
            let world = world.clone();
            move || world.help()
        });
        let mut random = Rng::with_seed(seed);
        let mut handles = Vec::new();
        while world.count.operations() < ROUND {
            let (inner, seed) = (world.clone(), random.u64(..));
            handles.push(world.group.spawn(move || live(&inner, seed, 2)));
            if handles.len() == 50 {
                let victim = random.usize(..handles.len());
                handles[victim].cancel().unwrap();
                if random.u32(..10) == 0 {
                    world.group.cancel().unwrap();
                }
                if random.u32(..10) == 0 {
                    world.pool.cancel().unwrap();
                }
                let first = handles.swap_remove(victim);
                let _ = first.join();
            }
            if random.u32(..8) == 0 {
                yield_now();
            }
        }
        drop(handles);
        world.group.wait().unwrap();
        world.pool.wait().unwrap();
        // Then those whom nobody joins, and the helper as the last one.
        let wait_for_all_but = |few| {
            while coro::stats().unwrap().alive > few {
                sleep(Duration::from_millis(1));
            }
        };
        wait_for_all_but(1);
        world.stop();
        helper.join().unwrap();
        wait_for_all_but(0);
        world.assert_all_is_free();
        world.count.clone()
    };
    let count = Builder::new().workers(2).run(main).unwrap();
    count.assert_even();
}

#[test]
fn connections_whose_users_are_cancelled_at_random_carry_on() {
    Builder::new()
        .workers(2)
        .run(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut peer = listener.accept().unwrap().0;
            let stream = Arc::new(TcpStream::from_std(client).unwrap());
            for round in 0..2000_u32 {
                let reading = stream.clone();
                let reader = spawn(move || {
                    let mut byte = [0];
                    (&*reading).read(&mut byte).map(|count| (count, byte))
                });
                (0..round % 4).for_each(|_| yield_now());
                reader.cancel().unwrap();
                let got = reader.join();
                assert!(got.is_err(), "nothing was sent yet");
                // What is sent now is there for the next one.
                peer.write_all(&[round as u8]).unwrap();
                let mut byte = [0];
                (&*stream).read_exact(&mut byte).unwrap();
                assert_eq!(byte[0], round as u8);
            }
        })
        .unwrap();
}
