//! From a pc to its function's CFI: the module's `.eh_frame_hdr` is a sorted table, which leads to the FDE.
//!
//! All of it is read where the dynamic linker has mapped it. *No allocation, no locks, bounded loops.*

use gimli::{
    BaseAddresses, CfaRule, EhFrame, Encoding, EndianSlice, FrameDescriptionEntry, LittleEndian, Register,
    RegisterRule, UnwindContext, UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow,
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
        let (header, header_end) = module.eh_frame_hdr;
        // SAFETY: the module is mapped (a crash that finds it unmapped is caught as a fault of the reporter's), and
        // what is read-only doesn't change.
        let table = Table::parse(header, unsafe { bytes_at(header, header_end) })?;
        if table.section < module.start || table.section >= module.readable_end {
            return Err(gimli::Error::OffsetOutOfBounds(table.section));
        }
        let bases = BaseAddresses::default()
            .set_eh_frame_hdr(header)
            .set_text(module.text.0)
            .set_eh_frame(table.section);
        // SAFETY: as above; the linker puts the section into the same segment, behind its header.
        let section = EhFrame::new(unsafe { bytes_at(table.section, module.readable_end) }, LittleEndian);
        let place = table.look_up(pc).ok_or(gimli::Error::NoUnwindInfoForAddress)?;
        let offset = place.checked_sub(table.section).ok_or(gimli::Error::OffsetOutOfBounds(place))?;
        let offset = usize::try_from(offset).map_err(|_| gimli::Error::OffsetOutOfBounds(place))?;
        let entry = section.fde_from_offset(&bases, offset.into(), EhFrame::cie_from_offset)?;
        if entry.contains(pc) {
            Ok(Function { section, bases, entry })
        } else {
            Err(gimli::Error::NoUnwindInfoForAddress)
        }
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

/// A module's `.eh_frame_hdr`: where functions begin, sorted, and where their FDEs are. gimli reads it too, but trusts it.
struct Table {
    /// Where it lies.
    header: u64,
    /// Where `.eh_frame` lies.
    section: u64,
    /// Pairs of distances from the header: to the function, to its FDE.
    rows: &'static [[i32; 2]],
}

impl Table {
    fn parse(header: u64, bytes: &'static [u8]) -> gimli::Result<Table> {
        // Linux Standard Base, 10.6: version 1; then how the section's address, the number of rows and the rows are
        // encoded. All linkers do it in this way: relative to its place, 4 bytes, relative to the header.
        const HEAD: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        let unsupported = gimli::Error::UnsupportedPointerEncoding(gimli::DW_EH_PE_omit);
        let number = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes));
        let (Some(section), Some(count), true) = (number(4), number(8), bytes.starts_with(&HEAD)) else {
            return Err(unsupported);
        };
        let most = (bytes.len() - 12) / size_of::<[i32; 2]>();
        let rows = bytes[12..].as_ptr().cast::<[i32; 2]>();
        if !rows.is_aligned() {
            return Err(unsupported);
        }
        // SAFETY: aligned, and so many lie within the bytes; all bit patterns are numbers.
        let rows = unsafe { std::slice::from_raw_parts(rows, most.min(count as u32 as usize)) };
        Ok(Table { header, section: (header + 4).wrapping_add_signed(i64::from(section)), rows })
    }

    /// The FDE of the last function that begins at or before a pc.
    fn look_up(&self, pc: u64) -> Option<u64> {
        let distance = i32::try_from(pc.wrapping_sub(self.header).cast_signed()).ok()?;
        let behind = self.rows.partition_point(|[function, _]| *function <= distance);
        let [_, entry] = self.rows.get(behind.checked_sub(1)?)?;
        Some(self.header.wrapping_add_signed(i64::from(*entry)))
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
    let (text_start, text_end) = modules.of_code(pc)?.1.text;
    let (start, end) = (function.start(), function.entry.end_address().min(text_end));
    if keeps_frame_pointer && text_start <= start && start <= end {
        // SAFETY: code of a module, which is mapped.
        let code = unsafe { bytes_at(start, end) };
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
