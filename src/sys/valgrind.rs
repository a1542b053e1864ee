//! Valgrind: what a program can tell it, if it runs under it.
//!
//! A *client request* is a sequence of instructions that does nothing on a CPU, and that Valgrind recognises and
//! takes for a call (valgrind.h, "client requests"; its numbers, from valgrind.h and memcheck.h, are an ABI that
//! doesn't change). Six instructions outside Valgrind.

use std::arch::asm;
use std::ptr;

const STACK_REGISTER: usize = 0x1501;
/// memcheck's own requests begin with its initials.
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_MEM_NOACCESS: usize = MEMCHECK;
const MAKE_MEM_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;

/// [limit, top) is a stack, for good: a stack pointer that comes to lie there is a switch, not a huge frame.
pub(crate) fn register_stack(limit: usize, top: usize) {
    // Valgrind takes the highest word of the stack for its end.
    request(STACK_REGISTER, limit, top - size_of::<usize>());
}

/// To memcheck, a use of [start, end) is a bug from here on; nor does it look for pointers there.
pub(crate) fn forbid(start: usize, end: usize) {
    request(MAKE_MEM_NOACCESS, start, end - start);
}

/// To memcheck, [start, end) may be used, once it is written to.
pub(crate) fn allow_unset(start: usize, end: usize) {
    request(MAKE_MEM_UNDEFINED, start, end - start);
}

/// To memcheck, [start, end) may be used as it is.
pub(crate) fn allow(start: usize, end: usize) {
    request(MAKE_MEM_DEFINED, start, end - start);
}

fn request(number: usize, first: usize, second: usize) {
    let arguments = [number, first, second, 0, 0, 0];
    // SAFETY: the rotations add up to 128 bits and the exchange is of a register with itself, so that nothing
    // but flags changes outside Valgrind; under it, rax points to the six words that a request has, rdx is the
    // result, and none of the requests above changes memory.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") ptr::from_ref(&arguments),
            inout("rdx") 0_usize => _,
            options(nostack),
        );
    }
}
