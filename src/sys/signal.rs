//! Signals whose disposition the runtime sets; and the stacks on which handlers run.

use std::ffi::{c_int, c_void};
use std::{io, mem, ptr};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Keeps the program's signal handlers from running on this thread.
pub(crate) fn block_all() {
    // It fails for unknown ways of changing the mask only.
    let _ = SigSet::all().thread_block();
}

/// Makes a write to a closed peer an `EPIPE` instead of the process's death. Rust's own start-up does so for
/// programs with a Rust `main`; a runtime inside a C program has to.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code; a handler which the program has set for SIGPIPE would be lost, and no
    // program can rely on one beside a network runtime.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}

/// What a handler with SA_SIGINFO is called with.
pub(crate) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Makes a handler that of a signal. It runs on the thread's alternate stack, and is interrupted by its own signal, but by
/// no other than faults. Returns what was done before.
///
/// # Safety
/// The handler does nothing that a signal handler must not do.
pub(crate) unsafe fn handle_fault(signal: c_int, handler: Handler) -> io::Result<libc::sigaction> {
    // SAFETY: all zero is an action and a set; the kernel and libc only read and write what they are given.
    unsafe {
        let (mut action, mut previous): (libc::sigaction, libc::sigaction) = (mem::zeroed(), mem::zeroed());
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        action.sa_mask = all_but_faults();
        match libc::sigaction(signal, &raw const action, &raw mut previous) {
            0 => Ok(previous),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Makes a simple handler that of a signal. System calls which it interrupts go on.
///
/// # Safety
/// The handler does nothing that a signal handler must not do.
pub(crate) unsafe fn handle(signal: c_int, handler: extern "C" fn(c_int)) -> io::Result<()> {
    // SAFETY: as the caller says; without SA_SIGINFO it is called so.
    unsafe { set_action(signal, handler as *const () as usize, 0) }
}

/// The same for a handler that is told what it has interrupted.
///
/// # Safety
/// The handler does nothing that a signal handler must not do.
pub(crate) unsafe fn handle_with_context(signal: c_int, handler: Handler) -> io::Result<()> {
    // SAFETY: as the caller says; with SA_SIGINFO it is called so.
    unsafe { set_action(signal, handler as *const () as usize, libc::SA_SIGINFO) }
}

/// # Safety
/// `handler` is the address of a function of the kind that the flag SA_SIGINFO stands for, or of the other kind without
/// it, and does nothing that a signal handler must not do.
unsafe fn set_action(signal: c_int, handler: usize, flags: c_int) -> io::Result<()> {
    // SAFETY: all zero is an action.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | flags;
        // One of our handlers at a time: the alternate stack that std gives a thread has no room for three signals' frames, and
        // on some CPUs none for two. Faults come through, to be told of. Pinned by `signals_amid_switches_disturb_nothing_and_are_heard`.
        action.sa_mask = all_but_faults();
        match libc::sigaction(signal, &raw const action, ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// What a handler holds back: all but what a thread's own instruction brings about, of which the kernel makes the process's end
/// where it is held back. SIGSYS is one: of a system call that a filter, or who emulates system calls, has trapped.
fn all_but_faults() -> libc::sigset_t {
    const FAULTS: [c_int; 7] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];
    // SAFETY: all zero is a set; libc only writes to what it is given.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut set);
        for fault in FAULTS {
            libc::sigdelset(&raw mut set, fault);
        }
        set
    }
}

/// What is done about a signal now: its handler's address, SIG_DFL or SIG_IGN. May be called in a handler.
pub(crate) fn action_of(signal: c_int) -> io::Result<usize> {
    // SAFETY: all zero is an action, which the kernel overwrites.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        match libc::sigaction(signal, ptr::null(), &raw mut action) {
            0 => Ok(action.sa_sigaction),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Sends a signal to one thread of this process.
pub(crate) fn send_to_thread(thread: u32, signal: c_int) -> io::Result<()> {
    // SAFETY: `tgkill` takes numbers, and reaches no other process.
    match unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the system's default that of a signal: for faults, the process's end. May be called in a handler.
pub(crate) fn set_default(signal: c_int) {
    // SAFETY: all zero is an action, SIG_DFL without flags.
    unsafe {
        let action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

/// Whether a signal has the system's default now. May be called in a handler.
pub(crate) fn is_default(signal: c_int) -> bool {
    action_of(signal).is_ok_and(|action| action == libc::SIG_DFL)
}

/// The stack on which this thread's handlers run: [start, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlternateStack(pub(crate) Option<(usize, usize)>);

impl AlternateStack {
    /// Makes it this thread's; returns what was before. May be called in a handler that doesn't run on the one that is
    /// this thread's now.
    ///
    /// # Safety
    /// The memory is there until another one is set.
    pub(crate) unsafe fn set(self) -> io::Result<AlternateStack> {
        let (start, end) = self.0.unwrap_or((0, 0));
        let new = libc::stack_t {
            ss_sp: ptr::with_exposed_provenance_mut(start),
            ss_flags: if self.0.is_some() { 0 } else { libc::SS_DISABLE },
            ss_size: end - start,
        };
        // SAFETY: as the caller says.
        unsafe { exchange(&raw const new) }
    }

    /// This thread's. May be called in a handler.
    pub(crate) fn current() -> AlternateStack {
        // SAFETY: nothing is set. To ask can't fail.
        unsafe { exchange(ptr::null()) }.unwrap_or(AlternateStack(None))
    }
}

/// # Safety
/// `new` is null, or a stack that is there until another one is set.
unsafe fn exchange(new: *const libc::stack_t) -> io::Result<AlternateStack> {
    let mut old = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: as the caller says; the kernel writes to `old`.
    match unsafe { libc::sigaltstack(new, &raw mut old) } {
        0 if old.ss_flags & libc::SS_DISABLE != 0 => Ok(AlternateStack(None)),
        0 => {
            let start = old.ss_sp.expose_provenance();
            Ok(AlternateStack(Some((start, start + old.ss_size))))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_forces_on_a_thread_is_never_held_back() {
        let set = all_but_faults();
        // SAFETY: the set is only read.
        let is_held_back = |signal| unsafe { libc::sigismember(&raw const set, signal) } == 1;
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS] {
            assert!(!is_held_back(fault), "{fault}");
        }
        assert!(is_held_back(libc::SIGTERM) && is_held_back(libc::SIGURG));
    }
}
