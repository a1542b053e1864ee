//! Files that were packed for clients that take it, each packed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The compressor's tables lie on its stack by the dozen of kilobytes: in a debug build more than a coroutine usually has.
const STACK: usize = 1 << 20;

/// By path: the time of the file that was packed, and what became of it. As many as there are small files.
#[derive(Debug, Default)]
pub(super) struct Packed(Mutex<ByPath>);

type ByPath = HashMap<String, (SystemTime, Arc<[u8]>)>;

impl Packed {
    /// A file as a zlib stream (RFC 1950, which HTTP calls `deflate`); nothing if that is no smaller.
    pub(super) fn get(&self, path: &str, modified: SystemTime, bytes: &[u8]) -> Option<Arc<[u8]>> {
        let known =
            self.lock().get(path).filter(|(time, _)| *time == modified).map(|(_, packed)| packed.clone());
        let packed = match known {
            Some(packed) => packed,
            None => {
                let copy = bytes.to_vec();
                let packer = coro::CoroutineBuilder::new().name("packer").stack_size(STACK);
                let pack = move || miniz_oxide::deflate::compress_to_vec_zlib(&copy, 6);
                // Without a stack for it the file leaves as it is.
                let packed: Arc<[u8]> = packer.spawn(pack).ok()?.join().ok()?.into();
                self.lock().insert(path.to_owned(), (modified, packed.clone()));
                packed
            }
        };
        (packed.len() < bytes.len()).then_some(packed)
    }

    fn lock(&self) -> MutexGuard<'_, ByPath> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
