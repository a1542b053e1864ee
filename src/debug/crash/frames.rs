//! The backtrace of a report.
//!
//! *No allocation, no locks, bounded loops.*

use std::fmt::Write as _;

use super::output::Output;
use super::report::{Report, Workspace, say};
use super::symbols::Lack;
use super::trace::{Item, Kept};
use super::who::Count;
use crate::debug::files::Missing;
use crate::debug::symbolize::Text;
use crate::debug::unwind::End;

/// Where the lines of a frame stand.
const PLACE_COLUMN: usize = 52;
const SIZE_COLUMN: usize = 77;

impl Report {
    /// The frames, repeats folded.
    pub(super) fn backtrace(&mut self) {
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
                        Count(bytes / rounds as u64)
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
}

fn frame_size(output: &mut Output, frame: &Kept, is_fault: bool) {
    output.pad(SIZE_COLUMN);
    let _ = write!(output, "{:>7} B", Count(frame.size));
    if !frame.is_certain {
        let _ = write!(output, "  (?)");
    }
    if is_fault {
        let _ = write!(output, "   <- fault");
    }
}
