//! Rules that were needed just now. A recursion goes through the same few a thousand times.
//!
//! Only rules of the plain kind: the frame's address is a register and an offset, and each register that was saved lies
//! at an offset from it. Nearly all are. *No allocation, no locks, bounded loops.*

use gimli::{CfaRule, Register, RegisterRule, UnwindTableRow};

use super::tables::Storage;
use crate::arch::registers::{PROGRAM_COUNTER, REGISTER_COUNT, Registers, STACK_POINTER};
use crate::debug::memory::ReadMemory;

const SIZE: usize = 64;
/// In place of an offset: the caller's value is still in the register.
const SAME: i32 = i32::MIN;

/// How to get from one pc to the caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pc: u64,
    /// The function's start.
    pub(super) function: u64,
    cfa_register: u8,
    cfa_offset: i32,
    /// Offsets from the frame's address.
    saved: [i32; REGISTER_COUNT],
}

impl Rule {
    const EMPTY: Rule =
        Rule { pc: 0, function: 0, cfa_register: 0, cfa_offset: 0, saved: [SAME; REGISTER_COUNT] };

    /// A row's rule, if it is of the plain kind.
    pub(super) fn new(pc: u64, function: u64, row: &UnwindTableRow<usize, Storage>) -> Option<Rule> {
        let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
        let mut rule = Rule {
            pc,
            function,
            cfa_register: u8::try_from(register.0)
                .ok()
                .filter(|number| usize::from(*number) < REGISTER_COUNT)?,
            cfa_offset: i32::try_from(offset).ok()?,
            ..Rule::EMPTY
        };
        for (Register(number), saved) in row.registers() {
            let Some(place) = rule.saved.get_mut(usize::from(*number)) else { continue };
            *place = match *saved {
                RegisterRule::Offset(offset) => {
                    i32::try_from(offset).ok().filter(|offset| *offset != SAME)?
                }
                RegisterRule::SameValue => SAME,
                _ => return None,
            };
        }
        // Without a return address in memory it is none of the plain kind.
        (rule.saved[PROGRAM_COUNTER] != SAME).then_some(rule)
    }

    /// The caller's registers; `None` if one can't be read.
    #[inline]
    pub(super) fn apply(&self, registers: &Registers, memory: &impl ReadMemory) -> Option<Registers> {
        let cfa = registers[usize::from(self.cfa_register)].wrapping_add_signed(i64::from(self.cfa_offset));
        let mut next = *registers;
        for (place, offset) in next.iter_mut().zip(&self.saved) {
            if *offset != SAME {
                *place = memory.word(cfa.wrapping_add_signed(i64::from(*offset)))?;
            }
        }
        next[STACK_POINTER] = cfa;
        Some(next)
    }
}

/// See the module.
pub(super) struct Cache([Rule; SIZE]);

impl Cache {
    pub(super) fn new() -> Cache {
        Cache([Rule::EMPTY; SIZE])
    }

    #[inline]
    pub(super) fn get(&self, pc: u64) -> Option<Rule> {
        let rule = self.0[place(pc)];
        (rule.pc == pc && pc != 0).then_some(rule)
    }

    pub(super) fn put(&mut self, rule: Rule) {
        self.0[place(rule.pc)] = rule;
    }
}

/// Calls lie a few bytes apart.
fn place(pc: u64) -> usize {
    (pc ^ pc >> 6) as usize % SIZE
}
