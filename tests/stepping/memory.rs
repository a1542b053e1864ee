//! The debuggee's memory between two of its instructions: each page is read once, and those that were wanted last time
//! are read again at once, all by one system call.

use std::{io, mem};

use crate::process::Process;

const PAGE: u64 = 4096;
/// Pages that are read ahead of time. A backtrace needs a dozen.
const MOST: usize = 32;

/// What was read since the last instruction.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pages: Vec<Page>,
    /// How many instructions were executed.
    time: u64,
}

#[derive(Debug)]
struct Page {
    address: u64,
    bytes: Box<[u8; PAGE as usize]>,
    /// What stood there before the last instruction.
    before: Box<[u8; PAGE as usize]>,
    /// When something else was found there than before, or it was read for the first time.
    changed: u64,
    /// Somebody wanted it since.
    is_wanted: bool,
}

impl Memory {
    /// An instruction was executed: reads again what was wanted, and `others` with it. When one of the pages can't be
    /// read any more, they are dropped, and the others are read alone.
    pub(crate) fn refresh(&mut self, process: &Process, others: &mut [(u64, &mut [u8])]) -> io::Result<()> {
        self.pages.retain(|page| page.is_wanted);
        self.pages.truncate(MOST);
        let mut places: Vec<(u64, &mut [u8])> =
            others.iter_mut().map(|(address, bytes)| (*address, &mut **bytes)).collect();
        for page in &mut self.pages {
            page.is_wanted = false;
            mem::swap(&mut page.bytes, &mut page.before);
            places.push((page.address, &mut page.bytes[..]));
        }
        self.time += 1;
        if process.read(&mut places).is_ok() {
            for page in self.pages.iter_mut().filter(|page| page.bytes[..] != page.before[..]) {
                page.changed = self.time;
            }
            return Ok(());
        }
        self.pages.clear();
        process.read(others)
    }

    /// How many instructions were executed so far.
    pub(crate) fn time(&self) -> u64 {
        self.time
    }

    /// Whether the page with an address in it was known at a time, and is certain to be the same now. It will be read
    /// again with the others.
    pub(crate) fn is_page_same(&mut self, address: u64, since: u64) -> bool {
        let known = self.pages.iter_mut().find(|page| page.address == page_of(address));
        known.is_some_and(|page| {
            page.is_wanted = true;
            page.changed <= since
        })
    }

    /// A word of memory, as it is at this instruction.
    pub(crate) fn word(&mut self, process: &Process, address: u64) -> io::Result<u64> {
        let (page, offset) = (page_of(address), (address % PAGE) as usize);
        if offset > PAGE as usize - 8 {
            let mut bytes = [0; 8];
            process.read(&mut [(address, &mut bytes)])?;
            return Ok(u64::from_ne_bytes(bytes));
        }
        let index = match self.pages.iter().position(|known| known.address == page) {
            Some(index) => index,
            None => {
                let mut bytes = Box::new([0; PAGE as usize]);
                process.read(&mut [(page, &mut bytes[..])])?;
                let before = bytes.clone();
                self.pages.push(Page { address: page, bytes, before, changed: self.time, is_wanted: true });
                self.pages.len() - 1
            }
        };
        let page = &mut self.pages[index];
        page.is_wanted = true;
        let bytes = page.bytes[offset..offset + 8].try_into().expect("eight bytes");
        Ok(u64::from_ne_bytes(bytes))
    }
}

/// The address of the page with an address in it.
pub(crate) fn page_of(address: u64) -> u64 {
    address & !(PAGE - 1)
}
