//! A coroutine's life: how it is spawned, what belongs to it, and what it leaves behind.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{self, Location};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coro::sync::{Sender, channel};
use coro::{CoroutineBuilder, JoinHandle, coroutine_local, current, defer, spawn, yield_now};
use pretty_assertions::assert_eq;

use runtimes::under_both;

/// A log that coroutines write to, and its owner reads at the end.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Log {
    fn say(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Says so when it is dropped.
    fn guard(&self, what: &'static str) -> Guard {
        Guard(self.clone(), what)
    }
}

struct Guard(Log, &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

#[test]
fn name_and_spawn_site_are_those_of_the_spawn() {
    under_both(|| {
        let line = line!() + 1;
        let named = CoroutineBuilder::new().name("worker").spawn(|| current().unwrap()).unwrap();
        let plain = spawn(|| current().unwrap());
        let (named_id, plain_id) = (named.id(), plain.id());
        let (named, plain) = (named.join().unwrap(), plain.join().unwrap());
        assert_eq!((named.name(), plain.name()), (Some("worker"), None));
        assert_eq!((named.id(), plain.id()), (named_id, plain_id));
        assert_eq!(named.spawn_site().split(':').take(2).collect::<Vec<_>>(), [file!(), &line.to_string()]);
        assert!(plain.spawn_site().starts_with(&format!("{}:{}:", file!(), line + 1)));
        assert_eq!(current().unwrap().name(), Some("main"));
    });
    assert!(current().is_none(), "this thread runs no coroutine any more");
}

#[test]
fn spawn_site_is_the_callers_where_the_caller_passes_it_on() {
    #[track_caller]
    fn spawn_for_somebody() -> (JoinHandle<String>, &'static Location<'static>) {
        (spawn(|| current().unwrap().spawn_site().to_owned()), Location::caller())
    }
    coro::run(|| {
        let (handle, here) = spawn_for_somebody();
        assert_eq!(handle.join().unwrap(), here.to_string());
    })
    .unwrap();
}

#[test]
fn join_gives_the_value_or_the_panics_payload() {
    under_both(|| {
        assert_eq!(spawn(|| vec![1, 2]).join().unwrap(), [1, 2]);
        let failing = spawn(|| panic!("I am {}", current().unwrap().id()));
        let text = format!("I am {}", failing.id());
        let error = failing.join().unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.to_string(), format!("the coroutine panicked: {text}"));
        assert_eq!(*error.try_into_panic().unwrap().downcast::<String>().unwrap(), text);
        let error = spawn(|| panic::resume_unwind(Box::new(42_u8))).join().unwrap_err();
        assert_eq!(*error.try_into_panic().unwrap().downcast::<u8>().unwrap(), 42);
    });
}

#[test]
fn any_number_may_wait_for_one_end_and_one_takes_the_value() {
    under_both(|| {
        let (go, wait) = channel(1);
        let target = Arc::new(spawn(move || wait.recv().unwrap()));
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let target = target.clone();
                spawn(move || target.wait().unwrap())
            })
            .collect();
        yield_now();
        assert!(!target.is_finished() && !waiting.iter().any(JoinHandle::is_finished));
        go.send(7).unwrap();
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
        assert!(target.is_finished());
        target.wait().unwrap();
        assert_eq!(Arc::into_inner(target).unwrap().join().unwrap(), 7);
    });
}

#[test]
fn detached_coroutine_runs_to_its_end_and_drops_its_result() {
    under_both(|| {
        let log = Log::default();
        let (done, end) = channel(1);
        let own = log.clone();
        drop(spawn(move || {
            let _done: Sender<()> = done;
            yield_now();
            own.say("end");
            own.guard("result dropped")
        }));
        assert!(end.recv().is_err());
        yield_now();
        assert_eq!(log.take(), ["end", "result dropped"]);
    });
}

#[test]
fn yield_now_returns_at_once_when_nobody_else_is_ready() {
    under_both(|| (0..1000).for_each(|_| yield_now()));
}

#[test]
fn deferred_functions_run_last_first_also_after_a_panic_and_may_wait() {
    under_both(|| {
        for panics in [false, true] {
            let log = Log::default();
            let own = log.clone();
            let result = spawn(move || {
                let _guard = own.guard("body's value dropped");
                for what in ["first", "second"] {
                    let log = own.clone();
                    defer(move || log.say(what)).unwrap();
                }
                let log = own.clone();
                defer(move || {
                    coro::sleep(Duration::from_micros(1));
                    let inner = log.clone();
                    defer(move || inner.say("deferred while deferred ones run")).unwrap();
                    log.say("third");
                })
                .unwrap();
                defer(|| panic::resume_unwind(Box::new("ends nothing else"))).unwrap();
                if panics {
                    panic::resume_unwind(Box::new(()));
                }
            })
            .join();
            assert_eq!(result.is_err(), panics);
            let order =
                ["body's value dropped", "third", "deferred while deferred ones run", "second", "first"];
            assert_eq!(log.take(), order);
        }
    });
}

#[test]
fn deferred_functions_have_run_when_join_returns() {
    under_both(|| {
        let log = Log::default();
        let own = log.clone();
        let slow = spawn(move || {
            let late = own.clone();
            defer(move || {
                coro::sleep(Duration::from_millis(1));
                late.say("deferred");
            })
            .unwrap();
            own.say("body");
        });
        slow.join().unwrap();
        assert_eq!(log.take(), ["body", "deferred"]);
    });
}

/// Defers in its destructor: a function whose captured value says when it is dropped.
struct DefersInDrop(Log, &'static str);

impl Drop for DefersInDrop {
    fn drop(&mut self) {
        let (log, what, captured) = (self.0.clone(), self.1, self.0.guard("captured"));
        defer(move || {
            let _captured = captured;
            yield_now();
            log.say(what);
        })
        .unwrap();
    }
}

coroutine_local! {
    static DEFERS: RefCell<Option<DefersInDrop>> = RefCell::new(None);
}

#[test]
fn function_deferred_by_the_last_destructors_still_runs() {
    under_both(|| {
        let log = Log::default();
        let own = log.clone();
        let by_a_local = spawn(move || {
            DEFERS.with(|local| local.replace(Some(DefersInDrop(own, "by a local"))));
        });
        by_a_local.join().unwrap();
        assert_eq!(log.take(), ["by a local", "captured"]);

        let own = log.clone();
        drop(spawn(move || {
            yield_now();
            DefersInDrop(own, "by the result")
        }));
        while coro::stats().unwrap().alive > 0 {
            yield_now();
        }
        assert_eq!(log.take(), ["by the result", "captured"]);
    });
    let log = Log::default();
    coro::run(|| {
        let value = DefersInDrop(log.clone(), "by one who never ran");
        drop(spawn(move || drop(value)));
    })
    .unwrap();
    assert_eq!(log.take(), ["by one who never ran", "captured"]);
}

coroutine_local! {
    static NUMBER: Cell<u32> = Cell::new(1);
    static FIRST: RefCell<Option<Guard>> = RefCell::new(None);
    static SECOND: RefCell<Option<Guard>> = RefCell::new(None);
    static ASKS: Asks = Asks(Cell::new(None));
    static MADE_EARLY: Cell<u32> = Cell::new(10);
    static MADE_LATE: Cell<u32> = Cell::new(20);
    static NEVER_MADE: Cell<u32> = Cell::new(30);
}

/// Asks for other locals in its destructor.
struct Asks(Cell<Option<std::sync::mpsc::Sender<[bool; 4]>>>);

impl Drop for Asks {
    fn drop(&mut self) {
        let early = MADE_EARLY.try_with(Cell::get) == Ok(10);
        let others = [MADE_LATE.try_with(|_| ()), NEVER_MADE.try_with(|_| ()), ASKS.try_with(|_| ())];
        let [late, never, own] = others.map(|result| result.is_ok());
        self.0.take().unwrap().send([early, late, never, own]).unwrap();
    }
}

#[test]
fn each_coroutine_has_its_own_value_of_a_local() {
    under_both(|| {
        NUMBER.with(|number| number.set(100));
        let handles: Vec<_> = (2..50)
            .map(|n| {
                spawn(move || {
                    let found = NUMBER.with(|number| number.replace(n));
                    yield_now();
                    (found, NUMBER.with(Cell::get))
                })
            })
            .collect();
        for (n, handle) in (2..).zip(handles) {
            assert_eq!(handle.join().unwrap(), (1, n));
        }
        assert_eq!(NUMBER.with(Cell::get), 100);
    });
}

#[test]
fn locals_are_dropped_after_deferred_functions_the_last_made_first() {
    under_both(|| {
        for panics in [false, true] {
            let log = Log::default();
            let own = log.clone();
            let result = spawn(move || {
                FIRST.with(|first| first.replace(Some(own.guard("first"))));
                SECOND.with(|second| second.replace(Some(own.guard("second"))));
                defer(move || own.say("deferred")).unwrap();
                if panics {
                    panic::resume_unwind(Box::new(()));
                }
            })
            .join();
            assert_eq!(result.is_err(), panics);
            assert_eq!(log.take(), ["deferred", "second", "first"]);
        }
    });
}

#[test]
fn local_can_be_used_in_the_destructor_of_one_made_later() {
    under_both(|| {
        let (sender, answers) = std::sync::mpsc::channel();
        spawn(move || {
            MADE_EARLY.with(|_| ());
            ASKS.with(|asks| asks.0.set(Some(sender)));
            MADE_LATE.with(|_| ());
        })
        .join()
        .unwrap();
        assert_eq!(answers.recv(), Ok([true, false, false, false]));
    });
}

#[test]
fn errno_is_kept_over_switches() {
    use nix::errno::Errno;
    under_both(|| {
        let handles: Vec<_> = [1, 2, 3]
            .map(|errno| {
                spawn(move || {
                    for _ in 0..20 {
                        Errno::set_raw(errno);
                        yield_now();
                        assert_eq!(Errno::last_raw(), errno);
                        coro::sleep(Duration::from_micros(50));
                        assert_eq!(Errno::last_raw(), errno);
                    }
                })
            })
            .into();
        Errno::set_raw(99);
        yield_now();
        assert_eq!(Errno::last_raw(), 99);
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn recycled_slots_never_mix_up_ids_or_values() {
    under_both(|| {
        let mut ids = HashSet::new();
        for round in 0..100_u64 {
            let handles: Vec<_> = (0..100_u64)
                .map(|n| {
                    spawn(move || {
                        if n % 3 == 0 {
                            yield_now();
                        }
                        (current().unwrap().id(), round * 100 + n)
                    })
                })
                .collect();
            for (n, handle) in (0..).zip(handles) {
                let id = handle.id();
                assert!(ids.insert(id), "{id} was used before");
                assert_eq!(handle.join().unwrap(), (id, round * 100 + n));
            }
        }
        assert_eq!(ids.len(), 10_000);
    });
}

/// Panics when it is dropped, but not because of a panic.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a payload's destructor");
    }
}

struct ThrowsBomb;

impl Drop for ThrowsBomb {
    fn drop(&mut self) {
        panic::panic_any(Bomb);
    }
}

/// Not under `everywhere`: a runtime's end is looked at.
#[test]
fn payload_whose_destructor_panics_ends_neither_a_coroutine_nor_a_runtime() {
    for _ in 0..2 {
        let alive = coro::run(|| {
            defer(|| panic::panic_any(Bomb)).unwrap();
            // One which has begun, and one which never does.
            let begun = spawn(|| defer(|| panic::panic_any(Bomb)).unwrap());
            begun.join().unwrap();
            let thrower = ThrowsBomb;
            drop(spawn(move || drop(thrower)));
            coro::stats().unwrap().alive
        });
        assert_eq!(alive.unwrap(), 1);
        assert!(current().is_none());
    }
}
