//! An ELF file as bytes: the sections that debug information is in, the symbols, the build-id.
//!
//! *No allocation, no locks, bounded loops*; and no trust: the bytes may be anything.

use gimli::{DebugRanges, DebugRngLists, EndianSlice, LittleEndian, RangeLists};
use object::elf;
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable, Sym as _};

use crate::debug::modules::BuildId;

const LE: object::LittleEndian = object::LittleEndian;

type Header = elf::FileHeader64<object::LittleEndian>;
pub(super) type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image<'a> {
    data: &'a [u8],
    pub(super) info: Bytes<'a>,
    pub(super) abbreviations: Bytes<'a>,
    pub(super) aranges: Bytes<'a>,
    pub(super) line: Bytes<'a>,
    pub(super) strings: Bytes<'a>,
    pub(super) line_strings: Bytes<'a>,
    pub(super) string_offsets: Bytes<'a>,
    pub(super) addresses: Bytes<'a>,
    pub(super) ranges: RangeLists<Bytes<'a>>,
    /// Whether there is debug information that only a program could unpack.
    pub(crate) is_compressed: bool,
    /// Whether there is a table of all functions' symbols, not only of those for the dynamic linker.
    pub(crate) has_symbols: bool,
    pub(crate) build_id: BuildId,
}

impl<'a> Image<'a> {
    /// The image of a file; `None` if it isn't an ELF file for this machine.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Image<'a>> {
        let header = Header::parse(data).ok()?;
        let sections = header.sections(LE, data).ok()?;
        let mut is_compressed = false;
        let mut section = |name: &[u8]| {
            let found = sections.section_by_name(LE, name).and_then(|(_, section)| {
                if section.sh_flags(LE).contains(elf::SHF_COMPRESSED) {
                    is_compressed = true;
                    return None;
                }
                section.data(LE, data).ok()
            });
            EndianSlice::new(found.unwrap_or(&[]), LittleEndian)
        };
        let mut image = Image {
            data,
            info: section(b".debug_info"),
            abbreviations: section(b".debug_abbrev"),
            aranges: section(b".debug_aranges"),
            line: section(b".debug_line"),
            strings: section(b".debug_str"),
            line_strings: section(b".debug_line_str"),
            string_offsets: section(b".debug_str_offsets"),
            addresses: section(b".debug_addr"),
            ranges: RangeLists::new(
                DebugRanges::from(section(b".debug_ranges")),
                DebugRngLists::from(section(b".debug_rnglists")),
            ),
            is_compressed: false,
            has_symbols: false,
            build_id: BuildId::of_notes(section(b".note.gnu.build-id").slice()),
        };
        image.is_compressed = is_compressed;
        image.has_symbols =
            sections.symbols(LE, data, elf::SHT_SYMTAB).is_ok_and(|symbols| !symbols.is_empty());
        Some(image)
    }

    /// Whether there is anything to tell lines from.
    pub(crate) fn has_lines(&self) -> bool {
        !self.info.is_empty() && !self.line.is_empty()
    }

    /// Shows every function's symbol: its address, size and name.
    pub(super) fn each_function(&self, mut show: impl FnMut(u64, u64, &'a [u8])) {
        let Some(sections) = self.sections() else { return };
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let Ok(symbols) = sections.symbols(LE, self.data, kind) else { continue };
            for symbol in symbols.iter() {
                let is_function = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
                if is_function && let Ok(name) = symbol.name(LE, symbols.strings()) {
                    show(symbol.st_value(LE), symbol.st_size(LE), name);
                }
            }
        }
    }

    fn sections(&self) -> Option<SectionTable<'a, Header>> {
        Header::parse(self.data).ok()?.sections(LE, self.data).ok()
    }
}
