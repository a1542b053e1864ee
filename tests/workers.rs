//! Several workers: coroutines are spread over threads, stay where they have begun, and end with main.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use coro::net::UnixStream;
use coro::sync::channel;
use coro::{Builder, spawn, yield_now};
use pretty_assertions::assert_eq;

const LONG: Duration = Duration::from_secs(1_000_000);

fn with_workers<T>(count: usize, main: impl FnOnce() -> T) -> T {
    Builder::new().workers(count).run(main).unwrap()
}

#[test]
fn coroutines_run_on_as_many_threads_as_there_are_workers() {
    for count in [1, 2, 4] {
        let threads = with_workers(count, || {
            // They block their threads until one runs on each.
            let meet = Arc::new(Barrier::new(count));
            let handles: Vec<_> = (0..count)
                .map(|_| {
                    let meet = meet.clone();
                    spawn(move || {
                        meet.wait();
                        thread::current().id()
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect::<HashSet<ThreadId>>()
        });
        assert_eq!(threads.len(), count);
    }
}

#[test]
fn who_has_begun_stays_on_its_thread() {
    with_workers(3, || {
        let handles: Vec<_> = (0..300_u64)
            .map(|n| {
                spawn(move || {
                    // Not `Send`, and alive over waits.
                    let here = Rc::new((thread::current().id(), Cell::new(0)));
                    for round in 0..20 {
                        if (n + round) % 7 == 0 {
                            coro::sleep(Duration::from_micros(n));
                        } else {
                            yield_now();
                        }
                        assert_eq!(thread::current().id(), here.0);
                        here.1.set(here.1.get() + 1);
                    }
                    (here.0, here.1.get())
                })
            })
            .collect();
        for handle in handles {
            assert_eq!(handle.join().unwrap().1, 20);
        }
    });
}

#[test]
fn one_that_computes_keeps_none_that_has_not_begun_from_running() {
    with_workers(2, || {
        let hog = spawn(|| {
            let done = Arc::new(AtomicUsize::new(0));
            let others: Vec<_> = (0..100)
                .map(|_| {
                    let done = done.clone();
                    spawn(move || {
                        done.fetch_add(1, SeqCst);
                        thread::current().id()
                    })
                })
                .collect();
            while done.load(SeqCst) < 100 {
                std::hint::spin_loop();
            }
            for other in others {
                assert_ne!(other.join().unwrap(), thread::current().id());
            }
        });
        hog.join().unwrap();
    });
}

#[test]
fn worker_that_always_has_somebody_ready_takes_what_lies_behind_one_that_computes() {
    with_workers(2, || {
        let is_over = Arc::new(AtomicUsize::new(0));
        let meet = Arc::new(Barrier::new(2));
        let busy = spawn({
            let (is_over, meet) = (is_over.clone(), meet.clone());
            move || {
                meet.wait();
                while is_over.load(SeqCst) == 0 {
                    yield_now();
                }
            }
        });
        let hog = spawn(move || {
            meet.wait();
            let over = is_over.clone();
            let other = spawn(move || over.store(1, SeqCst));
            while is_over.load(SeqCst) == 0 {
                std::hint::spin_loop();
            }
            other.join().unwrap();
        });
        hog.join().unwrap();
        busy.join().unwrap();
    });
}

#[test]
fn main_that_blocks_its_thread_keeps_none_that_has_not_begun_from_running() {
    with_workers(2, || {
        let (sender, receiver) = std::sync::mpsc::channel();
        let handles: Vec<_> = (0..50)
            .map(|n| {
                let sender = sender.clone();
                spawn(move || sender.send(n).unwrap())
            })
            .collect();
        // std's channel: nobody else runs on this thread.
        let mut all: Vec<i32> = (0..50).map(|_| receiver.recv().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert!(coro::stats().unwrap().steals > 0);
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn coroutines_of_two_workers_wake_each_other() {
    with_workers(2, || {
        let ((to, from_there), (back, from_here)) = (channel(1), channel(1));
        let (to_here, from_echo): (coro::sync::Sender<u64>, coro::sync::Receiver<u64>) = (back, from_here);
        let meet = Arc::new(Barrier::new(2));
        let echo = spawn({
            let meet = meet.clone();
            move || {
                meet.wait();
                from_there.iter().for_each(|n: u64| to_here.send(n + 1).unwrap());
            }
        });
        let ping = spawn(move || {
            meet.wait();
            for n in 0..5000 {
                to.send(n).unwrap();
                assert_eq!(from_echo.recv(), Ok(n + 1));
            }
        });
        ping.join().unwrap();
        echo.join().unwrap();
    });
}

/// Notes on which thread it is dropped, and that a thread-local of that thread can be used then.
struct NotesThread(ThreadId, Arc<Mutex<Vec<bool>>>);

thread_local! {
    static TOUCHED: Cell<u32> = const { Cell::new(0) };
}

impl Drop for NotesThread {
    fn drop(&mut self) {
        let here = thread::current().id() == self.0 && TOUCHED.try_with(|touched| touched.set(1)).is_ok();
        self.1.lock().unwrap().push(here);
    }
}

#[test]
fn mains_end_unwinds_all_on_their_own_threads() {
    let drops = Arc::new(Mutex::new(Vec::new()));
    let threads = with_workers(3, || {
        let meet = Arc::new(Barrier::new(3));
        let begun = Arc::new(AtomicUsize::new(0));
        for n in 0..60 {
            let (drops, meet, begun) = (drops.clone(), meet.clone(), begun.clone());
            spawn(move || {
                if n < 3 {
                    meet.wait();
                }
                let _notes = NotesThread(thread::current().id(), drops);
                begun.fetch_add(1, SeqCst);
                match n % 3 {
                    0 => coro::sleep(LONG),
                    1 => channel::<()>(1).1.recv().unwrap_or_default(),
                    _ => loop {
                        yield_now();
                    },
                }
            });
        }
        // A closed channel's `recv` returns: these have ended.
        while begun.load(SeqCst) < 60 {
            yield_now();
        }
        coro::stats().unwrap().workers
    });
    assert_eq!(threads, 3);
    let drops = drops.lock().unwrap();
    assert_eq!(drops.len(), 60);
    assert!(drops.iter().all(|here| *here), "{drops:?}");
}

#[test]
fn who_was_spawned_as_main_returned_is_dropped_or_run_and_never_lost() {
    for _ in 0..100 {
        let live = Arc::new(AtomicUsize::new(0));
        with_workers(2, || {
            // Spawners on both workers, which go on until they are refused.
            for _ in 0..4 {
                let live = live.clone();
                spawn(move || {
                    loop {
                        let counted = Counted::new(&live);
                        let spawned = coro::CoroutineBuilder::new().spawn(move || drop(counted));
                        if spawned.is_err() {
                            return;
                        }
                        yield_now();
                    }
                });
            }
            coro::sleep(Duration::from_micros(300));
        });
        assert_eq!(live.load(SeqCst), 0, "each closure was run or dropped");
    }
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(live: &Arc<AtomicUsize>) -> Counted {
        live.fetch_add(1, SeqCst);
        Counted(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_panic_ends_its_coroutine_and_no_worker() {
    with_workers(2, || {
        let handles: Vec<_> = (0..40)
            .map(|n| {
                spawn(move || {
                    yield_now();
                    if n % 2 == 0 {
                        std::panic::resume_unwind(Box::new(n));
                    }
                    n
                })
            })
            .collect();
        for (n, handle) in handles.into_iter().enumerate() {
            match handle.join() {
                Ok(value) => assert_eq!((value, n % 2), (n, 1)),
                Err(error) => assert_eq!(error.try_into_panic().unwrap().downcast_ref(), Some(&n)),
            }
        }
    });
}

#[test]
fn mains_panic_ends_all_workers() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let seen = dropped.clone();
    let result = thread::spawn(move || {
        with_workers(2, || {
            for _ in 0..10 {
                let counted = Counted::new(&seen);
                spawn(move || {
                    let _counted = counted;
                    coro::sleep(LONG);
                });
            }
            std::panic::resume_unwind(Box::new("main's"));
        });
    })
    .join();
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"main's"));
    assert_eq!(dropped.load(SeqCst), 0);
}

#[test]
fn counts_are_of_all_workers() {
    let stats = with_workers(2, || {
        let handles: Vec<_> = (0..100).map(|_| spawn(yield_now)).collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        // Who is joined has ended, and is counted a moment later.
        while coro::stats().unwrap().alive > 0 {
            yield_now();
        }
        coro::stats().unwrap()
    });
    assert_eq!((stats.workers, stats.spawned, stats.alive), (2, 100, 0));
}

#[test]
fn nothing_is_alive_only_when_all_have_ended() {
    for _ in 0..50 {
        let ended = Arc::new(AtomicUsize::new(0));
        with_workers(2, || {
            for _ in 0..20 {
                let ended = ended.clone();
                spawn(move || {
                    let ended_too = ended.clone();
                    spawn(move || {
                        yield_now();
                        ended_too.fetch_add(1, Relaxed);
                    });
                    ended.fetch_add(1, Relaxed);
                });
            }
            while coro::stats().unwrap().alive > 0 {
                yield_now();
            }
            assert_eq!(ended.load(SeqCst), 40);
        });
    }
}

#[test]
fn registry_is_right_on_every_worker() {
    with_workers(3, || {
        let handles: Vec<_> = (0..200_u64)
            .map(|n| {
                spawn(move || {
                    for round in 0..10 {
                        coro::debug::check().unwrap();
                        if (n + round) % 3 == 0 {
                            coro::sleep(Duration::from_micros(50));
                        } else {
                            spawn(|| coro::debug::check().unwrap()).join().unwrap();
                        }
                    }
                })
            })
            .collect();
        coro::debug::check().unwrap();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn runtimes_with_several_workers_come_and_go_side_by_side() {
    let threads = [(); 2].map(|()| {
        thread::spawn(|| {
            for round in 0..30_usize {
                let sum = with_workers(2 + round % 2, || {
                    let handles: Vec<_> = (0..20)
                        .map(|n| {
                            spawn(move || {
                                (0..n).for_each(|_| yield_now());
                                n
                            })
                        })
                        .collect();
                    handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
                });
                assert_eq!(sum, 190);
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn turns_of_those_who_yield_differ_by_one_at_most_on_each_worker() {
    for workers in [1, 2] {
        with_workers(workers, || {
            // Each worker's own, in the order of their turns; they end after 300.
            let turns = Arc::new(Mutex::new(BTreeMap::<String, Vec<u32>>::new()));
            let handles: Vec<_> = (0..100)
                .map(|_| {
                    let turns = turns.clone();
                    spawn(move || {
                        let here = format!("{:?}", thread::current().id());
                        let mine = {
                            let mut turns = turns.lock().unwrap();
                            let of_worker = turns.entry(here.clone()).or_default();
                            of_worker.push(0);
                            of_worker.len() - 1
                        };
                        // All have begun before turns are counted.
                        while turns.lock().unwrap().values().map(Vec::len).sum::<usize>() < 100 {
                            yield_now();
                        }
                        (0..5).for_each(|_| yield_now());
                        loop {
                            {
                                let mut turns = turns.lock().unwrap();
                                let of_worker = turns.get_mut(&here).unwrap();
                                of_worker[mine] += 1;
                                let (least, most) = (of_worker.iter().min(), of_worker.iter().max());
                                assert!(most.unwrap() - least.unwrap() <= 1, "{of_worker:?}");
                                if *most.unwrap() >= 300 {
                                    return;
                                }
                            }
                            yield_now();
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
    }
}

/// Reads in its destructor, during a panic: with the thread, since nobody switches then.
struct ReadsInDrop<'a>(&'a UnixStream, &'a std::sync::mpsc::Sender<()>, &'a Cell<u64>);

impl Drop for ReadsInDrop<'_> {
    fn drop(&mut self) {
        let beats = || coro::stats().unwrap().heartbeats;
        let before = beats();
        self.1.send(()).unwrap();
        assert!((&mut &*self.0).read(&mut [0; 8]).unwrap() > 0);
        self.2.set(beats() - before);
    }
}

/// The descriptor is in the other worker's epoll set, which tells of the event; without its bell this one would notice at its
/// next heartbeat.
#[test]
fn who_waits_in_place_is_woken_by_another_worker() {
    with_workers(2, || {
        let (mut peer, stream) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = Arc::new(UnixStream::from_std(stream).unwrap());
        // It waits on the other worker, which has the descriptor watched then.
        let (watching, begun) = (stream.clone(), Arc::new(AtomicUsize::new(0)));
        let begin = begun.clone();
        let reader = spawn(move || {
            begin.store(1, SeqCst);
            (&mut &*watching).read(&mut [0; 1]).unwrap()
        });
        while begun.load(SeqCst) == 0 {
            thread::yield_now();
        }
        let (go, wait) = std::sync::mpsc::channel();
        let writer = thread::spawn(move || {
            while wait.recv().is_ok() {
                // So that it mostly waits already.
                thread::sleep(Duration::from_millis(50));
                // One for each of the two.
                peer.write_all(&[1, 1]).unwrap();
            }
        });
        let beats = Cell::new(1);
        while beats.get() > 0 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _reads = ReadsInDrop(&stream, &go, &beats);
                panic!("so that it is dropped");
            }));
            assert!(caught.is_err());
        }
        drop(go);
        writer.join().unwrap();
        reader.join().unwrap();
    });
}
