//! What a crash handler needs of x86-64: what an interrupted thread was doing, a call on another stack, and a call from
//! which a fault comes back.
//!
//! *No allocation, no locks, bounded loops.*

use std::arch::naked_asm;
use std::ffi::c_void;

use libc::{
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP, REG_RBX, REG_RCX,
    REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP, ucontext_t,
};

use super::registers::{REGISTER_COUNT, Registers};

/// In the order of DWARF's numbers.
const IN_CONTEXT: [i32; REGISTER_COUNT] = [
    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11,
    REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
];

/// A trap's number for a general protection fault, of which the kernel doesn't know the address.
const GENERAL_PROTECTION: i64 = 13;

/// What a faulting instruction wanted of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Execute,
}

/// What the kernel saved of an interrupted thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    pub(crate) registers: Registers,
    /// Only means something when the signal is about an access.
    pub(crate) access: Access,
    pub(crate) is_general_protection: bool,
}

impl Interrupted {
    /// # Safety
    /// `context` is the third argument of a signal handler that has not returned.
    pub(crate) unsafe fn read(context: *const c_void) -> Interrupted {
        // SAFETY: as the caller says.
        let saved = unsafe { &(*context.cast::<ucontext_t>()).uc_mcontext.gregs };
        let error = saved[libc::REG_ERR as usize];
        Interrupted {
            registers: IN_CONTEXT.map(|register| saved[register as usize] as u64),
            // Intel SDM, volume 3, 4.7: the page fault's error code.
            access: match error {
                _ if error & 0x10 != 0 => Access::Execute,
                _ if error & 0x2 != 0 => Access::Write,
                _ => Access::Read,
            },
            is_general_protection: saved[libc::REG_TRAPNO as usize] == GENERAL_PROTECTION,
        }
    }
}

/// Calls `function(data)` on the stack that ends at `top`, and comes back.
///
/// # Safety
/// `top` is 16-byte aligned, and enough memory for the function lies below it, which nobody else uses. The function
/// doesn't unwind.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_on(top: usize, function: extern "C" fn(*mut ()), data: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        // The function keeps rbp, and by it the caller's frame is found from the other stack.
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Where [`attempt`] was called: what its caller must find unchanged.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Landing {
    rbx: u64,
    rbp: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    rsp: u64,
}

/// Calls `function(data)`; says whether it returned. If it faults, a signal handler may call [`Landing::go_back`], and
/// then this returns `false`; what the function was about to do stays half done.
///
/// # Safety
/// The function doesn't unwind; nothing is wrong with leaving it at any instruction.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn attempt(
    landing: *mut Landing,
    function: extern "C" fn(*mut ()),
    data: *mut (),
) -> bool {
    naked_asm!(
        ".cfi_startproc",
        "mov [rdi], rbx",
        "mov [rdi + 8], rbp",
        "mov [rdi + 16], r12",
        "mov [rdi + 24], r13",
        "mov [rdi + 32], r14",
        "mov [rdi + 40], r15",
        "mov [rdi + 48], rsp",
        "sub rsp, 8",
        ".cfi_def_cfa_offset 16",
        "mov rdi, rdx",
        "call rsi",
        "mov eax, 1",
        "add rsp, 8",
        ".cfi_def_cfa_offset 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Where a thread goes on that comes back from a fault: as if `attempt` returned false.
#[unsafe(naked)]
unsafe extern "C" fn landed() {
    naked_asm!(".cfi_startproc", "xor eax, eax", "ret", ".cfi_endproc")
}

impl Landing {
    /// Makes the interrupted thread go on behind the call of [`attempt`] when the signal handler returns.
    ///
    /// # Safety
    /// `context` is the third argument of a signal handler that has not returned, on the thread that called
    /// `attempt`, which has not returned either.
    pub(crate) unsafe fn go_back(&self, context: *mut c_void) {
        // SAFETY: as the caller says.
        let saved = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs };
        let values = [
            (REG_RBX, self.rbx),
            (REG_RBP, self.rbp),
            (REG_R12, self.r12),
            (REG_R13, self.r13),
            (REG_R14, self.r14),
            (REG_R15, self.r15),
            (REG_RSP, self.rsp),
            (REG_RIP, landed as *const () as u64),
        ];
        for (register, value) in values {
            saved[register as usize] = value as i64;
        }
        // The direction flag is clear at every call.
        saved[libc::REG_EFL as usize] &= !0x400;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_on_another_stack_runs_there_and_comes_back() {
        extern "C" fn note_stack(place: *mut ()) {
            // SAFETY: the test's own variable.
            unsafe { place.cast::<usize>().write(crate::arch::stack_pointer()) };
        }
        let mut stack = vec![0_u128; 4096];
        let (bottom, top) = (stack.as_ptr().addr(), stack.as_mut_ptr_range().end.addr());
        let mut seen = 0_usize;
        // SAFETY: 64 KiB which nobody else uses, aligned as its elements are.
        unsafe { call_on(top, note_stack, (&raw mut seen).cast()) };
        assert!((bottom..top).contains(&seen));
        assert!(!(bottom..top).contains(&crate::arch::stack_pointer()));
    }

    /// The way back is tried in `debug::crash`, where faults are.
    #[test]
    fn attempt_that_does_not_fault_returns_true() {
        extern "C" fn add_one(place: *mut ()) {
            // SAFETY: the test's own variable.
            unsafe { *place.cast::<u32>() += 1 };
        }
        let (mut landing, mut count) = (Landing::default(), 0_u32);
        // SAFETY: it does not unwind, and does not fault.
        assert!(unsafe { attempt(&raw mut landing, add_one, (&raw mut count).cast()) });
        assert_eq!(count, 1);
    }
}
