//! Scenarios by hand: each for one thing that several threads do to each other.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::Duration;

use crate::net::UnixStream;
use crate::sync::{self, Event, Mutex, unbounded};
use crate::sys::explore;
use crate::{Builder, Group, Handle, JoinHandle};

/// What is wrong, if something is.
pub(super) type Played = Result<(), String>;

type Play = fn() -> Played;

pub(super) const ALL: [(&str, Play); 14] = [
    ("spawn", spawn),
    ("channel", channel),
    ("rendezvous", rendezvous),
    ("mutex", mutex),
    ("thread", another_thread),
    ("outside", from_outside),
    ("timers", timers),
    ("cancel", cancel),
    ("timeout", timeout),
    ("event", event),
    ("group", group),
    ("socket", socket),
    ("blocked main", blocked_main),
    ("end", end),
];

pub(super) fn of(name: &str) -> Play {
    let found = ALL.iter().find(|(one, _)| *one == name);
    found.unwrap_or_else(|| panic!("there is no scenario '{name}'")).1
}

/// Runs main in a runtime with so many workers.
pub(super) fn run<T>(workers: usize, main: impl FnOnce() -> T) -> Result<T, String> {
    // No notice: its own looks are not the scenario's.
    let builder = Builder::new().workers(workers).deadlock_notice(false).grace(Duration::from_secs(3600));
    builder.run(main).map_err(|error| error.to_string())
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Played {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?} instead of {should:?}")) }
}

fn join<T>(handle: JoinHandle<T>) -> T {
    handle.join().expect("nobody panics or is cancelled here")
}

/// Three generations, on whichever worker takes them.
fn spawn() -> Played {
    let sum = run(2, || {
        let children: Vec<_> = (1..=3_u64)
            .map(|n| {
                crate::spawn(move || {
                    let grandchild = crate::spawn(move || {
                        crate::yield_now();
                        10 * n
                    });
                    crate::yield_now();
                    n + join(grandchild)
                })
            })
            .collect();
        children.into_iter().map(join).sum::<u64>()
    })?;
    same("sum", sum, 66)
}

fn talk(capacity: usize) -> Played {
    let got = run(2, || {
        let (to, from) = sync::channel(capacity);
        let (back, answers) = sync::channel(capacity);
        let other = crate::spawn(move || {
            for n in from {
                back.send(n + 1_u64).expect("main listens");
            }
        });
        let got: Vec<u64> = (0..4)
            .map(|n| {
                to.send(10 * n).expect("the other one listens");
                answers.recv().expect("the other one answers")
            })
            .collect();
        drop(to);
        join(other);
        got
    })?;
    same("answers", got, vec![1, 11, 21, 31])
}

fn channel() -> Played {
    talk(1)
}

fn rendezvous() -> Played {
    talk(0)
}

fn mutex() -> Played {
    let total = run(2, || {
        let total = Arc::new(Mutex::new(0));
        let adders: Vec<_> = (0..3)
            .map(|_| {
                let total = total.clone();
                crate::spawn(move || {
                    for _ in 0..2 {
                        let mut held = total.lock().expect("nobody panics here");
                        let before = *held;
                        crate::yield_now();
                        *held = before + 1;
                    }
                })
            })
            .collect();
        adders.into_iter().for_each(join);
        *total.lock().expect("nobody panics here")
    })?;
    same("total", total, 6)
}

/// A plain thread sends to coroutines, and waits for one.
fn another_thread() -> Played {
    let got = run(2, || {
        let (to, from) = unbounded();
        let (back, answer) = unbounded();
        let thread = explore::spawn(thread::Builder::new().name("plain".into()), move || {
            (1..=3_u64).for_each(|n| to.send(n).expect("a coroutine listens"));
            drop(to);
            answer.recv().expect("a coroutine answers")
        });
        crate::spawn(move || back.send(from.iter().sum::<u64>()).expect("the thread listens"));
        explore::join(thread.expect("a thread can be started")).expect("it doesn't panic")
    })?;
    same("sum", got, 6)
}

/// A plain thread spawns, while all else waits and as main returns.
fn from_outside() -> Played {
    for workers in [1, 2] {
        let thread = run(workers, || {
            let (handle, event) = (Handle::current(), Arc::new(Event::new()));
            let told = event.clone();
            let thread = explore::spawn(thread::Builder::new().name("outside".into()), move || {
                let spawn = |n| {
                    let told = told.clone();
                    handle.spawn(move || {
                        told.set();
                        n
                    })
                };
                let handles: Vec<_> =
                    (0..3).filter_map(|n| spawn(n).ok().map(|handle| (n, handle))).collect();
                let joined = handles.into_iter().map(|(n, handle)| match handle.join() {
                    Ok(value) => value == n,
                    Err(error) => error.is_cancelled(),
                });
                joined.filter(|is_right| *is_right).count()
            });
            event.wait();
            thread.expect("a thread can be started")
        })?;
        let joined = explore::join(thread).expect("it doesn't panic");
        if !(1..=3).contains(&joined) {
            return Err(format!("{joined} of those from outside have ended as they should"));
        }
    }
    Ok(())
}

fn timers() -> Played {
    let count = run(2, || {
        let count = Arc::new(AtomicU64::new(0));
        let sleepers: Vec<_> = [300, 200, 0, 200]
            .map(|micros| {
                let count = count.clone();
                crate::spawn(move || {
                    crate::sleep(Duration::from_micros(micros));
                    count.fetch_add(1, Relaxed);
                })
            })
            .into();
        crate::sleep(Duration::from_micros(200));
        sleepers.into_iter().for_each(join);
        count.load(Relaxed)
    })?;
    same("count", count, 4)
}

/// At any moment: before it begins, before its wait, in it, and behind it.
fn cancel() -> Played {
    let ended = run(2, || {
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                crate::spawn(|| {
                    crate::yield_now();
                    Event::new().wait();
                })
            })
            .collect();
        for waiter in &waiters {
            waiter.cancel().expect("it may be cancelled");
        }
        let ends = waiters.into_iter().map(|waiter| waiter.join().is_err_and(|error| error.is_cancelled()));
        ends.filter(|is_cancelled| *is_cancelled).count()
    })?;
    same("cancelled", ended, 2)
}

/// A deadline and an end that come at the same time.
fn timeout() -> Played {
    let got = run(2, || {
        let sleeper = crate::spawn(|| {
            crate::sleep(Duration::from_micros(100));
            7
        });
        match sleeper.join_timeout(Duration::from_micros(100)) {
            Ok(joined) => joined.expect("it isn't cancelled"),
            Err(handle) => join(handle),
        }
    })?;
    same("result", got, 7)
}

fn event() -> Played {
    let seen = run(3, || {
        let (event, seen) = (Arc::new(Event::new()), Arc::new(AtomicU64::new(0)));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (event, seen) = (event.clone(), seen.clone());
                crate::spawn(move || {
                    event.wait();
                    seen.fetch_add(1, Relaxed);
                })
            })
            .collect();
        crate::yield_now();
        event.set();
        waiters.into_iter().for_each(join);
        seen.load(Relaxed)
    })?;
    same("seen", seen, 3)
}

/// Members that are cancelled, begun or not: when the group has been waited for, each has ended.
fn group() -> Played {
    let ended = run(2, || {
        let group = Group::new();
        let members: Vec<_> =
            (0..3).map(|_| group.spawn(|| crate::sleep(Duration::from_secs(3600)))).collect();
        crate::yield_now();
        group.cancel().expect("it may be cancelled");
        group.wait().expect("main may wait");
        let ended = members.iter().filter(|member| member.is_finished()).count();
        let ends = members.into_iter().map(|member| member.join().is_err_and(|error| error.is_cancelled()));
        (ended, ends.filter(|is_cancelled| *is_cancelled).count())
    })?;
    same("ended, cancelled", ended, (3, 3))
}

/// Two who talk over a socket, one of them with a coroutine for each direction; it is closed under the one who reads.
fn socket() -> Played {
    let (got, ended) = run(2, || {
        let (ours, theirs) = UnixStream::pair().expect("a pair can be had");
        let echo = crate::spawn(move || {
            let mut byte = [0];
            while (&theirs).read(&mut byte).expect("it works") == 1 {
                (&theirs).write_all(&[byte[0] + 1]).expect("it works");
            }
        });
        let ours = Arc::new(ours);
        let writes = ours.clone();
        let writer = crate::spawn(move || {
            [1, 11, 21].into_iter().for_each(|n| (&*writes).write_all(&[n]).expect("it works"))
        });
        let mut got = [0; 3];
        (&*ours).read_exact(&mut got).expect("it works");
        join(writer);
        let reads = ours.clone();
        let reader = crate::spawn(move || (&*reads).read(&mut [0]).is_err());
        crate::yield_now();
        ours.close();
        let ended = join(reader);
        drop(ours);
        join(echo);
        (got, ended)
    })?;
    same("answers", got, [2, 12, 22])?;
    same("reader's end", ended, true)
}

/// main keeps its thread until somebody on another one has run.
fn blocked_main() -> Played {
    run(2, || {
        let has_run = Arc::new(AtomicU64::new(0));
        let tell = has_run.clone();
        // Time for the other worker to fall asleep, or not quite.
        crate::sleep(Duration::from_micros(1));
        crate::spawn(move || tell.store(1, SeqCst));
        while has_run.load(SeqCst) == 0 {
            explore::give_way();
        }
    })
}

/// main returns while the others still spawn: each has run, or is dropped.
fn end() -> Played {
    struct Counted(Arc<AtomicU64>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let alive = Arc::new(AtomicU64::new(0));
    let counted = |alive: &Arc<AtomicU64>| {
        alive.fetch_add(1, SeqCst);
        Counted(alive.clone())
    };
    run(2, || {
        for _ in 0..2 {
            let alive = alive.clone();
            crate::spawn(move || {
                for _ in 0..3 {
                    let one = counted(&alive);
                    crate::spawn(move || drop(one));
                    crate::yield_now();
                }
            });
        }
        crate::yield_now();
    })?;
    match alive.load(SeqCst) {
        0 => Ok(()),
        left => Err(format!("{left} values were not dropped")),
    }
}
