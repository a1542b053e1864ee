//! A coroutine inside a coroutine, stopped in the inner one: `nested THREAD ORDER POLICY`.
//!
//! THREAD: `main`; `thread`; or `low`, a thread whose stack lies below the region. ORDER: the inner coroutine's
//! stack lies `above` or `below` the outer one's. POLICY: `backtrack`, so that the inner one's resumer is the outer
//! one, or `fair`, so that it is switch.

use std::hint::black_box;
use std::{env, ptr, thread};

use coro::sync::Sender;
use coro::{Builder, JoinHandle, Policy};

/// A function to stop in.
#[inline(never)]
#[unsafe(no_mangle)]
fn stop_here(n: usize) -> usize {
    black_box(n) + 1
}

#[inline(always)]
fn inlined_caller(n: usize) -> usize {
    stop_here(n) * 2 // line INLINED
}

#[inline(never)]
fn inner_work(n: usize) -> usize {
    let local = black_box(n * 10);
    inlined_caller(local) + 1 // line INNER
}

#[inline(never)]
fn outer_work(below: Option<Neighbour>) -> usize {
    let is_below = below.is_some();
    if let Some(neighbour) = below {
        // The slot below ours is given back, and is the first to be handed out again.
        neighbour.leave();
    }
    let here = black_box(0_u8);
    let outer = ptr::from_ref(&here).addr();
    let inner = move || {
        let here = black_box(0_u8);
        let inner = ptr::from_ref(&here).addr();
        assert_eq!(inner < outer, is_below, "the slots are not in the order that was asked for");
        inner_work(7) // line CLOSURE
    };
    let inner = coro::spawn(inner); // line SPAWN
    inner.join().unwrap() + 1 // line JOIN
}

/// A coroutine that does nothing but have a slot.
struct Neighbour {
    go: Sender<()>,
    handle: JoinHandle<()>,
}

impl Neighbour {
    fn new() -> Neighbour {
        let (go, wait) = coro::sync::channel(1);
        Neighbour { go, handle: coro::spawn(move || wait.recv().unwrap()) }
    }

    fn leave(self) {
        self.go.send(()).unwrap();
        self.handle.join().unwrap();
    }
}

#[inline(never)]
fn nested(is_below: bool, policy: Policy) -> usize {
    Builder::new().policy(policy).run(|| main_work(is_below)).unwrap()
}

/// No closure: where that is inlined into std's `__rust_try`, which has no debug information, its frame is lost.
#[inline(never)]
fn main_work(is_below: bool) -> usize {
    let below = is_below.then(Neighbour::new);
    let outer = coro::spawn(move || outer_work(below)); // line OUTER
    outer.join().unwrap() // line NESTED
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, thread, order, policy] = &arguments[..] else {
        panic!("usage: nested main|thread|low above|below fair|backtrack")
    };
    let is_below = order == "below";
    let policy = if policy == "fair" { Policy::Fair } else { Policy::Backtrack };
    let result = match thread.as_str() {
        "main" => nested(is_below, policy),
        "thread" => thread::spawn(move || nested(is_below, policy)).join().unwrap(),
        "low" => on_a_low_thread(move || nested(is_below, policy)),
        _ => panic!("{thread}?"),
    };
    println!("result {result}");
}

/// Runs `f` on a thread whose stack lies below the region of stacks.
fn on_a_low_thread(f: impl FnOnce() -> usize) -> usize {
    extern "C" fn start(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `on_a_low_thread` passes its own boxed closure, and waits for the thread.
        let f: Box<Box<dyn FnOnce() -> usize>> = unsafe { Box::from_raw(argument.cast()) };
        ptr::without_provenance_mut(f())
    }
    const SIZE: usize = 1 << 20;
    let f: Box<Box<dyn FnOnce() -> usize + '_>> = Box::new(Box::new(f));
    let mut result = ptr::null_mut();
    // SAFETY: a fresh mapping as a fresh thread's stack; the thread is joined before `f`'s borrows end.
    unsafe {
        let hint = ptr::without_provenance_mut(0x2000_0000);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let stack = libc::mmap(hint, SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_eq!(stack, hint, "the low address is in use");
        let mut attributes = std::mem::zeroed();
        assert_eq!(libc::pthread_attr_init(&raw mut attributes), 0);
        assert_eq!(libc::pthread_attr_setstack(&raw mut attributes, stack, SIZE), 0);
        let mut thread = 0;
        assert_eq!(
            libc::pthread_create(&raw mut thread, &raw const attributes, start, Box::into_raw(f).cast()),
            0
        );
        assert_eq!(libc::pthread_join(thread, &raw mut result), 0);
    }
    result.addr()
}
