//! The program and its libraries: where each one's code lies, and where its CFI.
//!
//! A crash can't ask the dynamic linker, whose lock may be held. So the list is made when a runtime starts, and again
//! at a heartbeat when something has been loaded or unloaded since. There are two lists: one for readers, and one which
//! is written and then takes its place.
//!
//! [`capture`] and [`refresh`] are not for signal handlers; all else is: *no allocation, no locks, bounded loops*.

use std::cell::UnsafeCell;
use std::hint;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::sys::loaded::{self, Loaded};

/// Modules that are kept; programs have five to fifty.
const MOST: usize = 256;
/// Bytes of a path that are kept. Of a longer one it is the end, by which it is known, but not found.
const PATH_LENGTH: usize = 232;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module {
    /// What its file's addresses have to be raised by.
    pub(crate) bias: u64,
    /// All of it lies in [start, end).
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Its executable part: [start, end).
    pub(crate) text: (u64, u64),
    /// Its table of FDEs: [start, end). Zeros: it has none.
    pub(crate) eh_frame_hdr: (u64, u64),
    /// Where the readable memory ends in which that table lies; the FDEs themselves are there, too.
    pub(crate) readable_end: u64,
    pub(crate) build_id: BuildId,
    pub(crate) is_program: bool,
    path: Path,
}

/// The build's number that the linker has put into a file. Empty: it hasn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuildId {
    bytes: [u8; 20],
    length: u8,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    bytes: [u8; PATH_LENGTH],
    length: u8,
}

/// All modules, as they were at a time.
#[derive(Debug)]
pub(crate) struct Modules {
    list: [Module; MOST],
    count: usize,
    /// How many there was no room for.
    pub(crate) dropped: usize,
    /// How often something had been loaded and unloaded then.
    changes: (u64, u64),
}

impl Module {
    const EMPTY: Module = Module {
        bias: 0,
        start: 0,
        end: 0,
        text: (0, 0),
        eh_frame_hdr: (0, 0),
        readable_end: 0,
        build_id: BuildId::EMPTY,
        is_program: false,
        path: Path { bytes: [0; PATH_LENGTH], length: 0 },
    };

    /// One whose CFI a test has put together; its code lies nowhere.
    #[cfg(test)]
    pub(crate) fn of_test(eh_frame_hdr: (u64, u64), readable: (u64, u64), text: (u64, u64)) -> Module {
        let (start, readable_end) = readable;
        Module { eh_frame_hdr, start, readable_end, end: readable_end, text, ..Module::EMPTY }
    }

    /// The path of its file, or the end of it.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path.bytes[..usize::from(self.path.length)]
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &[u8] {
        self.path().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

impl BuildId {
    pub(crate) const EMPTY: BuildId = BuildId { bytes: [0; 20], length: 0 };

    pub(crate) fn new(bytes: &[u8]) -> BuildId {
        let mut id = BuildId::EMPTY;
        if bytes.len() <= id.bytes.len() {
            id.bytes[..bytes.len()].copy_from_slice(bytes);
            id.length = bytes.len() as u8;
        }
        id
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The build-id among the notes of a file or of its memory image.
    pub(crate) fn of_notes(notes: &[u8]) -> BuildId {
        const NT_GNU_BUILD_ID: u32 = 3;
        let number = |at: usize| {
            let bytes = notes.get(at..at.checked_add(4)?)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let padded = |length: u32| (length as usize).checked_next_multiple_of(4);
        let mut at = 0;
        while let (Some(name), Some(content), Some(kind)) = (number(at), number(at + 4), number(at + 8)) {
            let Some((name_end, content_end)) = padded(name).and_then(|padded_name| {
                let name_end = (at + 12).checked_add(padded_name)?;
                Some((name_end, name_end.checked_add(padded(content)?)?))
            }) else {
                break;
            };
            if kind == NT_GNU_BUILD_ID
                && notes.get(at + 12..).is_some_and(|rest| rest.starts_with(b"GNU\0"))
                && let Some(id) =
                    name_end.checked_add(content as usize).and_then(|end| notes.get(name_end..end))
            {
                return BuildId::new(id);
            }
            at = content_end;
        }
        BuildId::EMPTY
    }
}

impl Modules {
    const EMPTY: Modules = Modules { list: [Module::EMPTY; MOST], count: 0, dropped: 0, changes: (0, 0) };

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Module> {
        self.list[..self.count].iter()
    }

    /// The module whose executable part an address lies in, and its number.
    pub(crate) fn of_code(&self, address: u64) -> Option<(usize, &Module)> {
        self.iter().enumerate().find(|(_, module)| module.text.0 <= address && address < module.text.1)
    }

    #[cfg(test)]
    pub(crate) fn of_test(module: Module) -> Box<Modules> {
        let mut modules = Box::new(Modules { count: 1, ..Modules::EMPTY });
        modules.list[0] = module;
        modules
    }

    fn fill(&mut self) {
        self.count = 0;
        self.dropped = 0;
        loaded::each(|loaded| {
            self.changes = loaded.changes;
            match self.list.get_mut(self.count) {
                Some(place) => {
                    *place = describe(loaded, self.count == 0);
                    self.count += 1;
                }
                None => self.dropped += 1,
            }
            true
        });
    }
}

fn describe(loaded: &Loaded<'_>, is_program: bool) -> Module {
    let mut module = Module { bias: loaded.bias, start: u64::MAX, is_program, ..Module::EMPTY };
    let span = |header: &libc::Elf64_Phdr| {
        let start = loaded.bias.wrapping_add(header.p_vaddr);
        (start, start.saturating_add(header.p_memsz))
    };
    let parts = || {
        loaded
            .headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD)
            .map(|header| (header, span(header)))
    };
    for (header, (start, end)) in parts() {
        module.start = module.start.min(start);
        module.end = module.end.max(end);
        if header.p_flags & libc::PF_X != 0 {
            let (known_start, known_end) = module.text;
            module.text =
                if known_end == 0 { (start, end) } else { (known_start.min(start), known_end.max(end)) };
        }
    }
    for header in loaded.headers {
        let (start, end) = span(header);
        let Some((_, (_, readable_end))) =
            parts().find(|(part, (from, to))| part.p_flags & libc::PF_R != 0 && *from <= start && end <= *to)
        else {
            continue;
        };
        match header.p_type {
            libc::PT_GNU_EH_FRAME => {
                module.eh_frame_hdr = (start, end);
                module.readable_end = readable_end;
            }
            libc::PT_NOTE if module.build_id == BuildId::EMPTY => {
                // SAFETY: it lies in a part of the module that is mapped and readable, as long as the dynamic linker
                // shows it to us.
                let notes = unsafe { bytes_at(start, end) };
                module.build_id = BuildId::of_notes(notes);
            }
            _ => {}
        }
    }
    module.path = if is_program { path_of_program() } else { Path::new(loaded.path.to_bytes()) };
    module
}

/// Memory of a module.
///
/// # Safety
/// [start, end) is mapped and readable as long as the result is used, and doesn't change.
pub(crate) unsafe fn bytes_at(start: u64, end: u64) -> &'static [u8] {
    let pointer = std::ptr::with_exposed_provenance(start as usize);
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(pointer, end.saturating_sub(start) as usize) }
}

/// The program's own name for itself would do for itself; a person wants the file's.
fn path_of_program() -> Path {
    let mut path = [0; 1024];
    // SAFETY: there is room for what is said.
    let length = unsafe {
        libc::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr().cast::<libc::c_char>(), path.len())
    };
    Path::new(usize::try_from(length).ok().and_then(|length| path.get(..length)).unwrap_or(b"the program"))
}

impl Path {
    fn new(path: &[u8]) -> Path {
        let kept = &path[path.len().saturating_sub(PATH_LENGTH)..];
        let mut bytes = [0; PATH_LENGTH];
        bytes[..kept.len()].copy_from_slice(kept);
        Path { bytes, length: kept.len() as u8 }
    }
}

const _: () = assert!(PATH_LENGTH <= u8::MAX as usize, "a length is one byte");

/// A list, and how many read it.
struct Table {
    modules: UnsafeCell<Modules>,
    readers: AtomicUsize,
}

// SAFETY: who reads the list is counted, and who writes it has made sure that nobody reads it, nor can begin to.
unsafe impl Sync for Table {}

static TABLES: [Table; 2] =
    [const { Table { modules: UnsafeCell::new(Modules::EMPTY), readers: AtomicUsize::new(0) } }; 2];
/// Which of the two is for readers.
static CURRENT: AtomicUsize = AtomicUsize::new(0);
static WRITING: Mutex<()> = Mutex::new(());

/// The list for as long as somebody reads it.
#[derive(Debug)]
pub(crate) struct Reading(usize);

/// The modules as they were when they were last looked at.
pub(crate) fn get() -> Reading {
    loop {
        let current = CURRENT.load(SeqCst);
        TABLES[current].readers.fetch_add(1, SeqCst);
        // If it still is for readers, a writer sees our count.
        if CURRENT.load(SeqCst) == current {
            return Reading(current);
        }
        TABLES[current].readers.fetch_sub(1, SeqCst);
        hint::spin_loop();
    }
}

impl std::ops::Deref for Reading {
    type Target = Modules;

    fn deref(&self) -> &Modules {
        // SAFETY: we are counted as a reader, so nobody writes.
        unsafe { &*TABLES[self.0].modules.get() }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        TABLES[self.0].readers.fetch_sub(1, SeqCst);
    }
}

/// Makes the list, if there is none yet.
pub(crate) fn capture() {
    if get().count == 0 {
        refresh();
    }
}

/// Makes the list anew if something was loaded or unloaded.
pub(crate) fn refresh() {
    let Ok(_one_at_a_time) = WRITING.try_lock() else { return };
    let mut changes = (0, 0);
    loaded::each(|loaded| {
        changes = loaded.changes;
        false
    });
    let known = get();
    if known.count != 0 && known.changes == changes {
        return;
    }
    let spare = 1 - known.0;
    drop(known);
    // A reader of the list before this one: the next heartbeat comes soon. (In a crash, it stays for good.)
    if TABLES[spare].readers.load(SeqCst) == 0 {
        // SAFETY: it is not for readers, so who counts himself in now finds that out and goes away again; and we are
        // the one writer.
        unsafe { (*TABLES[spare].modules.get()).fill() };
        CURRENT.store(spare, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_lies_in_the_program_and_libcs_in_libc() {
        refresh();
        let modules = get();
        let (number, program) = modules.of_code(path_of_program as *const () as u64).unwrap();
        assert!(number == 0 && program.is_program);
        assert_eq!(program.path(), std::env::current_exe().unwrap().as_os_str().as_encoded_bytes());
        assert!(program.name().starts_with(b"coro-"), "{}", program.name().escape_ascii());
        let (_, libc) = modules.of_code(libc::getpid as *const () as u64).unwrap();
        assert!(libc.name().starts_with(b"libc.so"), "{}", libc.name().escape_ascii());
        for module in [program, libc] {
            assert_eq!(module.build_id.bytes().len(), 20);
            assert!(module.start <= module.eh_frame_hdr.0 && module.eh_frame_hdr.1 <= module.readable_end);
        }
        assert!(modules.of_code(0).is_none() && modules.of_code(u64::MAX).is_none());
        assert_eq!(modules.dropped, 0);
    }

    /// A reader's list doesn't change under it, and a new one is there for the next.
    #[test]
    fn library_loaded_later_is_found_after_a_refresh() {
        refresh();
        let before = get();
        let count = before.count;
        // SAFETY: a library of glibc's without initialisers.
        let library = unsafe { libc::dlopen(c"libnss_compat.so.2".as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "every glibc has it");
        // SAFETY: the handle is the library's.
        let symbol = unsafe { libc::dlsym(library, c"_nss_compat_setpwent".as_ptr()) };
        assert!(!symbol.is_null());
        let code = symbol.addr() as u64;
        assert!(before.of_code(code).is_none());
        refresh();
        // Another test may hold a reader of the spare list just then.
        while get().of_code(code).is_none() {
            refresh();
            hint::spin_loop();
        }
        assert_eq!(before.count, count);
        assert!(get().of_code(code).unwrap().1.path().ends_with(b"/libnss_compat.so.2"));
    }

    #[test]
    fn build_ids_are_found_among_notes_and_damage_is_none() {
        let note = |name: &[u8], kind: u32, content: &[u8]| {
            let mut bytes = Vec::new();
            for number in [name.len() as u32, content.len() as u32, kind] {
                bytes.extend(number.to_le_bytes());
            }
            for part in [name, content] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let id = BuildId::new(&[7; 20]);
        let notes =
            [note(b"CoRo\0", 5, &[1; 9]), note(b"GNU\0", 1, &[2; 16]), note(b"GNU\0", 3, &[7; 20])].concat();
        assert_eq!(BuildId::of_notes(&notes), id);
        for length in 0..notes.len() {
            assert_eq!(BuildId::of_notes(&notes[..length]), BuildId::EMPTY);
        }
        let mut damaged = notes.clone();
        for at in 0..12 {
            damaged[at] = 0xff;
            let _ = BuildId::of_notes(&damaged);
        }
        assert_eq!(BuildId::of_notes(&note(b"GNU\0", 3, &[7; 64])), BuildId::EMPTY);
    }
}
