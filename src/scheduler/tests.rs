//! What only shows from inside: code on io and switch, keys that are out of date.

mod scenarios;

use std::cell::RefCell;
use std::time::Duration;

use super::{park, worker};
use crate::abi::record::Record;
use crate::abi::state::{State, flag};
use crate::abi::wait::WaitReason;
use crate::coroutine::cancel::Target;
use crate::registry::{self, WakeToken};
use crate::stack::region;

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Tries on a service coroutine all that only others may do.
fn try_everything() {
    let said = [
        crate::CoroutineBuilder::new().spawn(|| ()).err().map(|error| error.to_string()),
        park::yield_now().err().map(|error| error.to_string()),
        park::Wait::open(WaitReason::Sleep, 0).err().map(|error| error.to_string()),
    ];
    SAID.with_borrow_mut(|all| all.extend(said.into_iter().flatten()));
}

#[test]
fn io_and_switch_may_neither_spawn_nor_wait() {
    for service in ["io", "switch"] {
        let said = crate::run(|| {
            let worker = worker::current().unwrap();
            let probe = if service == "io" { &worker.io_probe } else { &worker.switch_probe };
            probe.set(Some(try_everything));
            crate::sleep(Duration::from_millis(1));
            SAID.take()
        })
        .unwrap();
        assert_eq!(said.len(), 3, "{said:?}");
        for (text, tried) in said.iter().zip(["coro::spawn", "coro::yield_now", "coro::sleep"]) {
            assert!(text.starts_with(&format!("{tried} was called on the {service} coroutine")), "{text}");
        }
    }
}

fn token_of(record: &'static Record) -> WakeToken {
    WakeToken { slot: region::get().unwrap().slot(record), key: record.word().key() }
}

fn named(name: &str) -> &'static Record {
    let all = registry::iterate(region::get().unwrap());
    all.filter(|record| record.word().state() != State::Free)
        .find(|record| record.name().as_deref() == Some(name))
        .unwrap()
}

#[test]
fn a_stale_wake_touches_neither_the_next_wait_nor_the_next_tenant() {
    crate::run(|| {
        let (sender, receiver) = crate::sync::channel::<u8>(1);
        let first = crate::CoroutineBuilder::new()
            .name("first tenant")
            .spawn(move || [receiver.recv().unwrap(), receiver.recv().unwrap()])
            .unwrap();
        crate::yield_now();
        let record = named("first tenant");
        let first_wait = token_of(record);
        sender.send(1).unwrap();
        crate::yield_now();
        assert_eq!(record.word().state(), State::Parked);
        assert!(!park::unpark(first_wait, 0), "the first wait is over");
        assert_eq!(record.word().state(), State::Parked);
        let second_wait = token_of(record);
        let generation = record.word().generation();
        sender.send(2).unwrap();
        assert_eq!(first.join().unwrap(), [1, 2]);

        let second = crate::CoroutineBuilder::new()
            .name("second tenant")
            .spawn(|| crate::sleep(Duration::from_millis(50)))
            .unwrap();
        crate::yield_now();
        // Another test's runtime may have got the slot; then there is no tenant of ours to be touched.
        if std::ptr::eq(named("second tenant"), record) {
            assert_ne!(record.word().generation(), generation);
            for stale in [first_wait, second_wait] {
                assert!(!park::unpark(stale, flag::TIMED_OUT));
                assert_eq!(record.word().state(), State::Parked);
            }
        }
        second.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_yield_makes_earlier_queue_entries_stale() {
    crate::run(|| {
        let worker = worker::current().unwrap();
        let turns = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let other = crate::CoroutineBuilder::new()
            .name("queued twice")
            .spawn({
                let turns = turns.clone();
                move || {
                    for _ in 0..3 {
                        turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        crate::yield_now();
                    }
                }
            })
            .unwrap();
        // The same turn, queued once more: it is taken once.
        let record = named("queued twice");
        worker.enqueue(record, record.word());
        crate::yield_now();
        crate::yield_now();
        assert_eq!(turns.load(std::sync::atomic::Ordering::Relaxed), 2);
        other.join().unwrap();
    })
    .unwrap();
}

#[test]
fn cancel_that_comes_between_the_look_and_the_parking_is_seen_when_parked() {
    crate::run(|| {
        let target = crate::spawn(|| {
            let wait = park::Wait::open(WaitReason::Join, 0).unwrap();
            // As by a thread that has looked at the state before the wait was opened, and so wakes nobody.
            assert!(Target::of(worker::current().unwrap().running()).request());
            wait.park_until(None);
        });
        assert!(target.join().unwrap_err().is_cancelled());
    })
    .unwrap();
}
