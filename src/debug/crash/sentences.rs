//! What happened, why, and what to do: the sentences of a report.
//!
//! *No allocation, no locks, bounded loops.*

use std::fmt::Write as _;

use super::classify::Class;
use super::report::{Crash, Report, Workspace, say};
use super::symbols;
use super::verdict::{self, Weight};
use super::who::{Count, Size};
use crate::arch::fault::Access;
use crate::arch::registers::PROGRAM_COUNTER;
use crate::debug::symbolize::Text;

impl Report {
    /// The access, and who made it.
    pub(super) fn what(&mut self) {
        let Crash { class, address, access, .. } = self.crash;
        say!(self, "  what      ");
        if let Class::Astray { .. } = class {
            say!(self, "its stack pointer is at {:#x}", self.sp());
            if let Some(below) = self.crash.depth_below() {
                say!(self, ", {} below its stack", Size(below as u64));
            }
            say!(self, ", and it was about to give way\n");
            return;
        }
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
                say!(self, ", {} B below the stack", Count(below as u64));
            }
            if self.crash.signal == libc::SIGBUS {
                say!(self, ", SIGBUS");
            }
        }
        let look_up = self.crash.registers[PROGRAM_COUNTER];
        self.by(", by ", look_up);
        // A library's function says little, and std's, which is mostly inlined, no more; who called it says more.
        if let Some(own) = symbols::outside(&self.work.trace, &self.modules) {
            let (_, module) = self.modules.of_code(look_up).unzip();
            if let Some(module) = module {
                say!(self, " of {}", Text(module.name()));
            }
            if !self.called_by(own) {
                let look_up = self.work.trace.frames()[own].look_up;
                self.by(", called by ", look_up);
            }
        } else if self
            .work
            .symbols
            .at(&self.modules, look_up)
            .next()
            .is_some_and(|(_, place)| place.is_of_std())
        {
            self.called_by(0);
        }
        say!(self, "\n");
    }

    /// The innermost function that is not std's, of the frames from that one on; whether there is one.
    fn called_by(&mut self, from: usize) -> bool {
        const MOST: usize = 60;
        let Workspace { output, symbols, trace, .. } = &mut *self.work;
        let frames = trace.frames().iter().skip(from).take(MOST);
        let mut calls = frames.flat_map(|frame| symbols.at(&self.modules, frame.look_up));
        let Some((name, place)) = calls.find(|(_, place)| !place.file.is_empty() && !place.is_of_std())
        else {
            return false;
        };
        let _ = write!(output, ", called by {name} ({place})");
        true
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

    fn weight(&self) -> Weight {
        let stack = self.crash.stack().map_or(1, |stack| (stack.top - stack.limit) as u64);
        let trace = &self.work.trace;
        let frames = trace.frames();
        verdict::weigh(&trace.runs, |at| frames[at].size, trace.whole, frames.len(), stack)
    }

    /// Why the stack was not enough.
    pub(super) fn verdict(&mut self) {
        match self.weight() {
            Weight::Recursion { start, period, rounds, round, percent } => {
                say!(self, "runaway recursion: ");
                self.cycle(start, period, " <-> ");
                let bytes = Size(round * rounds as u64);
                say!(
                    self,
                    ", {} rounds of {} B = {bytes} ({percent} % of the stack)",
                    Count(rounds as u64),
                    Count(round)
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

    /// The name of a frame's function.
    pub(super) fn function(&mut self, at: usize) {
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

    /// What to do about it.
    pub(super) fn what_to_do(&mut self) {
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
}
