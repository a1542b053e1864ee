//! The report: what happened, to whom, why, and what to do. It is written in stages, each of which is sent before the next
//! begins, and a fault in one of them leaves it out and goes on with the next.
//!
//! *No allocation, no locks, bounded loops.*

use std::fmt::Write as _;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::classify::Class;
use super::output::Output;
use super::symbols::{BIGGEST, Symbols};
use super::trace::Trace;
use super::who::{Age, Count, Site, Size, Tenant, Who};
use crate::abi::layout::{self, ClassName};
use crate::abi::record::{Kind, Record};
use crate::abi::state::State;
use crate::arch::fault::Access;
use crate::arch::registers::{PROGRAM_COUNTER, Registers, STACK_POINTER};
use crate::debug::memory::OwnMemory;
use crate::debug::symbolize::Text;
use crate::debug::unwind::Unwinder;
use crate::debug::{autoload, modules};
use crate::stack::geometry::{LARGEST_STACK, REDZONE, SlotIndex, StackBounds};
use crate::stack::region::Region;
use crate::stack::slots;
use crate::sys::{clock, process};

/// Slots that are looked at to say how the others are.
const MOST_SLOTS: usize = 10_000;

/// A crash that concerns coroutines.
#[derive(Clone, Copy)]
pub(super) struct Crash {
    pub(super) class: Class,
    pub(super) signal: i32,
    pub(super) address: usize,
    pub(super) access: Access,
    pub(super) registers: Registers,
    pub(super) region: &'static Region,
}

/// How it is told.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) is_short: bool,
    /// Whether letters beyond ASCII are shown.
    pub(super) is_unicode: bool,
    pub(super) targets: [i32; 2],
}

/// Working memory.
pub(super) struct Workspace {
    pub(super) output: Output,
    pub(super) trace: Trace,
    pub(super) symbols: Symbols,
    pub(super) unwinder: Option<Unwinder>,
}

/// One report, while it is being written.
pub(super) struct Report {
    pub(super) crash: Crash,
    pub(super) manner: Manner,
    pub(super) work: &'static mut Workspace,
    pub(super) modules: modules::Reading,
    /// When it happened.
    now: u64,
}

impl Workspace {
    /// Makes one of memory of any content, where it is to be: it is larger than the stack for reports.
    ///
    /// # Safety
    /// There is memory for one at `place`, which nobody else uses.
    pub(super) unsafe fn write_empty(place: *mut Workspace) {
        // SAFETY: as the caller says; field by field.
        unsafe {
            (&raw mut (*place).output).write(Output::new());
            Trace::write_empty(&raw mut (*place).trace);
            Symbols::write_empty(&raw mut (*place).symbols);
            (&raw mut (*place).unwinder).write(None);
        }
    }
}

impl Crash {
    pub(super) fn own(&self) -> Option<SlotIndex> {
        match self.class {
            Class::Overflow { own, .. }
            | Class::Jumped { own, .. }
            | Class::Signal { own }
            | Class::Astray { own }
            | Class::Underrun { own, .. }
            | Class::Above { own, .. } => Some(own),
            Class::Stranger { own, .. } | Class::Freed { own, .. } => own,
            Class::NotOurs => None,
        }
    }

    pub(super) fn is_overflow(&self) -> bool {
        match self.class {
            Class::Overflow { .. } | Class::Jumped { .. } | Class::Signal { .. } => true,
            Class::Astray { .. } => self.depth_below().is_some(),
            _ => false,
        }
    }

    /// How far below its stack the coroutine's stack pointer is, if a frame can have brought it there.
    pub(super) fn depth_below(&self) -> Option<usize> {
        let below = self.stack()?.limit.checked_sub(self.registers[STACK_POINTER] as usize)?;
        (0 < below && below <= LARGEST_STACK).then_some(below)
    }

    pub(super) fn stack(&self) -> Option<StackBounds> {
        self.own().and_then(|own| self.region.geometry.bounds(own))
    }
}

/// The stages, in their order, and what each is called where it fails.
pub(super) const STAGES: [(Stage, &str); 7] = [
    (Report::head, "head"),
    (Report::walk, "walk of the stack"),
    (Report::look_up, "search for names and lines"),
    (Report::facts, "facts"),
    (Report::backtrace, "backtrace"),
    (Report::sums, "sums"),
    (Report::advice, "advice"),
];

pub(super) type Stage = fn(&mut Report);

// Nobody is told of an error of the output's: who could be?
macro_rules! say {
    ($report:ident, $($text:tt)*) => {
        let _ = write!($report.work.output, $($text)*);
    };
}
pub(super) use say;

impl Report {
    pub(super) fn new(crash: Crash, manner: Manner, work: &'static mut Workspace) -> Report {
        work.output.begin(manner.targets);
        work.symbols.clear();
        Report { crash, manner, work, modules: modules::get(), now: clock::now() }
    }

    /// Says that a stage has failed.
    pub(super) fn failed(&mut self, stage: &str) {
        self.work.output.forget();
        say!(self, "\n  [the reporter itself faulted in the {stage}; it goes on without]\n");
        self.work.output.flush();
    }

    /// The first line; it is sent at once.
    fn head(&mut self) {
        let Crash { class, region, .. } = self.crash;
        say!(self, "\nfatal: ");
        match self.crash.own() {
            Some(own) => {
                say!(self, "coroutine {}", Who(region.record(own)));
            }
            None => match self.main_of_this_thread() {
                Some(main) => {
                    say!(self, "coroutine {}", Who(main));
                }
                None => {
                    say!(self, "a thread outside coroutines");
                }
            },
        }
        match class {
            Class::Overflow { .. } => {
                say!(self, " overflowed its stack");
            }
            Class::Signal { .. } => {
                say!(self, " overflowed its stack when a signal came, which is lost");
            }
            Class::Underrun { below, .. } => {
                say!(
                    self,
                    " used a wild pointer: into its own redzone, {} B below its stack, while its stack pointer is far \
                     above",
                    Count(below as u64)
                );
            }
            Class::Above { distance, .. } => {
                say!(self, " ran off the top of its stack, by {} B", Count(distance as u64));
            }
            Class::Stranger { slot, .. } => {
                say!(self, " used a wild pointer: into the redzone of {}", Tenant(region, slot));
            }
            Class::Freed { slot, .. } => {
                say!(self, " used a freed stack: {}", Tenant(region, Some(slot)));
            }
            Class::Jumped { .. } | Class::Astray { .. } if self.crash.is_overflow() => {
                say!(self, " overflowed its stack, and jumped over its redzone into another's");
            }
            Class::Jumped { .. } | Class::Astray { .. } => {
                say!(self, " left its stack: its stack pointer is elsewhere");
            }
            Class::NotOurs => {}
        }
        let mut name = [0_u8; 16];
        // SAFETY: the kernel writes up to 16 bytes, the last one a NUL.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        say!(
            self,
            "   [coro {}, pid {}, thread {} '{}'",
            env!("CARGO_PKG_VERSION"),
            process::pid(),
            process::thread_id(),
            Text(name)
        );
        if let Some((number, _)) = self.worker_of_this_thread() {
            say!(self, ", worker {number}");
        }
        say!(self, "]\n");
        self.work.output.flush();
    }

    /// Who runs where no stack of the region's is in use.
    fn main_of_this_thread(&self) -> Option<&'static Record> {
        let (_, worker) = self.worker_of_this_thread()?;
        let main = SlotIndex(worker.main.load(Relaxed));
        (main.0 < self.crash.region.geometry.record_count).then(|| self.crash.region.record(main))
    }

    fn worker_of_this_thread(&self) -> Option<(usize, &'static layout::Worker)> {
        let thread = process::thread_id();
        let mut workers = self.crash.region.workers().iter().enumerate();
        workers.find(|(_, worker)| worker.thread.load(Relaxed) == thread)
    }

    /// All frames.
    fn walk(&mut self) {
        let stack = self.crash.stack();
        let memory = match stack {
            // SAFETY: the stack of a coroutine that runs on this thread is open from its limit to its top.
            Some(stack) => unsafe { OwnMemory::with_stack(stack.limit, stack.top) },
            None => OwnMemory::careful(),
        };
        let Workspace { trace, unwinder, .. } = &mut *self.work;
        let unwinder = unwinder.get_or_insert_with(Unwinder::new);
        let top = stack.map_or(0, |stack| stack.top as u64);
        trace.whole = 0;
        trace.take(unwinder, &self.modules, memory, &self.crash.registers, top);
        trace.whole = unwinder.full_frame(&self.modules, self.crash.registers[PROGRAM_COUNTER]).unwrap_or(0);
        trace.analyse();
    }

    fn look_up(&mut self) {
        self.work.symbols.look_up(&self.work.trace, &self.modules);
    }

    /// What, where, who, why.
    fn facts(&mut self) {
        self.what();
        let region = self.crash.region;
        if let (Some(own), Some(stack)) = (self.crash.own(), self.crash.stack()) {
            let record = region.record(own);
            let StackBounds { limit, top } = stack;
            say!(
                self,
                "  stack     {} {limit:#x}..{top:#x}, redzone {}",
                Size((top - limit) as u64),
                Size(REDZONE as u64)
            );
            let is_on_it = self.crash.is_overflow() || !self.is_astray();
            if is_on_it && self.sp() <= top {
                say!(self, "; {} in use", Size((top - self.sp().max(limit)) as u64));
            }
            match slots::deepest_before() {
                0 => {}
                deepest => {
                    say!(self, "; deepest before: {}", Size(deepest as u64));
                }
            }
            say!(self, "\n");
            self.spawned(record);
        }
        if self.crash.is_overflow() {
            say!(self, "  verdict   ");
            self.verdict();
            say!(self, "\n");
        }
        self.work.output.flush();
    }

    fn is_astray(&self) -> bool {
        matches!(self.crash.class, Class::Astray { .. })
    }

    pub(super) fn sp(&self) -> usize {
        self.crash.registers[STACK_POINTER] as usize
    }

    fn spawned(&mut self, record: &'static Record) {
        let age = self.now.saturating_sub(record.spawned_at.load(Relaxed));
        say!(self, "  spawned   {}, {} ago", Site(record), Age(age));
        let parent = record.parent.load(Relaxed);
        if parent != 0 {
            match self.records().find(|candidate| candidate.id() == parent && is_alive(candidate)) {
                Some(parent) => {
                    say!(self, ", by coroutine {}", Who(parent));
                }
                None => {
                    say!(self, ", by coroutine #{parent}, which has ended");
                }
            }
        }
        say!(self, "\n");
    }

    /// What takes most; and how the others are.
    fn sums(&mut self) {
        if self.manner.is_short {
            return;
        }
        let mut is_first = true;
        for number in 0..if self.crash.is_overflow() { BIGGEST } else { 0 } {
            let Some(share) = self.work.trace.shares().nth(number).copied() else { break };
            // Fiftieths of the whole are not worth a word.
            if share.bytes * 50 < self.work.trace.bytes() {
                break;
            }
            say!(self, "{}", if is_first { "biggest frames: " } else { " | " });
            is_first = false;
            self.function(share.frame);
            if share.frames > 1 {
                say!(self, " {} x {} B =", Count(share.frames), Count(share.bytes / share.frames));
            }
            say!(self, " {}", Size(share.bytes));
        }
        if !is_first {
            say!(self, "\n");
        }
        let own = self.crash.own().map(|own| self.crash.region.record(own));
        let (mut alive, mut crossed, mut deepest) = (0_u64, 0_u64, None);
        for record in self.records().filter(|record| record.kind() == Kind::User && is_alive(record)) {
            if own.is_some_and(|own| std::ptr::eq(own, record)) {
                continue;
            }
            alive += 1;
            let Some(bounds) = self.crash.region.geometry.bounds(self.crash.region.slot(record)) else {
                continue;
            };
            let depth = slots::depth(bounds);
            crossed += u64::from(slots::is_nearly_full(depth, bounds.top - bounds.limit));
            if deepest.is_none_or(|(most, _)| depth > most) {
                deepest = Some((depth, record));
            }
        }
        say!(self, "other coroutines: {} alive", Count(alive));
        if let Some((depth, record)) = deepest {
            say!(
                self,
                "; deepest stack {} ({}); {} crossed 75 % of theirs",
                Size(depth as u64),
                Who(record),
                Count(crossed)
            );
        }
        say!(self, "\n");
        self.work.output.flush();
    }

    fn advice(&mut self) {
        if self.crash.is_overflow() {
            say!(self, "advice    ");
            self.what_to_do();
            say!(self, "\n");
        }
        if let (Some(own), Some(program)) =
            (self.crash.own(), self.modules.iter().find(|module| module.is_program))
        {
            let id = self.crash.region.record(own).id();
            let path = program.path();
            let commands = autoload::commands();
            say!(self, "debug     gdb -x {commands} {} core    then: coro bt {id}\n", Text(path));
        }
        self.work.output.flush();
    }

    /// The records of slots that ever had a tenant, as many as are looked at.
    fn records(&self) -> impl Iterator<Item = &'static Record> + use<> {
        let region = self.crash.region;
        ClassName::ALL.into_iter().flat_map(move |name| {
            let first = region.geometry.class(name).first;
            let used = region.class(name).used.load(Acquire).min(MOST_SLOTS as u32);
            (first..first + used).map(move |slot| region.record(SlotIndex(slot)))
        })
    }
}

fn is_alive(record: &Record) -> bool {
    !matches!(record.word().state(), State::Free | State::Exited)
}
