//! Where a report goes: text into a buffer, and from there to standard error and wherever else it is wanted.
//!
//! *No allocation, no locks, bounded loops.* A reader that doesn't read is given up after a second.

use std::ffi::c_int;
use std::fmt;

use crate::sys::errno;

/// What a pipe takes at once, or not at all (PIPE_BUF): when it is ready for more, this much doesn't block.
const SIZE: usize = 4096;
/// Milliseconds for which a reader may be busy with something else.
const PATIENCE: c_int = 1000;

/// See the module.
pub(crate) struct Output {
    buffer: [u8; SIZE],
    length: usize,
    /// Letters since the last line's end.
    column: usize,
    targets: [c_int; 2],
}

impl Output {
    pub(crate) const fn new() -> Output {
        Output { buffer: [0; SIZE], length: 0, column: 0, targets: [-1, -1] }
    }

    /// Begins a report; negative numbers stand for no target.
    pub(crate) fn begin(&mut self, targets: [c_int; 2]) {
        (self.length, self.column, self.targets) = (0, 0, targets);
    }

    /// Throws away what is not written yet, as far back as the last line's end that is.
    pub(crate) fn forget(&mut self) {
        (self.length, self.column) = (0, 0);
    }

    /// Blanks up to a column, one at least.
    pub(crate) fn pad(&mut self, column: usize) {
        loop {
            let _ = fmt::Write::write_char(self, ' ');
            if self.column >= column {
                break;
            }
        }
    }

    /// Sends what is there.
    pub(crate) fn flush(&mut self) {
        for target in &mut self.targets {
            if *target >= 0 && !send(*target, &self.buffer[..self.length]) {
                // It isn't asked again, which would be another second.
                *target = -1;
            }
        }
        self.length = 0;
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == SIZE {
                self.flush();
            }
            self.buffer[self.length] = byte;
            self.length += 1;
            // The bytes of a letter behind its first one don't count.
            self.column = if byte == b'\n' { 0 } else { self.column + usize::from(byte & 0xc0 != 0x80) };
        }
        Ok(())
    }
}

/// Writes all of it; says whether that was possible.
fn send(target: c_int, mut bytes: &[u8]) -> bool {
    let mut interrupted = 0;
    while !bytes.is_empty() {
        let mut wait = libc::pollfd { fd: target, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one descriptor to look at, and so many bytes to write.
        let written = unsafe {
            match libc::poll(&raw mut wait, 1, PATIENCE) {
                1 => libc::write(target, bytes.as_ptr().cast(), bytes.len()),
                ready => isize::from(ready >= 0) - 1,
            }
        };
        match usize::try_from(written) {
            Ok(0) => return false,
            Ok(written) => bytes = &bytes[written.min(bytes.len())..],
            Err(_) if errno::Errno::of_this_thread().get() == libc::EINTR && interrupted < 100 => {
                interrupted += 1
            }
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn text_goes_to_all_targets_in_order() {
        let (mut first, first_end) = std::io::pipe().unwrap();
        let (mut second, second_end) = std::io::pipe().unwrap();
        let mut output = Box::new(Output::new());
        output.begin([first_end.as_raw_fd(), second_end.as_raw_fd()]);
        write!(output, "é: {}", 7).unwrap();
        output.pad(10);
        writeln!(output, "x").unwrap();
        output.pad(0);
        writeln!(output, "{}", "long ".repeat(2000)).unwrap();
        output.flush();
        drop((first_end, second_end));
        let expected = format!("é: 7      x\n {}\n", "long ".repeat(2000));
        for reader in [&mut first, &mut second] {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn reader_that_has_gone_or_sleeps_is_given_up() {
        let (gone, end) = std::io::pipe().unwrap();
        drop(gone);
        assert!(!send(end.as_raw_fd(), b"text"));
        assert!(!send(-1, b"text"));
        let (_sleeps, end) = std::io::pipe().unwrap();
        assert!(send(end.as_raw_fd(), &[b'x'; SIZE]));
        let too_much = vec![b'x'; 1 << 20];
        assert!(!too_much.chunks(SIZE).all(|chunk| send(end.as_raw_fd(), chunk)));
    }
}
