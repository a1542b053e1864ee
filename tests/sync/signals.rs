//! Condvar, Event, Barrier, WaitGroup, Once, OnceLock, LazyLock, oneshot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use coro::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, Once, OnceLock, RecvError, TryRecvError, WaitGroup, oneshot,
};
use coro::{Builder, spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::{LONG, join_all, under_both};

#[test]
fn each_notification_wakes_one_who_waits_and_notify_all_all() {
    under_both(|| {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let waits: Vec<_> = (0..5)
            .map(|_| {
                let shared = shared.clone();
                spawn(move || {
                    let mut tickets =
                        shared.1.wait_while(shared.0.lock().unwrap(), |tickets| *tickets == 0).unwrap();
                    *tickets -= 1;
                })
            })
            .collect();
        yield_now();
        shared.1.notify_one();
        yield_now();
        assert!(waits.iter().all(|wait| !wait.is_finished()), "there is no ticket");
        *shared.0.lock().unwrap() = 1;
        shared.1.notify_one();
        while !waits.iter().any(coro::JoinHandle::is_finished) {
            yield_now();
        }
        assert_eq!(*shared.0.lock().unwrap(), 0);
        *shared.0.lock().unwrap() = 4;
        shared.1.notify_all();
        join_all(waits);
        assert_eq!(*shared.0.lock().unwrap(), 0);
    });
}

#[test]
fn who_is_notified_first_has_waited_longest() {
    coro::run(|| {
        let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let waits: Vec<_> = (0..5)
            .map(|n| {
                let shared = shared.clone();
                spawn(move || shared.1.wait(shared.0.lock().unwrap()).unwrap().push(n))
            })
            .collect();
        yield_now();
        for n in 1..=5 {
            shared.1.notify_one();
            yield_now();
            assert_eq!(*shared.0.lock().unwrap(), (0..n).collect::<Vec<_>>());
        }
        join_all(waits);
    })
    .unwrap();
}

#[test]
fn condvar_works_between_threads_and_coroutines() {
    let shared = Arc::new((Mutex::new(0_u32), Condvar::new()));
    const TURNS: u32 = 300;
    let play = |shared: &(Mutex<u32>, Condvar), who: u32| {
        for turn in 0..TURNS {
            let mut at = shared.1.wait_while(shared.0.lock().unwrap(), |at| *at != 2 * turn + who).unwrap();
            *at += 1;
            drop(at);
            shared.1.notify_all();
        }
    };
    let other = shared.clone();
    let thread = thread::spawn(move || play(&other, 1));
    coro::run(|| spawn(move || play(&shared, 0)).join().unwrap()).unwrap();
    thread.join().unwrap();
}

#[test]
fn poisoned_mutex_is_told_by_the_condvar() {
    under_both(|| {
        let shared = Arc::new((Mutex::new(()), Condvar::new()));
        let other = shared.clone();
        let panics = spawn(move || {
            let _guard = other.0.lock().unwrap();
            other.1.notify_all();
            std::panic::resume_unwind(Box::new(()));
        });
        let waits = {
            let guard = shared.0.lock();
            match guard {
                Ok(guard) => shared.1.wait(guard).map(drop).map_err(drop),
                Err(_) => Err(()),
            }
        };
        assert!(panics.join().is_err());
        assert_eq!(waits, Err(()));
    });
}

#[test]
fn event_wakes_all_even_if_it_is_cleared_at_once() {
    under_both(|| {
        let event = Arc::new(Event::new());
        let waits: Vec<_> = (0..4)
            .map(|_| {
                let event = event.clone();
                spawn(move || event.wait())
            })
            .collect();
        yield_now();
        assert!(waits.iter().all(|wait| !wait.is_finished()));
        event.set();
        event.clear();
        join_all(waits);
        assert!(!event.is_set());
        event.set();
        event.wait();
    });
}

#[test]
fn barrier_lets_all_go_on_together_again_and_again_with_one_leader() {
    Builder::new()
        .workers(2)
        .run(|| {
            let (barrier, come) = (Arc::new(Barrier::new(5)), Arc::new(AtomicUsize::new(0)));
            let part = |barrier: &Barrier, come: &AtomicUsize| {
                let mut led = 0;
                for round in 1..=50 {
                    come.fetch_add(1, Relaxed);
                    led += usize::from(barrier.wait().is_leader());
                    assert!(come.load(Relaxed) >= 5 * round, "nobody goes on before all have come");
                }
                led
            };
            let (own, counted) = (barrier.clone(), come.clone());
            let thread = thread::spawn(move || part(&own, &counted));
            let led = join_all((0..4).map(|_| {
                let (barrier, come) = (barrier.clone(), come.clone());
                spawn(move || part(&barrier, &come))
            }));
            assert_eq!(led.iter().sum::<usize>() + thread.join().unwrap(), 50);
        })
        .unwrap();
    assert!(Barrier::new(0).wait().is_leader() && Barrier::new(1).wait().is_leader());
}

#[test]
fn wait_group_waits_for_all_members() {
    under_both(|| {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for n in 0..20 {
            let (member, done) = (group.clone(), done.clone());
            spawn(move || {
                (0..n % 4).for_each(|_| yield_now());
                done.fetch_add(1, Relaxed);
                drop(member);
            });
        }
        let (own, other) = (group.clone(), done.clone());
        let also_waits = spawn(move || {
            own.wait();
            other.load(Relaxed)
        });
        group.wait();
        assert_eq!((done.load(Relaxed), also_waits.join().unwrap()), (20, 20));
        WaitGroup::new().wait();
    });
}

#[test]
fn once_is_done_once_and_all_wait_for_it() {
    under_both(|| {
        let (once, calls) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
        join_all((0..10).map(|_| {
            let (once, calls) = (once.clone(), calls.clone());
            spawn(move || {
                once.call_once(|| {
                    yield_now();
                    calls.fetch_add(1, Relaxed);
                });
                assert_eq!(calls.load(Relaxed), 1, "it is done when call_once returns");
            })
        }));
        once.wait();
        assert!(once.is_completed());
    });
}

#[test]
fn panic_poisons_a_once() {
    let once = Once::new();
    let panics = || std::panic::resume_unwind(Box::new("first"));
    let said = catch_unwind(AssertUnwindSafe(|| once.call_once(panics))).unwrap_err();
    assert_eq!(*said.downcast::<&str>().unwrap(), "first");
    let calls: [&dyn Fn(); 2] = [&|| once.call_once(|| ()), &|| once.wait()];
    for call in calls {
        let said = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        let said = said.downcast_ref::<&str>().copied().unwrap_or_default();
        assert!(said.contains("has panicked before"), "{said}");
    }
    assert!(!once.is_completed());
    once.call_once_force(|| ());
    once.call_once(|| unreachable!());
    once.wait();
}

#[test]
fn once_lock_has_one_value_for_all() {
    under_both(|| {
        let lock = Arc::new(OnceLock::new());
        let waits = {
            let lock = lock.clone();
            spawn(move || *lock.wait())
        };
        yield_now();
        let values = join_all((0..10).map(|n| {
            let lock = lock.clone();
            spawn(move || {
                *lock.get_or_init(|| {
                    yield_now();
                    n
                })
            })
        }));
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
        assert_eq!((waits.join().unwrap(), lock.set(77)), (values[0], Err(77)));
        let mut lock = Arc::into_inner(lock).unwrap();
        assert_eq!(
            (lock.clone(), format!("{lock:?}")),
            (OnceLock::from(values[0]), format!("OnceLock({})", values[0]))
        );
        *lock.get_mut().unwrap() += 1;
        assert_eq!((lock.take(), lock.get()), (Some(values[0] + 1), None));
        assert_eq!(format!("{lock:?}"), "OnceLock(<uninit>)");
        assert_eq!((lock.set(5), lock.into_inner()), (Ok(()), Some(5)));
    });
}

#[test]
fn panic_leaves_a_once_lock_without_a_value() {
    let lock = OnceLock::new();
    let panics = || lock.get_or_init(|| std::panic::resume_unwind(Box::new(())));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(lock.get(), None);
    assert_eq!(*lock.get_or_init(|| 3), 3);
}

#[test]
fn waits_for_what_is_done_once_end_with_their_time() {
    const SOON: Duration = Duration::from_millis(2);
    under_both(|| {
        let both = Arc::new((Once::new(), OnceLock::new()));
        assert!(!both.0.wait_timeout(SOON));
        assert_eq!(both.1.wait_timeout(SOON), None);
        let does = both.clone();
        let done = spawn(move || {
            does.0.call_once(|| coro::sleep(SOON));
            does.1.get_or_init(|| {
                coro::sleep(SOON);
                7
            });
        });
        yield_now();
        assert!(both.0.wait_timeout(LONG));
        assert_eq!(both.1.wait_timeout(LONG), Some(&7));
        done.join().unwrap();
    });
    let failed = Once::new();
    let panics = || failed.call_once(|| std::panic::resume_unwind(Box::new(())));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| failed.wait_timeout(LONG))).is_err());
}

#[test]
fn lazy_lock_is_made_once_and_again_when_that_was_cancelled_or_panicked() {
    under_both(|| {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let lock = Arc::new(LazyLock::new(move || match count.fetch_add(1, Relaxed) {
            0 => coro::sleep(LONG),
            1 => std::panic::resume_unwind(Box::new("made badly")),
            _ => yield_now(),
        }));
        assert_eq!(format!("{lock:?}"), "LazyLock(<uninit>)");
        let makes = |lock: &Arc<LazyLock<(), _>>| {
            let lock = lock.clone();
            spawn(move || **lock)
        };
        let first = makes(&lock);
        yield_now();
        first.cancel().unwrap();
        assert!(first.join().unwrap_err().is_cancelled());
        assert!(makes(&lock).join().unwrap_err().is_panic());
        join_all((0..3).map(|_| makes(&lock)));
        assert_eq!((made.load(Relaxed), format!("{lock:?}")), (3, "LazyLock(())".into()));
    });
}

#[test]
fn oneshot_brings_one_value_or_the_senders_end() {
    under_both(|| {
        let (sender, receiver) = oneshot();
        let waits = spawn(move || receiver.recv());
        yield_now();
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(waits.join().unwrap(), Ok(1));
        let (sender, receiver) = oneshot::<u8>();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        drop(sender);
        assert_eq!((receiver.try_recv(), receiver.recv()), (Err(TryRecvError::Disconnected), Err(RecvError)));
        let (sender, receiver) = oneshot();
        drop(receiver);
        assert_eq!(sender.send("back"), Err("back"));
    });
}
