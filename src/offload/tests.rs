//! Offloaded work: where it runs, its result, its panics, and that nobody who waits for it is lost.

use std::panic::{self, Location};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use super::{Job, Left, Work, offload};
use crate::{run, spawn, yield_now};

#[test]
fn work_runs_on_another_thread_while_others_run_here() {
    run(|| {
        let here = thread::current().id();
        let (go, wait) = mpsc::channel::<()>();
        let worker = spawn(move || {
            offload(move || {
                wait.recv().unwrap();
                thread::current().id()
            })
        });
        yield_now();
        // Only somebody who runs meanwhile can end the work.
        go.send(()).unwrap();
        assert_ne!(worker.join().unwrap(), here);
    })
    .unwrap();
}

#[test]
fn as_many_threads_as_are_blocked_at_once() {
    run(|| {
        let all = Arc::new(Barrier::new(40));
        let workers: Vec<_> = (0..40)
            .map(|_| {
                let all = all.clone();
                spawn(move || offload(move || all.wait().is_leader()))
            })
            .collect();
        let leaders = workers.into_iter().filter(|_| true).map(|worker| worker.join().unwrap());
        assert_eq!(leaders.filter(|is_leader| *is_leader).count(), 1);
    })
    .unwrap();
}

#[test]
fn more_jobs_than_there_may_be_threads_are_all_done() {
    run(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..2000)
            .map(|number| {
                let done = done.clone();
                spawn(move || {
                    offload(move || {
                        done.fetch_add(1, SeqCst);
                        number
                    })
                })
            })
            .collect();
        let sum: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert_eq!((sum, done.load(SeqCst)), (1999 * 1000, 2000));
    })
    .unwrap();
}

#[test]
fn a_panic_is_the_callers() {
    run(|| {
        let result = panic::catch_unwind(|| offload(|| panic::resume_unwind(Box::new(7))));
        assert_eq!(*result.unwrap_err().downcast::<i32>().unwrap(), 7);
        assert_eq!(offload(|| 8), 8);
    })
    .unwrap();
}

#[test]
fn outside_a_runtime_it_runs_right_here() {
    let here = thread::current().id();
    assert_eq!(offload(move || thread::current().id()), here);
}

#[test]
fn in_a_destructor_during_a_panic_it_runs_right_here() {
    struct Offloading(mpsc::Sender<bool>);
    impl Drop for Offloading {
        fn drop(&mut self) {
            let here = thread::current().id();
            self.0.send(offload(move || thread::current().id()) == here).unwrap();
        }
    }
    run(|| {
        let (say, hear) = mpsc::channel();
        let result = spawn(move || {
            let _offloading = Offloading(say);
            panic::resume_unwind(Box::new("the panic of this test"));
        })
        .join();
        assert!(result.is_err());
        assert!(hear.recv().unwrap());
    })
    .unwrap();
}

#[test]
fn who_is_cancelled_waits_for_nothing_and_the_result_is_dropped() {
    struct Told(mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (say, hear) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let (begin, has_begun) = mpsc::channel();
    run(|| {
        spawn(move || {
            offload(move || {
                begin.send(()).unwrap();
                wait.recv().unwrap();
                Told(say)
            })
        });
        yield_now();
        has_begun.recv().unwrap();
    })
    .unwrap();
    // The runtime has ended, though the work has not.
    assert!(hear.try_recv().is_err());
    go.send(()).unwrap();
    hear.recv().unwrap();
}

/// A destructor that panics on the pool's thread must not cost the pool that thread's place.
#[test]
fn a_result_that_nobody_wants_may_panic_when_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new("the panic of this test"));
        }
    }
    for _ in 0..300 {
        let (go, wait) = mpsc::channel::<()>();
        let (begin, has_begun) = mpsc::channel();
        run(|| {
            spawn(move || {
                offload(move || {
                    begin.send(()).unwrap();
                    wait.recv().unwrap();
                    Panics
                });
            });
            yield_now();
            has_begun.recv().unwrap();
        })
        .unwrap();
        go.send(()).unwrap();
    }
    assert_eq!(run(|| offload(|| 5)).unwrap(), 5);
}

#[test]
fn work_that_nobody_has_begun_is_dropped_when_nobody_wants_its_result() {
    struct Told(Arc<AtomicUsize>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let told = Told(dropped.clone());
    let job = Arc::new(Job::new(move || drop(told), Location::caller()));
    drop(Left(&job));
    assert_eq!(dropped.load(SeqCst), 1);
    // A thread of the pool that comes to it now finds nothing to do.
    job.run();
    assert_eq!(dropped.load(SeqCst), 1);
}
