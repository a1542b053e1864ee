//! From addresses to functions, files and lines, with the functions that were inlined there; from an ELF file's bytes.
//!
//! - [`image`]: the sections
//! - [`entries`]: units of debug information and their entries: functions, and what was inlined
//! - [`abbreviations`]: what an entry consists of
//! - [`lines`]: a unit's line program and its file names
//! - [`show`]: names and paths as a person reads them
//! - here: many addresses at a time, each unit walked once
//!
//! addr2line and gimli's own `Dwarf` build an index on the heap first; here nothing is kept between two questions, and
//! the working memory is the caller's. *No allocation, no locks, bounded loops*; and no trust: the bytes may be anything.

mod abbreviations;
mod entries;
mod image;
mod lines;
mod show;
#[cfg(test)]
mod tests;

use gimli::{DebugAranges, DebugInfo};

use self::abbreviations::{Abbreviations, EntryKind};
pub(crate) use self::entries::Name;
use self::entries::{Unit, Visited, Visitor};
pub(crate) use self::image::Image;
use self::lines::{Lines, Row};
pub(crate) use self::show::Text;

/// Addresses that can be asked for at a time.
pub(crate) const MOST_ADDRESSES: usize = 96;
/// Calls inlined into each other that are kept. Optimised code has up to thirty.
const DEEPEST: usize = 48;
/// Frames of all answers together.
const MOST_CALLS: usize = 1024;
/// Functions whose entries lie within each other's.
const DEEPEST_NESTING: usize = 8;

/// A function at an address: the one that was compiled, or one that was inlined into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    pub(crate) function: Name<'a>,
    pub(crate) place: Place<'a>,
}

/// A line of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Where the compiler ran: what relative paths start from.
    pub(crate) folder: &'a [u8],
    pub(crate) directory: &'a [u8],
    /// Empty: it isn't known.
    pub(crate) file: &'a [u8],
    /// 0: code of no line in particular.
    pub(crate) line: u64,
    /// The last line before it that is one.
    pub(crate) nearest: u64,
}

/// An address and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// Which file is asked, as the caller counts them.
    module: usize,
    address: u64,
    /// Where its unit lies in `.debug_info`.
    unit: Option<usize>,
    row: Option<Row>,
    /// The function, then what was inlined into it, into that, and so on.
    inlined: [Inlined; DEEPEST],
    depth: usize,
    /// Where the calls of the answer are.
    first: usize,
    count: usize,
}

impl Question {
    fn is_in(&self, module: usize, unit: usize) -> bool {
        self.module == module && self.unit == Some(unit)
    }
}

/// An entry that contains the address: where it lies in the unit, and from where it was called.
#[derive(Clone, Copy, Debug)]
struct Inlined {
    offset: usize,
    call_file: u64,
    call_line: u64,
}

/// Working memory: addresses that are asked for, and the answers. 350 KB.
pub(crate) struct Symbolizer<'a> {
    abbreviations: Abbreviations,
    questions: [Question; MOST_ADDRESSES],
    count: usize,
    calls: [Call<'a>; MOST_CALLS],
    call_count: usize,
    /// The symbol at each question's address, where debug information has no full name.
    symbols: [&'a [u8]; MOST_ADDRESSES],
    /// Whether debug information lies in other files.
    is_split: bool,
}

impl<'a> Symbolizer<'a> {
    const NO_CALL: Call<'a> = Call {
        function: Name { bytes: &[], is_mangled: false },
        place: Place { folder: &[], directory: &[], file: &[], line: 0, nearest: 0 },
    };
    const NO_QUESTION: Question = Question {
        module: 0,
        address: 0,
        unit: None,
        row: None,
        inlined: [Inlined { offset: 0, call_file: 0, call_line: 0 }; DEEPEST],
        depth: 0,
        first: 0,
        count: 0,
    };

    /// Makes a symbolizer of memory of any content. It is too large for most stacks, so that it is made where it is to be.
    ///
    /// # Safety
    /// There is memory for one at `place`, which nobody else uses.
    pub(crate) unsafe fn write_empty(place: *mut Symbolizer<'a>) {
        // SAFETY: as the caller says; field by field, and element by element.
        unsafe {
            Abbreviations::write_empty(&raw mut (*place).abbreviations);
            let questions = (&raw mut (*place).questions).cast::<Question>();
            (0..MOST_ADDRESSES).for_each(|at| questions.add(at).write(Self::NO_QUESTION));
            let calls = (&raw mut (*place).calls).cast::<Call<'a>>();
            (0..MOST_CALLS).for_each(|at| calls.add(at).write(Self::NO_CALL));
            (&raw mut (*place).symbols).write([&[]; MOST_ADDRESSES]);
            (&raw mut (*place).count).write(0);
            (&raw mut (*place).call_count).write(0);
            (&raw mut (*place).is_split).write(false);
        }
    }

    /// One on the heap; not for signal handlers.
    pub(crate) fn boxed() -> Box<Symbolizer<'a>> {
        let mut place = Box::new_uninit();
        // SAFETY: a box's content is its own, and all of it has been written then.
        unsafe {
            Symbolizer::write_empty(place.as_mut_ptr());
            place.assume_init()
        }
    }

    /// Forgets what was asked.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.call_count = 0;
        self.is_split = false;
    }

    /// Asks a module for an address, as its file counts them; the question's number, by which the answer is had. `None`:
    /// there is no room.
    pub(crate) fn ask(&mut self, module: usize, address: u64) -> Option<usize> {
        if let Some(known) = self.number_of(module, address) {
            return Some(known);
        }
        let question = self.questions.get_mut(self.count)?;
        // Not assigned as a whole, which would be a kilobyte of zeros by way of the stack.
        (question.module, question.address) = (module, address);
        question.unit = None;
        question.row = None;
        question.depth = 0;
        question.count = 0;
        self.symbols[self.count] = &[];
        self.count += 1;
        Some(self.count - 1)
    }

    /// The number of a question, if it was asked.
    pub(crate) fn number_of(&self, module: usize, address: u64) -> Option<usize> {
        let mut known = self.questions[..self.count].iter();
        known.position(|known| known.module == module && known.address == address)
    }

    /// Whether a module was asked for anything.
    pub(crate) fn is_asked(&self, module: usize) -> bool {
        self.questions[..self.count].iter().any(|question| question.module == module)
    }

    /// The functions at an address that was asked for, the innermost first. None: the file doesn't know.
    pub(crate) fn answer(&self, number: usize) -> &[Call<'a>] {
        self.questions[..self.count]
            .get(number)
            .and_then(|question| self.calls.get(question.first..question.first + question.count))
            .unwrap_or_default()
    }

    /// What the function of an answer's call is called in full. Line tables alone have short names only; the compiled
    /// function's is found among the symbols then.
    pub(crate) fn name(&self, number: usize, call: usize) -> Name<'a> {
        let calls = self.answer(number);
        let Some(name) = calls.get(call).map(|call| call.function) else { return Name::default() };
        match self.symbols.get(number) {
            Some(symbol) if call + 1 == calls.len() && !name.is_mangled && !symbol.is_empty() => {
                Name { bytes: symbol, is_mangled: true }
            }
            _ => name,
        }
    }

    /// Whether lines are missing because they lie in other files (`.dwo`, `.dwp`).
    pub(crate) fn is_split(&self) -> bool {
        self.is_split
    }

    /// Answers all questions asked of a module so far, from its file.
    pub(crate) fn resolve(&mut self, module: usize, image: &Image<'a>) {
        self.find_units(module, image);
        for first in 0..self.count {
            // Each unit once: the first who is in it asks for all.
            let question = &self.questions[first];
            if let (Some(unit), 0) = (question.unit, question.count)
                && question.module == module
                && !self.questions[..first].iter().any(|earlier| earlier.is_in(module, unit))
            {
                self.resolve_unit(module, image, unit);
            }
        }
        self.name_by_symbols(module, image);
    }

    /// Finds the unit that each address lies in.
    fn find_units(&mut self, module: usize, image: &Image<'a>) {
        let questions = &mut self.questions[..self.count];
        let is_lost = |question: &&mut Question| question.module == module && question.unit.is_none();
        let own = || questions.iter().filter(|question| question.module == module);
        let low = own().map(|question| question.address).min().unwrap_or(0);
        let high = own().map(|question| question.address).max().unwrap_or(0);
        let mut sets = DebugAranges::from(image.aranges).headers();
        while let Ok(Some(set)) = sets.next() {
            let mut ranges = set.entries();
            while let Ok(Some(range)) = ranges.next() {
                let (start, end) = (range.address(), range.address().saturating_add(range.length()));
                // What the linker has thrown away begins at 0.
                if start == 0 || start > high || end <= low {
                    continue;
                }
                for question in questions.iter_mut().filter(is_lost) {
                    if start <= question.address && question.address < end {
                        question.unit = Some(set.debug_info_offset().0);
                    }
                }
            }
        }
        if questions.iter_mut().all(|question| !is_lost(&question)) {
            return;
        }
        let mut units = DebugInfo::from(image.info).units();
        while let Ok(Some(header)) = units.next() {
            let Some(offset) = header.debug_info_offset() else { continue };
            let Ok(unit) = Unit::new(image, &self.abbreviations, header) else { continue };
            unit.each_range(image, &unit.root, |start, end| {
                for question in questions.iter_mut().filter(is_lost) {
                    if start != 0 && start <= question.address && question.address < end {
                        question.unit = Some(offset.0);
                    }
                }
            });
        }
    }

    /// Answers the questions about addresses in a unit.
    fn resolve_unit(&mut self, module: usize, image: &Image<'a>, offset: usize) {
        let Ok(unit) = Unit::at(image, &self.abbreviations, offset) else { return };
        self.is_split |= unit.is_split;
        let key = (unit.abbreviations(), unit.header.encoding());
        let _ = self.abbreviations.load(image.abbreviations, key.0, key.1);
        // Damage ends the walk; what was found until then is good.
        let _ = self.find_functions(module, image, &unit, offset);
        let lines = unit.line.and_then(|offset| Lines::at(image, offset).ok());
        if let Some(lines) = &lines {
            let questions = &mut self.questions[..self.count];
            let _ = lines.each_row(|start, end, row| {
                for question in questions.iter_mut().filter(|question| question.is_in(module, offset)) {
                    if start <= question.address && question.address < end && question.row.is_none() {
                        question.row = Some(row);
                    }
                }
            });
        }
        for number in 0..self.count {
            if self.questions[number].is_in(module, offset) {
                self.put_answer(image, &unit, lines.as_ref(), number);
            }
        }
    }

    /// Finds the functions that contain the addresses of a unit, and what was inlined there.
    fn find_functions(
        &mut self,
        module: usize,
        image: &Image<'a>,
        unit: &Unit<'a>,
        offset: usize,
    ) -> gimli::Result<()> {
        let questions = &mut self.questions[..self.count];
        let own = || questions.iter().filter(|question| question.is_in(module, offset));
        let low = own().map(|question| question.address).min().unwrap_or(0);
        let high = own().map(|question| question.address).max().unwrap_or(0);
        let scopes = [(0, false); DEEPEST_NESTING];
        let mut finder =
            Finder { image, module, unit, offset, questions, span: (low, high), scopes, nesting: 0 };
        entries::walk(image, &self.abbreviations, unit, &mut finder)
    }

    /// Puts together what was found of an address.
    fn put_answer(&mut self, image: &Image<'a>, unit: &Unit<'a>, lines: Option<&Lines<'a>>, number: usize) {
        let place = |file: u64, line: u64, nearest: u64| {
            let file = lines.and_then(|lines| lines.file(image, unit, file)).unwrap_or_default();
            Place { folder: unit.folder, directory: file.directory, file: file.name, line, nearest }
        };
        let question = &mut self.questions[number];
        let row = question.row.unwrap_or_default();
        let file = if row.line == 0 { row.nearest_file } else { row.file };
        let mut at = place(file, row.line, row.nearest);
        question.first = self.call_count;
        if question.depth == 0 {
            // Its name is found among the symbols, later.
            if let (Some(_), Some(call)) = (question.row, self.calls.get_mut(self.call_count)) {
                *call = Call { function: Name::default(), place: at };
                self.call_count += 1;
                question.count = 1;
            }
            return;
        }
        for inlined in question.inlined[..question.depth].iter().rev() {
            let Some(call) = self.calls.get_mut(self.call_count) else { break };
            let function = unit.name_at(image, &self.abbreviations, inlined.offset).unwrap_or_default();
            *call = Call { function, place: at };
            self.call_count += 1;
            question.count += 1;
            at = place(inlined.call_file, inlined.call_line, inlined.call_line);
        }
    }

    /// Looks among the symbols for what has no name yet, or a short one.
    fn name_by_symbols(&mut self, module: usize, image: &Image<'a>) {
        let (questions, calls) = (&self.questions[..self.count], &self.calls);
        let needs_symbol = |question: &Question| {
            let last = question.count.checked_sub(1).and_then(|last| calls.get(question.first + last));
            question.module == module && last.is_none_or(|call| !call.function.is_mangled)
        };
        if !questions.iter().any(needs_symbol) {
            return;
        }
        let symbols = &mut self.symbols;
        image.each_function(|address, size, name| {
            for (question, symbol) in questions.iter().zip(symbols.iter_mut()) {
                let is_inside = address <= question.address && question.address - address < size.max(1);
                if is_inside && symbol.is_empty() && needs_symbol(question) {
                    *symbol = name;
                }
            }
        });
        for (question, symbol) in self.questions[..self.count].iter_mut().zip(&self.symbols) {
            if question.module != module || symbol.is_empty() {
                continue;
            }
            let name = Name { bytes: symbol, is_mangled: true };
            if question.count == 0
                && let Some(call) = self.calls.get_mut(self.call_count)
            {
                *call = Call { function: name, ..Self::NO_CALL };
                (question.first, question.count) = (self.call_count, 1);
                self.call_count += 1;
            } else if let Some(call) = self.calls.get_mut(question.first)
                && call.function.bytes.is_empty()
            {
                call.function = name;
            }
        }
    }
}

/// Who looks for the functions that contain the addresses of a unit.
struct Finder<'f, 'a> {
    image: &'f Image<'a>,
    module: usize,
    unit: &'f Unit<'a>,
    /// Where the unit lies.
    offset: usize,
    questions: &'f mut [Question],
    /// The lowest and the highest address.
    span: (u64, u64),
    /// The functions within which the walk is: how deep each one's entry lies, and whether it contains an address.
    scopes: [(usize, bool); DEEPEST_NESTING],
    nesting: usize,
}

impl<'a> Visitor<'a> for Finder<'_, 'a> {
    #[inline]
    fn wants(&mut self, kind: EntryKind, depth: usize, range: Option<(u64, u64)>) -> bool {
        while self.nesting > 0 && self.scopes[self.nesting - 1].0 >= depth {
            self.nesting -= 1;
        }
        let is_function = kind == EntryKind::Function;
        if !is_function && (self.nesting == 0 || !self.scopes[self.nesting - 1].1) {
            return false;
        }
        let Some((low, high)) = range else { return true };
        let may_contain_one = low <= self.span.1
            && high > self.span.0
            && self.questions.iter().any(|question| low <= question.address && question.address < high);
        if is_function && !may_contain_one {
            self.enter(depth, false);
        }
        may_contain_one
    }

    fn visit(&mut self, visited: &Visited<'a>) {
        let is_function = visited.kind == EntryKind::Function;
        let mut contains_one = false;
        let (module, offset) = (self.module, self.offset);
        for question in self.questions.iter_mut().filter(|question| question.is_in(module, offset)) {
            // A function that lies in another one isn't part of what was inlined there.
            if is_function != (question.depth == 0)
                || !self.unit.contains(self.image, &visited.entry, question.address)
            {
                continue;
            }
            contains_one = true;
            if let Some(place) = question.inlined.get_mut(question.depth) {
                let (call_file, call_line) = (visited.entry.call_file, visited.entry.call_line);
                *place = Inlined { offset: visited.offset, call_file, call_line };
                question.depth += 1;
            }
        }
        if is_function {
            self.enter(visited.depth, contains_one);
        }
    }
}

impl Finder<'_, '_> {
    fn enter(&mut self, depth: usize, contains_one: bool) {
        if let Some(scope) = self.scopes.get_mut(self.nesting) {
            *scope = (depth, contains_one);
            self.nesting += 1;
        }
    }
}
