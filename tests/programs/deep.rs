//! Coroutines that wait at the bottom of deep recursions: what readers of stacks are tested on.
//!
//! Prints `parked` when all wait; then main waits too, for ever.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coro::{Builder, CoroutineBuilder};

/// Frames of the deepest one: some mebibytes of stack.
const DEPTH: u64 = 20_000;

/// How many coroutines have come to where they wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn main() {
    // SAFETY: changes nothing but who may attach to us: where the kernel asks (Yama), also a debugger that is
    // not our parent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    Builder::new().max_coroutines(16).run(park_all).unwrap();
}

fn park_all() {
    spawn("plain", || plain(DEPTH));
    spawn("mutual", || even(DEPTH));
    spawn("aligned", || above_aligned(DEPTH / 4));
    spawn("uneven", || uneven(1000, 1));
    spawn("shallow", || plain(3));
    spawn("nested", || even(DEPTH / 8));
    while WAITING.load(Ordering::Relaxed) < 6 {
        coro::yield_now();
    }
    println!("parked");
    coro::sleep(Duration::MAX);
}

fn spawn(name: &str, f: impl FnOnce() -> u64 + Send + 'static) {
    CoroutineBuilder::new().name(name).stack_size(8 << 20).spawn(move || black_box(f())).unwrap();
}

fn wait() -> u64 {
    WAITING.fetch_add(1, Ordering::Relaxed);
    coro::sleep(Duration::MAX);
    0
}

/// Calls itself.
#[inline(never)]
fn plain(depth: u64) -> u64 {
    let local = black_box([depth; 4]);
    if depth == 0 { wait() } else { plain(depth - 1) + local[3] }
}

/// Two which call each other, with frames of different sizes.
#[inline(never)]
fn even(depth: u64) -> u64 {
    let local = black_box([depth; 8]);
    if depth == 0 { bottom() } else { odd(depth - 1) + local[7] }
}

#[inline(never)]
fn odd(depth: u64) -> u64 {
    let local = black_box([depth; 3]);
    if depth == 0 { bottom() } else { even(depth - 1) + local[2] }
}

/// Waits; in the coroutine `nested` below another recursion.
#[inline(never)]
fn bottom() -> u64 {
    let is_nested = coro::current().is_some_and(|current| current.name() == Some("nested"));
    if is_nested { through(|| plain(DEPTH / 8)) } else { wait() }
}

/// A frame between two recursions.
#[inline(never)]
fn through(f: impl FnOnce() -> u64) -> u64 {
    let local = black_box([1_u64; 16]);
    f() + local[15]
}

/// What a cache line is aligned to: whoever has one on its stack rests on a frame pointer.
#[repr(align(64))]
struct Line([u64; 8]);

#[inline(never)]
fn above_aligned(depth: u64) -> u64 {
    let line = black_box(Line([depth; 8]));
    aligned(depth) + line.0[7]
}

#[inline(never)]
fn aligned(depth: u64) -> u64 {
    let line = black_box(Line([depth; 8]));
    if depth == 0 { wait() } else { aligned(depth - 1) + line.0[7] }
}

/// Takes turns that never repeat: numbers of `small` between two of `large`.
#[inline(never)]
fn uneven(depth: u64, state: u64) -> u64 {
    let local = black_box([depth; 2]);
    if depth == 0 {
        return wait() + local[1];
    }
    let state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    if state >> 63 == 0 { small(depth - 1, state) } else { large(depth - 1, state) }
}

#[inline(never)]
fn small(depth: u64, state: u64) -> u64 {
    let local = black_box([depth; 3]);
    uneven(depth, state) + local[2]
}

#[inline(never)]
fn large(depth: u64, state: u64) -> u64 {
    let local = black_box([depth; 12]);
    uneven(depth, state) + local[11]
}
