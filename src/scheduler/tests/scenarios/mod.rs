//! The whole scheduler, in many orders of its steps: workers, coroutines, other threads and the end of it all, as
//! `sys::explore` lets them take turns. (As shuttle's tests; see there why it isn't shuttle.)
//!
//! What a scenario asserts, it asserts in every order; and in none may a thread sleep that somebody has forgotten to wake.
//! Each bug in [`BUGS`] is planted, to see that some scenario finds it.
//!
//! A scenario runs in a process of its own, some hundred times one after the other: with a bug it ends as it likes, and the
//! region is nobody else's. `CORO_SCENARIO_ORDERS` says how many orders of each are wanted, see tests/long/scenarios.sh;
//! and what a failure says is enough to see it again.

mod plays;
mod random;

use std::env;
use std::process::{Command, Output};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use crate::abi::state::State;
use crate::registry;
use crate::stack::region;
use crate::sys::explore;

/// How many orders of each scenario are tried, and how many scenarios are made up.
const ORDERS: u64 = 100;
const MADE_UP: u64 = 8;
/// Orders in which a planted bug is looked for, at most.
const ORDERS_FOR_A_BUG: u64 = 5000;

/// What a scenario is told in a process of its own.
const NAME: &str = "CORO_SCENARIO";
const BUG: &str = "CORO_SCENARIO_BUG";
/// What the environment may ask for.
const WANTED: &str = "CORO_SCENARIO_ORDERS";
const WANTED_MADE_UP: &str = "CORO_SCENARIOS_MADE_UP";

/// A bug, a scenario that finds it, and what is said of it.
const BUGS: [(&str, &str, &str); 6] = [
    ("looks before it sends", "mutex", "all threads sleep"),
    ("sleeps without a second look", "thread", "all threads sleep"),
    ("overlooks what others have", "blocked main", "what it waits for doesn't come"),
    ("leaves what is left to the first worker", "end", "were not dropped"),
    ("parks who is cancelled", "cancel", "all threads sleep"),
    ("torn", "rendezvous", "all threads sleep"),
];

#[test]
fn every_order_ends_well() {
    let orders = asked(WANTED).unwrap_or(ORDERS);
    let made_up = asked(WANTED_MADE_UP).unwrap_or(MADE_UP);
    let by_hand = plays::ALL.iter().map(|(name, _)| (*name).to_owned());
    let names: Vec<String> = by_hand.chain((0..made_up).map(|number| number.to_string())).collect();
    let next = AtomicUsize::new(0);
    let try_all = || {
        while let Some(name) = names.get(next.fetch_add(1, Relaxed)) {
            let (output, said) = in_a_process(name, orders, None);
            assert!(output.status.success(), "{name}: {}\n{said}", output.status);
            println!("{}", said.lines().find(|line| line.contains(" orders, ")).unwrap_or_default());
        }
    };
    // One thread of a scenario runs at a time.
    thread::scope(|scope| (0..2).for_each(|_| _ = scope.spawn(try_all)));
}

#[test]
fn planted_bugs_are_found() {
    for (bug, scenario, told) in BUGS {
        let (output, said) = in_a_process(scenario, ORDERS_FOR_A_BUG, Some(bug));
        assert!(!output.status.success(), "{bug}: {scenario} doesn't find it");
        assert!(said.contains(told), "{bug}: {scenario} finds something else:\n{said}");
    }
}

fn asked(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text} is no number: {error}")))
}

fn in_a_process(name: &str, orders: u64, bug: Option<&str>) -> (Output, String) {
    let mut program = Command::new(env::current_exe().expect("a test knows its own path"));
    program.args(["--exact", "--nocapture", "scheduler::tests::scenarios::one_scenario"]);
    program.env(NAME, name).env(WANTED, orders.to_string()).env("CORO_MONITOR", "off");
    if let Some(bug) = bug {
        program.env(BUG, bug);
    }
    let output = program.output().expect("the test's own program starts");
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    (output, said)
}

/// What runs in such a process; by itself, nothing.
#[test]
fn one_scenario() {
    let Ok(name) = env::var(NAME) else { return };
    let bug = env::var(BUG).ok();
    let orders = asked(WANTED).unwrap_or(ORDERS);
    let (mut points, mut turns) = (0, 0);
    for order in 0..orders {
        let label = format!("{NAME}='{name}' {WANTED}={orders}, order {order}");
        let outcome = explore::play(label.clone(), order, bug.as_deref(), || {
            let played = match name.parse() {
                Ok(number) => random::play(number),
                Err(_) => plays::of(&name)(),
            };
            if let Err(why) = played.and_then(|()| nobody_is_left()) {
                panic!("{label}: {why}");
            }
        });
        (points, turns) = (points + outcome.points, turns + outcome.turns);
    }
    println!(
        "{name}: {orders} orders, {} steps and {} turns of each",
        points / orders.max(1),
        turns / orders.max(1)
    );
}

/// Behind a runtime's end there is no coroutine, and so no slot that was lost.
fn nobody_is_left() -> plays::Played {
    let region = region::get().ok_or("no runtime has started")?;
    match registry::iterate(region).filter(|record| record.word().state() != State::Free).count() {
        0 => Ok(()),
        left => Err(format!("{left} slots were not given back")),
    }
}
