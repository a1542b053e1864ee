//! Backtraces by call frame information alone: every frame with all its registers, and where it ends.

use std::{fs, io};

use crate::cfi::Caller;
use crate::memory::{Memory, page_of};
use crate::modules::{Function, Modules};
use crate::process::Process;
use crate::registers::Registers;

/// No backtrace of the debuggee is that long: it would be a loop.
const MOST: usize = 300;

/// Where backtraces may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The process's first function.
    Program,
    /// A thread's, in the C library.
    Thread,
    /// `outermost`: a coroutine that has no resumer.
    Outermost,
}

/// A stack's frames, innermost first, up to a known end.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) frames: Vec<Frame>,
    /// The first frame of a coroutine's `entry`, if there is one.
    pub(crate) entry: Option<usize>,
    /// None: it was not asked for.
    pub(crate) end: Option<End>,
    /// How many of the last frames were taken from the earlier walk, because they are the same.
    pub(crate) shared: usize,
    /// The compiler's CFI was wrong: see [`Walker::mend`].
    is_mended: bool,
    /// It can't be walked, because a panic lands: see [`Walker::land`].
    pub(crate) is_landing: bool,
    /// All that was read of memory, and when.
    reads: Vec<Read>,
    time: u64,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) registers: Registers,
    /// Its pc is behind a call. It may even be behind its function, if that never returns.
    is_return_address: bool,
}

/// A word that a frame's caller was found by.
#[derive(Clone, Copy, Debug)]
struct Read {
    frame: usize,
    place: u64,
    value: u64,
}

/// What is needed to walk: the code, and the functions that mean something.
#[derive(Debug)]
pub(crate) struct Walker {
    pub(crate) modules: Modules,
    program: Function,
    /// Known as soon as the debug header is.
    outermost: Option<Function>,
    /// The function with the resume point.
    switch: Option<Function>,
}

impl Walker {
    pub(crate) fn new(process: &Process) -> Walker {
        let mut modules = Modules::of(process);
        let executable = fs::read_link(format!("/proc/{}/exe", process.pid())).expect("it lives");
        let program = modules.entry_point(&executable.to_string_lossy());
        let program = modules.function(program).expect("the C runtime's start has CFI");
        Walker { modules, program, outermost: None, switch: None }
    }

    /// What the debug header says: a resume point, and the pc of the context which ends backtraces.
    pub(crate) fn learn(&mut self, resume_pc: u64, outermost_pc: u64) {
        (self.switch, self.outermost) =
            (self.modules.function(resume_pc), self.modules.function(outermost_pc));
    }

    /// Where `switch` begins.
    pub(crate) fn switch_start(&self) -> Option<u64> {
        self.switch.map(|switch| switch.start)
    }

    /// Whether an address lies in `switch`.
    pub(crate) fn is_in_switch(&self, address: u64) -> bool {
        self.switch.is_some_and(|switch| switch.contains(address))
    }

    /// All frames from these registers on. What is as it was at an earlier walk is taken from there.
    pub(crate) fn walk(
        &mut self,
        process: &Process,
        memory: &mut Memory,
        from: Registers,
        earlier: Option<&Chain>,
    ) -> Result<Chain, String> {
        self.walk_until(process, memory, Chain::new(from, memory.time()), earlier, false)
    }

    /// The frames from these registers on, up to a coroutine's `entry`, if there is one.
    pub(crate) fn walk_to_entry(
        &mut self,
        process: &Process,
        memory: &mut Memory,
        from: Registers,
    ) -> Result<Chain, String> {
        self.walk_until(process, memory, Chain::new(from, memory.time()), None, true)
    }

    fn walk_until(
        &mut self,
        process: &Process,
        memory: &mut Memory,
        mut chain: Chain,
        earlier: Option<&Chain>,
        to_entry: bool,
    ) -> Result<Chain, String> {
        let what = loop {
            let number = chain.frames.len() - 1;
            if let Some(earlier) = earlier
                && (1..=2).contains(&number)
                && chain.go_on_as(earlier, process, memory)
            {
                return Ok(chain);
            }
            let frame = chain.frames[number];
            let address = frame.code();
            // What lies below the stack pointer is gone, should a signal come now. Compilers' epilogues count on it all
            // the same; ours must not.
            let lowest = if number == 0 && self.is_in_switch(address) { frame.registers.sp() } else { 0 };
            let reads = &mut chain.reads;
            let word = |place: u64| {
                if place < lowest {
                    return Err(io::Error::other("it lies below the stack pointer"));
                }
                let value = memory.word(process, place)?;
                reads.push(Read { frame: number, place, value });
                Ok(value)
            };
            match self.caller(&frame.registers, address, word) {
                Ok((Caller::Frame(caller), is_signal_frame)) => {
                    if is_signal_frame && chain.entry.is_none() {
                        chain.entry = Some(number);
                        if to_entry {
                            return Ok(chain);
                        }
                    }
                    chain.frames.push(Frame { registers: caller, is_return_address: !is_signal_frame });
                }
                Ok((Caller::None, _)) => {
                    chain.end = self.end(address);
                    if chain.end.is_some() {
                        return Ok(chain);
                    }
                    break "it has no caller, and is not where a stack begins".into();
                }
                Err(error) => break error,
            }
            if number > MOST {
                break "it goes round and round".into();
            }
        };
        let path: Vec<String> =
            chain.frames.iter().map(|frame| self.modules.describe(frame.registers.pc)).collect();
        Err(format!("at frame {}: {what}; frames: {}", path.len() - 1, path.join(" < ")))
    }

    /// The backtrace of a thread at an instruction for which the compiler has written a wrong row, if it is one: then it is
    /// the one before, in the same activation of the same function.
    ///
    /// LLVM's optimiser moves the release of a frame (`add rsp`) before other instructions of an epilogue, but says so in the
    /// CFI only behind them. That the caller's stack pointer can't have changed shows it. Not so in `switch` and `entry`,
    /// which no compiler has made.
    pub(crate) fn mend(&mut self, before: &Chain, now: Registers) -> Option<Chain> {
        let earlier = before.frames[0].registers;
        let function = self.modules.function(now.pc)?;
        let released = now.sp() > earlier.sp() || before.is_mended && now.sp() == earlier.sp();
        if !function.contains(earlier.pc) || self.is_in_switch(now.pc) || !released {
            return None;
        }
        let row = self.modules.at(now.pc)?.row(now.pc).ok()?;
        let is_wrong = !row.is_signal_frame && row.plain_cfa(&now)? != before.frames.get(1)?.registers.sp();
        is_wrong.then(|| {
            let mut mended = before.clone();
            mended.frames[0].registers = now;
            mended.is_mended = true;
            mended
        })
    }

    /// The backtrace of a thread whose unwinder is about to let a panic land: then it is the one before.
    ///
    /// It writes the registers that the landing pad is to find over those which its own functions have saved (GCC's
    /// `uw_install_context`), and then returns into them. From the first of these to the last, no CFI is right.
    pub(crate) fn land(&mut self, before: &Chain, now: Registers) -> Option<Chain> {
        let is_landing =
            self.modules.is_unwinder(now.pc) || before.is_landing && self.modules.is_libc(now.pc);
        is_landing.then(|| {
            let mut landing = before.clone();
            landing.is_landing = true;
            landing
        })
    }

    /// The caller of one frame, and whether the frame is a signal's. `address` is in its code.
    fn caller(
        &mut self,
        frame: &Registers,
        address: u64,
        word: impl FnMut(u64) -> io::Result<u64>,
    ) -> Result<(Caller, bool), String> {
        let module = self.modules.at(address).ok_or_else(|| format!("{address:#x} is no code"))?;
        let row = module.row(address)?;
        Ok((row.caller(frame, word)?, row.is_signal_frame))
    }

    /// Which end a function without a caller is.
    fn end(&mut self, address: u64) -> Option<End> {
        if self.program.contains(address) {
            return Some(End::Program);
        }
        if self.outermost.is_some_and(|outermost| outermost.contains(address)) {
            return Some(End::Outermost);
        }
        self.modules.is_libc(address).then_some(End::Thread)
    }
}

impl Frame {
    /// An address in its code.
    fn code(&self) -> u64 {
        self.registers.pc.wrapping_sub(self.is_return_address.into())
    }
}

impl Chain {
    fn new(from: Registers, time: u64) -> Chain {
        let frame = Frame { registers: from, is_return_address: false };
        Chain {
            frames: vec![frame],
            entry: None,
            end: None,
            shared: 0,
            is_mended: false,
            is_landing: false,
            reads: Vec::new(),
            time,
        }
    }

    /// The frames of the callers.
    pub(crate) fn callers(&self) -> &[Frame] {
        &self.frames[1..]
    }

    /// The frames on the coroutine's own stack: up to its `entry`, or all.
    pub(crate) fn own(&self) -> &[Frame] {
        self.entry.map_or(&self.frames[..], |entry| &self.frames[..=entry])
    }

    /// If the last frame so far is one of an earlier walk, with the same registers, and all that was read from there on
    /// is still the same, so are the other frames.
    fn go_on_as(&mut self, earlier: &Chain, process: &Process, memory: &mut Memory) -> bool {
        let number = self.frames.len() - 1;
        let near = earlier.frames.len().min(4);
        let same = (1..near).find(|other| earlier.frames[*other] == self.frames[number]);
        let Some(same) = same else { return false };
        let rest = earlier.reads.partition_point(|read| read.frame < same);
        let rest = &earlier.reads[rest..];
        let (mut page, mut is_page_same) = (u64::MAX, false);
        for read in rest {
            if page_of(read.place) != page {
                page = page_of(read.place);
                is_page_same = memory.is_page_same(page, earlier.time);
            }
            if !is_page_same && !memory.word(process, read.place).is_ok_and(|now| now == read.value) {
                return false;
            }
        }
        self.reads.extend(rest.iter().map(|read| Read { frame: read.frame - same + number, ..*read }));
        self.frames.extend_from_slice(&earlier.frames[same + 1..]);
        let entry = earlier.entry.filter(|entry| *entry >= same).map(|entry| entry - same + number);
        self.entry = self.entry.or(entry);
        (self.end, self.shared) = (earlier.end, earlier.frames.len() - same);
        true
    }
}
