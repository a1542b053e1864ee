//! The registers of x86-64 as an unwinder sees them, and those of the running function.
//!
//! They are numbered as DWARF does (System V ABI for AMD64, figure 3.36), so that a rule's register is an index.
//!
//! *No allocation, no locks, bounded loops.*

use std::arch::naked_asm;

/// The registers that CFI can speak of, and the pc as the last one.
pub(crate) const REGISTER_COUNT: usize = 17;
/// The frame pointer, where a function keeps one.
pub(crate) const FRAME_POINTER: usize = 6;
pub(crate) const STACK_POINTER: usize = 7;
pub(crate) const PROGRAM_COUNTER: usize = 16;

/// The registers' values, by their numbers.
pub(crate) type Registers = [u64; REGISTER_COUNT];

/// The caller's registers, as they are behind this call. Those which a function may change have no meaning.
#[inline(always)]
pub(crate) fn own_registers() -> Registers {
    let mut registers = [0; REGISTER_COUNT];
    // SAFETY: there is room for all that it stores.
    unsafe { store_registers(&raw mut registers) };
    registers
}

#[unsafe(naked)]
unsafe extern "C" fn store_registers(into: *mut Registers) {
    naked_asm!(
        ".cfi_startproc",
        "mov [rdi + 3*8], rbx",
        "mov [rdi + 6*8], rbp",
        "lea rax, [rsp + 8]",
        "mov [rdi + 7*8], rax",
        "mov [rdi + 12*8], r12",
        "mov [rdi + 13*8], r13",
        "mov [rdi + 14*8], r14",
        "mov [rdi + 15*8], r15",
        "mov rax, [rsp]",
        "mov [rdi + 16*8], rax",
        "ret",
        ".cfi_endproc",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_registers_are_those_of_the_caller() {
        let registers = own_registers();
        assert_eq!(registers[STACK_POINTER], crate::arch::stack_pointer() as u64);
        let here = own_registers_are_those_of_the_caller as *const () as u64;
        assert!((here..here + 4096).contains(&registers[PROGRAM_COUNTER]));
    }
}
