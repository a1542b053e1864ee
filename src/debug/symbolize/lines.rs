//! A unit's line program: from addresses to lines, and from file numbers to names.
//!
//! gimli reads the file table into vectors; here it is read anew for each name that is asked for. The machine is that of
//! DWARF 5, section 6.2.
//!
//! *No allocation, no locks, bounded loops*; and no trust: the bytes may be anything.

use gimli::{
    AttributeSpecification, AttributeValue, DwAt, DwForm, Encoding, Error, Reader as _, Result, constants,
};

use super::entries::{Unit, read_form};
use super::image::{Bytes, Image};

/// Columns of a file table, as DWARF 5 describes it: five are known.
const MOST_COLUMNS: usize = 8;

/// What precedes the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    encoding: Encoding,
    minimum_instruction: u64,
    line_base: i64,
    line_range: u8,
    opcode_base: u8,
    operand_counts: Bytes<'a>,
    /// Folders, then files.
    tables: Bytes<'a>,
    program: Bytes<'a>,
}

/// What the program says of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) file: u64,
    /// 0: the compiler made this code of no line in particular.
    pub(super) line: u64,
    /// The last line before it that is one, and its file: the row's own may be any.
    pub(super) nearest: u64,
    pub(super) nearest_file: u64,
}

/// A file's name, in parts as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub(super) directory: &'a [u8],
    pub(super) name: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Reads what precedes the program at an offset of `.debug_line`.
    pub(super) fn at(image: &Image<'a>, offset: usize) -> Result<Lines<'a>> {
        let mut section = image.line;
        section.skip(offset)?;
        let (length, format) = section.read_initial_length()?;
        let mut reader = section.split(length)?;
        let version = reader.read_u16()?;
        if !(2..=5).contains(&version) {
            return Err(Error::UnknownVersion(u64::from(version)));
        }
        let mut address_size = 8;
        if version >= 5 {
            address_size = reader.read_u8()?;
            reader.read_u8()?;
        }
        let header_length = reader.read_length(format)?;
        let mut header = reader.split(header_length)?;
        let program = reader;
        let encoding = Encoding { format, version, address_size };
        let minimum_instruction = u64::from(header.read_u8()?);
        if version >= 4 {
            header.read_u8()?;
        }
        header.read_u8()?;
        let line_base = i64::from(header.read_i8()?);
        let line_range = header.read_u8()?;
        let opcode_base = header.read_u8()?;
        if line_range == 0 {
            return Err(Error::LineRangeZero);
        }
        if opcode_base == 0 {
            return Err(Error::OpcodeBaseZero);
        }
        let operand_counts = header.split(usize::from(opcode_base) - 1)?;
        Ok(Lines {
            encoding,
            minimum_instruction,
            line_base,
            line_range,
            opcode_base,
            operand_counts,
            tables: header,
            program,
        })
    }

    /// Runs the program, and shows each pair of neighbouring rows of a sequence as [address, next address) and the row.
    #[allow(non_upper_case_globals, reason = "DWARF's own names")]
    pub(super) fn each_row(&self, mut show: impl FnMut(u64, u64, Row)) -> Result<()> {
        use constants::*;
        let mut program = self.program;
        let start = Machine { address: 0, file: 1, line: 1, nearest: 1, nearest_file: 1 };
        let mut machine = start;
        let mut previous: Option<Machine> = None;
        while !program.is_empty() {
            let opcode = program.read_u8()?;
            if opcode >= self.opcode_base {
                let adjusted = opcode - self.opcode_base;
                machine.advance(u64::from(adjusted / self.line_range).wrapping_mul(self.minimum_instruction));
                let step = self.line_base + i64::from(adjusted % self.line_range);
                machine.step_line(step);
                machine.emit(&mut previous, &mut show);
                continue;
            }
            match DwLns(opcode) {
                // An extended one.
                DwLns(0) => {
                    let length = program.read_uleb128()?;
                    let length = usize::try_from(length).map_err(|_| Error::UnsupportedOffset)?;
                    let mut operands = program.split(length)?;
                    if operands.is_empty() {
                        continue;
                    }
                    match DwLne(operands.read_u8()?) {
                        DW_LNE_end_sequence => {
                            machine.emit(&mut previous, &mut show);
                            previous = None;
                            machine = start;
                        }
                        DW_LNE_set_address => {
                            machine.address = operands.read_address(self.encoding.address_size)?;
                        }
                        _ => {}
                    }
                }
                DW_LNS_copy => machine.emit(&mut previous, &mut show),
                DW_LNS_advance_pc => {
                    machine.advance(program.read_uleb128()?.wrapping_mul(self.minimum_instruction));
                }
                DW_LNS_advance_line => machine.step_line(program.read_sleb128()?),
                DW_LNS_set_file => machine.file = program.read_uleb128()?,
                DW_LNS_const_add_pc => {
                    let adjusted = (255 - self.opcode_base) / self.line_range;
                    machine.advance(u64::from(adjusted).wrapping_mul(self.minimum_instruction));
                }
                DW_LNS_fixed_advance_pc => machine.advance(u64::from(program.read_u16()?)),
                DwLns(other) => {
                    // Of the others it only matters how many operands they have.
                    let count = self.operand_counts.slice().get(usize::from(other) - 1).copied();
                    for _ in 0..count.unwrap_or(0) {
                        program.read_uleb128()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The name of a file.
    pub(super) fn file(&self, image: &Image<'a>, unit: &Unit<'a>, index: u64) -> Option<File<'a>> {
        if self.encoding.version <= 4 { self.file_of_old(index) } else { self.file_of_5(image, unit, index) }
    }

    /// Up to DWARF 4: strings, one after the other, counted from 1; directory 0 is the unit's.
    fn file_of_old(&self, index: u64) -> Option<File<'a>> {
        let directories = self.tables;
        let mut reader = directories;
        while !reader.read_null_terminated_slice().ok()?.is_empty() {}
        let mut number = 1;
        loop {
            let name = reader.read_null_terminated_slice().ok()?;
            if name.is_empty() {
                return None;
            }
            let directory = reader.read_uleb128().ok()?;
            reader.read_uleb128().ok()?;
            reader.read_uleb128().ok()?;
            if number == index {
                return Some(File {
                    directory: old_directory(directories, directory).unwrap_or_default(),
                    name: name.slice(),
                });
            }
            number += 1;
        }
    }

    /// DWARF 5: tables that say what their columns are, counted from 0; directory 0 is the unit's.
    fn file_of_5(&self, image: &Image<'a>, unit: &Unit<'a>, index: u64) -> Option<File<'a>> {
        let mut reader = self.tables;
        let directory_columns = Columns::read(&mut reader).ok()?;
        let directory_count = reader.read_uleb128().ok()?;
        let directories = reader;
        for _ in 0..directory_count {
            directory_columns.row(self.encoding, &mut reader).ok()?;
        }
        let file_columns = Columns::read(&mut reader).ok()?;
        let file_count = reader.read_uleb128().ok()?;
        if index >= file_count {
            return None;
        }
        for _ in 0..index {
            file_columns.row(self.encoding, &mut reader).ok()?;
        }
        let (name, wanted) = file_columns.row(self.encoding, &mut reader).ok()?;
        let name = unit.string(image, name?)?;
        let mut reader = directories;
        let mut directory = None;
        if wanted != 0 && wanted < directory_count {
            for _ in 0..wanted {
                directory_columns.row(self.encoding, &mut reader).ok()?;
            }
            directory = directory_columns.row(self.encoding, &mut reader).ok()?.0;
        }
        let directory = directory.and_then(|value| unit.string(image, value)).unwrap_or_default();
        Some(File { directory, name })
    }
}

fn old_directory(mut directories: Bytes<'_>, wanted: u64) -> Option<&[u8]> {
    let mut number = 1;
    loop {
        let directory = directories.read_null_terminated_slice().ok()?;
        if directory.is_empty() {
            return None;
        }
        if number == wanted {
            return Some(directory.slice());
        }
        number += 1;
    }
}

/// The line machine's registers, as far as they matter here.
#[derive(Clone, Copy)]
struct Machine {
    address: u64,
    file: u64,
    line: u64,
    nearest: u64,
    nearest_file: u64,
}

impl Machine {
    fn advance(&mut self, by: u64) {
        self.address = self.address.wrapping_add(by);
    }

    fn step_line(&mut self, by: i64) {
        self.line = self.line.wrapping_add_signed(by);
    }

    /// Ends the previous row where this one begins.
    #[inline]
    fn emit(&mut self, previous: &mut Option<Machine>, show: &mut impl FnMut(u64, u64, Row)) {
        if self.line != 0 {
            (self.nearest, self.nearest_file) = (self.line, self.file);
        }
        if let Some(row) = previous
            && row.address < self.address
        {
            let Machine { file, line, nearest, nearest_file, .. } = *row;
            show(row.address, self.address, Row { file, line, nearest, nearest_file });
        }
        *previous = Some(*self);
    }
}

/// What the columns of a DWARF 5 table are.
struct Columns {
    columns: [(u16, DwForm); MOST_COLUMNS],
    count: usize,
}

impl Columns {
    fn read(reader: &mut Bytes<'_>) -> Result<Columns> {
        let mut columns = Columns { columns: [(0, DwForm(0)); MOST_COLUMNS], count: 0 };
        columns.count = usize::from(reader.read_u8()?);
        let places = columns.columns.get_mut(..columns.count).ok_or(Error::UnsupportedOffset)?;
        for place in places {
            let content = u16::try_from(reader.read_uleb128()?).map_err(|_| Error::UnsupportedOffset)?;
            let form = u16::try_from(reader.read_uleb128()?).map_err(|_| Error::UnsupportedOffset)?;
            // Its value would stand in an abbreviation.
            if DwForm(form) == constants::DW_FORM_implicit_const {
                return Err(Error::UnsupportedOffset);
            }
            *place = (content, DwForm(form));
        }
        Ok(columns)
    }

    /// A row's path, and its directory's number.
    fn row<'a>(
        &self,
        encoding: Encoding,
        reader: &mut Bytes<'a>,
    ) -> Result<(Option<AttributeValue<Bytes<'a>>>, u64)> {
        let (mut path, mut directory) = (None, 0);
        let length = reader.len();
        for (content, form) in &self.columns[..self.count] {
            let specification = AttributeSpecification::new(DwAt(0), *form, None);
            let attribute = read_form(encoding, reader, specification)?;
            match constants::DwLnct(*content) {
                constants::DW_LNCT_path => path = Some(attribute.value()),
                constants::DW_LNCT_directory_index => directory = attribute.udata_value().unwrap_or(0),
                _ => {}
            }
        }
        // A table of rows without bytes would have any number of them.
        if reader.len() == length {
            return Err(Error::UnsupportedOffset);
        }
        Ok((path, directory))
    }
}

#[cfg(test)]
mod tests {
    use gimli::{EndianSlice, Format, LittleEndian};

    use super::*;

    #[test]
    fn code_of_no_line_is_told_by_the_line_before_and_its_file() {
        // Set file 6, advance the line to 253, copy; set file 1, advance the line to 0, 10 bytes on, copy; 7 on, the end.
        let program = [4, 6, 3, 0xfc, 1, 1, 4, 1, 3, 0x83, 0x7e, 2, 10, 1, 2, 7, 0, 1, 1];
        let none = EndianSlice::new(&[], LittleEndian);
        let lines = Lines {
            encoding: Encoding { format: Format::Dwarf32, version: 4, address_size: 8 },
            minimum_instruction: 1,
            line_base: -5,
            line_range: 14,
            opcode_base: 13,
            operand_counts: none,
            tables: none,
            program: EndianSlice::new(&program, LittleEndian),
        };
        let mut rows = Vec::new();
        lines.each_row(|start, end, row| rows.push((start, end, row))).unwrap();
        let row = |file, line| Row { file, line, nearest: 253, nearest_file: 6 };
        assert_eq!(rows, [(0, 10, row(6, 253)), (10, 17, row(1, 0))]);
    }
}
