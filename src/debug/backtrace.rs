//! The frames of the coroutine that asks: for logs and tests, and what a crash report shows of another one.

use std::collections::HashMap;
use std::fmt;

use super::files::Files;
use super::memory::OwnMemory;
use super::modules::{self, Modules};
use super::symbolize::Symbolizer;
use super::unwind::{End, Frame, Unwinder};
use crate::arch::registers::{Registers, own_registers};

/// More than any stack of ours holds is no backtrace for a person.
const MOST_FRAMES: usize = 10_000;

/// The frames of a coroutine, innermost first; from [`backtrace`](crate::backtrace).
#[derive(Clone)]
pub struct Backtrace {
    frames: Vec<BacktraceFrame>,
    end: Option<End>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct BacktraceFrame {
    address: u64,
    module: String,
    offset: u64,
    calls: Vec<BacktraceCall>,
    is_certain: bool,
}

/// A function of a frame: the one that was compiled, or one that was inlined into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacktraceCall {
    function: String,
    place: String,
}

impl Backtrace {
    /// The frames, innermost first.
    pub fn frames(&self) -> &[BacktraceFrame] {
        &self.frames
    }
}

impl BacktraceFrame {
    /// Where it goes on.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The program or the library whose code it executes; empty if that is none.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Where in that file the call is, by which it goes on: what `addr2line -e MODULE` takes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The function, and before it what was inlined there, the innermost first. Empty where no symbol is known.
    pub fn calls(&self) -> &[BacktraceCall] {
        &self.calls
    }
}

impl BacktraceCall {
    /// The function's name.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// File and line; `??` where there is no debug information. Relative to where the compiler ran, or to the standard
    /// library: `std:core/src/…`.
    pub fn place(&self) -> &str {
        &self.place
    }
}

/// The calling coroutine's frames, from the caller on to the coroutine's start; a thread's, where no coroutine runs.
///
/// Unlike `std::backtrace::Backtrace` it doesn't go on into the scheduler. It costs milliseconds: debug information is
/// read each time.
///
/// ```
/// fn outer() -> coro::debug::Backtrace {
///     coro::backtrace()
/// }
///
/// coro::run(|| {
///     let backtrace = coro::spawn(outer).join().unwrap();
///     let call = &backtrace.frames()[0].calls()[0];
///     assert!(call.function().ends_with("::outer"));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[inline(never)]
pub fn backtrace() -> Backtrace {
    let registers = own_registers();
    let mut backtrace = take(&registers, false);
    // This function is no part of the caller's.
    backtrace.frames.remove(0);
    backtrace
}

/// The frames from some registers on; `is_exact` as for [`Unwinder::walk`].
pub(super) fn take(registers: &Registers, is_exact: bool) -> Backtrace {
    modules::refresh();
    let modules = modules::get();
    let mut unwinder = Box::new(Unwinder::new());
    let mut walk = unwinder.walk(&modules, OwnMemory::careful(), registers, is_exact);
    let mut frames = Vec::new();
    while frames.len() < MOST_FRAMES
        && let Some(frame) = walk.next()
    {
        frames.push(frame);
    }
    Backtrace { end: walk.end(), frames: describe(&modules, &frames) }
}

/// Frames that somebody else has collected, and why there are no more: `None`: there are.
pub(super) fn of_frames(frames: &[Frame], end: Option<End>) -> Backtrace {
    Backtrace { end, frames: describe(&modules::get(), frames) }
}

fn describe(modules: &Modules, frames: &[Frame]) -> Vec<BacktraceFrame> {
    let calls = calls_of(modules, frames);
    let described = frames.iter().map(|frame| {
        let module = modules.of_code(frame.look_up).map(|(_, module)| module);
        BacktraceFrame {
            address: frame.pc,
            module: module
                .map_or(String::new(), |module| String::from_utf8_lossy(module.path()).into_owned()),
            offset: frame.look_up.wrapping_sub(module.map_or(0, |module| module.bias)),
            calls: calls.get(&frame.look_up).cloned().unwrap_or_default(),
            is_certain: frame.is_certain,
        }
    });
    described.collect()
}

/// What is known of each frame's address.
fn calls_of(modules: &Modules, frames: &[Frame]) -> HashMap<u64, Vec<BacktraceCall>> {
    let mut files = Files::new();
    let mut known: HashMap<u64, Vec<BacktraceCall>> = HashMap::new();
    for module in modules.iter() {
        let mut addresses: Vec<u64> = frames
            .iter()
            .map(|frame| frame.look_up)
            .filter(|address| module.text.0 <= *address && *address < module.text.1)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let Some(image) = (!addresses.is_empty()).then(|| files.image(module).ok()).flatten() else {
            continue;
        };
        let mut symbolizer = Symbolizer::boxed();
        for some in addresses.chunks(super::symbolize::MOST_ADDRESSES) {
            symbolizer.clear();
            let asked = some.iter().map(|address| symbolizer.ask(0, address.wrapping_sub(module.bias)));
            let asked: Vec<Option<usize>> = asked.collect();
            symbolizer.resolve(0, &image);
            for (address, number) in some.iter().zip(asked) {
                let answer = number.map_or(&[][..], |number| symbolizer.answer(number));
                let calls = answer.iter().enumerate().map(|(at, call)| BacktraceCall {
                    function: symbolizer.name(number.unwrap_or(0), at).to_string(),
                    place: call.place.to_string(),
                });
                known.insert(*address, calls.collect());
            }
        }
    }
    known
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, frame) in self.frames.iter().enumerate() {
            let doubt = if frame.is_certain { "" } else { " (?)" };
            if frame.calls.is_empty() {
                writeln!(f, "{number:>5}  {}+{:#x}{doubt}", frame.module, frame.offset)?;
            }
            for (inlined, call) in frame.calls.iter().enumerate() {
                match inlined {
                    0 => write!(f, "{number:>5}  ")?,
                    _ => write!(f, "       inlined into ")?,
                }
                let width = if inlined == 0 { 44 } else { 31 };
                writeln!(f, "{:<width$} {}{doubt}", call.function, call.place)?;
            }
        }
        match self.end.map(End::complaint) {
            Some(Some(complaint)) => writeln!(f, "       {complaint}")?,
            Some(None) => {}
            None => writeln!(f, "       and more")?,
        }
        Ok(())
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[inline(never)]
    fn descend(depth: u32) -> Backtrace {
        if depth == 0 {
            return crate::backtrace();
        }
        black_box(descend(black_box(depth - 1)))
    }

    #[test]
    fn lines_and_functions_are_those_of_the_source() {
        let (backtrace, line) =
            crate::run(|| crate::spawn(|| (descend(200), line!())).join().unwrap()).unwrap();
        let calls: Vec<_> = backtrace.frames().iter().flat_map(|frame| frame.calls()).collect();
        let file = file!();
        for call in &calls[..201] {
            assert!(call.function().ends_with("::descend") && call.place().starts_with(file), "{call:?}");
        }
        assert!(calls[201].function().contains("lines_and_functions_are_those_of_the_source"));
        assert_eq!(calls[201].place(), format!("{file}:{line}"));
        // It ends where the coroutine starts, and doesn't go on into the scheduler.
        assert_eq!(calls.last().unwrap().function(), "coro::scheduler::switch::start");
        let text = backtrace.to_string();
        assert!(text.lines().count() >= calls.len() && !text.contains("(?)"), "{text}");
    }
}
