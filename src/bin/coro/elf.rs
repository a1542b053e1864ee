//! What ELF files say: whether a program or a library has a coroutine runtime, and of which program a core is.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::elf::{self, FileHeader64, NoteType};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache, ReadRef};

/// The owner of the note by which debuggers find the runtime: debug-docs/abi.md.
const OWNER: &[u8] = b"CoRo";

/// Bytes of a program header in a 64-bit file.
const PROGRAM_HEADER: u64 = 56;

const PAGE: u64 = 4096;
/// No real program or core has more bytes of notes.
const MOST_NOTES: u64 = 1 << 28;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Core,
    /// Something that can be started, or loaded.
    Program,
    /// No 64-bit ELF file, or one that can't be read.
    Other,
}

/// What the file at a path is; an error when it can't be opened.
pub(crate) fn kind(path: &Path) -> io::Result<Kind> {
    // A pipe would have us wait until somebody writes to it.
    if !fs::metadata(path)?.is_file() {
        return Ok(Kind::Other);
    }
    let cache = ReadCache::new(File::open(path)?);
    Ok(match header(&cache).map(|(header, endian)| header.e_type(endian)) {
        Some(elf::ET_CORE) => Kind::Core,
        Some(elf::ET_EXEC | elf::ET_DYN) => Kind::Program,
        _ => Kind::Other,
    })
}

/// How many bytes a core is short of what its headers promise: 0 if it is whole.
pub(crate) fn missing(core: &Path) -> io::Result<u64> {
    let file = File::open(core)?;
    let there = file.metadata()?.len();
    let cache = ReadCache::new(file);
    let promised = header(&cache).map_or(0, |(header, endian)| {
        let table = u64::from(header.e_phnum(endian)) * PROGRAM_HEADER;
        let segments = header.program_headers(endian, &cache).unwrap_or_default();
        let ends =
            segments.iter().map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
        ends.fold(header.e_phoff(endian).saturating_add(table), u64::max)
    });
    Ok(promised.saturating_sub(there))
}

/// Whether a program or a library has a coroutine runtime in it.
pub(crate) fn has_runtime(file: File) -> bool {
    let cache = ReadCache::new(file);
    let mut found = false;
    let _ = each_note(&cache, |owner, _, _| found |= owner == OWNER);
    found
}

/// A program as a core has it.
#[derive(Debug)]
pub(crate) struct Dumped {
    pub(crate) path: PathBuf,
    /// What tells one build from another, if linkers were asked for it.
    pub(crate) build_id: Option<Vec<u8>>,
}

/// The program of which a core is: the file that was mapped where its program headers were.
pub(crate) fn program_of_core(path: &Path) -> Option<Dumped> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let (mut headers, mut files) = (None, Vec::new());
    each_note(&cache, |_, kind, data| match kind {
        elf::NT_AUXV => headers = auxiliary(data, libc::AT_PHDR),
        elf::NT_FILE => files = mapped_files(data).unwrap_or_default(),
        _ => {}
    })?;
    let headers = headers?;
    let found = files.into_iter().find(|file| (file.start..file.end).contains(&headers))?;
    let build_id = first_page(&cache, found.start).and_then(build_id_in);
    Some(Dumped { path: PathBuf::from(OsStr::from_bytes(&found.path)), build_id })
}

/// The build id of a program.
pub(crate) fn build_id(program: &Path) -> Option<Vec<u8>> {
    build_id_in(&ReadCache::new(File::open(program).ok()?))
}

fn build_id_in<'a, R: ReadRef<'a>>(data: R) -> Option<Vec<u8>> {
    let mut found = None;
    each_note(data, |owner, kind, id| {
        if owner == b"GNU" && kind == elf::NT_GNU_BUILD_ID {
            found = Some(id.to_owned());
        }
    })?;
    found
}

/// The page of a core's memory at an address, as the kernel writes it of every ELF file that is mapped.
fn first_page<'a, R: ReadRef<'a>>(core: R, address: u64) -> Option<&'a [u8]> {
    let (header, endian) = header(core)?;
    header.program_headers(endian, core).ok()?.iter().find_map(|segment| {
        let inside = address.checked_sub(segment.p_vaddr(endian))?;
        let left = segment.p_filesz(endian).checked_sub(inside)?;
        core.read_bytes_at(segment.p_offset(endian).checked_add(inside)?, left.min(PAGE)).ok()
    })
}

fn header<'a, R: ReadRef<'a>>(data: R) -> Option<(&'a FileHeader64<Endianness>, Endianness)> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    Some((header, header.endian().ok()?))
}

/// Owner, type and content of each note; `None`: it is no ELF file.
fn each_note<'a, R: ReadRef<'a>>(data: R, mut see: impl FnMut(&[u8], NoteType, &'a [u8])) -> Option<()> {
    let (header, endian) = header(data)?;
    for segment in header.program_headers(endian, data).ok()? {
        // A file of somebody else's, with a hole in it, can say that it has any number of bytes.
        if segment.p_filesz(endian) > MOST_NOTES {
            continue;
        }
        let Ok(Some(mut notes)) = segment.notes(endian, data) else { continue };
        while let Ok(Some(note)) = notes.next() {
            see(note.name(), note.n_type(endian), note.desc());
        }
    }
    Some(())
}

/// The value of a kind in an auxiliary vector.
fn auxiliary(vector: &[u8], kind: u64) -> Option<u64> {
    let rows = vector.chunks_exact(16).map(|row| (word(row, 0), word(row, 8)));
    rows.into_iter().find(|(key, _)| *key == Some(kind))?.1
}

/// A file of which a part was mapped.
#[derive(Debug, PartialEq, Eq)]
struct MappedFile {
    start: u64,
    end: u64,
    path: Vec<u8>,
}

/// What a core's note NT_FILE has: a count and a page size, as many rows of start, end and offset, and as many paths.
fn mapped_files(note: &[u8]) -> Option<Vec<MappedFile>> {
    let count = usize::try_from(word(note, 0)?).ok()?;
    let rows = note.get(16..)?.get(..count.checked_mul(24)?)?;
    let paths = note.get(16 + rows.len()..)?.split(|byte| *byte == 0);
    let file = |(row, path): (&[u8], &[u8])| {
        Some(MappedFile { start: word(row, 0)?, end: word(row, 8)?, path: path.to_owned() })
    };
    rows.chunks_exact(24).zip(paths).map(file).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files_are_told_apart() {
        let kind = |path: &str| kind(Path::new(path)).map_err(|error| error.kind());
        assert_eq!(kind("/proc/self/exe"), Ok(Kind::Program));
        assert_eq!(kind(file!()), Ok(Kind::Other));
        assert_eq!(kind("/no/such/file"), Err(io::ErrorKind::NotFound));
        assert_eq!((kind("/"), kind("/dev/zero")), (Ok(Kind::Other), Ok(Kind::Other)));
    }

    #[test]
    fn notes_are_read_but_not_a_hole_of_a_tebibyte() {
        let owners = |size: u64| {
            let mut file = vec![0; 136];
            for (at, bytes) in [
                (0, &b"\x7fELF\x02\x01\x01"[..]),
                // The table: where, how large a row is, how many rows.
                (32, &64_u64.to_le_bytes()),
                (54, &[56, 0, 1, 0]),
                // Its row: type, offset and size.
                (64, &elf::PT_NOTE.0.to_le_bytes()),
                (72, &120_u64.to_le_bytes()),
                (96, &size.to_le_bytes()),
                // The note: an owner of 4 bytes, and nothing.
                (120, &[4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
                (132, b"GNU\0"),
            ] {
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            let path = std::env::temp_dir().join(format!("coro-notes.{}", std::process::id()));
            fs::write(&path, file).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(120 + size).unwrap();
            let mut owners = Vec::new();
            let seen = each_note(&ReadCache::new(File::open(&path).unwrap()), |owner, _, _| {
                owners.push(owner.to_owned());
            });
            fs::remove_file(path).unwrap();
            seen.map(|()| owners)
        };
        assert_eq!(owners(16), Some(vec![b"GNU".to_vec()]));
        assert_eq!(owners(1 << 40), Some(vec![]));
    }

    #[test]
    fn mapped_files_are_read_and_damage_is_none() {
        let mut note: Vec<u8> = Vec::new();
        for word in [2_u64, 4096, 0x1000, 0x2000, 0, 0x2000, 0x4000, 1] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"/bin/a\0/lib/b\0");
        let file = |start, end, path: &str| MappedFile { start, end, path: path.into() };
        let both = vec![file(0x1000, 0x2000, "/bin/a"), file(0x2000, 0x4000, "/lib/b")];
        assert_eq!(mapped_files(&note), Some(both));
        assert_eq!(mapped_files(&note[..40]), None, "rows are missing");
        note[..8].fill(0xff);
        assert_eq!(mapped_files(&note), None, "a count beyond everything");
        assert_eq!(mapped_files(&[]), None);
    }

    #[test]
    fn auxiliary_vectors_are_read() {
        let vector: Vec<u8> =
            [3_u64, 0x40, 9, 0x50, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!((auxiliary(&vector, 9), auxiliary(&vector, 5)), (Some(0x50), None));
    }
}
