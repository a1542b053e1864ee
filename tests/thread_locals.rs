//! Thread-locals of workers and of threads with a runtime: alive while coroutines are, dropped when the thread ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use coro::{Builder, CoroutineBuilder, spawn, yield_now};
use pretty_assertions::assert_eq;

/// What happens on each thread, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<BTreeMap<String, Vec<&'static str>>>>);

impl Log {
    fn note(&self, what: &'static str) {
        let here = format!("{:?}", thread::current().id());
        self.0.lock().unwrap().entry(here).or_default().push(what);
    }
}

/// A thread's own value, with a destructor that wants more than there is by then.
struct OfThread(Log, String);

impl Drop for OfThread {
    fn drop(&mut self) {
        self.0.note("thread-local dropped");
        // No worker is here any more: errors, and no harm.
        let error = CoroutineBuilder::new().spawn(|| ()).unwrap_err().to_string();
        assert!(error.contains("coro::spawn"), "{error}");
        assert!(coro::current().is_none() && coro::stats().is_err());
        coro::sleep(Duration::from_nanos(1));
        let _ = coro::backtrace();
        assert_eq!(self.1, "written by all");
    }
}

thread_local! {
    static VALUE: RefCell<Option<OfThread>> = const { RefCell::new(None) };
}

/// Uses the thread's value when it is dropped.
struct UsesValue(Log);

impl Drop for UsesValue {
    fn drop(&mut self) {
        VALUE.with_borrow_mut(|value| value.as_mut().unwrap().1 = "written by all".into());
        self.0.note("coroutine unwound");
    }
}

/// Parks coroutines on each worker, after each has made its thread's value.
fn park_on_each(workers: usize, log: &Log) {
    let (meet, all_parked) = (Arc::new(Barrier::new(workers)), Arc::new(Mutex::new(0)));
    for _ in 0..workers {
        let (meet, log, all_parked) = (meet.clone(), log.clone(), all_parked.clone());
        spawn(move || {
            // One on each: they hold their threads until all are there.
            meet.wait();
            VALUE.set(Some(OfThread(log.clone(), String::new())));
            for _ in 0..5 {
                let log = log.clone();
                let all_parked = all_parked.clone();
                coro::spawn_local(move || {
                    // Held over a wait: a reference into the thread's memory is in the stack's values.
                    let _uses = UsesValue(log);
                    *all_parked.lock().unwrap() += 1;
                    coro::sleep(Duration::MAX);
                });
            }
        });
    }
    while *all_parked.lock().unwrap() < 5 * workers {
        yield_now();
    }
}

#[test]
fn thread_locals_outlive_the_coroutines_of_their_worker() {
    for workers in [1, 3] {
        let log = Log::default();
        let inner = log.clone();
        thread::spawn(move || {
            Builder::new().workers(workers).run(|| park_on_each(workers, &inner)).unwrap();
            // This thread lives on a while, and can have another runtime.
            inner.note("runtime ended");
            assert_eq!(coro::run(|| spawn(|| 3).join().unwrap()).unwrap(), 3);
        })
        .join()
        .unwrap();
        let all = log.0.lock().unwrap();
        assert_eq!(all.len(), workers, "{all:?}");
        let mut of_first = 0;
        for events in all.values() {
            let mut expected = vec!["coroutine unwound"; 5];
            if events.contains(&"runtime ended") {
                of_first += 1;
                expected.push("runtime ended");
            }
            expected.push("thread-local dropped");
            assert_eq!(*events, expected);
        }
        assert_eq!(of_first, 1);
    }
}

/// A runtime that is started in the destructor of a thread-local is one like any other; what it leaves parked is unwound.
#[test]
fn destructor_of_a_thread_local_may_have_a_runtime_of_its_own() {
    struct RunsOne(Arc<Mutex<Vec<&'static str>>>);
    impl Drop for RunsOne {
        fn drop(&mut self) {
            let inside = self.0.clone();
            struct Notes(Arc<Mutex<Vec<&'static str>>>);
            impl Drop for Notes {
                fn drop(&mut self) {
                    self.0.lock().unwrap().push("unwound");
                }
            }
            let ended = coro::run(|| {
                let notes = Notes(inside);
                spawn(move || {
                    let _notes = notes;
                    coro::sleep(Duration::MAX);
                });
                yield_now();
                spawn(|| 1).join().unwrap()
            });
            assert_eq!(ended.unwrap(), 1);
            self.0.lock().unwrap().push("runtime ended");
        }
    }
    thread_local! {
        static RUNS: RefCell<Option<RunsOne>> = const { RefCell::new(None) };
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let inner = log.clone();
    thread::spawn(move || {
        coro::run(|| RUNS.set(Some(RunsOne(inner)))).unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(*log.lock().unwrap(), ["unwound", "runtime ended"]);
}
