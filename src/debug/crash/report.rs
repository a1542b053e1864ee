//! The report: what happened, to whom, why, and what to do. It is written in stages, each of which is sent before the next
//! begins, and a fault in one of them leaves it out and goes on with the next.
//!
//! *No allocation, no locks, bounded loops.*

use std::fmt::Write as _;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::classify::Class;
use super::output::Output;
use super::symbols::{self, BIGGEST, Lack, Symbols};
use super::trace::{Item, Kept, Trace};
use super::verdict::{self, Weight};
use super::who::{Age, Count, Site, Size, Tenant, Who};
use crate::abi::layout::ClassName;
use crate::abi::record::{Kind, Record};
use crate::abi::state::State;
use crate::arch::fault::Access;
use crate::arch::registers::{PROGRAM_COUNTER, Registers, STACK_POINTER};
use crate::debug::files::Missing;
use crate::debug::memory::OwnMemory;
use crate::debug::modules;
use crate::debug::symbolize::Text;
use crate::debug::unwind::{End, Unwinder};
use crate::stack::geometry::{REDZONE, SlotIndex, StackBounds};
use crate::stack::region::Region;
use crate::stack::slots;
use crate::sys::{clock, process};

/// Slots that are looked at to say how the others are.
const MOST_SLOTS: usize = 10_000;
/// Where the lines of a frame stand.
const PLACE_COLUMN: usize = 52;
const SIZE_COLUMN: usize = 78;

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
    crash: Crash,
    manner: Manner,
    work: &'static mut Workspace,
    modules: modules::Reading,
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
    fn own(&self) -> Option<SlotIndex> {
        match self.class {
            Class::Overflow { own, .. }
            | Class::Jumped { own, .. }
            | Class::Signal { own }
            | Class::Underrun { own, .. }
            | Class::Above { own, .. } => Some(own),
            Class::Stranger { own, .. } | Class::Freed { own, .. } => own,
            Class::NotOurs => None,
        }
    }

    fn is_overflow(&self) -> bool {
        matches!(self.class, Class::Overflow { .. } | Class::Jumped { .. } | Class::Signal { .. })
    }

    fn stack(&self) -> Option<StackBounds> {
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
            Class::Jumped { .. } => {
                say!(self, " overflowed its stack, and jumped over its redzone into another's");
            }
            Class::Signal { .. } => {
                say!(self, " overflowed its stack when a signal came, which is lost");
            }
            Class::Underrun { below, .. } => {
                say!(
                    self,
                    " used a wild pointer: into its own redzone, {below} B below its stack, while its stack pointer is \
                     far above"
                );
            }
            Class::Above { distance, .. } => {
                say!(self, " ran off the top of its stack, by {distance} B");
            }
            Class::Stranger { slot, .. } => {
                say!(self, " used a wild pointer: into the redzone of {}", Tenant(region, slot));
            }
            Class::Freed { slot, .. } => {
                say!(self, " used a freed stack: {}", Tenant(region, Some(slot)));
            }
            Class::NotOurs => {}
        }
        let mut name = [0_u8; 16];
        // SAFETY: the kernel writes up to 16 bytes, the last one a NUL.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        say!(
            self,
            "   [coro {}, pid {}, thread {} '{}']\n",
            env!("CARGO_PKG_VERSION"),
            process::pid(),
            process::thread_id(),
            Text(name)
        );
        self.work.output.flush();
    }

    /// Who runs where no stack of the region's is in use.
    fn main_of_this_thread(&self) -> Option<&'static Record> {
        let thread = process::thread_id();
        let worker =
            self.crash.region.workers().iter().find(|worker| worker.thread.load(Relaxed) == thread)?;
        let main = SlotIndex(worker.main.load(Relaxed));
        (main.0 < self.crash.region.geometry.record_count).then(|| self.crash.region.record(main))
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
            let used = top.saturating_sub(self.sp().max(limit));
            say!(self, "; {} in use", Size(used as u64));
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

    fn sp(&self) -> usize {
        self.crash.registers[STACK_POINTER] as usize
    }

    fn what(&mut self) {
        let Crash { class, address, access, .. } = self.crash;
        say!(self, "  what      ");
        if let Class::Signal { .. } = class {
            let left = self.crash.stack().map_or(0, |stack| self.sp().saturating_sub(stack.limit));
            say!(
                self,
                "a signal came, and the kernel found no room for its handler: {} are left",
                Size(left as u64)
            );
        } else {
            let access = match access {
                Access::Read => "read",
                Access::Write => "write",
                Access::Execute => "jump",
            };
            say!(self, "{access} at {address:#x}");
            if let Class::Overflow { below, .. }
            | Class::Jumped { below, .. }
            | Class::Underrun { below, .. } = class
            {
                say!(self, ", {below} B below the stack");
            }
            if self.crash.signal != libc::SIGSEGV {
                say!(self, ", signal {}", self.crash.signal);
            }
        }
        let look_up = self.crash.registers[PROGRAM_COUNTER];
        self.by(", by ", look_up);
        // A library's function says little; who called it says more.
        if let Some(own) = symbols::outside(&self.work.trace, &self.modules) {
            let (_, module) = self.modules.of_code(look_up).unzip();
            if let Some(module) = module {
                say!(self, " of {}", Text(module.name()));
            }
            let look_up = self.work.trace.frames()[own].look_up;
            self.by(", called by ", look_up);
        }
        say!(self, "\n");
    }

    /// A function with its place.
    fn by(&mut self, before: &str, look_up: u64) {
        let Workspace { output, symbols, .. } = &mut *self.work;
        let call = symbols.at(&self.modules, look_up).next();
        let _ = match call {
            Some((name, place)) if !place.file.is_empty() => write!(output, "{before}{name} ({place})"),
            _ => write!(output, "{before}{}", symbols.function(&self.modules, look_up)),
        };
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

    fn weight(&self) -> Weight {
        let stack = self.crash.stack().map_or(1, |stack| (stack.top - stack.limit) as u64);
        let trace = &self.work.trace;
        let frames = trace.frames();
        verdict::weigh(&trace.runs, |at| frames[at].size, trace.whole, frames.len(), stack)
    }

    fn verdict(&mut self) {
        match self.weight() {
            Weight::Recursion { start, period, rounds, round, percent } => {
                say!(self, "runaway recursion: ");
                self.cycle(start, period, " <-> ");
                let bytes = Size(round * rounds as u64);
                say!(
                    self,
                    ", {} rounds of {round} B = {bytes} ({percent} % of the stack)",
                    Count(rounds as u64)
                );
            }
            Weight::Frame { at, size, percent } => {
                say!(self, "a large frame: ");
                self.function(at);
                say!(self, ", {} ({percent} % of the stack)", Size(size));
            }
            Weight::Depth => {
                let stack = self.crash.stack().map_or(0, |stack| (stack.top - stack.limit) as u64);
                say!(self, "many frames together: {} are not enough", Size(stack));
            }
        }
    }

    fn function(&mut self, at: usize) {
        if let Some(frame) = self.work.trace.frames().get(at) {
            let look_up = frame.look_up;
            let Workspace { output, symbols, .. } = &mut *self.work;
            let _ = write!(output, "{}", symbols.function(&self.modules, look_up));
        }
    }

    /// The functions of a cycle, each once; of a long one the first few.
    fn cycle(&mut self, start: usize, period: usize, between: &str) {
        const MOST: usize = 4;
        let mut shown = 0;
        for at in start..start + period {
            let frames = self.work.trace.frames();
            if frames[start..at].iter().any(|earlier| earlier.function == frames[at].function) {
                continue;
            }
            if shown > 0 {
                say!(self, "{between}");
            }
            if shown == MOST {
                say!(self, "...");
                return;
            }
            self.function(at);
            shown += 1;
        }
    }

    fn backtrace(&mut self) {
        if self.manner.is_short {
            return;
        }
        let count = self.work.trace.frames().len();
        // What lies between the coroutine's start and the program's own code tells nothing.
        let ends_well = self.work.trace.end() == Some(End::Coroutine);
        let mut own = count;
        while ends_well && own > 1 {
            let look_up = self.work.trace.frames()[own - 1].look_up;
            if !self.work.symbols.is_plumbing(&self.modules, look_up) {
                break;
            }
            own -= 1;
        }
        let total = own + usize::from(ends_well);
        say!(self, "backtrace, innermost first ({} frames):\n", Count(total as u64));
        for number in 0..self.work.trace.items().len() {
            match self.work.trace.items()[number] {
                Item::Frame(at) if at < own => self.frame(at, " "),
                Item::Frame(_) => {}
                Item::Omitted(from, to) => {
                    say!(self, "       ... {} frames are not shown ...\n", Count((to - from) as u64));
                }
                Item::Cycle { start, period, rounds } => {
                    for at in start..start + period {
                        self.frame(at, self.mark(at - start, period));
                    }
                    let frames = self.work.trace.frames();
                    let bytes: u64 =
                        frames[start..start + period * rounds].iter().map(|frame| frame.size).sum();
                    let (these, repeats) =
                        if period == 1 { ("this frame repeats", "") } else { ("frames repeat", "these ") };
                    let last = start + period * rounds - 1;
                    say!(self, "       ... {repeats}");
                    if period > 1 {
                        say!(self, "{period} ");
                    }
                    say!(
                        self,
                        "{these} {} times (frames {start}..{last}), {} B a round ...\n",
                        Count(rounds as u64),
                        bytes / rounds as u64
                    );
                }
            }
            self.work.output.flush();
        }
        if ends_well {
            let width = self.number_width();
            say!(self, "  {own:>width$}  <coroutine start>\n");
        }
        if self.work.trace.is_cut() {
            say!(self, "       there are more: no memory was left for them\n");
        }
        if let Some(complaint) = self.work.trace.end().and_then(End::complaint) {
            say!(self, "       {complaint}\n");
        }
        self.lacks();
        self.work.output.flush();
    }

    /// Digits of the frames' numbers.
    fn number_width(&self) -> usize {
        match self.work.trace.frames().len() {
            0..=999 => 3,
            1000..=9999 => 4,
            _ => 6,
        }
    }

    /// What stands before a frame of a cycle.
    fn mark(&self, at: usize, period: usize) -> &'static str {
        match (self.manner.is_unicode, at) {
            (false, _) => "|",
            (true, _) if period == 1 => "[",
            (true, 0) => "┌",
            (true, at) if at + 1 == period => "└",
            (true, _) => "│",
        }
    }

    fn frame(&mut self, at: usize, mark: &str) {
        let Some(frame) = self.work.trace.frames().get(at).copied() else { return };
        let width = self.number_width();
        say!(self, "{mark} {at:>width$}  ");
        let Workspace { output, symbols, .. } = &mut *self.work;
        let mut calls = symbols.at(&self.modules, frame.look_up).enumerate().peekable();
        if calls.peek().is_none_or(|(_, (name, _))| name.bytes.is_empty()) {
            let _ = write!(output, "{}", symbols.function(&self.modules, frame.look_up));
        }
        if calls.peek().is_none() {
            frame_size(output, &frame, at == 0);
            let _ = writeln!(output);
        }
        for (inlined, (name, place)) in calls {
            if inlined > 0 {
                let _ = write!(output, "       inlined into ");
            }
            if !name.bytes.is_empty() {
                let _ = write!(output, "{name}");
            }
            if !place.file.is_empty() {
                output.pad(PLACE_COLUMN);
                let _ = write!(output, "{place}");
            }
            if inlined == 0 {
                frame_size(output, &frame, at == 0);
            }
            let _ = writeln!(output);
        }
    }

    /// Where lines are missing: why, and what to do.
    fn lacks(&mut self) {
        for (number, module) in self.modules.iter().enumerate() {
            let Workspace { output, symbols, .. } = &mut *self.work;
            let Some(lack) = symbols.lack(number, module) else { continue };
            // A system's library without lines is what is usual.
            if !module.is_program && !matches!(lack, Lack::Stripped | Lack::File(Missing::Replaced)) {
                continue;
            }
            if !module.is_program && matches!(lack, Lack::Stripped) {
                continue;
            }
            let _ = write!(output, "no lines of {}: ", Text(module.name()));
            let _ = match lack {
                Lack::File(Missing::NotOpened(error)) => {
                    write!(output, "the file can't be opened (error {error})")
                }
                Lack::File(Missing::NotElf) => write!(output, "the file is no ELF file"),
                Lack::File(Missing::Replaced) => write!(output, "the file was replaced since it was loaded"),
                Lack::File(Missing::NoRoom) => write!(output, "too many modules"),
                Lack::Compressed => write!(output, "its debug information is compressed"),
                Lack::Split => write!(output, "its debug information lies in other files (.dwo, .dwp)"),
                Lack::Stripped => write!(output, "it is stripped"),
                Lack::NoLines => write!(output, "it has no debug information"),
            };
            let _ = write!(output, "; with that of build-id ");
            for byte in module.build_id.bytes() {
                let _ = write!(output, "{byte:02x}");
            }
            let _ = writeln!(output, ": addr2line -Cfie FILE 0xOFFSET");
        }
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
                say!(self, " {} x {} B =", Count(share.frames), share.bytes / share.frames);
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
            crossed += u64::from(depth * 4 >= (bounds.top - bounds.limit) * 3);
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
            say!(self, "debug     gdb -x gdb/coro.py {} core    then: coro bt {id}\n", Text(path));
        }
        self.work.output.flush();
    }

    fn what_to_do(&mut self) {
        let weight = self.weight();
        if let Weight::Recursion { start, period, .. } = weight {
            say!(self, "unbounded recursion: a bigger stack will not help; limit the depth of ");
            self.cycle(start, period, "/");
            return;
        }
        // What was in use, and what the innermost frame would have got.
        let first = self.work.trace.frames().first().map_or(0, |frame| frame.size);
        let used = self.work.trace.bytes() - first + first.max(self.work.trace.whole);
        let wanted = verdict::roomy(used);
        if let Weight::Frame { at, size, .. } = weight {
            say!(self, "`");
            self.function(at);
            say!(self, "` has a frame of {} (a large array or a buffer by value): box it", Size(size));
            if let Some(wanted) = wanted {
                say!(self, ", or give the coroutine stack_size({wanted} * 1024)");
            }
            return;
        }
        let stack = self.crash.stack().map_or(0, |stack| (stack.top - stack.limit) as u64);
        match wanted {
            Some(wanted) if wanted << 10 > stack => {
                say!(
                    self,
                    "it needs more than {}: give the coroutine stack_size({wanted} * 1024)",
                    Size(stack)
                );
            }
            _ => {
                say!(
                    self,
                    "it needs more than {}, and no stack is larger: limit the depth of its calls",
                    Size(stack)
                );
            }
        }
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

fn frame_size(output: &mut Output, frame: &Kept, is_fault: bool) {
    output.pad(SIZE_COLUMN);
    let _ = write!(output, "{:>6} B", frame.size);
    if !frame.is_certain {
        let _ = write!(output, "  (?)");
    }
    if is_fault {
        let _ = write!(output, "   <- fault");
    }
}
