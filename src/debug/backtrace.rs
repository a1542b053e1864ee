//! The frames of the coroutine that asks: for logs and tests, and what a crash report shows of another one.

use std::fmt;

use super::memory::OwnMemory;
use super::modules;
use super::unwind::{End, Unwinder};
use crate::arch::registers::own_registers;

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
    is_certain: bool,
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
}

impl Backtrace {
    /// The frames, innermost first.
    pub fn frames(&self) -> &[BacktraceFrame] {
        &self.frames
    }
}

/// The calling coroutine's frames, from the caller on to the coroutine's start; a thread's, where no coroutine runs.
///
/// Unlike `std::backtrace::Backtrace` it doesn't go on into the scheduler.
///
/// ```
/// coro::run(|| {
///     let backtrace = coro::spawn(|| coro::backtrace()).join().unwrap();
///     assert!(backtrace.frames().len() > 2);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[inline(never)]
pub fn backtrace() -> Backtrace {
    modules::refresh();
    let modules = modules::get();
    let mut unwinder = Box::new(Unwinder::new());
    let registers = own_registers();
    let mut walk = unwinder.walk(&modules, OwnMemory::careful(), &registers, false);
    // This function is no part of the caller's.
    walk.next();
    let mut frames = Vec::new();
    while frames.len() < MOST_FRAMES
        && let Some(frame) = walk.next()
    {
        let (module, offset) = match modules.of_code(frame.look_up) {
            Some((_, module)) => {
                (String::from_utf8_lossy(module.path()).into_owned(), frame.look_up.wrapping_sub(module.bias))
            }
            None => (String::new(), frame.look_up),
        };
        frames.push(BacktraceFrame { address: frame.pc, module, offset, is_certain: frame.is_certain });
    }
    Backtrace { frames, end: walk.end() }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, frame) in self.frames.iter().enumerate() {
            let doubt = if frame.is_certain { "" } else { " (?)" };
            writeln!(f, "{number:>5}  {}+{:#x}{doubt}", frame.module, frame.offset)?;
        }
        if let Some(complaint) = self.end.and_then(End::complaint) {
            writeln!(f, "       {complaint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
