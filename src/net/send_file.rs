//! Files onto sockets, without a copy of them in the program's memory (sendfile(2)), and with one where the kernel can't.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use nix::sys::sendfile::sendfile64;

use super::registered::{Operation, Registered};
use super::timeout::Patience;
use super::told::Told;

/// One call gets so much at most: others get their turns in between.
const PIECE: u64 = 256 * 1024;

/// What a copy in between holds.
const BUFFER: u64 = 16 * 1024;

/// Part of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl<'a> Part<'a> {
    /// What is left when so much of it was sent.
    fn behind(self, sent: u64) -> Part<'a> {
        Part { offset: self.offset.saturating_add(sent), length: self.length - sent, ..self }
    }
}

/// Sends a part of a file, and waits as often as it must; says how much was sent. That is less than the part when the file
/// has ended, or when something has failed after a part of it: that again is the caller's next attempt's to say.
pub(super) fn send<T: Told>(
    socket: &Registered<T>,
    operation: Operation,
    mut patience: Option<&mut Patience>,
    part: Part<'_>,
) -> io::Result<u64>
where
    for<'a> &'a T: Write,
{
    let operation = patience.as_deref().map_or(operation, |patience| operation.within(patience));
    let mut deadline = || patience.as_deref_mut().map(Patience::begin);
    let (mut sent, mut copies) = (0, false);
    while sent < part.length {
        let rest = part.behind(sent);
        // A short one says nothing of the socket's being full: the file may have ended.
        let is_short = |_: &usize| false;
        let moved = if copies {
            socket.run_until(operation, &mut deadline, |socket| copy(socket, rest), is_short)
        } else {
            socket.run_until(operation, &mut deadline, |socket| pass(socket, rest), is_short)
        };
        match moved {
            Ok(0) => break,
            Ok(count) => sent += count as u64,
            Err(error) if !copies && is_not_possible(&error) => copies = true,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// The kernel moves some of it.
fn pass(socket: &impl Told, part: Part<'_>) -> io::Result<usize> {
    let mut offset = i64::try_from(part.offset).map_err(|_| {
        let problem = format!("cannot send from offset {} of a file: no file is so long", part.offset);
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    })?;
    Ok(sendfile64(socket.as_fd(), part.file, Some(&mut offset), part.length.min(PIECE) as usize)?)
}

/// Some of it goes through a buffer. What the socket doesn't take is read again.
fn copy<T>(mut socket: &T, part: Part<'_>) -> io::Result<usize>
where
    for<'a> &'a T: Write,
{
    let mut buffer = vec![0; part.length.min(BUFFER) as usize];
    let count = part.file.read_at(&mut buffer, part.offset)?;
    // Nothing written is the file's end; nothing is written to a closed socket without an error.
    if count == 0 { Ok(0) } else { socket.write(&buffer[..count]) }
}

/// Files that the kernel makes up as they are read, and some file systems, have nothing that could be passed on, or not at
/// such an offset (EOVERFLOW).
fn is_not_possible(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOVERFLOW | libc::ENOSYS | libc::EOPNOTSUPP))
}
