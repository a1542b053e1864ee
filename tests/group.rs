//! Groups and pools: waited for together, cancelled together, and only so many at a time.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use coro::sync::{Event, channel};
use coro::{
    CoroutineBuilder, Group, JoinSet, Pool, defer, select, sleep, spawn, spawn_after, timeout, yield_now,
};
use pretty_assertions::assert_eq;

use runtimes::{Counted, everywhere, under_both, wait_until_parked};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(1_000_000);

#[test]
fn group_is_waited_for_with_all_that_its_members_spawn_and_defer() {
    everywhere(|| {
        let (group, count) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..10 {
            let (inner, count) = (group.clone(), count.clone());
            group.spawn(move || {
                sleep(SHORT);
                let late = count.clone();
                inner.spawn(move || {
                    defer(move || {
                        yield_now();
                        late.fetch_add(1, SeqCst);
                    })
                });
                count.fetch_add(1, SeqCst)
            });
        }
        group.wait().unwrap();
        assert_eq!((count.load(SeqCst), group.len()), (20, 0));
        group.wait().unwrap();
    });
}

#[test]
fn members_of_a_group_are_cancelled_together_and_nobody_else() {
    everywhere(|| {
        let group = Group::new();
        let handles: Vec<_> = (0..20).map(|_| group.spawn(|| sleep(LONG))).collect();
        let outsider = spawn(|| sleep(SHORT));
        (0..3).for_each(|_| yield_now());
        group.cancel().unwrap();
        group.wait().unwrap();
        for handle in handles {
            assert!(handle.is_finished() && handle.join().unwrap_err().is_cancelled());
        }
        outsider.join().unwrap();
        // It can be used again.
        assert_eq!(group.spawn(|| 5).join().unwrap(), 5);
    });
}

/// Also of one that never runs, whose values' destructors wait.
#[test]
fn group_is_waited_for_until_the_values_of_its_members_are_gone() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(SHORT);
            self.0.fetch_add(1, SeqCst);
        }
    }
    coro::run(|| {
        let (group, gone) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            let value = Slow(gone.clone());
            group.spawn(move || drop(value));
        }
        group.cancel().unwrap();
        group.wait().unwrap();
        assert_eq!((gone.load(SeqCst), group.len()), (3, 0));
    })
    .unwrap();
}

/// Places are taken again in any order, by many, while others are cancelled.
#[test]
fn places_of_a_large_group_are_given_back_and_taken_again() {
    everywhere(|| {
        let (group, count) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        for n in 0..2000 {
            let count = count.clone();
            let member = group.spawn(move || {
                (0..n % 7).for_each(|_| yield_now());
                count.fetch_add(1, SeqCst);
            });
            if n % 50 == 0 {
                member.cancel().unwrap();
                yield_now();
            }
        }
        group.wait().unwrap();
        assert!(group.is_empty() && (1960..=2000).contains(&count.load(SeqCst)));
        let late: Vec<_> = (0..100).map(|_| group.spawn(|| sleep(LONG))).collect();
        assert_eq!(group.len(), 100);
        group.cancel().unwrap();
        group.wait().unwrap();
        assert!(late.into_iter().all(|member| member.join().unwrap_err().is_cancelled()));
    });
}

#[test]
fn dump_names_the_members_that_are_waited_for() {
    coro::run(|| {
        let group = Group::new();
        let members = [(); 2].map(|()| group.spawn(|| sleep(LONG)).id());
        let waited = group.clone();
        let waiting = spawn(move || waited.wait());
        yield_now();
        let text = coro::dump();
        let ids = members.map(|id| id.to_string()).join(", ");
        assert!(text.contains(&format!(" (2 members alive: {ids}) for ")), "{text}");
        assert!(text.contains(&format!("{} parked in group 0x", waiting.id())), "{text}");
        group.cancel().unwrap();
        waiting.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn panic_of_a_member_is_its_own() {
    everywhere(|| {
        let group = Group::new();
        let failing: coro::JoinHandle<()> = group.spawn(|| resume_unwind(Box::new(())));
        group.wait().unwrap();
        assert!(failing.join().unwrap_err().is_panic());
    });
}

#[test]
fn pool_runs_no_more_than_it_has_room_for() {
    everywhere(|| {
        let pool = Pool::new(3);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..30 {
            let (now, most) = (now.clone(), most.clone());
            pool.spawn(move || {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                sleep(Duration::from_micros(300));
                now.fetch_sub(1, SeqCst);
            });
            assert!(pool.len() <= 3);
        }
        pool.wait().unwrap();
        assert_eq!((now.load(SeqCst), most.load(SeqCst)), (0, 3));
    });
}

#[test]
fn several_who_spawn_into_a_full_pool_all_get_their_places() {
    everywhere(|| {
        let (pool, count) = (Pool::new(2), Arc::new(AtomicUsize::new(0)));
        let spawners: Vec<_> = (0..10)
            .map(|_| {
                let (pool, count) = (pool.clone(), count.clone());
                spawn(move || {
                    for _ in 0..10 {
                        let count = count.clone();
                        pool.spawn(move || {
                            yield_now();
                            count.fetch_add(1, SeqCst)
                        });
                    }
                })
            })
            .collect();
        spawners.into_iter().for_each(|spawner| spawner.join().unwrap());
        pool.wait().unwrap();
        assert_eq!(count.load(SeqCst), 100);
    });
}

#[test]
fn who_waits_for_a_place_can_be_cancelled_and_time_out() {
    everywhere(|| {
        let pool = Pool::new(1);
        let (finish, wait) = channel::<()>(1);
        pool.spawn(move || wait.recv().is_err());
        assert!(timeout(SHORT, || pool.spawn(|| ())).unwrap_err().scope().is_some());
        let waiting = pool.clone();
        let waiting = spawn(move || drop(waiting.spawn(|| unreachable!())));
        (0..3).for_each(|_| yield_now());
        waiting.cancel().unwrap();
        assert!(waiting.join().unwrap_err().is_cancelled());
        drop(finish);
        pool.wait().unwrap();
    });
}

#[test]
fn map_borrows_keeps_the_order_and_the_bound_and_tells_each_ones_panic() {
    everywhere(|| {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let words: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let line = line!() + 1;
        let lengths = Pool::new(4).map(&words, |word| {
            let spawned = coro::current().unwrap().spawn_site().to_owned();
            assert!(spawned.starts_with(&format!("{}:{line}:", file!())), "{spawned}");
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(Duration::from_micros(100));
            now.fetch_sub(1, SeqCst);
            if word == "13" {
                resume_unwind(Box::new(()));
            }
            word.as_str()
        });
        assert!(most.into_inner() <= 4);
        for (n, (word, got)) in words.iter().zip(lengths).enumerate() {
            match got {
                Ok(got) => assert_eq!(got, word),
                Err(error) => assert!(n == 13 && error.is_panic()),
            }
        }
    });
}

#[test]
fn spawn_after_waits_first_and_is_not_run_when_cancelled_before() {
    everywhere(|| {
        let start = Instant::now();
        let late = spawn_after(SHORT, Instant::now);
        assert!(late.join().unwrap() - start >= SHORT);
        let never: coro::JoinHandle<()> = spawn_after(LONG, || unreachable!());
        yield_now();
        never.cancel().unwrap();
        assert!(never.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn results_of_a_set_come_in_the_order_of_the_ends_whatever_they_are() {
    everywhere(|| {
        let mut set = JoinSet::new();
        let gates: Vec<_> = (0..4).map(|_| Arc::new(Event::new())).collect();
        for (n, gate) in (0..).zip(gates.clone()) {
            set.spawn(move || {
                gate.wait();
                if n == 2 {
                    resume_unwind(Box::new(n));
                }
                n
            });
        }
        assert!(set.try_join_next().is_none() && set.join_next_timeout(SHORT).is_none());
        for n in [3, 2, 0] {
            gates[n].set();
            let result = set.join_next().unwrap();
            assert_eq!(result.map_err(|error| error.is_panic()), if n == 2 { Err(true) } else { Ok(n) });
        }
        set.cancel().unwrap();
        assert!(set.join_next().unwrap().unwrap_err().is_cancelled());
        assert!(set.join_next().is_none() && set.is_empty());
        // It can be used again, also its places.
        set.spawn(|| 9);
        assert_eq!((set.len(), set.join_next_timeout(LONG).unwrap().unwrap()), (1, 9));
    });
}

#[test]
fn set_that_is_dropped_cancels_who_has_not_ended() {
    everywhere(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut set = JoinSet::new();
        for _ in 0..3 {
            let value = Counted(dropped.clone());
            set.spawn(move || {
                sleep(LONG);
                value
            });
        }
        // One whose result nobody takes.
        let value = Counted(dropped.clone());
        set.spawn(move || value);
        while !select! { wait(set) => true, _ => false } {
            yield_now();
        }
        drop(set);
        while dropped.load(SeqCst) < 4 {
            yield_now();
        }
    });
}

/// A destructor during a panic can't wait: each that is left is told of once, and let go.
#[test]
fn loop_over_a_set_in_a_destructor_during_a_panic_ends() {
    struct Drains(JoinSet<()>, Arc<AtomicUsize>);
    impl Drop for Drains {
        fn drop(&mut self) {
            while let Some(result) = self.0.join_next() {
                let error = result.unwrap_err();
                assert!(!error.is_cancelled() && !error.is_panic(), "{error}");
                self.1.fetch_add(1, SeqCst);
            }
            assert!(self.0.is_empty());
        }
    }
    under_both(|| {
        let (told, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counts, values) = (told.clone(), dropped.clone());
        let panics = spawn(move || {
            let mut drains = Drains(JoinSet::new(), counts);
            for _ in 0..3 {
                let value = Counted(values.clone());
                drains.0.spawn(move || {
                    let _value = value;
                    sleep(LONG);
                });
            }
            panic!("planned");
        });
        assert!(panics.join().unwrap_err().is_panic());
        assert_eq!(told.load(SeqCst), 3);
        // Dropped with the set, and so cancelled.
        while dropped.load(SeqCst) < 3 {
            yield_now();
        }
    });
}

#[test]
fn member_that_could_not_be_spawned_leaves_no_end() {
    coro::run(|| {
        let mut set = JoinSet::<()>::new();
        let said =
            CoroutineBuilder::new().stack_size(0).spawn_in_set(&mut set, || ()).unwrap_err().to_string();
        assert!(said.starts_with("a stack of 0 bytes"), "{said}");
        assert!(set.is_empty() && set.join_next().is_none());
        set.spawn(|| ());
        set.join_next().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn members_have_the_names_that_the_builder_gives_them() {
    everywhere(|| {
        let name = || coro::current().unwrap().name().map(str::to_owned);
        let builder = || CoroutineBuilder::new().name("member");
        let (group, pool, mut set) = (Group::new(), Pool::new(1), JoinSet::new());
        let in_group = builder().spawn_in_group(&group, name).unwrap();
        let in_pool = builder().spawn_in_pool(&pool, name).unwrap();
        builder().spawn_in_set(&mut set, name).unwrap();
        let named = Some("member".to_owned());
        assert_eq!(in_group.join().unwrap(), named);
        assert_eq!(in_pool.join().unwrap(), named);
        assert_eq!(set.join_next().unwrap().unwrap(), named);
        group.wait().unwrap();
        pool.wait().unwrap();
        let said = builder().name("a\0").spawn_in_group(&group, || ()).unwrap_err().to_string();
        assert!(said.contains("NUL byte") && group.is_empty(), "{said}");
    });
}

/// Who waits for the first of several waits for none of them in particular.
#[test]
fn wait_for_the_next_result_is_told_as_of_a_choice_and_of_the_last_one_as_what_it_is() {
    coro::run(|| {
        let (mut set, gates) = (JoinSet::new(), [(); 2].map(|()| Arc::new(Event::new())));
        for gate in gates.clone() {
            set.spawn(move || gate.wait());
        }
        let takes = spawn(move || {
            [0, 1].into_iter().for_each(|_| set.join_next().unwrap().unwrap());
        });
        wait_until_parked("select", 1);
        let dump = coro::dump().to_string();
        assert!(dump.contains("select"), "{dump}");
        gates[1].set();
        wait_until_parked("group", 1);
        gates[0].set();
        takes.join().unwrap();
    })
    .unwrap();
}
