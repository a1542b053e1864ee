//! The debug ABI as an outsider reads it: a second reading of what src/abi/descriptor.rs writes.
//!
//! It knows the header's first 40 bytes and the shapes of three kinds of row, and nothing else: what a table
//! holds, where a field lies and what a number means it takes from the process ([`Meanings`]). So a test that reads by
//! it shows that the process describes itself well enough.

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

/// What the tables say of rows and numbers: all that is needed to understand a row without another look at them.
#[derive(Clone, Debug)]
pub(crate) struct Meanings {
    pub(crate) class_fields: Fields,
    pub(crate) worker_fields: Fields,
    pub(crate) record_fields: Fields,
    states: BTreeMap<u64, String>,
    flags: BTreeMap<u64, String>,
    kinds: BTreeMap<u64, String>,
    wait_reasons: BTreeMap<u64, String>,
    /// Of each wait reason: what its object is.
    wait_objects: BTreeMap<String, String>,
    state_word: BTreeMap<String, u64>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coroutine {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) parent: u64,
    pub(crate) worker: u64,
    pub(crate) state: String,
    pub(crate) flags: Vec<String>,
    pub(crate) generation: u64,
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
    /// While free: the next one in its class's queue.
    pub(crate) next_free: u32,
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

    /// What lies at an address: a row of no table, with the fields that a table says it has.
    pub(crate) fn row_at<'f>(&self, address: u64, fields: &'f Fields) -> Result<Row<'f>, String> {
        let length = fields.values().map(|field| field.offset + field.size).max().unwrap_or(0);
        Ok(Row { bytes: read(self.image, address, length)?, fields })
    }

    /// The header at an address (its own, or its copy's), with the fields that the table says it has.
    pub(crate) fn header_row<'f>(&self, address: u64, fields: &'f Fields) -> Result<Row<'f>, String> {
        Ok(Row { bytes: read(self.image, address, self.header.size as usize)?, fields })
    }

    /// Reads the tables that say what the others mean.
    pub(crate) fn meanings(&self) -> Result<Meanings, String> {
        let object_kinds = self.names("object kinds")?;
        let object = |(reason, kind): (String, u64)| {
            let kind =
                object_kinds.get(&kind).ok_or(format!("{reason}: there is no kind of object {kind}"))?;
            Ok::<_, String>((reason, kind.clone()))
        };
        Ok(Meanings {
            class_fields: self.fields("class fields")?,
            worker_fields: self.fields("worker fields")?,
            record_fields: self.fields("record fields")?,
            states: self.names("states")?,
            flags: self.names("flags")?,
            kinds: self.names("kinds")?,
            wait_reasons: self.names("wait reasons")?,
            wait_objects: self.numbers("wait objects")?.into_iter().map(object).collect::<Result<_, _>>()?,
            state_word: self.numbers("state word")?,
        })
    }

    /// The coroutines that live.
    pub(crate) fn coroutines(&self) -> Result<Vec<Coroutine>, String> {
        let meanings = self.meanings()?;
        let mut coroutines = Vec::new();
        for class in self.rows("classes", None, &meanings.class_fields)? {
            // Slots beyond were never in use, and a core need not have their records.
            let first = class.number("first_record") as u32;
            let used = first..first + class.number("used") as u32;
            for record in self.rows("records", Some(used), &meanings.record_fields)? {
                coroutines.push(meanings.coroutine(self.image, &record)?);
            }
        }
        coroutines.retain(|coroutine| coroutine.state != "free");
        Ok(coroutines)
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &str) -> Result<u32, String> {
        Ok(self.tables.get(table).ok_or(format!("there is no table `{table}`"))?.count)
    }

    /// The parts of a state word, by name.
    pub(crate) fn state_word(&self, value: u64) -> Result<BTreeMap<String, u64>, String> {
        let parts = self.numbers("state word")?;
        Ok(parts.into_iter().map(|(name, bits)| (name, (value & mask(bits)) >> (bits & 0xff))).collect())
    }

    /// Where a table's rows lie, and their stride.
    pub(crate) fn place(&self, table: &str) -> Result<(u64, u64), String> {
        let table = self.tables.get(table).ok_or(format!("there is no table `{table}`"))?;
        Ok((table.address, table.stride.into()))
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

impl Meanings {
    /// What a record says. `image` is asked for the path of the spawn site only.
    pub(crate) fn coroutine(&self, image: &dyn Image, record: &Row<'_>) -> Result<Coroutine, String> {
        let named = |what: &str, names: &BTreeMap<u64, String>, number: u64| {
            names.get(&number).cloned().ok_or(format!("{number} is no {what}"))
        };
        let word = record.number("state");
        let part = |name: &str| {
            let bits = *self.state_word.get(name).ok_or(format!("the state word has no part `{name}`"))?;
            Ok::<_, String>((word & mask(bits)) >> (bits & 0xff))
        };
        let (state, wait_reason) = (
            named("state", &self.states, part("state")?)?,
            named("wait reason", &self.wait_reasons, record.number("wait_reason"))?,
        );
        // A flag's number is its bit in the whole word.
        let flags = self.flags.iter().filter(|(bit, _)| word & **bit != 0);
        let known: u64 = self.flags.keys().sum();
        if word & mask(self.state_word["flags"]) & !known != 0 {
            return Err(format!("the state word {word:#x} has a flag that is in no table"));
        }
        let object_kind = self.wait_objects.get(&wait_reason).ok_or("a reason without a kind of object")?;
        let (file, length) = (record.number("spawn_file"), record.number("spawn_file_length"));
        let spawn_file = image.read(file, length as usize).ok();
        Ok(Coroutine {
            id: record.number("id"),
            name: record.text("name"),
            kind: named("kind", &self.kinds, record.number("kind"))?,
            parent: record.number("parent"),
            worker: record.number("worker"),
            state,
            flags: flags.map(|(_, name)| name.clone()).collect(),
            generation: part("generation")?,
            wait_object: (object_kind.clone(), record.number("wait_object")),
            wait_reason,
            wait_deadline: record.number("wait_deadline"),
            stack: record.number("stack_limit")..record.number("stack_top"),
            context: record.context("context"),
            link: record.number("link"),
            spawn_file: spawn_file.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            spawn_line: record.number("spawn_line"),
            next_free: record.number("next_free") as u32,
        })
    }

    /// How a record's context lies in it.
    pub(crate) fn context_offset(&self) -> u64 {
        self.record_fields["context"].offset as u64
    }
}

/// The bits of a part of the state word: its lowest bit, and its width in the next byte.
pub(crate) fn mask(bits: u64) -> u64 {
    let (shift, width) = (bits & 0xff, bits >> 8);
    ((1 << width) - 1) << shift
}

impl<'f> Row<'f> {
    /// A row that was read otherwise.
    pub(crate) fn new(bytes: &[u8], fields: &'f Fields) -> Row<'f> {
        Row { bytes: bytes.to_vec(), fields }
    }

    /// A field that is a number, of one to eight bytes.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let field = self.field(name);
        match field.size {
            1 => self.bytes[field.offset].into(),
            2 => u16::from_le_bytes([self.bytes[field.offset], self.bytes[field.offset + 1]]).into(),
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

    /// A queue of free slots: its head's tag, its first slot's index + 1, and how many it counts.
    pub(crate) fn free_queue(&self, name: &str) -> (u32, u32, u32) {
        let field = self.field(name);
        assert_eq!((field.kind.as_str(), field.size), ("free queue", 16), "`{name}`");
        let (head, count) = (word(&self.bytes, field.offset), word(&self.bytes, field.offset + 8));
        ((head >> 32) as u32, head as u32, count as u32)
    }

    /// A field of a kind, as it is.
    #[track_caller]
    pub(super) fn bytes(&self, name: &str, kind: &str) -> &[u8] {
        let field = self.field(name);
        assert_eq!(field.kind, kind, "`{name}`");
        &self.bytes[field.offset..][..field.size]
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
