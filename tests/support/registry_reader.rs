//! The debug ABI as an outsider reads it: a second reading of what src/abi/descriptor.rs writes.
//!
//! It knows the header's first 40 bytes and the shapes of three kinds of row, and nothing else: what a table
//! holds, where a field lies and what a number means it takes from the process. So a test that reads by it
//! shows that the process describes itself well enough.

use std::collections::BTreeMap;
use std::ops::Range;

use super::image::{Image, half_word, word};

/// The header's first 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) self_address: u64,
    pub(crate) version: (u32, u32),
    pub(crate) size: u32,
    table_count: u32,
    tables: u64,
}

impl Header {
    /// What stands at an address, believed or not.
    pub(crate) fn read(image: &dyn Image, address: u64) -> Result<Header, String> {
        let bytes = read(image, address, 40)?;
        Ok(Header {
            magic: bytes[..8].try_into().expect("eight bytes"),
            self_address: word(&bytes, 8),
            version: (half_word(&bytes, 16), half_word(&bytes, 20)),
            size: half_word(&bytes, 24),
            table_count: half_word(&bytes, 28),
            tables: word(&bytes, 32),
        })
    }
}

/// A row of the table of tables: 40 bytes.
#[derive(Clone, Copy, Debug)]
struct Table {
    address: u64,
    stride: u32,
    count: u32,
}

/// A row of a table of fields: 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) offset: usize,
    pub(crate) size: usize,
    /// By its name in the table `field kinds`.
    pub(crate) kind: String,
    /// Of a register: its DWARF number.
    pub(crate) extra: u32,
}

/// The fields of one kind of row.
pub(crate) type Fields = BTreeMap<String, Field>;

/// One runtime's registry, in one image.
pub(crate) struct Registry<'i> {
    image: &'i dyn Image,
    header: Header,
    tables: BTreeMap<String, Table>,
}

/// One row, with the fields that its table has.
pub(crate) struct Row<'f> {
    bytes: Vec<u8>,
    fields: &'f Fields,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coroutine {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) parent: u64,
    pub(crate) state: String,
    pub(crate) flags: Vec<String>,
    pub(crate) wait_reason: String,
    /// What the object is, and the object.
    pub(crate) wait_object: (String, u64),
    pub(crate) wait_deadline: u64,
    pub(crate) stack: Range<u64>,
    /// Saved stack pointer and resume address.
    pub(crate) context: (u64, u64),
    pub(crate) link: u64,
    /// The file's path lies in read-only data, which a core doesn't have.
    pub(crate) spawn_file: Option<String>,
    pub(crate) spawn_line: u64,
}

impl<'i> Registry<'i> {
    /// Reads the table of tables, if there is a header at this address.
    pub(crate) fn at(image: &'i dyn Image, address: u64) -> Result<Registry<'i>, String> {
        let header = Header::read(image, address)?;
        if header.magic != *b"COROABI\0" || header.self_address != address {
            return Err(format!("no debug header at {address:#x}: {header:?}"));
        }
        if header.version.0 != 1 {
            return Err(format!("a debug ABI of version {:?}, and this reads 1", header.version));
        }
        let bytes = read(image, header.tables, header.table_count as usize * 40)?;
        let table = |row: &[u8]| {
            let table =
                Table { address: word(row, 24), stride: half_word(row, 32), count: half_word(row, 36) };
            (text(&row[..24]), table)
        };
        let tables = bytes.chunks_exact(40).map(table).collect();
        Ok(Registry { image, header, tables })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The names of all tables.
    pub(crate) fn table_names(&self) -> Vec<&str> {
        self.tables.keys().map(String::as_str).collect()
    }

    /// A table of names: what numbers mean. 32 bytes a row.
    pub(crate) fn names(&self, table: &str) -> Result<BTreeMap<u64, String>, String> {
        let rows = self.rows_of(table, None)?;
        Ok(rows.iter().map(|row| (word(row, 24), text(&row[..24]))).collect())
    }

    /// The same the other way round, for tables whose names are unique but not their numbers.
    pub(crate) fn numbers(&self, table: &str) -> Result<BTreeMap<String, u64>, String> {
        let rows = self.rows_of(table, None)?;
        Ok(rows.iter().map(|row| (text(&row[..24]), word(row, 24))).collect())
    }

    /// A table of fields.
    pub(crate) fn fields(&self, table: &str) -> Result<Fields, String> {
        let kinds = self.names("field kinds")?;
        let field = |row: &Vec<u8>| {
            let [offset, size, kind, extra] = [24, 28, 32, 36].map(|at| half_word(row, at));
            let kind = kinds.get(&kind.into()).ok_or(format!("{table}: there is no field kind {kind}"))?;
            Ok((
                text(&row[..24]),
                Field { offset: offset as usize, size: size as usize, kind: kind.clone(), extra },
            ))
        };
        self.rows_of(table, None)?.iter().map(field).collect()
    }

    /// The rows of a table, or some of them.
    pub(crate) fn rows<'f>(
        &self,
        table: &str,
        range: Option<Range<u32>>,
        fields: &'f Fields,
    ) -> Result<Vec<Row<'f>>, String> {
        let rows = self.rows_of(table, range)?;
        Ok(rows.into_iter().map(|bytes| Row { bytes, fields }).collect())
    }

    /// The header at an address (its own, or its copy's), with the fields that the table says it has.
    pub(crate) fn header_row<'f>(&self, address: u64, fields: &'f Fields) -> Result<Row<'f>, String> {
        Ok(Row { bytes: read(self.image, address, self.header.size as usize)?, fields })
    }

    /// The coroutines that live.
    pub(crate) fn coroutines(&self) -> Result<Vec<Coroutine>, String> {
        let (class_fields, record_fields) = (self.fields("class fields")?, self.fields("record fields")?);
        let mut coroutines = Vec::new();
        for class in self.rows("classes", None, &class_fields)? {
            // Slots beyond were never in use, and a core need not have their records.
            let first = class.number("first_record") as u32;
            let used = first..first + class.number("used") as u32;
            for record in self.rows("records", Some(used), &record_fields)? {
                coroutines.push(self.coroutine(&record)?);
            }
        }
        coroutines.retain(|coroutine| coroutine.state != "free");
        Ok(coroutines)
    }

    fn coroutine(&self, record: &Row<'_>) -> Result<Coroutine, String> {
        let named = |table: &str, number: u64| {
            let name = self.names(table)?.remove(&number);
            name.ok_or(format!("{number} is not in the table `{table}`"))
        };
        let parts = self.state_word(record.number("state"))?;
        let flags = self.names("flags")?;
        let wait_reason = named("wait reasons", record.number("wait_reason"))?;
        let object_kind =
            *self.numbers("wait objects")?.get(&wait_reason).ok_or("a reason without a kind of object")?;
        let (file, length) = (record.number("spawn_file"), record.number("spawn_file_length"));
        let spawn_file = self.image.read(file, length as usize).ok();
        Ok(Coroutine {
            id: record.number("id"),
            name: record.text("name"),
            kind: named("kinds", record.number("kind"))?,
            parent: record.number("parent"),
            state: named("states", parts["state"])?,
            // A flag's number is its bit in the whole word.
            flags: flags
                .into_iter()
                .filter(|(bit, _)| record.number("state") & bit != 0)
                .map(|(_, name)| name)
                .collect(),
            wait_reason,
            wait_object: (named("object kinds", object_kind)?, record.number("wait_object")),
            wait_deadline: record.number("wait_deadline"),
            stack: record.number("stack_limit")..record.number("stack_top"),
            context: record.context("context"),
            link: record.number("link"),
            spawn_file: spawn_file.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            spawn_line: record.number("spawn_line"),
        })
    }

    /// The parts of a state word, by name.
    pub(crate) fn state_word(&self, value: u64) -> Result<BTreeMap<String, u64>, String> {
        let parts = self.numbers("state word")?;
        Ok(parts.into_iter().map(|(name, bits)| (name, (value & mask(bits)) >> (bits & 0xff))).collect())
    }

    fn rows_of(&self, name: &str, range: Option<Range<u32>>) -> Result<Vec<Vec<u8>>, String> {
        let table = self.tables.get(name).ok_or(format!("there is no table `{name}`"))?;
        let range = range.unwrap_or(0..table.count);
        if range.end > table.count {
            return Err(format!("rows {range:?} of the {} of `{name}`", table.count));
        }
        let (stride, count) = (table.stride as usize, range.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let bytes = read(
            self.image,
            table.address + u64::from(range.start) * u64::from(table.stride),
            stride * count,
        )?;
        Ok(bytes.chunks_exact(stride).map(<[u8]>::to_vec).collect())
    }
}

/// The bits of a part of the state word: its lowest bit, and its width in the next byte.
pub(crate) fn mask(bits: u64) -> u64 {
    let (shift, width) = (bits & 0xff, bits >> 8);
    ((1 << width) - 1) << shift
}

impl Row<'_> {
    /// A field that is a number, of four or eight bytes.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let field = self.field(name);
        match field.size {
            4 => half_word(&self.bytes, field.offset).into(),
            8 => word(&self.bytes, field.offset),
            size => panic!("`{name}` is no number: it has {size} bytes"),
        }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let field = self.field(name);
        assert_eq!(field.kind, "text", "`{name}`");
        text(&self.bytes[field.offset..][..field.size])
    }

    /// Stack pointer and pc.
    pub(crate) fn context(&self, name: &str) -> (u64, u64) {
        let field = self.field(name);
        assert_eq!((field.kind.as_str(), field.size), ("context", 16), "`{name}`");
        (word(&self.bytes, field.offset), word(&self.bytes, field.offset + 8))
    }

    fn field(&self, name: &str) -> &Field {
        self.fields
            .get(name)
            .unwrap_or_else(|| panic!("there is no field `{name}` in {:?}", self.fields.keys()))
    }
}

fn read(image: &dyn Image, address: u64, length: usize) -> Result<Vec<u8>, String> {
    image.read(address, length).map_err(|error| format!("{length} bytes at {address:#x}: {error}"))
}

/// Text that is filled up with NULs.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
