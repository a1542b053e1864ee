//! A crowd of coroutines that are alive at a time: is there room for it, and is its memory given back?
//!
//! `crowd N` spawns N coroutines, which wait; lets each give way ten times, with all others alive; wakes all, joins them, and
//! waits until no more memory is given back. Then all that again. It prints how long each part took and what memory it
//! takes, and ends with status 1 if that is too much, or if it doesn't go back.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use coro::sync::Event;
use coro::{Builder, CoroutineBuilder, yield_now};

/// How often each gives way.
const SWITCHES: usize = 10;
/// So many are spawned, or joined, before the others have a turn.
const AT_ONCE: usize = 100;
/// What one may take: time for all parts of a round, and bytes, resident and of page tables, at the most.
const MOST_TIME: Duration = Duration::from_micros(60);
const MOST_BYTES: u64 = 6000;
/// What stays of each in any case: its record, for readers and for the slot's next tenant. So do the page tables, in which the
/// redzones are.
const RECORD: u64 = 192;
/// What else may be left of a crowd's resident memory, and by how much the second crowd's may be another, in hundredths.
const TOLERANCE: u64 = 5;
/// Or so many bytes: the stacks which the runtime keeps for whoever comes next.
const KEPT: u64 = 4096 * 4096;
/// Memory is as it stays when so many looks, a second each, find no less.
const LOOKS: u32 = 3;

fn main() -> ExitCode {
    let Some(count) = std::env::args().nth(1).and_then(|n| n.parse().ok()).filter(|n| *n > 0) else {
        eprintln!("usage: crowd N, the number of coroutines");
        return ExitCode::from(2);
    };
    let is_right = Builder::new().max_coroutines(count + 16).run(|| {
        let rounds = [(); 2].map(|()| crowd(count));
        let [first, second] = rounds.map(|round| round.taken);
        let is_same = first.abs_diff(second) * 100 <= TOLERANCE * first;
        if !is_same {
            println!("the second crowd took another amount of memory than the first one");
        }
        is_same && rounds.iter().all(|round| round.is_right)
    });
    if is_right.expect("a runtime starts") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy)]
struct Round {
    /// In bytes, with all alive, page tables and all.
    taken: u64,
    is_right: bool,
}

fn crowd(count: usize) -> Round {
    let before = Memory::now();
    let [go, end] = [(); 2].map(|()| Arc::new(Event::new()));
    let there = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut members = Vec::with_capacity(count);
    for number in 1..=count {
        let (go, end, there) = (go.clone(), end.clone(), there.clone());
        let member = CoroutineBuilder::new().spawn(move || {
            there.fetch_add(1, Relaxed);
            go.wait();
            (0..SWITCHES).for_each(|_| yield_now());
            there.fetch_add(1, Relaxed);
            end.wait();
        });
        members.push(member.expect("there is room for as many as were asked for"));
        if number.is_multiple_of(AT_ONCE) {
            yield_now();
        }
    }
    wait_for(&there, count);
    let spawned = start.elapsed();
    go.set();
    wait_for(&there, 2 * count);
    let switched = start.elapsed();
    let most = Memory::now();
    end.set();
    members.into_iter().for_each(|member| member.join().expect("it has nothing to panic about"));
    let joined = start.elapsed();
    let (after, looks) = settled();

    let taken = most.resident + most.tables;
    let left = after.resident.saturating_sub(before.resident);
    println!(
        "{count} spawned in {:.2} s, gave way {SWITCHES} times each in {:.2} s ({} ns a switch), woken and joined in {:.2} s; \
         {} MiB resident and {} MiB of page tables: {} bytes each; {looks} s later {} and {} MiB are left",
        spawned.as_secs_f64(),
        (switched - spawned).as_secs_f64(),
        (switched - spawned).as_nanos() / (count * SWITCHES) as u128,
        (joined - switched).as_secs_f64(),
        most.resident >> 20,
        most.tables >> 20,
        taken / count as u64,
        after.resident >> 20,
        after.tables >> 20,
    );
    let bars = [
        (joined <= MOST_TIME * count as u32, "it took too long"),
        (taken <= MOST_BYTES * count as u64 + KEPT, "it took too much memory"),
        (
            left <= RECORD * count as u64 + KEPT.max(most.resident * TOLERANCE / 100),
            "its memory is not given back",
        ),
    ];
    bars.iter().filter(|bar| !bar.0).for_each(|bar| println!("{}", bar.1));
    Round { taken, is_right: bars.iter().all(|bar| bar.0) }
}

fn wait_for(there: &AtomicUsize, count: usize) {
    while there.load(Relaxed) < count {
        yield_now();
    }
}

/// Memory when no more of it is given back, and after how many seconds.
fn settled() -> (Memory, u32) {
    let (mut least, mut looks, mut same) = (Memory::now(), 0, 0);
    while same < LOOKS {
        coro::sleep(Duration::from_secs(1));
        let now = Memory::now();
        same = if now.resident < least.resident { 0 } else { same + 1 };
        least.resident = least.resident.min(now.resident);
        looks += 1;
    }
    (least, looks)
}

/// In bytes.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    tables: u64,
}

impl Memory {
    fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("this needs /proc");
        let of = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
            let kib = line.trim().trim_end_matches(" kB");
            kib.parse::<u64>().expect("a number") << 10
        };
        Memory { resident: of("VmRSS:"), tables: of("VmPTE:") }
    }
}
