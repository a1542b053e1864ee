//! The general registers of x86-64, by their numbers in DWARF (System V ABI for AMD64, figure 3.36).

use nix::libc::user_regs_struct;

/// How many there are, without the pc.
pub(crate) const COUNT: usize = 16;
/// The number that CFI gives to the return address.
pub(crate) const RETURN_ADDRESS: usize = 16;
/// The stack pointer's number.
pub(crate) const SP: usize = 7;
/// Those that a function leaves as they were, without the stack pointer: rbx, rbp, r12 to r15.
pub(crate) const CALLEE_SAVED: [usize; 6] = [3, 6, 12, 13, 14, 15];
/// Those that `switch` doesn't keep: see `arch::swap`.
const MAY_BE_UNDEFINED: [usize; 4] = [12, 13, 14, 15];

const NAMES: [&str; COUNT] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// A frame's registers, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) pc: u64,
    values: [u64; COUNT],
    /// A bit for each that is known.
    known: u16,
}

impl Registers {
    /// None but the pc.
    pub(crate) fn at(pc: u64) -> Registers {
        Registers { pc, values: [0; COUNT], known: 0 }
    }

    /// One of them; also the pc, by the return address's number, which CFI expressions use for it.
    pub(crate) fn get(&self, number: usize) -> Option<u64> {
        if number == RETURN_ADDRESS {
            return Some(self.pc);
        }
        (self.known & 1 << number != 0).then_some(self.values[number])
    }

    pub(crate) fn set(&mut self, number: usize, value: u64) {
        self.values[number] = value;
        self.known |= 1 << number;
    }

    /// Every frame has one.
    pub(crate) fn sp(&self) -> u64 {
        self.values[SP]
    }

    /// The first two arguments of a function that is about to begin.
    pub(crate) fn arguments(&self) -> [u64; 2] {
        [self.values[5], self.values[4]]
    }

    /// The first difference from what was foretold, of what a function must leave as it was, pc and stack pointer among
    /// it. r12 to r15 need not be foretold: whoever calls `switch` has been told that they change.
    pub(crate) fn difference(&self, foretold: &Registers) -> Option<String> {
        if self.pc != foretold.pc {
            return Some(format!("pc {:#x}, not {:#x}", self.pc, foretold.pc));
        }
        let mut kept = [SP].into_iter().chain(CALLEE_SAVED);
        let number = kept.find(|number| match foretold.get(*number) {
            None if MAY_BE_UNDEFINED.contains(number) => false,
            value => self.get(*number) != value,
        })?;
        Some(format!("{} {:x?}, not {:x?}", NAMES[number], self.get(number), foretold.get(number)))
    }
}

impl From<user_regs_struct> for Registers {
    fn from(user: user_regs_struct) -> Registers {
        let values = [
            user.rax, user.rdx, user.rcx, user.rbx, user.rsi, user.rdi, user.rbp, user.rsp, user.r8, user.r9,
            user.r10, user.r11, user.r12, user.r13, user.r14, user.r15,
        ];
        Registers { pc: user.rip, values, known: u16::MAX }
    }
}
