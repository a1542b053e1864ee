//! Operations to be counted instruction by instruction: `instructions CASE N` does N of them and nothing else that
//! depends on N.
//!
//! `tests/instructions.rs` runs this under callgrind twice, with two values of N, and takes the difference: what an
//! operation costs is then free of what a start costs. No case looks at I/O meanwhile, whose turn the clock decides.

use std::process::ExitCode;

use coro::bench::{RawCoroutine, without_polling};
use coro::sync::channel;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (case, n) = match &arguments[..] {
        [case, n] => (case.as_str(), n.parse::<usize>().unwrap_or(0)),
        _ => ("", 0),
    };
    let done = n > 0 && if case == "switch" { switch(n) } else { in_runtime(case, n) };
    if done {
        return ExitCode::SUCCESS;
    }
    eprintln!("usage: instructions switch|yield|spawn|wake N, with N above 0");
    ExitCode::from(2)
}

/// Round trips between two stacks.
fn switch(n: usize) -> bool {
    let coroutine = RawCoroutine::new(false).expect("there are stacks");
    (0..n).for_each(|_| coroutine.resume());
    coroutine.resumed() == n
}

fn in_runtime(case: &str, n: usize) -> bool {
    coro::run(|| {
        without_polling();
        match case {
            "yield" => yields(n),
            "spawn" => (0..n).for_each(|_| coro::spawn(|| ()).join().expect("it does nothing")),
            "wake" => wakes(n),
            _ => return false,
        }
        true
    })
    .expect("a runtime starts")
}

/// Two coroutines in turn.
fn yields(n: usize) {
    let other = coro::spawn(move || (0..n / 2).for_each(|_| coro::yield_now()));
    (0..n / 2).for_each(|_| coro::yield_now());
    other.join().expect("it only yields");
}

/// A coroutine parks, is woken, and parks again.
fn wakes(n: usize) {
    let (sender, receiver) = channel(1);
    let sleeper = coro::spawn(move || receiver.iter().count());
    for _ in 0..n {
        sender.send(()).expect("it receives");
        coro::yield_now();
    }
    drop(sender);
    assert_eq!(sleeper.join().expect("it only receives"), n);
}
