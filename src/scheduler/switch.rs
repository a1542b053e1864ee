//! Entering and leaving coroutines; and the switch coroutine.
//!
//! Two functions do it: [`transfer`], and [`leave_for_good`] at a coroutine's end. Who leaves says what is to become
//! of it by an [`After`] value, which is acted upon on the other side, by [`finish`], after its stack was left: a
//! coroutine that published itself as ready while it still ran on its stack could be entered twice.
//!
//! What a debugger sees between any two instructions:
//! - The left coroutine's wait reason and age are stored before; its saved sp is stored by the last
//!   instruction on its stack; its state changes after. In between its record says `Running` while no thread's
//!   sp lies in its stack: readers say `switching`, and unwind from its saved sp.
//! - The entered one's link is set before the stacks are swapped, the left one's is cut after: so a thread's
//!   own backtrace is complete at every instruction.
//!
//! Who leaves his stack has to be on it: see [`is_near`].
//!
//! The *resumer*, where a running coroutine's backtrace goes on, is the switch coroutine, which is parked in its
//! loop, and behind it main; or the creator, when a coroutine was started at once.

use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

use super::cancel;
use super::park;
use super::policy::Leaving;
use super::worker::{self, Worker};
use crate::abi::record::{Kind, Record};
use crate::abi::state::flag;
use crate::arch::{self, END};
use crate::coroutine::waiter::Waiters;
use crate::coroutine::{self, entry, extra};
use crate::debug::crash;
use crate::registry::transition;
use crate::stack::checkers;
use crate::stack::geometry::REDZONE;
use crate::sys::{explore, fork};

/// What is to become of a coroutine that has left its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It is ready: to the end of the queue.
    Requeue,
    /// It waits, unless it has been woken already.
    Park,
    /// It has lent its worker to the coroutine that it entered, and goes on when that one gives it back.
    Lend,
    /// It is io or switch, and waits for its next turn.
    Rest,
    /// It has ended.
    Exit,
}

/// Leaves the running coroutine for `to`; returns when somebody enters it again.
///
/// Never inlined: all stacks then go on at one address, which the CPU's predictor of indirect jumps knows.
#[inline(never)]
pub(super) fn transfer(worker: &Worker, to: &'static Record, after: After) {
    let from = announce(worker, to, after);
    let errno = worker.errno.get();
    // SAFETY: the switch follows; `start` and the line behind it are where stacks are entered.
    let left = unsafe { checkers::leave(from, to, false) };
    // SAFETY: `to` was ready, new, or resting, so it is not running, and its context was left by `swap` or made
    // by `init_stack`; only this thread runs its worker's coroutines. No reference to what other coroutines'
    // code changes is held: `worker` has interior mutability only, records are atomics.
    unsafe { arch::swap(&raw const from.context, &raw const to.context) };
    // SAFETY: from `leave`, on this stack.
    unsafe { checkers::arrive(left) };
    worker.errno.set(errno);
    if !cfg!(coro_plant = "left_early") {
        finish(worker);
    }
}

/// [`transfer`] of a coroutine that has ended.
///
/// Inlined, as is the swap: a call that doesn't return would leave an address in the CPU's return predictor, and the next
/// `ret` of whoever goes on would be mispredicted.
#[inline(always)]
fn leave_for_good(worker: &Worker, to: &'static Record) -> ! {
    let from = announce(worker, to, After::Exit);
    // SAFETY: the switch follows, and nobody comes back.
    let _ = unsafe { checkers::leave(from, to, true) };
    // SAFETY: as in `transfer`.
    unsafe { arch::swap(&raw const from.context, &raw const to.context) };
    unreachable!("coroutine #{} was entered after its end", from.id())
}

/// Says that the worker goes over to `to`: all but the swap. Returns who is left.
#[inline(always)]
fn announce(worker: &Worker, to: &'static Record, after: After) -> &'static Record {
    let from = worker.current.get();
    debug_assert!(!ptr::eq(from, to), "a coroutine gives way to another one, not to itself");
    if !is_near(from) {
        look_where_it_is(worker, from);
    }
    worker.trace.note(from, to);
    worker.row.switches.store(worker.row.switches.load(Relaxed) + 1, Relaxed);
    worker.left.set((from, after));
    link(worker, from, to, after);
    transition::run(&to.state);
    worker.current.set(to);
    // A planted bug, as is one in `finish`: see tests/stepping/plants.rs.
    if cfg!(coro_plant = "left_early") {
        finish(worker);
    }
    from
}

/// Whether the stack pointer is so near to where the coroutine was left the last time that it must be in its stack: in
/// between there is no room for a redzone, and in a redzone nothing can be called.
///
/// The bounds themselves would be exact, but lie in the record's second cache line, which a switch doesn't touch.
#[inline(always)]
fn is_near(from: &Record) -> bool {
    arch::stack_pointer().wrapping_sub(from.context.sp()).wrapping_add(REDZONE) < 2 * REDZONE
}

/// What [`is_near`] leaves open. Only main may be elsewhere: its stack is the thread's own, which the program may have
/// changed.
///
/// A frame of C code that is larger than the redzone can come as far as this without a fault: its stack pointer lies in
/// the stack of somebody else, and what is written there is his.
#[cold]
#[inline(never)]
fn look_where_it_is(worker: &Worker, from: &'static Record) {
    let slot = worker.region.slot(from);
    if let Some(bounds) = worker.region.geometry.bounds(slot)
        && !(bounds.limit..bounds.top).contains(&arch::stack_pointer())
    {
        crash::astray(slot, bounds);
    }
}

/// Sets where backtraces go on, before the swap.
#[inline]
fn link(worker: &Worker, from: &'static Record, to: &'static Record, after: After) {
    // main's stack is about to be left: from then on switch's backtrace goes on there.
    if ptr::eq(from, worker.main) {
        worker.switch.link.store((&raw const worker.main.context).cast_mut(), Relaxed);
    }
    let resumer = match after {
        After::Lend => from,
        // It lent its worker and gets it back: it still runs on behalf of who entered it then.
        _ if to.word().has(flag::LENT) => return,
        // main has no entry, and switch's link is main, as long as main isn't running.
        _ if ptr::eq(to, worker.main) || ptr::eq(to, worker.switch) => return,
        _ => worker.switch,
    };
    to.link.store((&raw const resumer.context).cast_mut(), Relaxed);
}

/// On the entered stack: does what is to be done about the coroutine that was left.
#[inline]
fn finish(worker: &Worker) {
    let (left, after) = worker.left.get();
    if after != After::Lend && !ptr::eq(left, worker.switch) && !cfg!(coro_plant = "link") {
        left.link.store((&raw const END).cast_mut(), Relaxed);
    }
    if ptr::eq(worker.current.get(), worker.main) {
        // main runs: its saved sp is stale from here on.
        worker.switch.link.store((&raw const END).cast_mut(), Relaxed);
    }
    // The two that matter first, and not by a jump table: its one indirect jump would have to be predicted.
    if after == After::Requeue {
        worker.enqueue(left, transition::requeue(&left.state));
    } else if after == After::Park {
        if let Some(ready) = transition::park(&left.state) {
            worker.enqueue(left, ready);
        } else if coroutine::cancel::is_due(&left.requests) && !explore::is_planted("parks who is cancelled")
        {
            cancel::wake(left);
        }
    } else {
        settle(worker, left, after);
    }
}

/// What is rarer than waiting and yielding.
#[inline(never)]
fn settle(worker: &Worker, left: &'static Record, after: After) {
    match after {
        After::Lend => transition::lend(&left.state),
        After::Rest => transition::rest(&left.state),
        After::Exit => retire(worker, left),
        After::Requeue | After::Park => unreachable!("`finish` has seen to these"),
    }
}

/// Gives back the slot of a coroutine that has ended, or was never to run.
#[inline(never)]
pub(super) fn retire(worker: &Worker, ended: &'static Record) {
    transition::exit(&ended.state);
    extra::free(ended);
    // SAFETY: its stack was left for good (or never entered): its function has returned or unwound, so that no
    // value and no pointer is left there.
    unsafe { worker.slots.release(worker.region.slot(ended)) };
    if ended.kind() == Kind::User {
        worker.count_out();
    }
}

/// Where every coroutine starts, on its own stack. `arch`'s entry calls it with the record.
///
/// Not "C-unwind": nothing unwinds out of a coroutine.
pub(crate) extern "C" fn start(record: *const ()) -> ! {
    // SAFETY: `transfer` has called `leave`.
    unsafe { checkers::begin() };
    // SAFETY: `init_stack` was given the address of a record, which lives for ever.
    let record: &'static Record = unsafe { &*record.cast::<Record>() };
    let worker = worker::current().expect("a coroutine runs on a worker");
    if !cfg!(coro_plant = "left_early") {
        finish(worker);
    }
    let waiters = match record.kind() {
        Kind::Switch => switch_loop(worker),
        Kind::Io => super::io::io_loop(worker),
        Kind::User | Kind::Main => entry::run(record),
    };
    if fork::is_child() {
        park::last_words(format_args!(
            "a child process made by fork has come to the end of its coroutine, #{}: there is nobody here to go on with; \
             call exec or _exit in the child",
            record.id()
        ));
    }
    park::wake_all(waiters);
    let next = if worker.is_service(record) { worker.main } else { successor(worker) };
    leave_for_good(worker, next)
}

/// Who goes on when the running coroutine stops.
pub(super) fn successor(worker: &Worker) -> &'static Record {
    worker.next(Leaving::Stops).expect("switch is always there")
}

/// The switch coroutine: as long as somebody is ready, it is his turn; else it is io's.
fn switch_loop(worker: &Worker) -> Waiters {
    while !worker.is_stopping.get() {
        #[cfg(test)]
        if let Some(probe) = worker.switch_probe.take() {
            probe();
        }
        let next = worker.lender().or_else(|| worker.next_ready()).unwrap_or(worker.io);
        transfer(worker, next, After::Rest);
    }
    Waiters::new()
}
