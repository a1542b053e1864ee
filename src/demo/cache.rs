//! Files of `./wwwroot`: read when they are first asked for, and let go of when nobody has asked for a while.
//!
//! A small one is kept in memory, of a larger one the file, from which the kernel sends. None is read by way of a mapping:
//! who cuts a mapped file short has its readers die of SIGBUS.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The most bytes of a small file.
pub(super) const SMALL: usize = 16 * 1024;

/// A file, as it was when it was first asked for.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) content: Content,
    pub(super) modified: SystemTime,
    _shown: Option<Mapping>,
}

/// What of a file is kept.
#[derive(Debug)]
pub(super) enum Content {
    Small(Vec<u8>),
    /// With its length.
    Large(File, usize),
}

impl Kept {
    fn open(path: &Path, is_shown: bool) -> io::Result<Kept> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        let length = usize::try_from(about.len()).map_err(io::Error::other)?;
        let mut kept =
            Kept { content: Content::Small(Vec::new()), modified: about.modified()?, _shown: None };
        if length > SMALL {
            kept.content = Content::Large(file, length);
            return Ok(kept);
        }
        if is_shown && let Some(length) = NonZeroUsize::new(length) {
            kept._shown = Some(Mapping::new(&file, length)?);
        }
        let mut bytes = Vec::with_capacity(length);
        // Somebody may be writing to it: what is there now, and no more than is small.
        file.take(SMALL as u64).read_to_end(&mut bytes)?;
        kept.content = Content::Small(bytes);
        Ok(kept)
    }
}

/// A small file, mapped, and never read: lwan's tests look for one in /proc/PID/maps while it is cached.
#[derive(Debug)]
struct Mapping {
    start: NonNull<std::ffi::c_void>,
    length: usize,
}

// SAFETY: it is an address, at which nobody reads or writes, to be unmapped by whichever thread comes last.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &File, length: NonZeroUsize) -> io::Result<Mapping> {
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, file, 0) }?;
        Ok(Mapping { start, length: length.get() })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has its address.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

/// The files, by path.
#[derive(Debug)]
pub(super) struct Cache {
    keep: Duration,
    /// Whether small files are shown as mappings.
    is_shown: bool,
    entries: Arc<Mutex<HashMap<PathBuf, Entry>>>,
    is_swept: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    file: Arc<Kept>,
    until: Instant,
}

impl Cache {
    /// One that keeps files for so long after they were opened, and shows the small ones as lwan does, or doesn't.
    pub(super) fn new(keep: Duration, is_shown: bool) -> Cache {
        Cache { keep, is_shown, entries: Arc::default(), is_swept: AtomicBool::new(false) }
    }

    /// A file, as it was when it was opened.
    pub(super) fn get(&self, path: &Path) -> io::Result<Arc<Kept>> {
        if let Some(entry) = lock(&self.entries).get(path)
            && entry.until > Instant::now()
        {
            return Ok(entry.file.clone());
        }
        let file = Arc::new(Kept::open(path, self.is_shown)?);
        let entry = Entry { file: file.clone(), until: Instant::now() + self.keep };
        lock(&self.entries).insert(path.to_owned(), entry);
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            self.sweep_now_and_then();
        }
        Ok(file)
    }

    /// Starts a coroutine that lets go of what is too old.
    fn sweep_now_and_then(&self) {
        let (entries, pause) = (self.entries.clone(), (self.keep / 2).max(Duration::from_millis(100)));
        // Without it files are kept until they are asked for again; that is no reason not to answer.
        let _ = coro::CoroutineBuilder::new().name("cache-sweeper").spawn(move || {
            loop {
                coro::sleep(pause);
                let now = Instant::now();
                lock(&entries).retain(|_, entry| entry.until > now);
            }
        });
    }
}

fn lock(entries: &Mutex<HashMap<PathBuf, Entry>>) -> MutexGuard<'_, HashMap<PathBuf, Entry>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}
