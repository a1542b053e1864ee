//! Units of debug information and the entries in them: which function an address lies in, what was inlined there, and
//! what they are called.
//!
//! gimli parses the forms of attributes: its `EntriesRaw` allocates nothing as long as it is asked for no abbreviation.
//!
//! *No allocation, no locks, bounded loops*; and no trust: the bytes may be anything.

use gimli::{
    Attribute, AttributeSpecification, AttributeValue, DebugAddr, DebugAddrBase, DebugInfo, DebugInfoOffset,
    DebugLineStr, DebugRngListsBase, DebugStr, DebugStrOffsets, DebugStrOffsetsBase, EntriesRaw, Error,
    RangeListsOffset, Reader as _, Result, UnitHeader, UnitOffset, constants,
};

use super::abbreviations::{Abbreviations, Code, EntryKind, skip};
use super::image::{Bytes, Image};

type Value<'a> = AttributeValue<Bytes<'a>>;

/// From an inlined function to its abstract entry, to its declaration: compilers need two.
const LONGEST_CHAIN_OF_NAMES: u32 = 16;

/// A unit, with what its root says of all its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<'a> {
    pub(super) header: UnitHeader<Bytes<'a>>,
    pub(super) root: Entry<'a>,
    string_offsets: usize,
    addresses: usize,
    range_lists: usize,
    low: u64,
    /// Where the line program lies.
    pub(super) line: Option<usize>,
    pub(super) folder: &'a [u8],
    /// Whether the entries lie in another file.
    pub(super) is_split: bool,
}

/// An entry's attributes, as far as they matter here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry<'a> {
    low: Option<Value<'a>>,
    high: Option<Value<'a>>,
    ranges: Option<Value<'a>>,
    origin: Option<Value<'a>>,
    linkage_name: Option<Value<'a>>,
    name: Option<Value<'a>>,
    pub(super) call_file: u64,
    pub(super) call_line: u64,
}

/// What a function is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether it is a linker's name, to be translated.
    pub(crate) is_mangled: bool,
}

impl<'a> Unit<'a> {
    /// The unit at an offset of `.debug_info`.
    pub(super) fn at(image: &Image<'a>, abbreviations: &Abbreviations, offset: usize) -> Result<Unit<'a>> {
        let header = DebugInfo::from(image.info).header_from_offset(DebugInfoOffset(offset))?;
        Unit::new(image, abbreviations, header)
    }

    pub(super) fn new(
        image: &Image<'a>,
        abbreviations: &Abbreviations,
        header: UnitHeader<Bytes<'a>>,
    ) -> Result<Unit<'a>> {
        let mut unit = Unit {
            header,
            root: Entry::default(),
            string_offsets: 0,
            addresses: 0,
            range_lists: 0,
            low: 0,
            line: None,
            folder: &[],
            is_split: false,
        };
        let mut reader = header.range_from(header.root_offset()..)?;
        let code = reader.read_uleb128()?;
        let declaration = abbreviations.get(image.abbreviations, header.debug_abbrev_offset().0, code)?;
        let mut specifications = declaration.specifications();
        let mut folder = None;
        while let Some(specification) = specifications.next()? {
            let attribute = read_attribute(&header, &mut reader, specification)?;
            unit.root.take(&attribute);
            match (specification.name(), attribute.value()) {
                (constants::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => {
                    unit.line = Some(offset.0);
                }
                (constants::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                    unit.string_offsets = base.0;
                }
                (constants::DW_AT_addr_base, AttributeValue::DebugAddrBase(base)) => unit.addresses = base.0,
                (constants::DW_AT_rnglists_base, AttributeValue::DebugRngListsBase(base)) => {
                    unit.range_lists = base.0;
                }
                (constants::DW_AT_comp_dir, value) => folder = Some(value),
                (constants::DW_AT_dwo_name | constants::DW_AT_GNU_dwo_name, _) => unit.is_split = true,
                _ => {}
            }
        }
        // Only now: they need the bases.
        unit.low = unit.root.low.and_then(|value| unit.address(image, value)).unwrap_or(0);
        unit.folder = folder.and_then(|value| unit.string(image, value)).unwrap_or_default();
        Ok(unit)
    }

    /// Where its abbreviations begin.
    pub(super) fn abbreviations(&self) -> usize {
        self.header.debug_abbrev_offset().0
    }

    fn address(&self, image: &Image<'a>, value: Value<'a>) -> Option<u64> {
        match value {
            AttributeValue::Addr(address) => Some(address),
            AttributeValue::DebugAddrIndex(index) => DebugAddr::from(image.addresses)
                .get_address(self.header.address_size(), DebugAddrBase(self.addresses), index)
                .ok(),
            _ => None,
        }
    }

    pub(super) fn string(&self, image: &Image<'a>, value: Value<'a>) -> Option<&'a [u8]> {
        let string = match value {
            AttributeValue::String(string) => return Some(string.slice()),
            AttributeValue::DebugStrRef(offset) => DebugStr::from(image.strings).get_str(offset),
            AttributeValue::DebugLineStrRef(offset) => DebugLineStr::from(image.line_strings).get_str(offset),
            AttributeValue::DebugStrOffsetsIndex(index) => DebugStrOffsets::from(image.string_offsets)
                .get_str_offset(self.header.format(), DebugStrOffsetsBase(self.string_offsets), index)
                .and_then(|offset| DebugStr::from(image.strings).get_str(offset)),
            _ => return None,
        };
        string.ok().map(|string| string.slice())
    }

    /// Whether an entry's code lies at an address.
    pub(super) fn contains(&self, image: &Image<'a>, entry: &Entry<'a>, address: u64) -> bool {
        let mut contains = false;
        self.each_range(image, entry, |low, high| contains |= low <= address && address < high);
        contains
    }

    /// Shows the ranges of an entry's code.
    pub(super) fn each_range(&self, image: &Image<'a>, entry: &Entry<'a>, mut show: impl FnMut(u64, u64)) {
        if let Some(ranges) = entry.ranges {
            let offset = match ranges {
                AttributeValue::RangeListsRef(offset) => Ok(RangeListsOffset(offset.0)),
                AttributeValue::SecOffset(offset) => Ok(RangeListsOffset(offset)),
                AttributeValue::DebugRngListsIndex(index) => image.ranges.get_offset(
                    self.header.encoding(),
                    DebugRngListsBase(self.range_lists),
                    index,
                ),
                _ => return,
            };
            let addresses = DebugAddr::from(image.addresses);
            let ranges = offset.and_then(|offset| {
                let base = DebugAddrBase(self.addresses);
                image.ranges.ranges(offset, self.header.encoding(), self.low, &addresses, base)
            });
            let Ok(mut ranges) = ranges else { return };
            while let Ok(Some(range)) = ranges.next() {
                show(range.begin, range.end);
            }
            return;
        }
        let Some(low) = entry.low.and_then(|value| self.address(image, value)) else { return };
        let high = match entry.high {
            None => return,
            Some(value) => match value.udata_value() {
                Some(size) => low.saturating_add(size),
                None => match self.address(image, value) {
                    Some(high) => high,
                    None => return,
                },
            },
        };
        show(low, high);
    }

    /// The name of the function whose entry lies at an offset of the unit.
    pub(super) fn name_at(
        &self,
        image: &Image<'a>,
        abbreviations: &Abbreviations,
        offset: usize,
    ) -> Option<Name<'a>> {
        let mut unit = *self;
        let mut offset = offset;
        for _ in 0..LONGEST_CHAIN_OF_NAMES {
            let mut reader = unit.header.range_from(UnitOffset(offset)..).ok()?;
            let code = reader.read_uleb128().ok()?;
            let declaration = abbreviations.get(image.abbreviations, unit.abbreviations(), code).ok()?;
            let mut entry = Entry::default();
            let mut specifications = declaration.specifications();
            while let Some(specification) = specifications.next().ok()? {
                entry.take(&read_attribute(&unit.header, &mut reader, specification).ok()?);
            }
            for (value, is_mangled) in [(entry.linkage_name, true), (entry.name, false)] {
                if let Some(bytes) = value.and_then(|value| unit.string(image, value)) {
                    return Some(Name { bytes, is_mangled });
                }
            }
            match entry.origin? {
                AttributeValue::UnitRef(origin) => offset = origin.0,
                AttributeValue::DebugInfoRef(origin) => {
                    let header = header_around(image, origin)?;
                    offset = origin.to_unit_offset(&header)?.0;
                    unit = Unit::new(image, abbreviations, header).ok()?;
                }
                _ => return None,
            }
        }
        None
    }
}

/// The unit that an offset of `.debug_info` lies in.
fn header_around<'a>(image: &Image<'a>, offset: DebugInfoOffset) -> Option<UnitHeader<Bytes<'a>>> {
    let mut units = DebugInfo::from(image.info).units();
    while let Ok(Some(header)) = units.next() {
        if offset.to_unit_offset(&header).is_some() {
            return Some(header);
        }
    }
    None
}

impl<'a> Entry<'a> {
    #[allow(non_upper_case_globals, reason = "DWARF's own names")]
    pub(super) fn take(&mut self, attribute: &Attribute<Bytes<'a>>) {
        use constants::*;
        let value = attribute.value();
        match attribute.name() {
            DW_AT_low_pc => self.low = Some(value),
            DW_AT_high_pc => self.high = Some(value),
            DW_AT_ranges => self.ranges = Some(value),
            DW_AT_abstract_origin | DW_AT_specification => self.origin = Some(value),
            DW_AT_linkage_name | DW_AT_MIPS_linkage_name => self.linkage_name = Some(value),
            DW_AT_name => self.name = Some(value),
            DW_AT_call_line => self.call_line = attribute.udata_value().unwrap_or(0),
            DW_AT_call_file => {
                self.call_file = match value {
                    AttributeValue::FileIndex(index) => index,
                    _ => attribute.udata_value().unwrap_or(0),
                };
            }
            _ => {}
        }
    }
}

/// A function's entry, or one of a function that was inlined, as the walk comes by.
pub(super) struct Visited<'a> {
    pub(super) kind: EntryKind,
    pub(super) depth: usize,
    /// Where in the unit it lies.
    pub(super) offset: usize,
    pub(super) entry: Entry<'a>,
}

/// Who looks at the functions of a unit.
pub(super) trait Visitor<'a> {
    /// Whether the attributes of such an entry are to be read. `range`: where its code lies, if that is known already.
    fn wants(&mut self, kind: EntryKind, depth: usize, range: Option<(u64, u64)>) -> bool;

    fn visit(&mut self, visited: &Visited<'a>);
}

/// Walks a unit's entries in order, and stops at functions only.
pub(super) fn walk<'a>(
    image: &Image<'a>,
    abbreviations: &Abbreviations,
    unit: &Unit<'a>,
    visitor: &mut impl Visitor<'a>,
) -> Result<()> {
    let header = &unit.header;
    let encoding = header.encoding();
    let entries = header.range_from(header.root_offset()..)?;
    let start = header.root_offset().0;
    let is_loaded = abbreviations.is_loaded(unit.abbreviations(), encoding);
    let (bytes, mut at, mut depth) = (entries.slice(), 0, 0_usize);
    while at < bytes.len() {
        let offset = start + at;
        let code = read_code(bytes, &mut at)?;
        if code == 0 {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                break;
            }
            continue;
        }
        // Most entries are of no interest, and of a known size.
        if is_loaded
            && let Some(shape) = abbreviations.shape(code)
            && let Some(size) = shape.size
            && (shape.kind == EntryKind::Other
                || !visitor.wants(shape.kind, depth, range_of(shape.code, &bytes[at..])))
        {
            at += usize::from(size);
            depth += usize::from(shape.has_children);
            continue;
        }
        let declaration = abbreviations.get(image.abbreviations, unit.abbreviations(), code)?;
        let kind = declaration.kind;
        let mut reader = entries;
        reader.skip(at)?;
        let mut specifications = declaration.specifications();
        if kind != EntryKind::Other && visitor.wants(kind, depth, None) {
            let mut entry = Entry::default();
            while let Some(specification) = specifications.next()? {
                entry.take(&read_attribute(header, &mut reader, specification)?);
            }
            visitor.visit(&Visited { kind, depth, offset, entry });
        } else {
            while let Some(specification) = specifications.next()? {
                if !skip(&mut reader, specification.form(), encoding)? {
                    read_attribute(header, &mut reader, specification)?;
                }
            }
        }
        at = reader.offset_from(entries);
        depth += usize::from(declaration.has_children);
    }
    Ok(())
}

/// Where an entry's code lies, as told by its attributes' bytes.
#[inline]
fn range_of(code: Code, attributes: &[u8]) -> Option<(u64, u64)> {
    match code {
        Code::None => Some((0, 0)),
        Code::Elsewhere => None,
        Code::Here { address, size } => {
            let (_, address) = attributes.split_at_checked(usize::from(address))?;
            let (_, size) = attributes.split_at_checked(usize::from(size))?;
            let low = u64::from_le_bytes(*address.first_chunk()?);
            Some((low, low.saturating_add(u64::from(u32::from_le_bytes(*size.first_chunk()?)))))
        }
    }
}

/// Reads an abbreviation's code: an unsigned LEB128 number, in most cases of one byte.
#[inline]
fn read_code(bytes: &[u8], at: &mut usize) -> Result<u64> {
    let (mut code, mut shift) = (0, 0);
    while let Some(byte) = bytes.get(*at)
        && shift < u64::BITS
    {
        *at += 1;
        code |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(code);
        }
        shift += 7;
    }
    Err(Error::BadUnsignedLeb128)
}

/// Reads an attribute, and leaves the reader behind it.
pub(super) fn read_attribute<'a>(
    header: &UnitHeader<Bytes<'a>>,
    reader: &mut Bytes<'a>,
    specification: AttributeSpecification,
) -> Result<Attribute<Bytes<'a>>> {
    read_form(header.encoding(), reader, specification)
}

/// The same, where there is no unit.
pub(super) fn read_form<'a>(
    encoding: gimli::Encoding,
    reader: &mut Bytes<'a>,
    specification: AttributeSpecification,
) -> Result<Attribute<Bytes<'a>>> {
    // Nobody asks it for an abbreviation, so it needs none; an empty set is not on the heap.
    let none = gimli::Abbreviations::default();
    let mut entries = EntriesRaw::new(*reader, encoding, &none, UnitOffset(0));
    let attribute = entries.read_attribute(specification)?;
    let length = entries.next_offset().0;
    if length > reader.len() {
        return Err(Error::UnexpectedEof(reader.offset_id()));
    }
    reader.skip(length)?;
    Ok(attribute)
}
