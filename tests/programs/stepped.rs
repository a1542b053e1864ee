//! A scripted life, to be stepped through instruction by instruction: `stepped POLICY FROM`.
//!
//! POLICY: `fair` or `backtrack`. FROM: the first scene is the `start` of the runtime, half a million instructions until
//! the first coroutine lives, or the `life` after it; `endless`: scenes of the life over and over, to be stopped at any
//! instant. The life is divided into scenes, each of which begins with a call of
//! [`stepping_scene`]; [`stepping_ends`] is called behind the last one. Both are found by their symbols. It leans on
//! the standard library and on `coro` alone, so that tests/stepping/plants.rs can build it with the bare compiler.

use std::arch::asm;
use std::hint::black_box;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, thread};

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, CoroutineBuilder, Policy, defer, sleep, spawn, yield_now};

/// A scene begins. The name is for the stepper, which finds it in the registers of the first two arguments.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn stepping_scene(name: *const u8, length: usize) {
    black_box((name, length));
}

/// The last scene is over.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn stepping_ends() {
    black_box(());
}

fn scene(name: &str) {
    stepping_scene(name.as_ptr(), name.len());
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, policy, from] = &arguments[..] else {
        panic!("usage: stepped fair|backtrack start|life|endless")
    };
    let policy = if policy == "fair" { Policy::Fair } else { Policy::Backtrack };
    // What panics on purpose says so by its payload, and needs no report.
    std::panic::set_hook(Box::new(|_| {}));
    if from == "start" {
        scene("start");
    }
    let dropped = Arc::new(AtomicU32::new(0));
    let counted = dropped.clone();
    // A small region is read quickly.
    let builder = Builder::new().max_coroutines(64).policy(policy);
    if from == "endless" {
        builder.clone().run(|| endless(policy)).unwrap();
    }
    builder.run(|| life(policy, &counted)).unwrap();
    stepping_ends();
    assert_eq!(dropped.load(Ordering::Relaxed), 3, "main's end drops the values on all stacks");
}

fn life(policy: Policy, dropped: &Arc<AtomicU32>) {
    scene("spawn");
    assert_eq!(spawn(|| black_box(7) * 6).join().unwrap(), 42);
    scene("nested");
    assert_eq!(nested(3), 4);
    scene("yield");
    in_turns();
    scene("channel");
    by_channel();
    scene("mutex");
    by_mutex();
    scene("timer");
    by_timer();
    scene("event");
    by_event();
    scene("thread");
    by_thread();
    scene("reuse");
    in_one_slot();
    scene("panic");
    panics();
    scene("control words");
    with_other_control_words();
    scene("cancel");
    cancels();
    scene("two runtimes");
    beside_another_runtime(policy);
    if policy == Policy::Fair {
        scene("two workers");
        on_two_workers();
    }
    scene("end");
    leave_some_behind(dropped);
}

/// No panics and no end: while one unwinds a stop at any instruction can't be told from a wrong one without knowing what
/// came before, as stepping does.
fn endless(policy: Policy) {
    scene("endless");
    loop {
        nested(3);
        in_turns();
        by_channel();
        by_mutex();
        by_timer();
        by_event();
        by_thread();
        in_one_slot();
        with_other_control_words();
        beside_another_runtime(policy);
        if policy == Policy::Fair {
            on_two_workers();
        }
    }
}

/// Coroutines in coroutines: one more than `depth`.
fn nested(depth: u32) -> u32 {
    if depth == 0 {
        return 1;
    }
    let child =
        CoroutineBuilder::new().name(format!("depth {depth}")).spawn(move || nested(depth - 1)).unwrap();
    yield_now();
    child.join().unwrap() + 1
}

/// Three who let each other have a turn.
fn in_turns() {
    let members: Vec<_> = (0..3)
        .map(|n| {
            spawn(move || {
                (0..n + 2).for_each(|_| yield_now());
                n
            })
        })
        .collect();
    yield_now();
    let sum: u32 = members.into_iter().map(|member| member.join().unwrap()).sum();
    assert_eq!(sum, 3);
}

/// One who waits for values, one who waits for room.
fn by_channel() {
    let (sender, receiver) = channel(1);
    let reader = spawn(move || (0..4).map(|_| receiver.recv().unwrap()).sum::<u32>());
    yield_now();
    let writer = spawn(move || (1..=4).for_each(|value| sender.send(value).unwrap()));
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), 10);
}

fn by_mutex() {
    let mutex = Arc::new(Mutex::new(0));
    let held = mutex.lock().unwrap();
    let members: Vec<_> = (0..2)
        .map(|_| {
            let mutex = mutex.clone();
            spawn(move || {
                let mut value = mutex.lock().unwrap();
                yield_now();
                *value += 1;
            })
        })
        .collect();
    yield_now();
    drop(held);
    members.into_iter().for_each(|member| member.join().unwrap());
    assert_eq!(*mutex.lock().unwrap(), 2);
}

/// Stepped, a short sleep is over before it begins; a long one is not.
fn by_timer() {
    let sleepers = [1, 1_000, 30_000].map(|micros| spawn(move || sleep(Duration::from_micros(micros))));
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

/// A connection: one who waits for bytes, woken by io.
fn by_event() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&[byte[0] + 1]).unwrap();
    });
    yield_now();
    let mut stream = TcpStream::connect(address).unwrap();
    yield_now();
    stream.write_all(b"a").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"b");
    server.join().unwrap();
}

/// Woken by another thread, and a thread woken by a coroutine.
fn by_thread() {
    let (sender, receiver) = channel(1);
    let (answer, answers) = channel(1);
    let other = thread::spawn(move || {
        for value in 0..4_u32 {
            sender.send(value).unwrap();
            assert_eq!(answers.recv().unwrap(), value + 1);
        }
    });
    let echo = spawn(move || {
        while let Ok(value) = receiver.recv() {
            answer.send(value + 1).unwrap();
        }
    });
    echo.join().unwrap();
    other.join().unwrap();
}

/// One after the other in the same slot; and on large stacks.
fn in_one_slot() {
    for n in 0..4 {
        let name = format!("tenant {n}");
        let tenant = CoroutineBuilder::new().name(name).spawn(move || {
            defer(move || assert_eq!(black_box(n), n)).unwrap();
            yield_now();
            n
        });
        assert_eq!(tenant.unwrap().join().unwrap(), n);
    }
    for n in 0..2 {
        let large = CoroutineBuilder::new().stack_size(4 << 20).spawn(move || n);
        assert_eq!(large.unwrap().join().unwrap(), n);
    }
}

/// One that is caught where it happens, one that ends its coroutine; both unwind through frames with values.
fn panics() {
    let caught = spawn(|| {
        let result = catch_unwind(|| {
            let _value = vec![1_u8; black_box(3)];
            panic!("on purpose");
        });
        yield_now();
        result.is_err()
    });
    assert!(caught.join().unwrap());
    let isolated = spawn(|| {
        let _value = vec![1_u8; black_box(3)];
        yield_now();
        resume_unwind(Box::new(5_u8));
    });
    let payload = isolated.join().unwrap_err().try_into_panic().unwrap();
    assert_eq!(payload.downcast_ref(), Some(&5_u8));
    // On main's own stack, behind which there is no entry.
    assert!(
        catch_unwind(AssertUnwindSafe(|| spawn(|| resume_unwind(Box::new(6_u8))).join().unwrap())).is_err()
    );
}

/// Coroutines that round differently: each switch between them loads the control words.
fn with_other_control_words() {
    let (usual_mxcsr, usual_x87) = (0x1f80_u32, 0x37f_u16);
    let members = [(0x3f80, usual_x87), (usual_mxcsr, 0x77f), (0x5f80, 0xb7f)].map(|(mxcsr, x87)| {
        spawn(move || {
            // SAFETY: all exceptions stay masked, and nothing is computed here that depends on the rounding.
            unsafe {
                asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack, preserves_flags));
                asm!("fldcw [{}]", in(reg) &raw const x87, options(nostack, preserves_flags));
            }
            (0..3).for_each(|_| yield_now());
        })
    });
    members.into_iter().for_each(|member| member.join().unwrap());
}

/// A second worker, on a thread of its own, which uses the same region at the same time.
fn beside_another_runtime(policy: Policy) {
    let other = thread::spawn(move || {
        let builder = Builder::new().policy(policy);
        builder.run(|| (0..3).map(|n| spawn(move || n).join().unwrap()).sum::<i32>()).unwrap()
    });
    (0..6).for_each(|_| spawn(yield_now).join().unwrap());
    assert_eq!(other.join().unwrap(), 3);
}

/// One that waits, one that has not begun, and one that is shielded, are cancelled.
fn cancels() {
    let waits = spawn(|| sleep(Duration::MAX));
    let shielded = spawn(|| coro::shield(yield_now));
    yield_now();
    let fresh = spawn(|| sleep(Duration::MAX));
    for cancelled in [&waits, &fresh, &shielded] {
        cancelled.cancel().unwrap();
    }
    assert!(waits.join().unwrap_err().is_cancelled());
    assert!(fresh.join().unwrap_err().is_cancelled());
    let _ = shielded.join();
}

/// A runtime of two workers: what is spawned while the first one's main blocks its thread begins on the other one, and
/// wakes who waits here.
fn on_two_workers() {
    let other = thread::spawn(|| {
        Builder::new().workers(2).run(|| {
            let has_begun = Arc::new(AtomicU32::new(0));
            let begins = has_begun.clone();
            let (sender, receiver) = channel(1);
            let taken = spawn(move || {
                begins.store(1, Ordering::Release);
                sender.send(5).unwrap();
                yield_now();
            });
            while has_begun.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            let received = receiver.recv().unwrap();
            taken.join().unwrap();
            received
        })
    });
    assert_eq!(other.join().unwrap().unwrap(), 5);
}

/// One that sleeps, one that waits for another one, one that (under `Fair`) never ran: main's end ends them all.
fn leave_some_behind(dropped: &Arc<AtomicU32>) {
    struct Counted(Arc<AtomicU32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let [sleeps, joins, waits] = [(); 3].map(|()| Counted(dropped.clone()));
    let sleeper = spawn(move || {
        let _counted = sleeps;
        sleep(Duration::MAX);
    });
    spawn(move || {
        let _counted = joins;
        let _ = sleeper.join();
    });
    yield_now();
    spawn(move || {
        let _counted = waits;
        sleep(Duration::MAX);
    });
}
