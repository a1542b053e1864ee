//! Files as memory, without allocating: a crash has nothing else.

use std::ffi::CStr;
use std::{io, mem, ptr, slice};

/// A file's content, mapped. It stays readable when the file is deleted, but not when it is cut shorter.
#[derive(Debug)]
pub(crate) struct Mapped {
    start: *const u8,
    length: usize,
}

// SAFETY: this process doesn't write to it, and any of its threads may unmap it.
unsafe impl Send for Mapped {}
// SAFETY: it is only read.
unsafe impl Sync for Mapped {}

impl Mapped {
    pub(crate) fn open(path: &CStr) -> io::Result<Mapped> {
        // SAFETY: the path ends with a NUL.
        let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        let mapped = Mapped::map(file);
        // SAFETY: it was opened above, and nobody else knows it; the mapping doesn't need it.
        unsafe { libc::close(file) };
        mapped
    }

    fn map(file: libc::c_int) -> io::Result<Mapped> {
        // SAFETY: all zero is a `stat`, and the kernel fills it in.
        let (failed, status) = unsafe {
            let mut status: libc::stat = mem::zeroed();
            (libc::fstat(file, &raw mut status) != 0, status)
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
        let length = usize::try_from(status.st_size).unwrap_or(0);
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: a new mapping replaces none.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapped { start: start.cast(), length })
    }

    /// The content.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped there as long as `self` is.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`; references to the content have ended with `self`'s.
        unsafe { libc::munmap(self.start.cast_mut().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_program_is_an_elf_file_and_what_is_missing_is_an_error() {
        let program = Mapped::open(c"/proc/self/exe").unwrap();
        assert!(program.bytes().starts_with(b"\x7fELF"));
        assert_eq!(Mapped::open(c"/proc/self/no such file").unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert!(Mapped::open(c"/dev/null").is_err(), "it has no length");
    }
}
