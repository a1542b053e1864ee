//! `spawn_local`: what isn't `Send` may go into a coroutine that stays on its creator's thread.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use coro::{Builder, CoroutineBuilder, Policy, spawn, spawn_local, yield_now};
use pretty_assertions::assert_eq;

fn with_workers<T>(count: usize, main: impl FnOnce() -> T) -> T {
    Builder::new().workers(count).run(main).unwrap()
}

/// Runs a function on each of the workers, at the same time.
fn on_each<T: Send + 'static>(count: usize, f: fn() -> T) -> Vec<T> {
    let meet = Arc::new(Barrier::new(count));
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let meet = meet.clone();
            spawn(move || {
                meet.wait();
                f()
            })
        })
        .collect();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

#[test]
fn coroutines_of_a_thread_share_what_is_its_own() {
    for workers in [1, 3] {
        let threads = with_workers(workers, || {
            on_each(workers, || {
                let here = thread::current().id();
                let turns = Rc::new(RefCell::new(Vec::new()));
                let handles: Vec<_> = (0..50)
                    .map(|n| {
                        let turns = turns.clone();
                        spawn_local(move || {
                            for round in 0..4 {
                                assert_eq!(thread::current().id(), here);
                                turns.borrow_mut().push((round, n));
                                if n % 5 == 0 { coro::sleep(Duration::from_micros(20)) } else { yield_now() }
                            }
                            Rc::strong_count(&turns)
                        })
                    })
                    .collect();
                for handle in handles {
                    assert!(handle.join().unwrap() > 1);
                }
                assert_eq!((turns.borrow().len(), Rc::strong_count(&turns)), (200, 1));
                here
            })
        });
        assert_eq!(threads.iter().collect::<HashSet<&ThreadId>>().len(), workers);
    }
}

#[test]
fn nobody_steals_them() {
    with_workers(2, || {
        spawn(|| {
            let here = thread::current().id();
            let begun = Rc::new(Cell::new(0));
            let elsewhere = Arc::new(AtomicUsize::new(0));
            let mut local = Vec::new();
            let mut others = Vec::new();
            // By turns, so that who takes these finds those before.
            for _ in 0..20 {
                let (begun, elsewhere) = (begun.clone(), elsewhere.clone());
                local.push(spawn_local(move || {
                    begun.set(begun.get() + 1);
                    thread::current().id()
                }));
                others.push(spawn(move || elsewhere.fetch_add(1, SeqCst)));
            }
            // This thread is busy until the other one has taken all that it may.
            while elsewhere.load(SeqCst) < 20 {
                std::hint::spin_loop();
            }
            assert_eq!(begun.get(), 0);
            for one in local {
                assert_eq!(one.join().unwrap(), here);
            }
            assert_eq!(begun.get(), 20);
            for other in others {
                other.join().unwrap();
            }
        })
        .join()
        .unwrap();
    });
}

/// Notes whether it is dropped on the thread on which it was made.
struct NotesThread(ThreadId, Arc<Mutex<Vec<bool>>>, #[expect(dead_code, reason = "not Send")] Rc<()>);

impl NotesThread {
    fn new(notes: &Arc<Mutex<Vec<bool>>>) -> NotesThread {
        NotesThread(thread::current().id(), notes.clone(), Rc::new(()))
    }
}

impl Drop for NotesThread {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(thread::current().id() == self.0);
    }
}

#[test]
fn what_never_runs_is_dropped_on_its_own_thread() {
    fn spawn_ten(notes: &Arc<Mutex<Vec<bool>>>) {
        for _ in 0..10 {
            let value = NotesThread::new(notes);
            spawn_local(move || drop(value));
        }
    }
    let notes = Arc::new(Mutex::new(Vec::new()));
    with_workers(2, || {
        let stage = Arc::new(AtomicUsize::new(0));
        let wait_for = |stage: &AtomicUsize, goal| {
            while stage.load(SeqCst) < goal {
                std::hint::spin_loop();
            }
        };
        // Neither gives way: main's own never run, and those of the other worker do if they are quicker than main's end.
        spawn({
            let (stage, notes) = (stage.clone(), notes.clone());
            move || {
                spawn_ten(&notes);
                stage.store(1, SeqCst);
                wait_for(&stage, 2);
            }
        });
        wait_for(&stage, 1);
        spawn_ten(&notes);
        stage.store(2, SeqCst);
    });
    assert_eq!(*notes.lock().unwrap(), [true; 20]);
}

#[test]
fn result_that_is_send_may_be_joined_on_another_worker() {
    let sum = with_workers(2, || {
        let handles = on_each(2, || {
            let here = Rc::new(20);
            (thread::current().id(), spawn_local(move || *here + 1))
        });
        assert_ne!(handles[0].0, handles[1].0);
        handles.into_iter().map(|(_, handle)| handle.join().unwrap()).sum::<i32>()
    });
    assert_eq!(sum, 42);
}

#[test]
fn they_count_as_any_others() {
    let stats = with_workers(2, || {
        on_each(2, || {
            let handles: Vec<_> = (0..30).map(|_| spawn_local(yield_now)).collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
        // Who is joined has ended, and is counted a moment later.
        while coro::stats().unwrap().alive > 0 {
            yield_now();
        }
        coro::debug::check().unwrap();
        coro::stats().unwrap()
    });
    assert_eq!((stats.spawned, stats.alive), (62, 0));
}

#[test]
fn policy_holds_for_them() {
    let order = Builder::new().policy(Policy::Backtrack).run(|| {
        let order = Rc::new(RefCell::new(vec!["spawns"]));
        let inside = order.clone();
        let child = spawn_local(move || inside.borrow_mut().push("runs"));
        order.borrow_mut().push("goes on");
        child.join().unwrap();
        order.take()
    });
    assert_eq!(order.unwrap(), ["spawns", "runs", "goes on"]);
}

#[test]
fn panic_and_name_are_as_of_others() {
    coro::run(|| {
        let builder = CoroutineBuilder::new().name("local");
        let named = builder.spawn_local(|| coro::current().unwrap().name().map(str::to_owned)).unwrap();
        assert_eq!(named.join().unwrap().as_deref(), Some("local"));
        let panics = spawn_local(|| -> Rc<()> { std::panic::resume_unwind(Box::new(7)) });
        assert_eq!(panics.join().unwrap_err().try_into_panic().unwrap().downcast_ref(), Some(&7));
    })
    .unwrap();
    let error = CoroutineBuilder::new().spawn_local(|| ()).unwrap_err();
    assert!(error.to_string().contains("coro::spawn_local"), "{error}");
}
