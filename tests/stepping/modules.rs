//! The code in a process: the executable, its shared libraries and the kernel's vdso, with their call frame information
//! and symbols. What was looked up once is kept.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use gimli::{BaseAddresses, CieOrFde, LittleEndian, UnwindSection};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};

use crate::cfi::{Fde, Frames, Row};
use crate::process::Process;

/// All of a process's.
#[derive(Debug)]
pub(crate) struct Modules(Vec<Module>);

/// One mapped object.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// Where the program begins, if it is one.
    start: u64,
    /// In memory.
    range: Range<u64>,
    section: Vec<u8>,
    bases: BaseAddresses,
    /// What each entry covers, and its offset in the section; sorted.
    entries: Vec<(Range<u64>, usize)>,
    /// Stubs of the linker's, which jump to functions of other modules. lld gives them no entries.
    stubs: Vec<Range<u64>>,
    /// Start of each function, and its name; sorted.
    symbols: Vec<(u64, String)>,
    /// For each byte of the range: the number of its row, from 1; 0 if it was not asked for yet.
    known: Vec<u32>,
    rows: Vec<Row>,
}

/// A function: what one entry of the call frame information covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Function {
    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

impl Modules {
    /// Those that are mapped now.
    pub(crate) fn of(process: &Process) -> Modules {
        let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid())).expect("it lives");
        let mut ranges: BTreeMap<&str, Vec<(u64, Range<u64>)>> = BTreeMap::new();
        for line in maps.lines() {
            let mut parts = line.splitn(6, ' ');
            let (Some(range), Some(offset), Some(path)) = (parts.next(), parts.nth(1), parts.nth(2)) else {
                continue;
            };
            let number = |text| u64::from_str_radix(text, 16).expect("the kernel writes it so");
            let (start, end) = range.split_once('-').expect("the kernel writes it so");
            let path = path.trim_start();
            if path.starts_with('/') || path == "[vdso]" {
                ranges.entry(path).or_default().push((number(offset), number(start)..number(end)));
            }
        }
        let module = |(path, ranges): (&str, Vec<(u64, Range<u64>)>)| Module::new(process, path, &ranges);
        Modules(ranges.into_iter().filter_map(module).collect())
    }

    /// The module with an address in it.
    pub(crate) fn at(&mut self, address: u64) -> Option<&mut Module> {
        self.0.iter_mut().find(|module| module.range.contains(&address))
    }

    /// Where a function begins.
    pub(crate) fn symbol(&self, name: &str) -> u64 {
        let found = self.0.iter().flat_map(|module| &module.symbols).find(|(_, symbol)| symbol == name);
        found.unwrap_or_else(|| panic!("the debuggee has no function {name}")).0
    }

    /// Where the program with this path begins.
    pub(crate) fn entry_point(&self, path: &str) -> u64 {
        self.0.iter().find(|module| module.name == path).expect("a process maps its executable").start
    }

    /// The function with an address in it.
    pub(crate) fn function(&mut self, address: u64) -> Option<Function> {
        let module = self.at(address)?;
        let (range, _) = module.entry(address)?;
        Some(Function { start: range.start, end: range.end })
    }

    /// Whether code is without call frame information though it could have it: glibc's `clone3` ends it before the system
    /// call, because behind that there is no caller in the new thread, and begins another one a few instructions later.
    pub(crate) fn is_gap(&mut self, address: u64) -> bool {
        self.at(address).is_some_and(|module| {
            module.is_libc() && module.entry(address).is_none() && !module.is_stub(address)
        })
    }

    /// Whether an address is in libgcc's unwinder, which carries out panics.
    pub(crate) fn is_unwinder(&mut self, address: u64) -> bool {
        self.at(address).is_some_and(|module| module.file().starts_with("libgcc_s"))
    }

    /// Whether an address is in the C library.
    pub(crate) fn is_libc(&mut self, address: u64) -> bool {
        self.at(address).is_some_and(|module| module.is_libc())
    }

    /// `module!function+offset`, for messages.
    pub(crate) fn describe(&mut self, address: u64) -> String {
        let Some(module) = self.at(address) else { return format!("{address:#x}") };
        let file = module.file();
        let below = module.symbols.partition_point(|(start, _)| *start <= address);
        match below.checked_sub(1).map(|index| &module.symbols[index]) {
            Some((start, name)) => format!("{file}!{name}+{}", address - start),
            None => format!("{file}+{:#x}", address - module.range.start),
        }
    }
}

impl Module {
    fn new(process: &Process, path: &str, ranges: &[(u64, Range<u64>)]) -> Option<Module> {
        let range = ranges[0].1.start..ranges.iter().map(|(_, range)| range.end).max()?;
        let bytes = if path == "[vdso]" {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            process.read(&mut [(range.start, &mut bytes)]).expect("the vdso can be read");
            bytes
        } else {
            fs::read(path).ok()?
        };
        // What is mapped and no object has no code either.
        let object = object::File::parse(&*bytes).ok()?;
        let first = object.segments().map(|segment| segment.address()).min()?;
        // The mapping of the file's start is that of the first segment.
        let bias = range.start.wrapping_sub(first & !0xfff);
        let eh_frame = object.section_by_name(".eh_frame")?;
        let text = object.section_by_name(".text").map_or(0, |section| section.address());
        let bases = BaseAddresses::default()
            .set_eh_frame(eh_frame.address().wrapping_add(bias))
            .set_text(text.wrapping_add(bias));
        let sections =
            object.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".plt")));
        let start = |section: &object::Section<'_, '_>| section.address().wrapping_add(bias);
        let stubs = sections.map(|section| start(&section)..start(&section) + section.size()).collect();
        let symbols = object.symbols().chain(object.dynamic_symbols());
        let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
        let mut symbols: Vec<(u64, String)> = functions
            .map(|symbol| (symbol.address().wrapping_add(bias), symbol.name().unwrap_or("?").to_owned()))
            .collect();
        symbols.sort();
        let section = eh_frame.data().ok()?.to_vec();
        let known = vec![0; (range.end - range.start) as usize];
        let mut module = Module {
            name: path.to_owned(),
            start: object.entry().wrapping_add(bias),
            range,
            section,
            bases,
            entries: Vec::new(),
            stubs,
            symbols,
            known,
            rows: Vec::new(),
        };
        module.entries = module.index();
        Some(module)
    }

    /// All entries, by what they cover.
    fn index(&self) -> Vec<(Range<u64>, usize)> {
        let frames = frames(&self.section);
        let mut common = BTreeMap::new();
        let mut index = Vec::new();
        let mut entries = frames.entries(&self.bases);
        while let Some(entry) = entries.next().expect("the call frame information can be parsed") {
            let CieOrFde::Fde(partial) = entry else { continue };
            let fde = partial.parse(|_, bases, offset| match common.get(&offset.0) {
                Some(cie) => Ok(Clone::clone(cie)),
                None => {
                    let cie = frames.cie_from_offset(bases, offset)?;
                    common.insert(offset.0, cie.clone());
                    Ok(cie)
                }
            });
            let fde: Fde<'_> = fde.expect("the call frame information can be parsed");
            index.push((fde.initial_address()..fde.end_address(), fde.offset()));
        }
        index.sort_by_key(|(range, _)| range.start);
        index
    }

    fn file(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    fn is_libc(&self) -> bool {
        self.file().starts_with("libc.so")
    }

    fn is_stub(&self, address: u64) -> bool {
        self.stubs.iter().any(|stubs| stubs.contains(&address))
    }

    fn parse(&self, offset: usize, address: u64) -> Result<Row, String> {
        let frames = frames(&self.section);
        let fde = frames.fde_from_offset(&self.bases, offset.into(), Frames::cie_from_offset);
        let row = fde.and_then(|fde| Row::of(&frames, &self.bases, &fde, address));
        row.map_err(|error| format!("its CFI can't be read: {error}"))
    }

    fn entry(&self, address: u64) -> Option<&(Range<u64>, usize)> {
        let above = self.entries.partition_point(|(range, _)| range.start <= address);
        self.entries.get(above.checked_sub(1)?).filter(|(range, _)| range.contains(&address))
    }

    /// The row for an address, from the cache, or from the section.
    pub(crate) fn row(&mut self, address: u64) -> Result<&Row, String> {
        let place = (address - self.range.start) as usize;
        if self.known[place] == 0 {
            let row = match self.entry(address) {
                Some((_, offset)) => self.parse(*offset, address)?,
                None if self.is_stub(address) => Row::of_a_start(),
                None => return Err("no CFI covers it".into()),
            };
            self.rows.push(row);
            self.known[place] = self.rows.len() as u32;
        }
        Ok(&self.rows[self.known[place] as usize - 1])
    }
}

fn frames(section: &[u8]) -> Frames<'_> {
    let mut frames = Frames::new(section, LittleEndian);
    frames.set_address_size(8);
    frames
}
