//! The memory of another process or of a core, and the ELF note in it that leads to the debug header.
//!
//! Only what a reader needs that has neither symbols nor the executable: the auxiliary vector says where the
//! program headers lie, and one of those where the notes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A process's memory.
pub(crate) trait Image {
    /// Bytes at an address.
    fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The auxiliary vector, as the kernel gave it to the process.
    fn auxiliary_vector(&self) -> &[u8];
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    memory: File,
    auxiliary_vector: Vec<u8>,
}

impl Process {
    pub(crate) fn open(pid: u32) -> io::Result<Process> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        Ok(Process { memory, auxiliary_vector: fs::read(format!("/proc/{pid}/auxv"))? })
    }
}

impl Image for Process {
    fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    fn auxiliary_vector(&self) -> &[u8] {
        &self.auxiliary_vector
    }
}

/// An ELF core.
#[derive(Debug)]
pub(crate) struct Core {
    file: Vec<u8>,
    segments: Vec<ProgramHeader>,
    auxiliary_vector: Vec<u8>,
}

impl Core {
    pub(crate) fn open(path: &Path) -> io::Result<Core> {
        let file = fs::read(path)?;
        let not_a_core = || io::Error::new(io::ErrorKind::InvalidData, "not an ELF core of this machine");
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return Err(not_a_core());
        }
        // e_phoff, e_phentsize and e_phnum of Elf64_Ehdr.
        let (offset, size, count) = (word(&file, 32), half(&file, 54), half(&file, 56));
        let headers = file.get(offset as usize..).ok_or_else(not_a_core)?;
        let segments: Vec<_> = program_headers(headers, size.into()).take(count.into()).collect();
        let auxiliary_vector = segments
            .iter()
            .filter(|segment| segment.kind == libc::PT_NOTE)
            .flat_map(|segment| notes(&file[segment.offset as usize..][..segment.file_size as usize]))
            .find(|note| note.owner == b"CORE" && note.kind == NT_AUXV)
            .map(|note| note.payload.to_vec());
        Ok(Core { auxiliary_vector: auxiliary_vector.ok_or_else(not_a_core)?, segments, file })
    }
}

impl Image for Core {
    fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let holds = |segment: &&ProgramHeader| {
            segment.kind == libc::PT_LOAD
                && segment.address <= address
                && address + length as u64 <= segment.address + segment.file_size
        };
        let segment = self.segments.iter().find(holds).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{length} bytes at {address:#x} are not in the core"),
            )
        })?;
        let offset = (segment.offset + (address - segment.address)) as usize;
        Ok(self.file[offset..offset + length].to_vec())
    }

    fn auxiliary_vector(&self) -> &[u8] {
        &self.auxiliary_vector
    }
}

const NT_AUXV: u32 = 6;

/// The address of the debug header, by the ELF note of the executable.
pub(crate) fn header_by_note(image: &dyn Image) -> Result<u64, String> {
    let entry = |key| {
        let entries = image.auxiliary_vector().chunks_exact(16);
        let value = entries.map(|pair| (word(pair, 0), word(pair, 8))).find(|(k, _)| *k == key);
        value.map(|(_, value)| value).ok_or(format!("the auxiliary vector has no entry {key}"))
    };
    let (address, size, count) = (entry(libc::AT_PHDR)?, entry(libc::AT_PHENT)?, entry(libc::AT_PHNUM)?);
    let bytes =
        image.read(address, (size * count) as usize).map_err(|error| format!("program headers: {error}"))?;
    let headers: Vec<_> = program_headers(&bytes, size as usize).collect();
    // Where the executable lies, against where it was linked to.
    let own = headers.iter().find(|header| header.kind == libc::PT_PHDR);
    let bias = own.map_or(0, |header| address.wrapping_sub(header.address));
    for header in headers.iter().filter(|header| header.kind == libc::PT_NOTE) {
        let start = bias.wrapping_add(header.address);
        // A core need not have the pages of every note.
        let Ok(bytes) = image.read(start, header.file_size as usize) else { continue };
        let note = notes(&bytes).find(|note| note.owner == b"CoRo" && note.kind == 0x636f_726f);
        if let Some(Note { payload, offset, .. }) = note {
            // The payload is the header's distance from the payload.
            return Ok((start + offset as u64).wrapping_add(word(payload, 0)));
        }
    }
    Err("no note of owner CoRo and type 0x636f726f in the executable".into())
}

/// What of an Elf64_Phdr is needed.
#[derive(Clone, Copy, Debug)]
struct ProgramHeader {
    kind: u32,
    offset: u64,
    address: u64,
    file_size: u64,
}

fn program_headers(bytes: &[u8], size: usize) -> impl Iterator<Item = ProgramHeader> {
    bytes.chunks_exact(size).map(|header| ProgramHeader {
        kind: half_word(header, 0),
        offset: word(header, 8),
        address: word(header, 16),
        file_size: word(header, 32),
    })
}

struct Note<'a> {
    owner: &'a [u8],
    kind: u32,
    payload: &'a [u8],
    /// Of the payload, in the notes.
    offset: usize,
}

/// The notes of one segment. All parts are aligned to 4 bytes.
fn notes(bytes: &[u8]) -> impl Iterator<Item = Note<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = bytes.get(at..at + 12)?;
        let [owner, payload] = [half_word(head, 0), half_word(head, 4)].map(|length| length as usize);
        let offset = (at + 12 + owner).next_multiple_of(4);
        let note = Note {
            // Without the NUL.
            owner: bytes.get(at + 12..(at + 12 + owner).saturating_sub(1))?,
            kind: half_word(head, 8),
            payload: bytes.get(offset..offset + payload)?,
            offset,
        };
        at = (offset + payload).next_multiple_of(4);
        Some(note)
    })
}

/// A u64 in the machine's order.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// A u32 in the machine's order.
pub(crate) fn half_word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}
