//! What the runtime needs from a CPU: to leave one stack and go on with another, so that every
//! debugger can follow.
//!
//! One file a CPU. Each gives:
//!
//! - [`swap`]: saves what the ABI lets a caller keep (callee-saved registers, floating-point control
//!   words), stores the stack pointer in the left [`Context`] *as its last act there*, and goes on where the
//!   other context was left. It is inlined, and does its work in a function `switch`, in which every stack that
//!   was left goes on;
//! - [`init_stack`]: makes a stack on which `swap` arrives in `entry`, which calls a start function;
//! - `entry`: the lowest frame of a coroutine. Its CFI leads on into whoever resumed it, which it finds by
//!   the record's first word;
//! - [`outermost`]: the pc of [`END`], to which a coroutine that does not run is linked;
//! - [`stack_pointer`]: where the running stack ends;
//! - [`prefetch`]: has memory brought into the cache that will be used soon;
//! - [`entry_start`]: where that function begins;
//! - [`registers`]: by their DWARF numbers, and those of the running function;
//! - [`fault`]: what a crash handler needs;
//! - [`SAVED_REGISTERS`]: where `switch` leaves each register, as data for readers;
//! - [`spawned`], [`exited`], [`panicking`]: empty functions, called with a record when that happens to its
//!   coroutine, for a debugger to stop in; as data for readers: [`EVENTS`];
//! - the storage of the debug header and the ELF note that leads to it, in `switch`'s own assembly, so that
//!   every program which can switch carries them (see [`DEBUG_HEADER_SIZE`]).
//!
//! The CFI is right at *every* instruction of `switch` and `entry`: a debugger, a profiler's signal or a
//! crash may stop there.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(all(target_arch = "x86_64", feature = "sanitize"))]
pub(crate) use x86_64::find_word;
#[cfg(target_arch = "x86_64")]
use x86_64::outermost;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{
    SAVED_REGISTERS, entry_start, exited, fault, init_stack, panicking, prefetch, registers, resume_point,
    spawned, stack_pointer, swap,
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("coro runs on x86-64 so far; another CPU is one more file in src/arch (see its mod.rs)");

/// A stack that does not run: where its registers lie, and the code that knows how they lie there.
///
/// `entry`'s CFI reads both words, so they are memory and in this order. `pc` never changes: it is the one
/// address inside `switch` at which every stack that was left goes on.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Context {
    sp: AtomicPtr<()>,
    pc: AtomicPtr<()>,
}

impl Context {
    /// One that nobody has left yet.
    #[cfg(feature = "bench")]
    pub(crate) fn unused() -> Context {
        Context { sp: AtomicPtr::default(), pc: AtomicPtr::default() }
    }

    /// Says where a fresh stack starts, before anybody can switch to it.
    pub(crate) fn prepare(&self, sp: usize) {
        self.pc.store(ptr::with_exposed_provenance_mut(resume_point()), Ordering::Relaxed);
        self.sp.store(ptr::with_exposed_provenance_mut(sp), Ordering::Relaxed);
    }

    /// Where the registers lie. Stale while the stack runs.
    pub(crate) fn sp(&self) -> usize {
        self.sp.load(Ordering::Relaxed).addr()
    }

    /// Where the stack goes on.
    pub(crate) fn pc(&self) -> usize {
        self.pc.load(Ordering::Relaxed).addr()
    }
}

/// One register in what `switch` leaves on a stack, for readers which have no CFI at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedRegister {
    pub(crate) name: &'static str,
    /// Its number in DWARF.
    pub(crate) dwarf: u16,
    /// Bytes from the saved stack pointer.
    pub(crate) offset: u16,
    /// Whether the register's value lies in memory there, or is that address itself (the stack pointer).
    pub(crate) in_memory: bool,
}

/// A function in which a debugger can stop. Its first argument is the address of a record.
pub(crate) type Event = extern "C" fn(*const ());

/// The events by name.
///
/// Their addresses are found by this table where a stripped program has no symbols. They are of the code itself:
/// assembly defines them in this very object, so that no linker puts a stub before them.
pub(crate) const EVENTS: [(&str, Event); 3] = [("spawn", spawned), ("exit", exited), ("panic", panicking)];

/// Bytes that the assembly sets aside for the debug header. `abi` defines what stands in them.
pub(crate) const DEBUG_HEADER_SIZE: usize = 256;

/// Where a backtrace ends that has no resumer to go on to: its pc lies in a function whose return address is
/// undefined, the one end which every unwinder takes as clean. (A pc of 0 shows two odd frames.)
pub(crate) static END: Context = Context {
    // Readable memory, because unwinders look at what lies at the stack pointer.
    sp: AtomicPtr::new((&raw const END_STACK).cast::<()>().cast_mut()),
    pc: AtomicPtr::new(outermost as *const () as *mut ()),
};

static END_STACK: [usize; 8] = [0; 8];
