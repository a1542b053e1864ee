//! The names and lines of the frames that a report shows.
//!
//! *No allocation, no locks, bounded loops.*

use std::fmt::{self, Write as _};

use super::trace::{Item, Trace};
use crate::debug::files::{Files, Missing};
use crate::debug::modules::{Module, Modules};
use crate::debug::symbolize::{Name, Place, Symbolizer, Text};

/// Functions that are shown among those which take most.
pub(super) const BIGGEST: usize = 4;
/// Crates whose functions lie between a coroutine's start and the program's own.
const PLUMBING: [&str; 5] = ["coro::", "core::", "std::", "alloc::", "__rust"];

/// See the module.
pub(super) struct Symbols {
    symbolizer: Symbolizer<'static>,
    files: Files,
}

/// Why a module's frames have no lines.
pub(super) enum Lack {
    File(Missing),
    Compressed,
    Split,
    Stripped,
    NoLines,
}

impl Symbols {
    /// Makes one of memory of any content, where it is to be.
    ///
    /// # Safety
    /// There is memory for one at `place`, which nobody else uses.
    pub(super) unsafe fn write_empty(place: *mut Symbols) {
        // SAFETY: as the caller says.
        unsafe {
            Symbolizer::write_empty(&raw mut (*place).symbolizer);
            (&raw mut (*place).files).write(Files::new());
        }
    }

    /// Forgets what another crash needed.
    pub(super) fn clear(&mut self) {
        self.symbolizer.clear();
    }

    /// Looks up all frames that are shown.
    pub(super) fn look_up(&mut self, trace: &Trace, modules: &Modules) {
        let frames = trace.frames();
        let mut ask = |at: usize| {
            if let Some(frame) = frames.get(at)
                && let Some((number, module)) = modules.of_code(frame.look_up)
            {
                self.symbolizer.ask(number, frame.look_up.wrapping_sub(module.bias));
            }
        };
        // Who called what isn't the program's own, as malloc, is asked first: the verdict names it.
        if let Some(own) = outside(trace, modules) {
            ask(own);
        }
        for item in trace.items() {
            match *item {
                Item::Frame(at) => ask(at),
                Item::Cycle { start, period, .. } => (start..start + period).for_each(&mut ask),
                Item::Omitted(..) => {}
            }
        }
        trace.shares().take(BIGGEST).for_each(|share| ask(share.frame));
        for (number, module) in modules.iter().enumerate() {
            if self.symbolizer.is_asked(number) {
                // SAFETY: these symbols are never dropped: they are the process's.
                if let Ok(image) = unsafe { self.files.image_for_ever(module) } {
                    self.symbolizer.resolve(number, &image);
                }
            }
        }
    }

    /// The calls at an address with their functions' names, the innermost first; none if nothing is known.
    pub(super) fn at(
        &self,
        modules: &Modules,
        look_up: u64,
    ) -> impl ExactSizeIterator<Item = (Name<'static>, Place<'static>)> + DoubleEndedIterator {
        let question = modules.of_code(look_up).and_then(|(number, module)| {
            self.symbolizer.number_of(number, look_up.wrapping_sub(module.bias))
        });
        let calls = question.map_or(&[][..], |question| self.symbolizer.answer(question));
        let name = move |at| self.symbolizer.name(question.unwrap_or(usize::MAX), at);
        calls.iter().enumerate().map(move |(at, call)| (name(at), call.place))
    }

    /// The function that was compiled, not what was inlined into it.
    pub(super) fn function<'m>(&self, modules: &'m Modules, look_up: u64) -> Function<'m> {
        let name = self.at(modules, look_up).next_back().map(|(name, _)| name);
        Function { name, module: modules.of_code(look_up).map(|(_, module)| module), look_up }
    }

    /// Whether a frame is between a coroutine's start and the program's own code.
    pub(super) fn is_plumbing(&self, modules: &Modules, look_up: u64) -> bool {
        let mut calls = self.at(modules, look_up);
        calls.len() > 0
            && calls.all(|(name, _)| {
                let mut start = Start { bytes: [0; 12], length: 0 };
                let _ = write!(start, "{name}");
                let name = start.bytes[..start.length].iter().skip_while(|byte| **byte == b'<');
                PLUMBING.iter().any(|plumbing| name.clone().take(plumbing.len()).eq(plumbing.as_bytes()))
            })
    }

    /// What is missing to tell a module's lines.
    pub(super) fn lack(&mut self, number: usize, module: &Module) -> Option<Lack> {
        if !self.symbolizer.is_asked(number) {
            return None;
        }
        let image = match self.files.image(module) {
            Ok(image) => image,
            Err(missing) => return Some(Lack::File(missing)),
        };
        match () {
            () if image.has_lines() && self.symbolizer.is_split() => Some(Lack::Split),
            () if image.has_lines() => None,
            () if image.is_compressed => Some(Lack::Compressed),
            () if image.has_symbols => Some(Lack::NoLines),
            () => Some(Lack::Stripped),
        }
    }
}

/// The first frame of the program's own, if the innermost ones are a library's: their number, from 1 on.
pub(super) fn outside(trace: &Trace, modules: &Modules) -> Option<usize> {
    let is_own = |at: usize| {
        let module = trace.frames().get(at).and_then(|frame| modules.of_code(frame.look_up));
        module.is_some_and(|(_, module)| module.is_program)
    };
    let most = trace.frames().len().min(1000);
    (0..most).find(|at| is_own(*at)).filter(|at| *at > 0)
}

/// A function's name; where none is known, the module and how far in it lies.
pub(super) struct Function<'m> {
    name: Option<Name<'static>>,
    module: Option<&'m Module>,
    look_up: u64,
}

impl fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name, self.module) {
            (Some(name), _) if !name.bytes.is_empty() => name.fmt(f),
            (_, Some(module)) => {
                write!(f, "{}+{:#x}", Text(module.name()), self.look_up.wrapping_sub(module.bias))
            }
            _ => write!(f, "{:#x}", self.look_up),
        }
    }
}

/// The start of a name.
struct Start {
    bytes: [u8; 12],
    length: usize,
}

impl fmt::Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match self.bytes.get_mut(self.length) {
                Some(place) => *place = byte,
                // No more is wanted.
                None => return Err(fmt::Error),
            }
            self.length += 1;
        }
        Ok(())
    }
}
