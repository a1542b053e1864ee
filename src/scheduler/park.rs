//! Waiting and waking.
//!
//! A wait is opened, then its token is given to whatever will end it, then the coroutine parks:
//!
//! ```text
//!   let wait = Wait::open(WaitReason::Read, fd)?;   a wake-up counts from here on
//!   source.enlist(wait.waiter(), ...);
//!   wait.park_until(deadline)                       returns at once if it has been woken already
//! ```
//!
//! Every waiter looks at its own condition again when it returns: a wake-up is a hint, not a gift.

use std::fmt;
use std::io::{Write, stderr};
use std::mem;
use std::process;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::io::{self, Block};
use super::policy::{Leaving, Policy};
use super::queue::Entry;
use super::remote;
use super::switch::{After, successor, transfer};
use super::worker::{self, Worker};
use crate::abi::record::Record;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{ThreadWait, Waiter, Waiters};
use crate::coroutine::{cancel, current, timeout};
use crate::debug::{self, BacktraceFrame, waits};
use crate::error::{Error, Kind, Result};
use crate::registry::transition::{self, Wake};
use crate::registry::{self, WakeToken};
use crate::sys::fork;

/// Operations that may succeed without a wait until others get a turn.
pub(super) const BUDGET: u32 = 128;

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Somebody: what was waited for may have happened.
    Event,
    /// The deadline.
    Deadline,
}

/// A wait of the running coroutine that has been opened.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    worker: &'a Worker,
    record: &'static Record,
    token: WakeToken,
    reason: WaitReason,
}

impl Wait<'_> {
    /// Opens a wait. What it is for is in the record from here on.
    ///
    /// A cancelled coroutine unwinds here, before it has given its token to anybody.
    #[inline]
    pub(crate) fn open(reason: WaitReason, object: u64) -> Result<Wait<'static>> {
        Wait::open_on(worker::of_user(reason.verb())?, reason, object, reason.is_reactors())
    }

    /// `ends_in_place`: it ends although nobody else runs, see [`poll_in_place`].
    #[inline]
    fn open_on(
        worker: &'static Worker,
        reason: WaitReason,
        object: u64,
        ends_in_place: bool,
    ) -> Result<Wait<'static>> {
        let record = worker.running();
        if thread::panicking() && !ends_in_place {
            return Err(Kind::Unwinding { tried: reason.verb() }.into());
        }
        cancel::check(record);
        record.wait_object.store(object, Relaxed);
        record.wait_reason.store(reason as u32, Relaxed);
        let key = transition::open_wait(&record.state);
        Ok(Wait { worker, record, token: WakeToken { slot: worker.region.slot(record), key }, reason })
    }

    /// Who waits, for whoever will end the wait.
    #[inline]
    pub(crate) fn waiter(&self) -> Waiter {
        Waiter::Coroutine(self.token)
    }

    /// The worker on which it waits.
    pub(crate) fn worker(&self) -> &Worker {
        self.worker
    }

    /// The token alone.
    #[inline]
    pub(crate) fn token(&self) -> WakeToken {
        self.token
    }

    /// Waits until somebody wakes the token, or the time (`sys::clock`) has come.
    ///
    /// A coroutine that is cancelled meanwhile unwinds from here: who has enlisted the token takes it off
    /// again in a destructor.
    #[inline(always)]
    pub(crate) fn park_until(self, deadline: Option<u64>) -> Woken {
        let record = self.record;
        let reason = self.reason;
        let woken = self.sleep_until(reason, deadline);
        cancel::check(record);
        woken
    }

    /// The same, and a cancel ends the wait as anything else does: the caller unwinds, or lets it be. `reason`: the wait's; the
    /// compiler knows it where it comes from the caller.
    ///
    /// Inlined, as what it is called by: each function between the caller's own and `transfer` is a `ret` more which
    /// the CPU predicts wrongly when somebody else has run meanwhile.
    #[inline(always)]
    fn sleep_until(self, reason: WaitReason, deadline: Option<u64>) -> Woken {
        let Wait { worker, record, token, .. } = self;
        mem::forget(self);
        let own = deadline;
        let deadline = timeout::limit(record, own);
        if let Some(deadline) = deadline {
            record.wait_deadline.store(deadline, Relaxed);
        }
        record.since.store(worker.clock(), Relaxed);
        let timer = deadline.map(|deadline| worker.reactor.arm(deadline, token));
        // `open_on` refuses the others.
        if ends_in_place(reason, own) && thread::panicking() {
            poll_in_place(worker, record);
        } else if !transition::is_notified(&record.state) {
            worker.budget.set(BUDGET);
            let parked = &worker.parked.0[reason as usize];
            parked.store(parked.load(Relaxed) + 1, Relaxed);
            transfer(worker, successor(worker), After::Park);
            parked.store(parked.load(Relaxed) - 1, Relaxed);
        }
        if let Some(timer) = timer {
            worker.reactor.disarm(timer);
        }
        let woken = if transition::close_wait(&record.state) && deadline == own {
            Woken::Deadline
        } else {
            Woken::Event
        };
        clear(record);
        if deadline.is_some() {
            record.wait_deadline.store(0, Relaxed);
        }
        woken
    }
}

impl Drop for Wait<'_> {
    /// A wait that turned out not to be necessary.
    fn drop(&mut self) {
        transition::close_wait(&self.record.state);
        clear(self.record);
    }
}

#[inline]
fn clear(record: &Record) {
    record.wait_reason.store(WaitReason::None as u32, Relaxed);
    record.wait_object.store(0, Relaxed);
}

/// Whether a wait ends although none of the worker's coroutines runs meanwhile: by its reactor, or by its deadline at the
/// latest, if that isn't never. (A coroutine of another worker, or a thread, may end any wait; but nobody can know that it
/// will.)
#[inline(always)]
fn ends_in_place(reason: WaitReason, deadline: Option<u64>) -> bool {
    reason.is_reactors() || deadline.is_some_and(|deadline| deadline != u64::MAX)
}

/// Waits without switching, for a coroutine that unwinds: a switch would mix up std's count of panics, and with it
/// poison innocent locks. Others who become ready are queued, and run later.
#[cold]
#[inline(never)]
fn poll_in_place(worker: &Worker, record: &Record) {
    let mut ready = Vec::new();
    while !transition::is_notified(&record.state) {
        io::poll(worker, Block::UntilWoken, &mut ready);
        if let Some(seat) = &worker.seat {
            seat.pass_on(worker);
        }
    }
}

/// What somebody can wait for who need not be a coroutine: a list of waiters under the thing's own lock.
pub(crate) trait WaitList {
    /// Puts one on the list; `false`: there is no need to wait.
    fn enlist(&self, waiter: Waiter) -> bool;
    /// Takes one off; `false`: it was not there any more, because somebody has told it.
    fn delist(&self, waiter: &Waiter) -> bool;
    /// Tells the next one instead: who was told unwinds, and won't make use of it.
    fn pass_on(&self) {}
    /// Whether what was waited for is the waiter's, who is off the list: then the wait has ended well, whatever else has
    /// ended it in the same moment, and a cancel or a timeout's scope ends the next one.
    fn was_granted(&self) -> bool {
        false
    }
    /// Whether it is several lists: then whoever has told one has taken it off one of them only.
    fn is_several(&self) -> bool {
        false
    }
}

/// Waits, once, for what `list` is about: as a coroutine, or outside a runtime as a thread.
#[inline(always)]
pub(crate) fn block(reason: WaitReason, object: u64, list: &(impl WaitList + ?Sized)) -> Result<()> {
    block_until(reason, object, list, None).map(|_| ())
}

/// As [`block`], until the deadline (`sys::clock`) at the longest: then the waiter is on no list any more.
///
/// Who has been told is told so, even if the deadline has come in the same moment: the first of the two to wake it
/// counts, and whoever comes second (`wake` says `false` then) goes on to the next on the list.
#[inline(always)]
pub(crate) fn block_until(
    reason: WaitReason,
    object: u64,
    list: &(impl WaitList + ?Sized),
    deadline: Option<u64>,
) -> Result<Woken> {
    let Some(worker) = worker::current() else { return block_thread(reason, list, deadline) };
    let worker = worker.for_user(reason.verb())?;
    let wait = Wait::open_on(worker, reason, object, ends_in_place(reason, deadline))?;
    if !list.enlist(wait.waiter()) {
        return Ok(Woken::Event);
    }
    let (record, token) = (wait.record, wait.token);
    let woken = wait.sleep_until(reason, deadline);
    if woken == Woken::Deadline || list.is_several() || cancel::may_end_waits(record) {
        leave(record, list, token);
    }
    // Else nothing but the list's owner can have ended the wait, and it took the waiter off: no need to look for
    // it among the others, who may be many.
    Ok(woken)
}

/// Takes a waiter off a list, and unwinds if that is asked for, and the wait was for nothing.
#[inline(never)]
fn leave(record: &Record, list: &(impl WaitList + ?Sized), token: WakeToken) {
    let was_there = list.delist(&Waiter::Coroutine(token));
    if list.was_granted() {
        return;
    }
    let unwinds = Unwinds { list, was_told: !was_there };
    cancel::check(record);
    mem::forget(unwinds);
}

/// One who leaves a list by unwinding.
struct Unwinds<'a, L: WaitList + ?Sized> {
    list: &'a L,
    was_told: bool,
}

impl<L: WaitList + ?Sized> Drop for Unwinds<'_, L> {
    fn drop(&mut self) {
        if self.was_told {
            self.list.pass_on();
        }
    }
}

#[cold]
#[inline(never)]
fn block_thread(reason: WaitReason, list: &(impl WaitList + ?Sized), deadline: Option<u64>) -> Result<Woken> {
    if fork::is_child() {
        return Err(current::outside(reason.verb()).into());
    }
    let thread = ThreadWait::new();
    let waiter = Waiter::Thread(thread.clone());
    let woken = !list.enlist(waiter.clone()) || thread.wait_until(deadline);
    // No thread is cancelled: there is nothing to be done on the way out by a destructor, as in `block_until`.
    if !woken || list.is_several() {
        list.delist(&waiter);
    }
    Ok(if woken { Woken::Event } else { Woken::Deadline })
}

/// Ends the process, for a wait without a deadline that can't be refused with an error: in a destructor that runs because
/// of a panic only another coroutine could end it, and none may run. `error` is what the wait was refused with.
#[cold]
#[inline(never)]
pub(crate) fn abort_unwinding_wait(reason: WaitReason, object: u64, error: &Error) -> ! {
    let who = worker::current().map(|worker| worker.running());
    let Some(record) = who.filter(|_| thread::panicking() && !fork::is_child()) else {
        last_words(format_args!("{error}"))
    };
    let name = record.name().map(|name| format!(" '{name}'")).unwrap_or_default();
    say(format_args!(
        "coroutine #{}{name} (spawned at {}) waits in a destructor, while it unwinds from a panic: {} could only \
         be ended by another coroutine, and none may run meanwhile; don't wait for others in destructors, or wait with a \
         timeout",
        record.id(),
        registry::spawn_site(record),
        reason.verb(),
    ));
    // What follows may fail where stacks are nearly full: what is most important has been said.
    let _ = write!(stderr(), "whom it would wait for ({}):\n{}", reason.name(), waits::chain(reason, object));
    let backtrace = debug::backtrace();
    let calls = backtrace.frames().iter().flat_map(BacktraceFrame::calls);
    if let Some(call) = calls.into_iter().find(|call| call.function().ends_with("Drop>::drop")) {
        let _ = writeln!(stderr(), "the destructor: {} ({})", call.function(), call.place());
    }
    let _ = write!(stderr(), "where it waits:\n{backtrace}");
    process::abort();
}

/// Says why, and ends the process.
pub(super) fn last_words(why: fmt::Arguments<'_>) -> ! {
    say(why);
    process::abort();
}

fn say(why: fmt::Arguments<'_>) {
    // Not `eprintln!`, which panics when nobody reads it.
    let _ = writeln!(stderr(), "fatal: {why}");
}

/// Lets the others who are ready have a turn.
pub(crate) fn yield_now() -> Result<()> {
    yield_on(yielder()?);
    Ok(())
}

/// The worker on which the caller may give way.
#[inline]
pub(crate) fn yielder() -> Result<&'static Worker> {
    worker::of_user("coro::yield_now")
}

/// The same, for who has that.
#[inline(always)]
pub(crate) fn yield_on(worker: &'static Worker) {
    let record = worker.running();
    if thread::panicking() {
        return;
    }
    cancel::check(record);
    if let Some(next) = worker.next(Leaving::Yields) {
        transfer(worker, next, After::Requeue);
        cancel::check(record);
    } else {
        worker.remote.note_vain_yield();
    }
}

/// To be called before each operation that may not have to wait: now and then it yields, so that a coroutine
/// whose peer is always faster does not keep the others from running.
///
/// Before, and not after it: a cancelled coroutine, or one whose timeout has passed, unwinds here, and what an operation has
/// taken (bytes, a connection, a value) would be lost.
pub(crate) fn spend() {
    let Some(worker) = worker::current() else { return };
    let budget = worker.budget.get();
    if budget == 0 && worker.policy == Policy::Fair && !thread::panicking() {
        worker.budget.set(BUDGET);
        // The errors concern callers that couldn't have waited either.
        let _ = yield_now();
    } else {
        worker.budget.set(budget.saturating_sub(1));
    }
}

/// Wakes whom the token names, if that wait is still open; says whether it was. `flags` are those of
/// `transition::wake`.
#[inline(always)]
pub(crate) fn unpark(token: WakeToken, flags: u64) -> bool {
    let Some(record) = registry::record_of(token) else { return false };
    match transition::wake(&record.state, token.key, flags) {
        Wake::Stale => false,
        Wake::Kept => {
            ring_for(record);
            true
        }
        Wake::Queue(word) => {
            let home = record.worker.load(Relaxed);
            let entry = Entry { record, word };
            match worker::current() {
                Some(worker) if worker.index == home => {
                    record.since.store(worker.clock(), Relaxed);
                    worker.queue.push(entry);
                }
                _ => remote::send(home, entry),
            }
            true
        }
    }
}

/// Somebody who hasn't parked was woken: he may wait in place, with his thread, see [`poll_in_place`].
#[cold]
#[inline(never)]
fn ring_for(record: &Record) {
    let home = record.worker.load(Relaxed);
    if worker::current().is_none_or(|worker| worker.index != home) {
        remote::ring_if_asleep(home);
    }
}

/// Wakes a coroutine or a thread; says whether it still waited.
#[inline(always)]
pub(crate) fn wake(waiter: &Waiter) -> bool {
    match waiter {
        Waiter::Coroutine(token) => unpark(*token, 0),
        Waiter::Thread(thread) => thread.wake(),
    }
}

/// Wakes all of a list. Inlined where a coroutine ends: a list of one is in registers there.
#[inline(always)]
pub(crate) fn wake_all(mut waiters: Waiters) {
    while let Some(waiter) = waiters.pop() {
        wake(&waiter);
    }
}
