//! The files of modules, as far as they are needed to tell lines: the program's own is mapped when a runtime starts (which
//! costs address space only), others when they are asked for.
//!
//! A file may have been replaced since it was loaded, so its build-id has to be that of the module in memory.
//!
//! [`keep_program`] is not for signal handlers; all else is: *no allocation, no locks, bounded loops*.

use std::ffi::CStr;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use super::modules::{BuildId, Module};
use super::symbolize::Image;
use crate::sys::file::Mapped;

/// The program's file: by this name it is found even when it was deleted.
const PROGRAM: &CStr = c"/proc/self/exe";
/// Modules whose files are kept at a time.
const MOST: usize = 24;

static PROGRAM_FILE: OnceLock<Mapped> = OnceLock::new();

/// Maps the program's file. If that fails, it is tried again when it is needed.
pub(crate) fn keep_program() {
    if PROGRAM_FILE.get().is_none()
        && let Ok(file) = Mapped::open(PROGRAM)
    {
        let _ = PROGRAM_FILE.set(file);
    }
}

/// Why a module's file tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The system's error number; 0: it said nothing.
    NotOpened(i32),
    /// It is no ELF file.
    NotElf,
    /// It is another build than the one in memory.
    Replaced,
    /// Too many modules.
    NoRoom,
}

/// Files that are open, each found by its module's address.
pub(crate) struct Files {
    open: [Option<(u64, Result<Mapped, Missing>)>; MOST],
    /// Debug information that lies apart from the program or library, as distributions have it.
    apart: [Option<(u64, Mapped)>; MOST],
}

impl Files {
    pub(crate) const fn new() -> Files {
        Files { open: [const { None }; MOST], apart: [const { None }; MOST] }
    }

    /// The image from which a module's lines can be told, or at least its functions.
    pub(crate) fn image(&mut self, module: &Module) -> Result<Image<'_>, Missing> {
        let (place, apart) = self.places(module.start)?;
        let bytes = match PROGRAM_FILE.get().filter(|_| module.is_program) {
            Some(file) => file.bytes(),
            None => {
                let (_, file) = place.get_or_insert_with(|| (module.start, open(module)));
                file.as_ref().map_err(|missing| *missing)?.bytes()
            }
        };
        let image = Image::parse(bytes).ok_or(Missing::NotElf)?;
        if image.build_id != module.build_id && image.build_id != BuildId::EMPTY {
            return Err(Missing::Replaced);
        }
        if !image.has_lines() {
            if apart.is_none() {
                *apart = open_apart(&module.build_id).map(|file| (module.start, file));
            }
            let better = apart.as_ref().and_then(|(_, file)| Image::parse(file.bytes()));
            if let Some(better) = better.filter(|better| better.build_id == module.build_id) {
                return Ok(better);
            }
        }
        Ok(image)
    }

    /// The same, of files that stay open.
    ///
    /// # Safety
    /// `self` is never dropped, nor overwritten.
    pub(crate) unsafe fn image_for_ever(&mut self, module: &Module) -> Result<Image<'static>, Missing> {
        let image = self.image(module);
        // SAFETY: an image refers to the mapped files only, which stay mapped as long as they are `self`'s; none is ever
        // taken out.
        image.map(|image| unsafe { std::mem::transmute::<Image<'_>, Image<'static>>(image) })
    }

    /// Where a module's two files are, or go.
    #[expect(clippy::type_complexity, reason = "the two fields' elements")]
    fn places(
        &mut self,
        start: u64,
    ) -> Result<(&mut Option<(u64, Result<Mapped, Missing>)>, &mut Option<(u64, Mapped)>), Missing> {
        let is_its = |of: Option<u64>| of.is_none_or(|of| of == start);
        let place = self.open.iter_mut().find(|place| is_its(place.as_ref().map(|(of, _)| *of)));
        let apart = self.apart.iter_mut().find(|place| is_its(place.as_ref().map(|(of, _)| *of)));
        place.zip(apart).ok_or(Missing::NoRoom)
    }
}

fn open(module: &Module) -> Result<Mapped, Missing> {
    let number = |error: io::Error| Missing::NotOpened(error.raw_os_error().unwrap_or(0));
    if module.is_program {
        return Mapped::open(PROGRAM).map_err(number);
    }
    let mut path = [0; 256];
    let written = path.as_mut_slice().write(module.path()).unwrap_or(0);
    if written < module.path().len() {
        return Err(Missing::NotOpened(libc::ENAMETOOLONG));
    }
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Missing::NotOpened(libc::ENAMETOOLONG))?;
    Mapped::open(path).map_err(number)
}

/// The file with a build's debug information, where distributions put it.
fn open_apart(build_id: &BuildId) -> Option<Mapped> {
    let (first, rest) = build_id.bytes().split_first()?;
    let mut path = [0; 256];
    let mut writer = path.as_mut_slice();
    write!(writer, "/usr/lib/debug/.build-id/{first:02x}/").ok()?;
    for byte in rest {
        write!(writer, "{byte:02x}").ok()?;
    }
    write!(writer, ".debug").ok()?;
    Mapped::open(CStr::from_bytes_until_nul(&path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::modules;

    #[test]
    fn program_and_libraries_are_opened_once() {
        modules::refresh();
        keep_program();
        let modules = modules::get();
        let mut files = Files::new();
        for _ in 0..2 {
            let (_, program) = modules.of_code(open_apart as *const () as u64).unwrap();
            assert!(files.image(program).unwrap().has_lines());
            let (_, libc) = modules.of_code(libc::getpid as *const () as u64).unwrap();
            assert_eq!(files.image(libc).unwrap().build_id, libc.build_id);
        }
        assert_eq!(files.open.iter().flatten().count(), 1, "the program's is kept elsewhere");
    }

    #[test]
    fn file_of_another_build_is_not_believed() {
        modules::refresh();
        let modules = modules::get();
        let (_, program) = modules.of_code(open_apart as *const () as u64).unwrap();
        let mut replaced = *program;
        replaced.build_id = BuildId::new(&[1; 20]);
        assert_eq!(Files::new().image(&replaced).unwrap_err(), Missing::Replaced);
        let vdso = modules.iter().find(|module| module.name().starts_with(b"linux-vdso"));
        if let Some(vdso) = vdso {
            assert_eq!(Files::new().image(vdso).unwrap_err(), Missing::NotOpened(libc::ENOENT));
        }
    }
}
