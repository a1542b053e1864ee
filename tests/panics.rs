//! A panic in a coroutine: it is reported, it ends that coroutine and nothing else, and nobody switches while it
//! unwinds.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::os::unix::process::ExitStatusExt as _;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use coro::sync::{Event, Mutex, RecvTimeoutError, SendTimeoutError, TryLockError, channel};
use coro::{CoroutineBuilder, coroutine_local, spawn, spawn_local, yield_now};
use pretty_assertions::assert_eq;

use runtimes::{everywhere, under_both};

/// One of this file's tests as a process of its own, which `CHILD` tells that it is the child.
fn child(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    command
}

/// Runs one of this file's tests so; its stderr.
fn in_child(test: &str) -> String {
    let output = child(test).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {stderr}", output.status);
    stderr
}

const CHILD: &str = "CORO_TEST_CHILD";

#[test]
fn panic_is_reported_with_name_and_spawn_site_and_ends_nothing_else() {
    let line = line!() + 5;
    if env::var_os(CHILD).is_some() {
        under_both(|| {
            let sibling = spawn(|| (0..3).for_each(|_| yield_now()));
            let failing = CoroutineBuilder::new().name("parser");
            let failing = failing.spawn(|| panic!("at line {}", 7)).unwrap();
            let (id, error) = (failing.id(), failing.join().unwrap_err());
            assert!(error.is_panic());
            sibling.join().unwrap();
            eprintln!("id {id}");
        });
        return;
    }
    let stderr = in_child("panic_is_reported_with_name_and_spawn_site_and_ends_nothing_else");
    let ids: Vec<_> = stderr.lines().filter_map(|line| line.strip_prefix("id ")).collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        let report = format!("coroutine {id} 'parser', spawned at {}:{line}:", file!());
        assert!(stderr.contains(&report), "no {report:?} in {stderr}");
    }
    assert!(stderr.contains("at line 7"), "std's own report is there, too: {stderr}");
}

#[test]
fn panic_ends_nothing_else_when_nobody_reads_stderr() {
    const NAME: &str = "panic_ends_nothing_else_when_nobody_reads_stderr";
    if env::var_os(CHILD).is_some() {
        under_both(|| assert!(spawn(|| panic!("unheard")).join().unwrap_err().is_panic()));
        return;
    }
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut child = child(NAME);
    let output = child.stdout(Stdio::piped()).stderr(writer).output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
}

#[test]
fn catch_unwind_catches_a_panic_inside_the_coroutine_over_switches() {
    under_both(|| {
        let handles: Vec<_> = (0..10_u32)
            .map(|n| {
                spawn(move || {
                    let caught = catch_unwind(AssertUnwindSafe(|| {
                        yield_now();
                        panic::resume_unwind(Box::new(n))
                    }));
                    yield_now();
                    assert!(!thread::panicking());
                    *caught.unwrap_err().downcast::<u32>().unwrap()
                })
            })
            .collect();
        for (n, handle) in (0..).zip(handles) {
            assert_eq!(handle.join().unwrap(), n);
        }
    });
}

/// Waits in its destructor.
struct WaitsInDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for WaitsInDrop<F> {
    fn drop(&mut self) {
        assert!(thread::panicking());
        (self.0)();
        assert!(thread::panicking());
    }
}

/// Panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

coroutine_local! {
    static OWN: Fragile = Fragile;
}

/// Of a local, of a coroutine's own value, of what is deferred, of a result that nobody takes, of one who never runs.
#[test]
fn panic_of_a_destructor_is_its_coroutines() {
    everywhere(|| {
        // What comes behind its result can't change that.
        let kinds: [(fn(), bool); 3] = [
            (
                || {
                    let _fragile = Fragile;
                    yield_now();
                },
                true,
            ),
            (|| OWN.with(|_| ()), false),
            (|| coro::defer(|| drop(Fragile)).unwrap(), false),
        ];
        for (kind, is_error) in kinds {
            let other = spawn(|| (0..3).for_each(|_| yield_now()));
            assert_eq!(spawn(kind).join().is_err_and(|error| error.is_panic()), is_error);
            other.join().unwrap();
        }
    });
    // Where none of them runs before its handle is dropped.
    let alive = coro::run(|| {
        drop(spawn(|| Fragile));
        let fragile = Fragile;
        let unbegun = spawn(move || drop(fragile));
        unbegun.cancel().unwrap();
        assert!(unbegun.join().is_err());
        coro::stats().unwrap().alive
    });
    assert_eq!(alive.unwrap(), 0);
}

/// It is called amid the panic, and waits in place, as destructors do.
#[test]
fn panic_hook_may_wait() {
    if env::var_os(CHILD).is_none() {
        let said = in_child("panic_hook_may_wait");
        assert_eq!(said.matches("hook of 'waits'").count(), 3, "{said}");
        return;
    }
    panic::set_hook(Box::new(|_| {
        coro::sleep(Duration::from_millis(2));
        eprintln!("hook of '{}'", coro::current().unwrap().name().unwrap_or_default());
    }));
    everywhere(|| {
        let waits = CoroutineBuilder::new().name("waits").spawn(|| panic!("it is hooked")).unwrap();
        assert!(waits.join().unwrap_err().is_panic());
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn sleep_in_a_destructor_during_a_panic_waits_in_place() {
    under_both(|| {
        let others_ran = Arc::new(AtomicU32::new(0));
        let count = others_ran.clone();
        let failing = spawn(move || {
            let seen = count.clone();
            let _waits = WaitsInDrop(move || {
                let before = seen.load(Relaxed);
                coro::sleep(Duration::from_millis(2));
                yield_now();
                assert_eq!(seen.load(Relaxed), before, "nobody else runs meanwhile");
            });
            let other = spawn(move || {
                for _ in 0..3 {
                    count.fetch_add(1, Relaxed);
                    coro::sleep(Duration::from_millis(1));
                }
            });
            yield_now();
            drop(other);
            panic::resume_unwind(Box::new("the panic"));
        });
        let payload = failing.join().unwrap_err().try_into_panic().unwrap();
        assert_eq!(payload.downcast_ref(), Some(&"the panic"));
    });
}

#[test]
fn wait_with_a_timeout_in_a_destructor_during_a_panic_lasts_until_that() {
    const SOON: Duration = Duration::from_millis(5);
    everywhere(|| {
        let others_ran = Arc::new(AtomicU32::new(0));
        let count = others_ran.clone();
        let lock = Arc::new(Mutex::new(()));
        let failing = spawn_local(move || {
            let (sender, receiver) = channel::<u8>(1);
            let other = spawn_local(move || {
                count.fetch_add(1, Relaxed);
                coro::sleep(Duration::from_secs(1000));
            });
            let held = lock.clone();
            let holder = spawn_local(move || {
                let _held = held.lock().unwrap();
                coro::sleep(Duration::from_secs(1000));
            });
            coro::sleep(SOON);
            let one_more = others_ran.clone();
            let ready = spawn_local(move || one_more.fetch_add(1, Relaxed));
            let mut ends = Some((other, holder, ready));
            let before = others_ran.load(Relaxed);
            let _waits = WaitsInDrop(move || {
                let start = Instant::now();
                assert_eq!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
                let which = coro::select! {
                    recv(receiver) -> _ => "received",
                    after(SOON) => "after",
                };
                assert_eq!(which, "after");
                assert!(!Event::new().wait_timeout(SOON));
                assert!(matches!(lock.try_lock_for(SOON), Err(TryLockError::WouldBlock)));
                let (other, holder, _) = ends.take().unwrap();
                assert!(!other.wait_timeout(SOON).unwrap());
                assert!(start.elapsed() >= 5 * SOON);
                assert_eq!(others_ran.load(Relaxed), before, "nobody else runs meanwhile");
                sender.send_timeout(1, SOON).unwrap();
                assert_eq!(sender.send_timeout(2, SOON), Err(SendTimeoutError::Timeout(2)));
                other.cancel().unwrap();
                holder.cancel().unwrap();
            });
            panic::resume_unwind(Box::new("the panic"));
        });
        assert!(failing.join().unwrap_err().is_panic());
    });
}

/// A thread, as a coroutine of another worker, may end such a wait.
#[test]
fn wait_with_a_timeout_in_a_destructor_during_a_panic_ends_with_what_it_waits_for() {
    under_both(|| {
        let (sender, receiver) = channel(1);
        let (go, wait) = std::sync::mpsc::channel();
        let sends = thread::spawn(move || {
            wait.recv().unwrap();
            thread::sleep(Duration::from_millis(5));
            sender.send(7).unwrap();
        });
        let failing = spawn(move || {
            let _waits = WaitsInDrop(move || {
                go.send(()).unwrap();
                assert_eq!(receiver.recv_timeout(Duration::from_secs(1000)), Ok(7));
            });
            panic::resume_unwind(Box::new("the panic"));
        });
        assert!(failing.join().unwrap_err().is_panic());
        sends.join().unwrap();
    });
}

#[test]
fn join_in_a_destructor_during_a_panic_is_an_error() {
    under_both(|| {
        let (go, wait) = channel::<()>(1);
        let failing = spawn(move || {
            let mut other = Some(spawn(move || wait.recv().is_ok()));
            yield_now();
            let _waits = WaitsInDrop(move || {
                let error = other.take().unwrap().join().unwrap_err();
                assert!(!error.is_panic() && !error.is_cancelled());
                assert!(
                    error.to_string().contains("JoinHandle::join would have to wait inside a destructor")
                );
            });
            panic::resume_unwind(Box::new("the panic"));
        });
        assert!(failing.join().unwrap_err().is_panic());
        drop(go);
    });
}

#[test]
fn wait_that_nobody_could_end_is_told_of_by_who_has_no_name() {
    const NAME: &str = "wait_that_nobody_could_end_is_told_of_by_who_has_no_name";
    if env::var_os(CHILD).is_some() {
        let _ = coro::run(|| {
            let (_sender, receiver) = channel::<u8>(1);
            let failing = spawn(move || {
                let _waits = WaitsInDrop(move || {
                    let _ = receiver.recv_timeout(Duration::MAX);
                });
                panic::resume_unwind(Box::new("the panic"));
            });
            failing.join()
        });
        return;
    }
    let output = child(NAME).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
    let said = stderr.lines().find(|line| line.starts_with("fatal: ")).unwrap();
    let (who, why) = said.split_once(" (spawned at ").unwrap();
    assert!(who.strip_prefix("fatal: coroutine #").is_some_and(|id| id.parse::<u64>().is_ok()), "{said}");
    assert!(why.contains("Receiver::recv could only be ended by another coroutine"), "{said}");
}

#[test]
fn spawn_in_a_destructor_during_a_panic_runs_later() {
    under_both(|| {
        let (sender, told) = channel(1);
        let failing = spawn(move || {
            let _spawns = WaitsInDrop(move || {
                let sender = sender.clone();
                let child = spawn(move || sender.send(thread::panicking()).unwrap());
                assert!(!child.is_finished(), "nobody else runs meanwhile");
            });
            panic::resume_unwind(Box::new("the panic"));
        });
        assert!(failing.join().unwrap_err().is_panic());
        assert_eq!(told.recv(), Ok(false));
    });
}

#[test]
fn panic_with_a_lock_poisons_it_and_one_elsewhere_does_not() {
    under_both(|| {
        let [held, other] = [(); 2].map(|()| Arc::new(Mutex::new(0)));
        let (lock, unlocked) = (held.clone(), other.clone());
        let holder = spawn(move || {
            let _guard = unlocked.lock().unwrap();
            yield_now();
            yield_now();
        });
        let failing = spawn(move || {
            let _guard = lock.lock().unwrap();
            yield_now();
            panic::resume_unwind(Box::new(()));
        });
        assert!(failing.join().is_err());
        holder.join().unwrap();
        assert_eq!((held.is_poisoned(), other.is_poisoned()), (true, false));
    });
}
