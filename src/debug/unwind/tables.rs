//! From a pc to its function's CFI: the module's `.eh_frame_hdr` is a sorted table, which leads to the FDE.
//!
//! All of it is read where the dynamic linker has mapped it. *No allocation, no locks, bounded loops.*

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, Encoding, EndianSlice, FrameDescriptionEntry, LittleEndian,
    Pointer, Register, RegisterRule, UnwindContext, UnwindContextStorage, UnwindExpression, UnwindSection,
    UnwindTableRow,
};

use crate::arch::registers::STACK_POINTER;
use crate::debug::modules::{Module, Modules, bytes_at};

pub(super) type Bytes = EndianSlice<'static, LittleEndian>;

/// Room for the rows of one FDE: 17 registers, and rows that are kept to come back to. 4.4 KB.
pub(super) struct Storage;

impl UnwindContextStorage<usize> for Storage {
    type Rules = [(Register, RegisterRule<usize>); 32];
    type Stack = [UnwindTableRow<usize, Storage>; 4];
}

pub(super) type Context = UnwindContext<usize, Storage>;

/// Rows of one FDE that are looked at. Large functions have hundreds.
const MOST_ROWS: usize = 100_000;
/// r11, by which LLVM's inline probes tell the frame's address while they move the stack pointer.
const PROBE_REGISTER: u16 = 11;

/// A function with CFI.
pub(super) struct Function {
    section: EhFrame<Bytes>,
    bases: BaseAddresses,
    entry: FrameDescriptionEntry<Bytes>,
}

impl Function {
    /// The function that a pc lies in. `None`: there is no CFI for it.
    pub(super) fn find(modules: &Modules, pc: u64) -> Option<gimli::Result<Function>> {
        let (_, module) = modules.of_code(pc)?;
        if module.eh_frame_hdr == (0, 0) {
            return None;
        }
        match Function::find_in(module, pc) {
            Err(gimli::Error::NoUnwindInfoForAddress) => None,
            result => Some(result),
        }
    }

    fn find_in(module: &Module, pc: u64) -> gimli::Result<Function> {
        let (start, end) = module.eh_frame_hdr;
        // SAFETY: the module is mapped (a crash that finds it unmapped is caught as a fault of the reporter's), and
        // what is read-only doesn't change.
        let header = EhFrameHdr::new(unsafe { bytes_at(start, end) }, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame_hdr(start).set_text(module.text.0);
        let header = header.parse(&bases, 8)?;
        let section = match header.eh_frame_ptr() {
            Pointer::Direct(address) => address,
            Pointer::Indirect(_) => {
                return Err(gimli::Error::UnsupportedPointerEncoding(gimli::DW_EH_PE_indirect));
            }
        };
        if section < module.start || section >= module.readable_end {
            return Err(gimli::Error::OffsetOutOfBounds(section));
        }
        let bases = bases.set_eh_frame(section);
        // SAFETY: as above; the linker puts the section into the same segment, behind its header.
        let section = EhFrame::new(unsafe { bytes_at(section, module.readable_end) }, LittleEndian);
        let table = header.table().ok_or(gimli::Error::NoUnwindInfoForAddress)?;
        let entry = table.fde_for_address(&section, &bases, pc, EhFrame::cie_from_offset)?;
        Ok(Function { section, bases, entry })
    }

    pub(super) fn start(&self) -> u64 {
        self.entry.initial_address()
    }

    /// Whether its frame was made by the kernel, so that its caller has not called.
    pub(super) fn is_signal_frame(&self) -> bool {
        self.entry.is_signal_trampoline()
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.entry.cie().encoding()
    }

    /// The rules that hold at a pc.
    pub(super) fn row<'a>(
        &self,
        context: &'a mut Context,
        pc: u64,
    ) -> gimli::Result<&'a UnwindTableRow<usize, Storage>> {
        self.entry.unwind_info_for_address(&self.section, &self.bases, context, pc)
    }

    pub(super) fn expression(&self, expression: UnwindExpression<usize>) -> gimli::Result<Bytes> {
        Ok(expression.get(&self.section)?.0)
    }
}

/// The largest frame that any row of the function's tells of. In a function that keeps a frame pointer no row does, but
/// for the pushes: then its prologue's subtraction is looked for.
pub(super) fn full_frame(modules: &Modules, context: &mut Context, pc: u64) -> Option<u64> {
    let function = Function::find(modules, pc)?.ok()?;
    let mut rows = function.entry.rows(&function.section, &function.bases, context).ok()?;
    let mut largest = 0;
    let mut keeps_frame_pointer = false;
    for _ in 0..MOST_ROWS {
        let Ok(Some(row)) = rows.next_row() else { break };
        if let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() {
            if usize::from(register.0) == STACK_POINTER || register.0 == PROBE_REGISTER {
                largest = largest.max(u64::try_from(offset).unwrap_or(0));
            } else {
                keeps_frame_pointer = true;
            }
        }
    }
    if keeps_frame_pointer {
        // SAFETY: code of a module, from the function's start on, as long as its CFI says.
        let code = unsafe { bytes_at(function.start(), function.entry.end_address()) };
        largest = largest.saturating_add(subtraction(code).unwrap_or(0));
    }
    (largest > 0).then_some(largest)
}

/// What a prologue subtracts from the stack pointer at once, or in a loop of probes.
fn subtraction(code: &[u8]) -> Option<u64> {
    /// Prologues push up to seven registers and copy the stack pointer, each in at most three bytes.
    const LONGEST: usize = 48;
    /// `sub rsp, imm32`; `lea r11, [rsp - imm32]`.
    const SUB: [u8; 3] = [0x48, 0x81, 0xec];
    const LEA: [u8; 4] = [0x4c, 0x8d, 0x9c, 0x24];
    let number = |at: usize| {
        code.get(at..at + 4).map(|bytes| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    (0..LONGEST.min(code.len())).find_map(|at| {
        let rest = &code[at..];
        if rest.starts_with(&LEA) {
            number(at + LEA.len()).map(|offset| u64::from(offset.unsigned_abs()))
        } else if rest.starts_with(&SUB) {
            number(at + SUB.len()).map(|size| u64::from(size.unsigned_abs()))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::subtraction;

    #[test]
    fn prologues_subtraction_is_found() {
        // push rbp; mov rbp, rsp; sub rsp, 0x248
        assert_eq!(
            subtraction(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x81, 0xec, 0x48, 2, 0, 0, 0xc3]),
            Some(0x248)
        );
        // push rbp; mov rbp, rsp; lea r11, [rsp - 0x100000]
        let probing = [0x55, 0x48, 0x89, 0xe5, 0x4c, 0x8d, 0x9c, 0x24, 0, 0, 0xf0, 0xff];
        assert_eq!(subtraction(&probing), Some(0x10_0000));
        assert_eq!(subtraction(&probing[..11]), None);
        assert_eq!(subtraction(&[0x55, 0xc3]), None);
    }
}
