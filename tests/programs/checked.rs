//! What a memory checker is to find in a program of coroutines, and what it is not to: `checked CASE`, where CASE is
//! `clean`, `steady`, an end of the process while coroutines wait (`exit-...`), or the bug to commit. tests/sanitizer.rs and
//! tests/memcheck.rs know what is reported of it.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::mem::{self, MaybeUninit};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, process, thread};

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, channel};
use coro::{Builder, CoroutineBuilder, Policy, spawn, yield_now};

const LONG: Duration = Duration::from_secs(1_000_000);

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    match case.as_str() {
        "clean" => clean(),
        "steady" => steady(),
        "exit-from-main" => exit_from_main(),
        "exit-from-a-coroutine" => exit_from_a_coroutine(),
        "exit-beside-a-runtime" => exit_beside_a_runtime(),
        "leak" => in_a_coroutine(|| mem::forget(block(1))),
        "leak-below-the-stack-pointer" => leak_below_the_stack_pointer(),
        "use-after-free" => in_a_coroutine(use_after_free),
        "use-after-scope" => in_a_coroutine(use_after_scope),
        "use-after-return" => in_a_coroutine(use_after_return),
        "use-after-end" => use_after_end(),
        "past-a-local" => in_a_coroutine(past_a_local),
        "overflow" => in_a_coroutine(overflow),
        "unset-value" => in_a_coroutine(unset_value),
        _ => panic!("{case:?} is no case of this program: its source has the list"),
    }
    println!("{case}: done");
}

/// What is looked for: big enough not to be mistaken.
fn block(of: u8) -> Box<[u8; 1000]> {
    Box::new([of; 1000])
}

/// Switches from a stack and back to it.
fn switch() {
    spawn(|| ()).join().unwrap();
    yield_now();
}

/// `bug` in the middle of a coroutine's life.
fn in_a_coroutine(bug: impl FnOnce() + Send + 'static) {
    let committed = coro::run(|| {
        let bug = spawn(move || {
            switch();
            bug();
            switch();
        });
        bug.join().is_ok()
    });
    assert!(committed.unwrap());
}

/// A bit of everything, under both policies.
fn clean() {
    for policy in [Policy::Fair, Policy::Backtrack] {
        let handles = Builder::new().policy(policy).run(|| {
            echo();
            panic_and_go_on();
            share();
            deep();
            // Slots are used again, and again.
            for _ in 0..20 {
                let handles: Vec<_> = (0..10).map(|n| spawn(move || block(n)[7])).collect();
                let sum: u8 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
                assert_eq!(sum, 45);
            }
            // These are cancelled: at a wait, at another, and before they ran.
            let waiting = spawn(|| {
                let kept = block(3);
                coro::defer(yield_now).unwrap();
                coro::sleep(LONG);
                drop(kept);
            });
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let accepting = spawn(move || drop(listener.accept()));
            yield_now();
            let kept = block(4);
            [waiting, accepting, spawn(move || coro::sleep(Duration::from_secs(kept[0].into())))]
        });
        for handle in handles.unwrap() {
            assert!(handle.join().unwrap_err().is_cancelled());
        }
    }
    // Several at a time.
    let runtimes = [1_u8, 2].map(|n| thread::spawn(move || coro::run(|| spawn(move || block(n)[0]).join())));
    for runtime in runtimes {
        runtime.join().unwrap().unwrap().unwrap();
    }
}

/// Neither switches nor ended coroutines cost address space: a fake stack takes megabytes of it.
fn steady() {
    let mapped = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').next().unwrap().parse::<usize>().unwrap() << 12
    };
    coro::run(|| {
        switch();
        let before = mapped();
        for _ in 0..500 {
            switch();
        }
        let grown = mapped() - before;
        assert!(grown < 500 << 20, "{} MiB more are mapped", grown >> 20);
    })
    .unwrap();
}

fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        for stream in listener.incoming().take(3) {
            let mut stream = stream.unwrap();
            spawn(move || std::io::copy(&mut &stream.try_clone().unwrap(), &mut stream).unwrap());
        }
    });
    let clients = [1, 2, 3].map(|n| {
        spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&*block(n)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, *block(n));
        })
    });
    clients.into_iter().for_each(|client| client.join().unwrap());
    server.join().unwrap();
}

fn panic_and_go_on() {
    let panicking = spawn(|| {
        let kept = block(5);
        switch();
        let place = black_box(kept.len());
        kept[place]
    });
    assert!(panicking.join().unwrap_err().is_panic());
}

fn share() {
    coro::coroutine_local! {
        static OWN: RefCell<Vec<u8>> = RefCell::new(Vec::new());
    }
    let sum = Arc::new(Mutex::new(0_usize));
    let (sender, receiver) = channel(2);
    for n in 0..4 {
        let (sum, sender) = (sum.clone(), sender.clone());
        spawn(move || {
            OWN.with(|own| own.borrow_mut().extend(*block(n)));
            let mut guard = sum.lock().unwrap();
            yield_now();
            *guard += OWN.with(|own| own.borrow().len());
            drop(guard);
            sender.send(block(n)).unwrap();
        });
    }
    drop(sender);
    assert_eq!(receiver.iter().count(), 4);
    assert_eq!(*sum.lock().unwrap(), 4000);
}

/// A large frame on a large stack, used on both sides of a switch.
fn deep() {
    let large = CoroutineBuilder::new().stack_size(1 << 20).spawn(|| {
        let mut frame = [1_u8; 500_000];
        switch();
        black_box(&mut frame)[499_999] = 2;
        frame.iter().map(|byte| usize::from(*byte)).sum::<usize>()
    });
    assert_eq!(large.unwrap().join().unwrap(), 500_001);
}

/// Coroutines which wait for ever, each with something that only it has: in locals, in a local whose address is
/// taken (it lies in a fake stack), in a `coroutine_local!`, and in the function of one that did not run.
fn park_all() {
    coro::coroutine_local! {
        static OWN: RefCell<Option<Box<[u8; 1000]>>> = RefCell::new(None);
    }
    for n in 0..3 {
        spawn(move || {
            let kept = block(n);
            coro::sleep(LONG);
            drop(kept);
        });
        spawn(move || {
            let mut kept = vec![block(n)];
            let address = black_box(&mut kept);
            coro::sleep(LONG);
            address.push(block(n));
        });
        spawn(move || {
            OWN.with(|own| *own.borrow_mut() = Some(block(n)));
            coro::sleep(LONG);
        });
    }
    // All have come to their waits when two rounds are over.
    yield_now();
    yield_now();
    let kept = block(9);
    spawn(move || drop(kept));
}

fn exit_from_main() {
    coro::run(|| {
        park_all();
        process::exit(0);
    })
    .unwrap();
}

/// main waits, too.
fn exit_from_a_coroutine() {
    coro::run(|| {
        let mut kept = vec![block(1)];
        let address = black_box(&mut kept);
        park_all();
        spawn(|| {
            switch();
            if black_box(true) {
                process::exit(0);
            }
        })
        .join()
        .unwrap();
        address.push(block(2));
    })
    .unwrap();
}

/// All coroutines of another thread wait, and so it does in its io coroutine.
fn exit_beside_a_runtime() {
    let (ready, wait) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut kept = vec![block(1)];
        coro::run(|| {
            let address = black_box(&mut kept);
            park_all();
            ready.send(()).unwrap();
            coro::sleep(LONG);
            address.push(block(2));
        })
        .unwrap();
    });
    wait.recv().unwrap();
    process::exit(0);
}

/// A coroutine waits for ever; what it has lost is only where its stack was in use before.
fn leak_below_the_stack_pointer() {
    #[inline(never)]
    fn lose(depth: usize) -> usize {
        if depth > 0 {
            return black_box(lose(depth - 1)) + 1;
        }
        let lost = Box::into_raw(block(1));
        black_box(lost).addr() & 1
    }
    coro::run(|| {
        spawn(|| {
            lose(100);
            coro::sleep(LONG);
        });
        yield_now();
        yield_now();
        process::exit(0);
    })
    .unwrap();
}

fn use_after_free() {
    let kept = block(1);
    let address = black_box(&raw const kept[10]);
    drop(kept);
    switch();
    // SAFETY: there is no reason; that is the bug.
    black_box(unsafe { address.read_volatile() });
}

fn use_after_scope() {
    let address = {
        let local = black_box([7_u8; 100]);
        black_box(&raw const local[10])
    };
    switch();
    // SAFETY: there is no reason; that is the bug.
    black_box(unsafe { address.read_volatile() });
}

fn use_after_return() {
    #[inline(never)]
    fn local() -> *const u8 {
        let local = black_box([7_u8; 100]);
        black_box(&raw const local[10])
    }
    let address = local();
    // SAFETY: there is no reason; that is the bug.
    black_box(unsafe { address.read_volatile() });
}

/// Reads on the stack of a coroutine that has ended. Its local is too large for a fake stack.
fn use_after_end() {
    coro::run(|| {
        let ended = CoroutineBuilder::new().stack_size(1 << 20).spawn(|| {
            let local = black_box([7_u8; 100_000]);
            switch();
            black_box(&raw const local[10]).expose_provenance()
        });
        let ended = ended.unwrap();
        let address = std::ptr::with_exposed_provenance::<u8>(ended.join().unwrap());
        // SAFETY: there is no reason; that is the bug.
        black_box(unsafe { address.read_volatile() });
    })
    .unwrap();
}

fn past_a_local() {
    let local = black_box([7_u8; 100]);
    let address = black_box(&raw const local).cast::<u8>();
    switch();
    // SAFETY: there is no reason; that is the bug.
    black_box(unsafe { address.add(black_box(100)).read_volatile() });
}

/// Reads and writes below what the stack has.
fn overflow() {
    #[inline(never)]
    fn descend(depth: usize) -> usize {
        let frame = black_box([depth as u8; 512]);
        if black_box(false) { 0 } else { descend(depth + 1) + usize::from(frame[depth % 512]) }
    }
    black_box(descend(0));
}

fn unset_value() {
    let local = black_box(MaybeUninit::<[u8; 100]>::uninit());
    switch();
    // SAFETY: there is no reason; that is the bug.
    if unsafe { local.as_ptr().cast::<u8>().add(10).read_volatile() } == 7 {
        println!("seven");
    }
}
