//! The registry's invariants hold after each step of a coroutine's life, and slots are recycled without mixing
//! their tenants up. One test, so that no other runtime is in the process and the free queues can be checked, too.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::panic;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, CoroutineBuilder, Policy};
use pretty_assertions::assert_eq;

#[test]
fn invariants_hold_after_each_step_of_a_life() {
    for policy in [Policy::Fair, Policy::Backtrack] {
        step(&format!("before {policy:?}"));
        Builder::new().policy(policy).run(life).unwrap();
        step(&format!("after {policy:?}"));
    }
    coro::run(recycling).unwrap();
    step("after recycling");
}

fn step(what: &str) {
    assert_eq!(coro::debug::check_with_shared(), Ok(()), "{what}");
}

fn life() {
    step("main runs");
    let child = CoroutineBuilder::new()
        .name("child")
        .spawn(|| {
            step("child runs");
            coro::yield_now();
            step("child runs again");
            coro::sleep(Duration::from_millis(1));
            step("child has slept");
            let grandchild = coro::spawn(|| step("grandchild runs"));
            step("child has spawned");
            grandchild.join().unwrap();
            step("child has joined");
            coro::defer(|| {
                step("deferred");
                coro::yield_now();
                step("deferred, after a yield");
            })
            .unwrap();
        })
        .unwrap();
    step("spawned");
    coro::yield_now();
    step("yielded");
    child.join().unwrap();
    step("joined");

    let lock = Arc::new(Mutex::new(()));
    let (sender, receiver) = channel::<u8>(1);
    let guard = lock.lock().unwrap();
    let locker = coro::spawn({
        let lock = lock.clone();
        move || drop(lock.lock().unwrap())
    });
    let waiter = coro::spawn(move || receiver.recv());
    coro::yield_now();
    step("one waits for a lock, one for a value");
    drop(guard);
    sender.send(1).unwrap();
    step("both are woken");
    locker.join().unwrap();
    assert_eq!(waiter.join().unwrap(), Ok(1));
    step("both have ended");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = coro::spawn(move || listener.accept().unwrap().0);
    coro::yield_now();
    step("one waits for a connection");
    let mut client = TcpStream::connect(address).unwrap();
    let mut server = acceptor.join().unwrap();
    step("both ends are there, the listener is closed");
    let reader = coro::spawn(move || server.read(&mut [0; 9]).unwrap());
    coro::yield_now();
    step("one waits for bytes");
    client.write_all(b"x").unwrap();
    assert_eq!(reader.join().unwrap(), 1);
    drop(client);
    step("all is closed");

    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let failed = coro::spawn(|| panic!("on purpose")).join();
    panic::set_hook(quiet);
    assert!(failed.unwrap_err().is_panic());
    step("one has panicked");

    let large = CoroutineBuilder::new().stack_size(1 << 20).spawn(|| step("on a large stack")).unwrap();
    large.join().unwrap();
    step("a large stack is free again");

    // Left to the end of the runtime: parked, ready, never run.
    coro::spawn(|| coro::sleep(Duration::MAX));
    coro::yield_now();
    coro::spawn(|| {
        loop {
            coro::yield_now();
        }
    });
    coro::spawn(|| ());
    step("main returns");
}

/// 10,000 tenants of few slots: each has its own id, locals, and result.
fn recycling() {
    coro::coroutine_local! {
        static TENANT: Rc<Cell<usize>> = Rc::default();
    }
    let mut ids = HashSet::new();
    for round in 0..100 {
        let tenants: Vec<_> = (0..100)
            .map(|n| {
                let tenant = round * 100 + n;
                coro::spawn(move || {
                    assert_eq!(
                        TENANT.with(|own| own.replace(tenant)),
                        0,
                        "the last tenant's local is still there"
                    );
                    coro::yield_now();
                    (TENANT.with(|own| own.get()), coro::current().unwrap().id())
                })
            })
            .collect();
        for (n, tenant) in tenants.into_iter().enumerate() {
            let id = tenant.id();
            assert_eq!(tenant.join().unwrap(), (round * 100 + n, id));
            assert!(ids.insert(id), "{id} was given twice");
        }
        step("a round");
    }
    let stats = coro::stats().unwrap();
    assert_eq!((stats.spawned, stats.most_alive), (10_000, 100));
}
