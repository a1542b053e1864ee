//! Files of `./wwwroot` in memory: mapped when they are first asked for, and unmapped when nobody has for a while.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A file's bytes, mapped.
#[derive(Debug)]
pub(super) struct Mapped {
    start: NonNull<u8>,
    length: usize,
    /// For those who want it sent.
    pub(super) file: File,
    pub(super) modified: SystemTime,
}

// SAFETY: it is memory that nobody writes to, and no thread's own.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a file.
    pub(super) fn new(path: &Path) -> io::Result<Mapped> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        let modified = about.modified()?;
        let length = usize::try_from(about.len()).map_err(io::Error::other)?;
        let Some(size) = NonZeroUsize::new(length) else {
            return Ok(Mapped { start: NonNull::dangling(), length, file, modified });
        };
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let start = unsafe { mmap(None, size, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) }?;
        Ok(Mapped { start: start.cast(), length, file, modified })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped for as long as `self` lives (or empty). Who truncates the file meanwhile has the process die of
        // SIGBUS: served files are to be replaced, not written to.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: nobody borrows it any more.
            let _ = unsafe { munmap(self.start.cast(), self.length) };
        }
    }
}

/// The mapped files, by path.
#[derive(Debug)]
pub(super) struct Cache {
    keep: Duration,
    entries: Arc<Mutex<HashMap<PathBuf, Entry>>>,
    is_swept: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    file: Arc<Mapped>,
    until: Instant,
}

impl Cache {
    /// One that keeps files for so long after they were mapped.
    pub(super) fn new(keep: Duration) -> Cache {
        Cache { keep, entries: Arc::default(), is_swept: AtomicBool::new(false) }
    }

    /// A file, as it was when it was mapped.
    pub(super) fn get(&self, path: &Path) -> io::Result<Arc<Mapped>> {
        if let Some(entry) = lock(&self.entries).get(path)
            && entry.until > Instant::now()
        {
            return Ok(entry.file.clone());
        }
        let file = Arc::new(Mapped::new(path)?);
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
        // Without it files stay mapped until they are asked for again; that is no reason not to answer.
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
