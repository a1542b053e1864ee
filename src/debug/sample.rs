//! The frames of a coroutine that runs on another thread: that thread is sent a signal, and its handler collects them.
//!
//! The signal is SIGURG, as Go uses it for the like: debuggers pass it on without a stop (GDB by itself, LLDB told by our
//! scripts), and when nobody handles it nothing happens. A program that does something of its own about it is left alone:
//! then there are no frames.
//!
//! ```text
//!   who asks        IDLE -> ASKED, the signal;  ASKED -> IDLE: nobody has answered
//!   the handler     ASKED -> TAKING -> TAKEN, or MOVED: it is no longer the same coroutine's turn
//! ```
//!
//! The stage and the thread that is asked are one word, so that a signal which comes late answers no question to
//! another one.
//!
//! The handler and what it calls: *no allocation, no locks, bounded loops.*

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use super::backtrace::{self, Backtrace};
use super::memory::OwnMemory;
use super::modules;
use super::unwind::{End, Frame, Unwinder};
use crate::abi::record::Record;
use crate::abi::state::Word;
use crate::arch::fault::Interrupted;
use crate::arch::registers::{Registers, STACK_POINTER};
use crate::stack::region;
use crate::sys::errno::Errno;
use crate::sys::signal::{self, AlternateStack};
use crate::sys::{lock, process};

const SIGNAL: c_int = libc::SIGURG;
/// Frames that are kept.
const MOST_FRAMES: usize = 128;
/// Bytes of alternate stack which the handler asks for: an unoptimised build was seen to touch 16 KiB, of which 3 were the
/// kernel's frame, and that is 11 on a CPU with tile registers.
const ROOM: usize = 32 << 10;
/// How often an answer is looked for, and what lies between: a thread may have blocked the signal, or be stopped.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

const IDLE: u64 = 0;
const ASKED: u64 = 1;
const TAKING: u64 = 2;
const TAKEN: u64 = 3;
const MOVED: u64 = 4;

/// A stage, of a question to a thread.
const fn stage(thread: u32, stage: u64) -> u64 {
    (thread as u64) << 8 | stage
}

/// One question at a time, and its answer.
struct Exchange {
    stage: AtomicU64,
    record: AtomicPtr<Record>,
    word: AtomicU64,
    sample: UnsafeCell<Sample>,
}

// SAFETY: the sample is the handler's from TAKING to its end, and the asker's in all other stages: the changes of the stage
// are Release and Acquire. There is one asker at a time, and one thread that can go from ASKED to TAKING.
unsafe impl Sync for Exchange {}

struct Sample {
    unwinder: Unwinder,
    frames: [Frame; MOST_FRAMES],
    count: usize,
    end: Option<End>,
}

static EXCHANGE: OnceLock<Box<Exchange>> = OnceLock::new();

/// The frames of the coroutine that has this record and this state word, and runs on that thread; `None` if it is not so (any
/// more), or the thread doesn't answer. It waits for at most a tenth of a second.
pub(crate) fn take(record: &'static Record, word: Word, thread: u32) -> Option<Backtrace> {
    static ASKER: Mutex<()> = Mutex::new(());
    let _one = lock::of(&ASKER);
    if !is_handled() {
        return None;
    }
    modules::refresh();
    let exchange = EXCHANGE.get_or_init(Exchange::new);
    exchange.record.store(ptr::from_ref(record).cast_mut(), Relaxed);
    exchange.word.store(word.0, Relaxed);
    // Release: pairs with the handler's Acquire.
    exchange.stage.store(stage(thread, ASKED), Release);
    if signal::send_to_thread(thread, SIGNAL).is_err() {
        // The thread has ended.
        exchange.stage.store(IDLE, Relaxed);
        return None;
    }
    if !exchange.wait(thread) {
        return None;
    }
    // SAFETY: it was taken, so the handler is done with it, and nobody else asks.
    let Sample { frames, count, end, .. } = unsafe { &*exchange.sample.get() };
    Some(backtrace::of_frames(&frames[..*count], *end))
}

/// Whether our handler is that of the signal; it is made so, if nobody has anything else to do with it.
fn is_handled() -> bool {
    match signal::action_of(SIGNAL) {
        Ok(action) if action == on_signal as *const () as usize => true,
        // SAFETY: `on_signal` and what it calls neither allocate nor lock.
        Ok(libc::SIG_DFL) => unsafe { signal::handle_with_context(SIGNAL, on_signal) }.is_ok(),
        _ => false,
    }
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::of_this_thread();
    let saved = errno.get();
    if let Some(exchange) = EXCHANGE.get() {
        let thread = process::thread_id();
        // Acquire: the question was stored before.
        let asked = (stage(thread, ASKED), stage(thread, TAKING));
        if exchange.stage.compare_exchange(asked.0, asked.1, Acquire, Relaxed).is_ok() {
            // SAFETY: as the kernel calls a handler.
            let interrupted = unsafe { Interrupted::read(context) };
            let answer = if exchange.answer(&interrupted.registers) { TAKEN } else { MOVED };
            exchange.stage.store(stage(thread, answer), Release);
        }
    }
    errno.set(saved);
}

impl Exchange {
    fn new() -> Box<Exchange> {
        let none = Frame { pc: 0, look_up: 0, sp: 0, function: 0, is_certain: false };
        let sample = Sample { unwinder: Unwinder::new(), frames: [none; MOST_FRAMES], count: 0, end: None };
        Box::new(Exchange {
            stage: AtomicU64::new(IDLE),
            record: AtomicPtr::new(ptr::null_mut()),
            word: AtomicU64::new(0),
            sample: UnsafeCell::new(sample),
        })
    }

    /// Waits for the answer; says whether there is one.
    fn wait(&self, thread: u32) -> bool {
        for look in 1.. {
            let now = self.stage.load(Acquire);
            if now == stage(thread, TAKEN) || now == stage(thread, MOVED) {
                self.stage.store(IDLE, Relaxed);
                return now == stage(thread, TAKEN);
            }
            if look >= LOOKS
                && self.stage.compare_exchange(stage(thread, ASKED), IDLE, Relaxed, Relaxed).is_ok()
            {
                return false;
            }
            // A handler that has begun is waited for: the sample is its own.
            thread::sleep(BETWEEN_LOOKS);
        }
        unreachable!("the looks have no end")
    }

    /// In the handler: collects the frames, if what was interrupted is what was asked for.
    fn answer(&self, registers: &Registers) -> bool {
        // SAFETY: `take` has stored a record's address, and records live for ever.
        let record = unsafe { &*self.record.load(Relaxed) };
        // A record may have been written over; where its stack lies is told by its place alone. main has none there.
        let of_slot = region::get().and_then(|region| region.geometry.bounds(region.slot(record)));
        let bounds = match of_slot {
            Some(bounds) => (bounds.limit as u64, bounds.top as u64),
            None => (record.stack_limit.load(Relaxed), record.stack_top.load(Relaxed)),
        };
        let sp = registers[STACK_POINTER];
        let is_same = record.word().0 == self.word.load(Relaxed) && (bounds.0..bounds.1).contains(&sp);
        let has_room = AlternateStack::current().0.is_some_and(|(start, end)| end - start >= ROOM);
        if !is_same || !has_room {
            return false;
        }
        // SAFETY: between TAKING and the answer the sample is ours.
        let sample = unsafe { &mut *self.sample.get() };
        let modules = modules::get();
        // SAFETY: from its stack pointer to its top the stack that we have interrupted is mapped, and nobody runs on it.
        let memory = unsafe { OwnMemory::with_stack(sp as usize, bounds.1 as usize) };
        let mut walk = sample.unwinder.walk(&modules, memory, registers, true);
        sample.count = 0;
        while sample.count < MOST_FRAMES
            && let Some(frame) = walk.next()
        {
            sample.frames[sample.count] = frame;
            sample.count += 1;
        }
        sample.end = walk.end();
        sample.count > 0
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::channel;

    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    /// Until it is told.
    #[inline(never)]
    fn computes(is_over: &AtomicBool) {
        while !is_over.load(Relaxed) {
            black_box(());
        }
    }

    /// The record of the coroutine of that id.
    fn record_of(id: u64) -> &'static Record {
        let region = region::get().unwrap();
        crate::registry::iterate(region).find(|record| record.id() == id).unwrap()
    }

    #[test]
    fn frames_are_those_of_the_one_that_runs_and_of_nobody_else() {
        static IS_OVER: AtomicBool = AtomicBool::new(false);
        let (say, said) = channel();
        let running = thread::spawn(move || {
            crate::run(|| {
                let sleeper = crate::spawn(|| crate::sleep(Duration::MAX));
                crate::yield_now();
                let busy = crate::spawn(move || {
                    say.send((crate::current().unwrap().id(), sleeper.id(), process::thread_id())).unwrap();
                    computes(&IS_OVER);
                    // From now on nobody answers.
                    SigSet::from(Signal::SIGURG).thread_block().unwrap();
                    say.send((sleeper.id(), sleeper.id(), 0)).unwrap();
                    while IS_OVER.load(Relaxed) {
                        thread::yield_now();
                    }
                });
                busy.join().unwrap();
            })
            .unwrap();
        });
        let (busy, sleeper, thread) = said.recv().unwrap();
        let [busy, sleeper] = [busy, sleeper].map(|id| record_of(id.as_u64()));
        let of_busy = |word| take(busy, word, thread);
        // Again until it is where it says that it is about to be.
        let text = loop {
            // Nobody answers whose thread has had no CPU for so long as an answer is looked for.
            let text = of_busy(busy.word()).map_or(String::new(), |frames| frames.to_string());
            if text.contains("::computes") {
                break text;
            }
        };
        assert!(text.contains("src/debug/sample.rs:"), "{text}");
        assert!(text.trim_end().lines().last().unwrap().contains("coro::scheduler::switch::start"), "{text}");

        assert!(of_busy(Word(busy.word().0 ^ 1 << 63)).is_none(), "another tenant's turn");
        assert!(take(sleeper, sleeper.word(), thread).is_none(), "it doesn't run");
        assert!(take(busy, busy.word(), process::thread_id()).is_none(), "not on this thread");
        assert!(take(busy, busy.word(), 0x7fff_fff0).is_none(), "there is no such thread");
        // And it still answers.
        while of_busy(busy.word()).is_none() {}

        IS_OVER.store(true, Relaxed);
        said.recv().unwrap();
        assert!(of_busy(busy.word()).is_none(), "it has blocked the signal");
        IS_OVER.store(false, Relaxed);
        running.join().unwrap();
    }

    static ARE_OVER: AtomicBool = AtomicBool::new(false);

    #[inline(never)]
    fn turns_of_ann() {
        while !ARE_OVER.load(Relaxed) {
            (0..black_box(2_000)).for_each(|n| _ = black_box(n));
            crate::yield_now();
        }
    }

    #[inline(never)]
    fn turns_of_bob() {
        while !ARE_OVER.load(Relaxed) {
            (0..black_box(2_000)).for_each(|n| _ = black_box(n));
            crate::yield_now();
        }
    }

    #[test]
    fn one_who_gives_way_between_the_question_and_the_signal_is_not_taken_for_another() {
        let (say, said) = channel();
        let running = thread::spawn(move || {
            crate::run(|| {
                let ann = crate::spawn(turns_of_ann);
                let bob = crate::spawn(turns_of_bob);
                say.send((ann.id(), process::thread_id())).unwrap();
                ann.join().unwrap();
                bob.join().unwrap();
            })
            .unwrap();
        });
        let (ann, thread) = said.recv().unwrap();
        let ann = record_of(ann.as_u64());
        let (mut answered, mut refused) = (0, 0);
        while answered < 5 || refused < 5 {
            let word = ann.word();
            let Some(frames) = take(ann, word, thread) else {
                refused += 1;
                continue;
            };
            answered += 1;
            let text = frames.to_string();
            // It may also be in the middle of a switch, or not yet have come to its function.
            assert!(!text.contains("turns_of_bob"), "{text}");
            assert!(
                text.trim_end().lines().last().unwrap().contains("coro::scheduler::switch::start"),
                "{text}"
            );
        }
        ARE_OVER.store(true, Relaxed);
        running.join().unwrap();
    }
}
