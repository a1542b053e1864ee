//! Redzones: the pages below each stack which fault, so that an overrun stops instead of writing into a
//! neighbour.
//!
//! Two ways to make one. A *guard* (`MADV_GUARD_INSTALL`, Linux 6.13) is a mark in the page table: 0.5 to 1.4 µs, with
//! sixteen at a time 0.3 less, and a million of them leave the region one mapping. `mprotect` splits the mapping in two for each stack, and at
//! about 32,700 stacks `vm.max_map_count` is reached: then *every* mmap of the process fails, malloc's too. So
//! the fallback counts, and refuses a stack while the program still has mappings to live on.
//!
//! `CORO_REDZONE=guard|mprotect` in the environment chooses; without it guards are tried first.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::geometry::{REDZONE, SlotIndex};
use crate::abi::descriptor::RedzoneMethod;
use crate::error::{Error, Kind, Result};
use crate::sys::{environment, memory, process};

/// Mappings which the fallback leaves to the rest of the program.
const MAPPINGS_LEFT: usize = 2048;

/// The environment variable that forces a method.
const SWITCH: &str = "CORO_REDZONE";

/// How redzones are made in this process, and how many more there may be.
#[derive(Debug)]
pub(crate) struct Redzones {
    method: RedzoneMethod,
    placed: AtomicUsize,
    most: usize,
    max_map_count: usize,
}

impl Redzones {
    /// Chooses the method, by trying it on the redzone-sized memory at `probe`.
    pub(crate) fn choose(probe: usize) -> Result<Redzones> {
        let forced = match environment::value(SWITCH) {
            None => None,
            Some(value) if value == "guard" => Some(RedzoneMethod::Guard),
            Some(value) if value == "mprotect" => Some(RedzoneMethod::Mprotect),
            Some(value) => {
                return Err(Kind::RedzoneSwitch { value: value.to_string_lossy().into_owned() }.into());
            }
        };
        let method = match forced {
            Some(RedzoneMethod::Mprotect) => RedzoneMethod::Mprotect,
            // SAFETY: the region is fresh, and the probe is a redzone anyway.
            _ => match (unsafe { memory::guard_install(probe, REDZONE) }, forced) {
                (Ok(()), _) => RedzoneMethod::Guard,
                (Err(source), Some(_)) => {
                    let tried =
                        "MADV_GUARD_INSTALL, which CORO_REDZONE=guard asks for and Linux has since 6.13,";
                    return Err(Kind::System { tried, source }.into());
                }
                (Err(_), None) => RedzoneMethod::Mprotect,
            },
        };
        let (most, max_map_count) = match method {
            // Guards take no mappings, and /proc need not be read.
            RedzoneMethod::Guard => (usize::MAX, 0),
            RedzoneMethod::Mprotect => {
                let max_map_count = process::max_map_count();
                // Each stack between two redzones is a mapping, and so is each redzone.
                (max_map_count.saturating_sub(process::map_count() + MAPPINGS_LEFT) / 2, max_map_count)
            }
        };
        Ok(Redzones { method, placed: AtomicUsize::new(0), most, max_map_count })
    }

    pub(crate) fn method(&self) -> RedzoneMethod {
        self.method
    }

    /// Makes redzones fault for ever: those at `addresses`, the low ends of slots that follow each other from `first` on
    /// (or of what lies behind a class). Says how many it has placed: the first, and as many more as cost nobody else
    /// anything.
    ///
    /// # Safety
    /// The memory is the region's, and nobody uses it.
    pub(crate) unsafe fn place(&self, first: SlotIndex, addresses: &[usize]) -> Result<usize> {
        if self.placed.load(Ordering::Relaxed) >= self.most {
            let redzones = self.placed.load(Ordering::Relaxed);
            return Err(Kind::MapCount { redzones, max_map_count: self.max_map_count }.into());
        }
        let (addresses, mut done) = match self.method {
            // Each takes two mappings, of which there are few.
            RedzoneMethod::Mprotect => (&addresses[..1], 0),
            // SAFETY: the caller says that nobody uses it.
            RedzoneMethod::Guard => (addresses, unsafe { memory::guard_install_each(addresses, REDZONE) }),
        };
        for address in &addresses[done..] {
            // SAFETY: as above.
            match unsafe { self.close(*address, REDZONE) } {
                Ok(()) => done += 1,
                Err(source) if done == 0 => return Err(self.refused(first, *address, REDZONE, source)),
                Err(_) => break,
            }
        }
        self.placed.fetch_add(done, Ordering::Relaxed);
        Ok(done)
    }

    /// Makes [address, address + length) fault, until [`Redzones::open`].
    ///
    /// # Safety
    /// The memory is the region's, and nobody uses it; its content is lost.
    pub(crate) unsafe fn close(&self, address: usize, length: usize) -> io::Result<()> {
        match self.method {
            // SAFETY: the caller says that nobody uses it.
            RedzoneMethod::Guard => unsafe { memory::guard_install(address, length) },
            RedzoneMethod::Mprotect => {
                // SAFETY: the caller says that nobody uses it.
                unsafe { memory::discard(address, length) }?;
                // SAFETY: as above.
                unsafe { memory::deny(address, length) }
            }
        }
    }

    /// Makes closed memory usable again.
    pub(crate) fn open(&self, slot: SlotIndex, address: usize, length: usize) -> Result<()> {
        match self.method {
            RedzoneMethod::Guard => memory::guard_remove(address, length),
            RedzoneMethod::Mprotect => memory::allow(address, length),
        }
        .map_err(|source| self.refused(slot, address, length, source))
    }

    fn refused(&self, slot: SlotIndex, address: usize, length: usize, source: io::Error) -> Error {
        Kind::Redzone { slot: slot.0, address, length, source }.into()
    }
}
