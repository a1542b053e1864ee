//! The abbreviations of a unit: what each kind of entry consists of.
//!
//! gimli keeps them in a tree on the heap; here a table says where each one's declaration lies. What is declared is read
//! there each time.
//!
//! *No allocation, no locks, bounded loops*; and no trust: the bytes may be anything.

use gimli::{AttributeSpecification, DwAt, DwForm, DwTag, Encoding, Error, Reader as _, Result, constants};

use super::image::Bytes;

/// Codes that have a place in the table; compilers count from 1, and few units have 500. Others are searched for.
const MOST: usize = 4096;

/// Which unit's abbreviations these are: where they begin, and how the unit writes numbers.
type Key = (usize, Encoding);

/// See the module.
pub(super) struct Abbreviations {
    /// By code.
    shapes: [Shape; MOST],
    loaded: Option<Key>,
    highest: usize,
}

/// What can be said of a kind of entry without reading its declaration. A walk looks at hundreds of thousands of entries
/// only to skip them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Where the declaration begins, behind its code, and one more; 0 = there is none.
    place: u32,
    /// Bytes of all attributes together, if that is always the same.
    pub(super) size: Option<u16>,
    pub(super) kind: EntryKind,
    pub(super) has_children: bool,
    pub(super) code: Code,
}

/// How an entry tells where its code lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// It has none.
    None,
    /// In one piece: so many bytes into the attributes stands its address, and at the other place its size, of 4 bytes.
    Here { address: u16, size: u16 },
    /// In a way that has to be parsed.
    Elsewhere,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Other,
    Function,
    Inlined,
}

/// What an entry consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declaration<'a> {
    pub(super) kind: EntryKind,
    pub(super) has_children: bool,
    specifications: Bytes<'a>,
}

impl Abbreviations {
    const NONE: Shape =
        Shape { place: 0, size: None, kind: EntryKind::Other, has_children: false, code: Code::None };

    /// Makes an empty table of memory of any content. It is large, so that it is made where it is to be.
    ///
    /// # Safety
    /// There is memory for one at `place`, which nobody else uses.
    pub(super) unsafe fn write_empty(place: *mut Abbreviations) {
        // SAFETY: as the caller says.
        unsafe {
            let shapes = (&raw mut (*place).shapes).cast::<Shape>();
            (0..MOST).for_each(|at| shapes.add(at).write(Self::NONE));
            (&raw mut (*place).loaded).write(None);
            (&raw mut (*place).highest).write(0);
        }
    }

    /// Makes the table that of the abbreviations which begin at `base`.
    pub(super) fn load(&mut self, section: Bytes<'_>, base: usize, encoding: Encoding) -> Result<()> {
        if self.loaded == Some((base, encoding)) {
            return Ok(());
        }
        self.loaded = None;
        self.shapes[..=self.highest].fill(Self::NONE);
        self.highest = 0;
        let mut reader = section;
        reader.skip(base)?;
        loop {
            let code = reader.read_uleb128()?;
            if code == 0 {
                break;
            }
            let place = u32::try_from(reader.offset_from(section)).map_err(|_| Error::UnsupportedOffset)?;
            let declaration = Declaration::read(&mut reader)?;
            let mut specifications = declaration.specifications();
            let (mut size, mut address_at, mut size_at, mut is_elsewhere) = (Some(0_u16), None, None, false);
            while let Some(specification) = specifications.next()? {
                match (specification.name(), specification.form()) {
                    (constants::DW_AT_low_pc, constants::DW_FORM_addr) if encoding.address_size == 8 => {
                        address_at = size;
                    }
                    (constants::DW_AT_high_pc, constants::DW_FORM_data4) => size_at = size,
                    (constants::DW_AT_low_pc | constants::DW_AT_high_pc | constants::DW_AT_ranges, _) => {
                        is_elsewhere = true;
                    }
                    _ => {}
                }
                let add = fixed_size(specification.form(), encoding);
                size = size.zip(add).and_then(|(size, add)| size.checked_add(add));
            }
            let tells = match (address_at, size_at) {
                (Some(address), Some(size)) if !is_elsewhere => Code::Here { address, size },
                (None, None) if !is_elsewhere => Code::None,
                _ => Code::Elsewhere,
            };
            reader = specifications.0;
            if let Some(shape) = usize::try_from(code).ok().and_then(|code| self.shapes.get_mut(code)) {
                let Declaration { kind, has_children, .. } = declaration;
                *shape = Shape { place: place.saturating_add(1), size, kind, has_children, code: tells };
                self.highest = self.highest.max(code as usize);
            }
        }
        self.loaded = Some((base, encoding));
        Ok(())
    }

    /// The shape of a code, if the table is that of a unit's abbreviations, and has a place for it.
    #[inline]
    pub(super) fn shape(&self, code: u64) -> Option<Shape> {
        self.shapes.get(code as usize).copied().filter(|shape| shape.place != 0)
    }

    pub(super) fn is_loaded(&self, base: usize, encoding: Encoding) -> bool {
        self.loaded == Some((base, encoding))
    }

    /// The declaration of a code among those which begin at `base`.
    pub(super) fn get<'a>(&self, section: Bytes<'a>, base: usize, code: u64) -> Result<Declaration<'a>> {
        let mut reader = section;
        let is_loaded = self.loaded.is_some_and(|(loaded, _)| loaded == base);
        if is_loaded && let Some(shape) = usize::try_from(code).ok().and_then(|code| self.shapes.get(code)) {
            let place = shape.place.checked_sub(1).ok_or(Error::InvalidAbbreviationCode(code))?;
            reader.skip(place as usize)?;
            return Declaration::read(&mut reader);
        }
        reader.skip(base)?;
        loop {
            let found = reader.read_uleb128()?;
            if found == 0 {
                return Err(Error::InvalidAbbreviationCode(code));
            }
            let declaration = Declaration::read(&mut reader)?;
            if found == code {
                return Ok(declaration);
            }
            let mut specifications = declaration.specifications();
            while specifications.next()?.is_some() {}
            reader = specifications.0;
        }
    }
}

impl<'a> Declaration<'a> {
    /// Reads what stands behind a code, up to the attributes.
    fn read(reader: &mut Bytes<'a>) -> Result<Declaration<'a>> {
        let kind = match u16::try_from(reader.read_uleb128()?).map(DwTag) {
            Ok(constants::DW_TAG_subprogram) => EntryKind::Function,
            Ok(constants::DW_TAG_inlined_subroutine) => EntryKind::Inlined,
            _ => EntryKind::Other,
        };
        let has_children = reader.read_u8()? == constants::DW_CHILDREN_yes.0;
        Ok(Declaration { kind, has_children, specifications: *reader })
    }

    pub(super) fn specifications(&self) -> Specifications<'a> {
        Specifications(self.specifications)
    }
}

/// The attributes of a declaration, one after the other.
pub(super) struct Specifications<'a>(Bytes<'a>);

impl Specifications<'_> {
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<AttributeSpecification>> {
        let name = self.0.read_uleb128()?;
        let form = self.0.read_uleb128()?;
        if name == 0 && form == 0 {
            return Ok(None);
        }
        let form = DwForm(u16::try_from(form).map_err(|_| Error::AttributeFormZero)?);
        let constant =
            if form == constants::DW_FORM_implicit_const { Some(self.0.read_sleb128()?) } else { None };
        let name = DwAt(u16::try_from(name).map_err(|_| Error::AttributeNameZero)?);
        Ok(Some(AttributeSpecification::new(name, form, constant)))
    }
}

/// The size of a value, if all values of the form have the same.
#[allow(non_upper_case_globals, reason = "DWARF's own names")]
fn fixed_size(form: DwForm, encoding: Encoding) -> Option<u16> {
    use constants::*;
    Some(match form {
        DW_FORM_flag_present | DW_FORM_implicit_const => 0,
        DW_FORM_data1 | DW_FORM_flag | DW_FORM_ref1 | DW_FORM_strx1 | DW_FORM_addrx1 => 1,
        DW_FORM_data2 | DW_FORM_ref2 | DW_FORM_strx2 | DW_FORM_addrx2 => 2,
        DW_FORM_data4 | DW_FORM_ref4 | DW_FORM_strx4 | DW_FORM_addrx4 => 4,
        DW_FORM_data8 | DW_FORM_ref8 | DW_FORM_ref_sig8 => 8,
        DW_FORM_data16 => 16,
        DW_FORM_strp | DW_FORM_line_strp | DW_FORM_sec_offset => u16::from(encoding.format.word_size()),
        DW_FORM_addr => u16::from(encoding.address_size),
        _ => return None,
    })
}

/// Skips a value; says `false` if the form is one that has to be parsed to be skipped.
#[allow(non_upper_case_globals, reason = "DWARF's own names")]
pub(super) fn skip(reader: &mut Bytes<'_>, form: DwForm, encoding: Encoding) -> Result<bool> {
    use constants::*;
    let size = match form {
        DW_FORM_exprloc | DW_FORM_block => {
            let length = reader.read_uleb128()?;
            usize::try_from(length).map_err(|_| Error::UnsupportedOffset)?
        }
        DW_FORM_block1 => usize::from(reader.read_u8()?),
        DW_FORM_udata | DW_FORM_sdata | DW_FORM_strx | DW_FORM_addrx | DW_FORM_ref_udata
        | DW_FORM_rnglistx | DW_FORM_loclistx => {
            reader.read_uleb128()?;
            0
        }
        DW_FORM_string => {
            reader.read_null_terminated_slice()?;
            0
        }
        _ => match fixed_size(form, encoding) {
            Some(size) => usize::from(size),
            None => return Ok(false),
        },
    };
    reader.skip(size)?;
    Ok(true)
}
