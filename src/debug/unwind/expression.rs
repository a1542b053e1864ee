//! CFI that computes: the kernel's signal frames, the linker's PLT, and hand-written assembly have it.
//!
//! *No allocation, no locks, bounded loops.*

use gimli::{Encoding, Evaluation, EvaluationResult, EvaluationStorage, Location, Piece, Register, Value};

use super::End;
use super::tables::Bytes;
use crate::arch::registers::Registers;
use crate::debug::memory::ReadMemory;

/// No expression of a compiler's comes near it.
const MOST_STEPS: u32 = 1000;

struct Storage;

impl EvaluationStorage<Bytes> for Storage {
    type Stack = [Value; 32];
    type ExpressionStack = [(Bytes, Bytes); 4];
    type Result = [Piece<Bytes>; 1];
}

/// The value of an expression. `initial` is the frame's address, if that is known already.
pub(super) fn evaluate(
    code: Bytes,
    encoding: Encoding,
    registers: &Registers,
    memory: &impl ReadMemory,
    initial: Option<u64>,
) -> Result<u64, End> {
    let bad = |_| End::BadCfi;
    let mut evaluation = Evaluation::<Bytes, Storage>::new_in(code, encoding);
    evaluation.set_max_iterations(MOST_STEPS);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut result = evaluation.evaluate().map_err(bad)?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let mut bytes = [0; 8];
                let wanted = bytes.get_mut(..usize::from(size)).ok_or(End::BadCfi)?;
                if !memory.read(address, wanted) {
                    return Err(End::Unreadable);
                }
                evaluation.resume_with_memory(Value::Generic(u64::from_le_bytes(bytes))).map_err(bad)?
            }
            EvaluationResult::RequiresRegister { register: Register(number), .. } => {
                let value = *registers.get(usize::from(number)).ok_or(End::BadCfi)?;
                evaluation.resume_with_register(Value::Generic(value)).map_err(bad)?
            }
            _ => return Err(End::BadCfi),
        };
    }
    match evaluation.as_result() {
        [Piece { location: Location::Address { address }, .. }] => Ok(*address),
        _ => Err(End::BadCfi),
    }
}

#[cfg(test)]
mod tests {
    use gimli::{EndianSlice, Format, LittleEndian};

    use super::*;
    use crate::debug::memory::Buffer;

    fn value(code: &'static [u8]) -> Result<u64, End> {
        let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };
        let memory = Buffer { start: 0x1000, bytes: &[0x10, 0x20, 0, 0, 0, 0, 0, 0, 1] };
        let registers = std::array::from_fn(|number| 0x1000 * number as u64);
        evaluate(EndianSlice::new(code, LittleEndian), encoding, &registers, &memory, Some(0x1000))
    }

    #[test]
    fn expressions_of_the_usual_kinds_have_values() {
        // DW_OP_breg3 (rbx) 8
        assert_eq!(value(&[0x73, 8]), Ok(0x3008));
        // The initial value, DW_OP_deref, DW_OP_plus_uconst 3
        assert_eq!(value(&[0x06, 0x23, 3]), Ok(0x2013));
        // A PLT's: DW_OP_breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus
        assert_eq!(value(&[0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22]), Ok(0x7008));
    }

    #[test]
    fn expressions_that_cannot_be_computed_are_errors() {
        assert_eq!(value(&[0x73, 0, 0x06]), Err(End::Unreadable), "what rbx points to");
        assert_eq!(value(&[0x90, 99]), Err(End::BadCfi), "there is no register 99");
        assert_eq!(value(&[0xff]), Err(End::BadCfi));
        assert_eq!(value(&[0x2f, 0xfd, 0xff]), Err(End::BadCfi), "a loop without an end");
        assert_eq!(value(&[0x13; 40]), Err(End::BadCfi), "it drops more than there is");
        assert_eq!(value(&[0x12; 40]), Err(End::BadCfi), "more than there is room for");
        assert_eq!(value(&[0x91, 0]), Err(End::BadCfi), "no function has a frame base here");
    }
}
