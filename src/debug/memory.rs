//! Where readers get memory from: a reader is given the way to read, and so serves the process itself, a crash, and a
//! test with ten words.
//!
//! *No allocation, no locks, bounded loops.*

use std::ptr;

use crate::sys::peek::peek;

/// Memory that can be read, or can't.
pub(crate) trait ReadMemory {
    /// Copies from `address` on; says whether all could be read.
    fn read(&self, address: u64, into: &mut [u8]) -> bool;

    /// The word at an address.
    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }
}

/// This process's memory. What is in the stack is read directly, all else by way of the kernel: neither faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnMemory {
    low: u64,
    high: u64,
}

impl OwnMemory {
    /// With a stack that can be read at once: [low, high).
    ///
    /// # Safety
    /// It is mapped, readable, and stays so; what is being written there meanwhile may be read half.
    pub(crate) unsafe fn with_stack(low: usize, high: usize) -> OwnMemory {
        OwnMemory { low: low as u64, high: high as u64 }
    }

    /// Without a stack: all reads go by way of the kernel.
    pub(crate) fn careful() -> OwnMemory {
        OwnMemory { low: 0, high: 0 }
    }
}

impl ReadMemory for OwnMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        match self.word_of_stack(address) {
            Some(word) if into.len() == 8 => {
                into.copy_from_slice(&word.to_le_bytes());
                true
            }
            _ => peek(address, into),
        }
    }

    fn word(&self, address: u64) -> Option<u64> {
        self.word_of_stack(address).or_else(|| {
            let mut bytes = [0; 8];
            peek(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
        })
    }
}

impl OwnMemory {
    #[inline]
    fn word_of_stack(&self, address: u64) -> Option<u64> {
        let is_inside = address >= self.low && address < self.high && self.high - address >= 8;
        // SAFETY: the stack is readable, as `with_stack`'s caller says, and the word lies in it.
        (is_inside && address & 7 == 0)
            .then(|| unsafe { ptr::with_exposed_provenance::<u64>(address as usize).read_volatile() })
    }
}

/// Bytes that stand for memory from an address on, in tests.
#[cfg(test)]
pub(crate) struct Buffer<'a> {
    pub(crate) start: u64,
    pub(crate) bytes: &'a [u8],
}

#[cfg(test)]
impl ReadMemory for Buffer<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let found = address.checked_sub(self.start).and_then(|offset| {
            let offset = usize::try_from(offset).ok()?;
            self.bytes.get(offset..offset.checked_add(into.len())?)
        });
        if let Some(found) = found {
            into.copy_from_slice(found);
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{self, PAGE};

    #[test]
    fn own_memory_is_read_within_the_stack_and_outside() {
        let words: Vec<u64> = (100..164).collect();
        let start = words.as_ptr().expose_provenance();
        // SAFETY: the vector outlives the reader.
        let own = unsafe { OwnMemory::with_stack(start + 8, start + 64) };
        for at in 0..64 {
            assert_eq!(own.word((start + at * 8) as u64), Some(100 + at as u64));
        }
        assert_eq!(own.word(start as u64 + 1), Some(101 << 56), "no word of the stack's");
        assert_eq!(own.word(0), None);
        assert_eq!(own.word(u64::MAX - 3), None);
        let mut few = [0; 3];
        assert!(own.read(start as u64 + 8, &mut few) && few == [101, 0, 0]);
    }

    #[test]
    fn memory_that_faults_is_none() {
        let page = memory::reserve(0, PAGE).unwrap();
        // SAFETY: nobody uses the fresh mapping.
        unsafe { memory::deny(page, PAGE) }.unwrap();
        assert_eq!(OwnMemory::careful().word(page as u64 + 16), None);
    }

    #[test]
    fn buffer_ends_where_it_ends() {
        let buffer = Buffer { start: 0x1000, bytes: &[1, 0, 0, 0, 0, 0, 0, 0, 2] };
        assert_eq!(buffer.word(0x1000), Some(1));
        assert_eq!((buffer.word(0xfff), buffer.word(0x1002), buffer.word(u64::MAX)), (None, None, None));
    }
}
