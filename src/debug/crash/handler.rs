//! The handler of SIGSEGV and SIGBUS: who is it about, tell it, and let the process die of it as it would have.
//!
//! - One thread reports at a time; others that crash meanwhile wait for the process's end.
//! - A fault in the reporter itself comes back to where the stage began (`arch::fault::attempt`).
//! - Then the previous handler is called; where there was none, the default is set again and the handler *returns*: the
//!   instruction faults once more, and the kernel ends the process with the right pc in the core. A fault that has nothing
//!   to do with coroutines goes there at once, and silently.
//!
//! *No allocation, no locks, bounded loops.*

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32};

use super::classify::{Cause, Class, Slots, classify};
use super::report::{Crash, Report, STAGES, Workspace};
use super::{settings, stacks};
use crate::abi::state::State;
use crate::arch::fault::{Interrupted, Landing, attempt, call_on};
use crate::arch::registers::STACK_POINTER;
use crate::stack::geometry::{SlotIndex, StackBounds};
use crate::stack::region::{self, Region};
use crate::sys::errno::Errno;
use crate::sys::signal::{self, AlternateStack};
use crate::sys::{clock, process};

/// The signals that an access to memory can lead to.
const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// How long a crash waits for another one's end, in nanoseconds.
const PATIENCE: u64 = 10_000_000_000;

/// What was done about the signals before.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];
/// The thread that reports; 0: none does.
static REPORTER: AtomicU32 = AtomicU32::new(0);
/// Whether that thread is done, and only waits for the end.
static IS_TOLD: AtomicBool = AtomicBool::new(false);
/// The thread whose coroutine is about to give way while its stack pointer is elsewhere; 0: none's is.
static ASTRAY: AtomicU32 = AtomicU32::new(0);
/// That coroutine's slot.
static ASTRAY_SLOT: AtomicU32 = AtomicU32::new(0);
/// Whether a fault of the reporter can come back.
static CAN_LAND: AtomicBool = AtomicBool::new(false);

/// What only the reporter uses.
struct Reporters<T>(UnsafeCell<T>);

// SAFETY: there is one reporter at a time, and it alone touches the content.
unsafe impl<T> Sync for Reporters<T> {}

/// Made at the first crash: until then it is nothing but addresses.
static WORK: Reporters<MaybeUninit<Workspace>> = Reporters(UnsafeCell::new(MaybeUninit::uninit()));
static CRASH: Reporters<MaybeUninit<Crash>> = Reporters(UnsafeCell::new(MaybeUninit::uninit()));
static LANDING: Reporters<MaybeUninit<Landing>> = Reporters(UnsafeCell::new(MaybeUninit::uninit()));

/// Handles the signals from now on; once a process.
pub(super) fn install() -> std::io::Result<()> {
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        if previous.get().is_none() {
            // SAFETY: `on_fault` and what it calls neither allocate nor lock.
            let before = unsafe { signal::handle_fault(signal, on_fault) }?;
            let _ = previous.set(before);
        }
    }
    Ok(())
}

/// Whether a thread reports a crash. Others do well not to look at what may be broken now, nor to write in between.
pub(crate) fn is_telling() -> bool {
    REPORTER.load(Relaxed) != 0 && !IS_TOLD.load(Relaxed)
}

/// Ends the process: the coroutine of a slot is about to give way, and its stack pointer is not in its stack.
///
/// By a fault, in that coroutine's own redzone: so it is told as every other crash, a debugger stops at it, and a core
/// shows it.
pub(crate) fn astray(slot: SlotIndex, bounds: StackBounds) -> ! {
    let thread = process::thread_id();
    while ASTRAY.compare_exchange(0, thread, SeqCst, Relaxed).is_err() {
        // Another thread is ending the process.
        nap();
    }
    ASTRAY_SLOT.store(slot.0, SeqCst);
    // SAFETY: it faults; nobody's memory is there.
    unsafe { std::ptr::with_exposed_provenance_mut::<u64>(bounds.limit - 8).write_volatile(0) };
    // Somebody's handler has mended it, but there is no going on.
    std::process::abort();
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::of_this_thread();
    let saved_errno = errno.get();
    let thread = process::thread_id();
    if REPORTER.load(Relaxed) == thread && !IS_TOLD.load(Relaxed) {
        if CAN_LAND.swap(false, Relaxed) {
            // SAFETY: this thread called `attempt`, which has stored the landing and has not returned.
            unsafe { (*LANDING.0.get()).assume_init_ref().go_back(context) };
        } else {
            // There is no going on: the process dies here and now.
            signal::set_default(signal);
        }
        return;
    }
    // SAFETY: as the kernel calls a handler.
    let (cause, interrupted) = unsafe { (cause(info), Interrupted::read(context)) };
    let cause = if interrupted.is_general_protection { Cause::Other } else { cause };
    if let Some(region) = region::get()
        && !settings::is_off()
    {
        let sp = interrupted.registers[STACK_POINTER] as usize;
        let class = if ASTRAY.load(SeqCst) == thread {
            Class::Astray { own: SlotIndex(ASTRAY_SLOT.load(SeqCst)) }
        } else {
            classify(cause, sp, &region.geometry, &Known { region, thread })
        };
        if class != Class::NotOurs && become_reporter(thread) {
            let address = match cause {
                Cause::Access { address } => address,
                _ => 0,
            };
            let Interrupted { registers, access, .. } = interrupted;
            tell(Crash { class, signal, address, access, registers, region });
            IS_TOLD.store(true, SeqCst);
            if let Class::Signal { .. } = class {
                // The instruction that was interrupted is a good one, and would go on.
                signal::set_default(signal);
                // SAFETY: it ends the process.
                unsafe { libc::raise(signal) };
            }
        }
    }
    errno.set(saved_errno);
    // SAFETY: as the kernel calls a handler. The faults that come again by themselves when the handler returns.
    let comes_again = unsafe { (*info).si_code } > 0;
    chain(signal, info, context, comes_again);
    errno.set(saved_errno);
}

/// # Safety
/// `info` is a signal handler's second argument.
unsafe fn cause(info: *const libc::siginfo_t) -> Cause {
    // Linux's SI_KERNEL; libc doesn't have it.
    const SI_KERNEL: c_int = 0x80;
    // SAFETY: as the caller says; the address is there for these signals when the kernel sends them.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    match code {
        SI_KERNEL => Cause::Kernel,
        _ if code > 0 => Cause::Access { address },
        _ => Cause::Other,
    }
}

/// What the records say.
struct Known {
    region: &'static Region,
    thread: u32,
}

impl Slots for Known {
    fn runs_here(&self, slot: SlotIndex) -> bool {
        let record = self.region.record(slot);
        let worker = self.region.workers().get(record.worker.load(Relaxed) as usize);
        record.word().state() == State::Running
            && worker.is_some_and(|worker| worker.thread.load(Relaxed) == self.thread)
    }

    fn is_free(&self, slot: SlotIndex) -> bool {
        matches!(self.region.record(slot).word().state(), State::Free | State::Exited)
    }
}

/// Whether this thread is the one to report. If another one is, the process is about to end, and that is waited for.
fn become_reporter(thread: u32) -> bool {
    let since = clock::now();
    loop {
        let before = REPORTER.load(Acquire);
        // A thread that reported, and lives on because somebody's handler has mended what was wrong, may report again.
        let is_over =
            before == 0 || IS_TOLD.load(SeqCst) && (before == thread || clock::now() - since > PATIENCE / 4);
        if is_over && REPORTER.compare_exchange(before, thread, SeqCst, Relaxed).is_ok() {
            IS_TOLD.store(false, SeqCst);
            return true;
        }
        if clock::now() - since > PATIENCE {
            return false;
        }
        nap();
    }
}

fn nap() {
    let nap = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // SAFETY: it only waits.
    unsafe { libc::nanosleep(&raw const nap, std::ptr::null_mut()) };
}

/// Tells it, on the stack that there is for it.
fn tell(crash: Crash) {
    let Some((start, end)) = stacks::for_reports() else { return };
    // SAFETY: we are the reporter.
    unsafe { (*CRASH.0.get()).write(crash) };
    // SAFETY: the memory is there for nothing else, and we are the one reporter; nothing unwinds.
    unsafe { call_on(end, report, std::ptr::null_mut()) };
    // What `report` has set goes away with the handler's return, when the kernel restores what was; a handler that is
    // called next and doesn't return finds it restored as well.
    let before = settings::take_alternate_stack();
    // SAFETY: it was this thread's before.
    let _ = unsafe { before.set() };
    debug_assert!(start < end);
}

extern "C" fn report(_: *mut ()) {
    if let Some(stack) = stacks::for_reports() {
        // So that a fault from here on is handled further down on this stack, and not on the one where the first handler
        // still stands.
        // SAFETY: the memory is never unmapped; the thread's stack pointer is in it, not in the one before.
        if let Ok(before) = unsafe { AlternateStack(Some(stack)).set() } {
            settings::keep_alternate_stack(before);
        }
    }
    // SAFETY: we are the reporter; `tell` has written the crash. An earlier report's work is overwritten: it owns nothing
    // but mappings of files, which stay.
    let (crash, work) = unsafe {
        let work = (*WORK.0.get()).as_mut_ptr();
        Workspace::write_empty(work);
        ((*CRASH.0.get()).assume_init(), &mut *work)
    };
    let mut report = Report::new(crash, settings::manner(), work);
    for (stage, name) in STAGES {
        let mut step = (stage, &raw mut report);
        CAN_LAND.store(true, SeqCst);
        // SAFETY: `run_stage` takes what it is given. A stage that is left half done leaves text in the buffer, which is
        // thrown away, and numbers of frames and questions, which count what is complete.
        let done = unsafe { attempt((*LANDING.0.get()).as_mut_ptr(), run_stage, (&raw mut step).cast()) };
        CAN_LAND.store(false, SeqCst);
        if !done {
            report.failed(name);
        }
    }
    // Its modules stay counted as being read: nobody writes the list any more.
    std::mem::forget(report);
}

extern "C" fn run_stage(step: *mut ()) {
    // SAFETY: `report` passes a stage and its report, which outlives the call.
    unsafe {
        let (stage, report) = *step.cast::<(super::report::Stage, *mut Report)>();
        stage(&mut *report);
    }
}

/// Does what would have been done without us.
fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, comes_again: bool) {
    let place = SIGNALS.iter().position(|known| *known == signal);
    let previous = place.and_then(|place| PREVIOUS[place].get());
    match previous {
        Some(action) if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN => {
            let address = action.sa_sigaction as *const ();
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: so it was registered, as a handler of this kind; it is called as the kernel would.
                let handler = unsafe { std::mem::transmute::<*const (), signal::Handler>(address) };
                handler(signal, info, context);
            } else {
                // SAFETY: as above.
                let handler = unsafe { std::mem::transmute::<*const (), extern "C" fn(c_int)>(address) };
                handler(signal);
            }
            // Rust's own sets the default and returns, so that the fault comes again. What was sent doesn't.
            if !comes_again && signal::is_default(signal) {
                // SAFETY: it ends the process.
                unsafe { libc::raise(signal) };
            }
        }
        _ => {
            signal::set_default(signal);
            if !comes_again {
                // SAFETY: it ends the process.
                unsafe { libc::raise(signal) };
            }
        }
    }
}
