//! The registry as a debugger sees it between two instructions.
//!
//! All of it is read at once, and understood again only where its bytes have changed. What lies where, and what it
//! means, is tests/support/registry_reader.rs's to know.

use std::collections::BTreeMap;

use crate::memory::Memory;
use crate::process::Process;
use crate::support::image::{self, Image as _, header_by_note, word};
use crate::support::objects::Descriptor;
use crate::support::registry_reader::{Coroutine, Fields, Meanings, Registry, Row};

/// Workers that are looked at. The debuggee has two.
const WORKERS: usize = 4;
/// File descriptors that are looked at. The debuggee has fewer.
const DESCRIPTORS: usize = 32;

/// One stack class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) base: u64,
    pub(crate) stride: u64,
    pub(crate) redzone: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) used: u32,
    pub(crate) queues: [FreeQueue; 3],
}

/// A queue of free slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FreeQueue {
    pub(crate) name: &'static str,
    pub(crate) tag: u32,
    /// The first slot's record index + 1.
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    /// 0 = the row is not in use.
    pub(crate) thread: u64,
    pub(crate) main: u32,
    pub(crate) switch: u32,
    pub(crate) io: u32,
    pub(crate) alive: u64,
    pub(crate) switches: u64,
    /// Free slots that it keeps for itself.
    pub(crate) free_slots: u32,
}

/// Everything at one instruction.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) classes: Vec<Class>,
    pub(crate) workers: Vec<Worker>,
    /// All that ever had a tenant, by index.
    pub(crate) records: BTreeMap<u32, Coroutine>,
    /// By number.
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) resume_pc: u64,
    /// The context that ends backtraces.
    pub(crate) end: u64,
    /// Of the first record's context, and of the next one's from there.
    contexts: (u64, u64),
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the stack of the slot with this index.
    Stack(u32),
    /// In a redzone, or in a slot that was never used.
    Forbidden,
    /// Not in any class's part of the region.
    Outside,
}

impl View {
    pub(crate) fn place(&self, address: u64) -> Place {
        let holds = |class: &&Class| {
            let length = class.stride * u64::from(class.count) + class.redzone;
            (class.base..class.base + length).contains(&address) && class.stride != 0
        };
        let Some(class) = self.classes.iter().find(holds) else { return Place::Outside };
        let (slot, offset) = ((address - class.base) / class.stride, (address - class.base) % class.stride);
        // A stack pointer at the top lies in the next one's redzone, and nobody has pushed yet.
        if slot < u64::from(class.used) && offset >= class.redzone {
            return Place::Stack(class.first + slot as u32);
        }
        Place::Forbidden
    }

    pub(crate) fn class_of(&self, index: u32) -> Option<&Class> {
        self.classes.iter().find(|class| (class.first..class.first + class.count).contains(&index))
    }

    /// Where a record's context lies, as links name it.
    pub(crate) fn context(&self, index: u32) -> u64 {
        self.contexts.0 + u64::from(index) * self.contexts.1
    }

    /// Whose stack a worker's thread is on: the slot's, or main's if it is none of the region's. `None`: it is where
    /// no stack is.
    pub(crate) fn runner(&self, worker: &Worker, sp: u64) -> Option<u32> {
        match self.place(sp) {
            Place::Stack(index) => Some(index),
            Place::Forbidden => None,
            Place::Outside => Some(worker.main),
        }
    }
}

/// Reads views.
pub(crate) struct Watch {
    image: image::Process,
    header: Span,
    /// Known as soon as the header is.
    registry: Option<Known>,
}

struct Known {
    meanings: Meanings,
    /// The header's copy at the region's start.
    copy: Span,
    classes: Span,
    workers: Span,
    descriptors: Span,
    /// The fields and roles of descriptors.
    descriptor_meanings: (Fields, BTreeMap<u64, String>),
    /// Of each class, those in use.
    records: Vec<(u32, Span)>,
    /// Address and stride of the records.
    place: (u64, u64),
    view: View,
}

/// Bytes that are read again and again.
struct Span {
    address: u64,
    old: Vec<u8>,
    new: Vec<u8>,
    stride: usize,
}

impl Watch {
    pub(crate) fn new(process: &Process) -> Result<Watch, String> {
        let image =
            image::Process::open(process.pid()).map_err(|error| format!("the debuggee's memory: {error}"))?;
        let header = header_by_note(&image)?;
        // As much of the header as every version has.
        Ok(Watch { image, header: Span::new(header, 40, 40), registry: None })
    }

    /// The view, if a runtime has described its region.
    pub(crate) fn view(&self) -> Option<&View> {
        self.registry.as_ref().map(|known| &known.view)
    }

    /// Looks again, and refreshes `memory` on the way. Returns the view before, if something has changed, and the first
    /// thing that can't be understood as an error.
    pub(crate) fn look(&mut self, process: &Process, memory: &mut Memory) -> Result<Option<View>, String> {
        let mut spans: Vec<&mut Span> = vec![&mut self.header];
        if let Some(known) = &mut self.registry {
            spans.extend([&mut known.copy, &mut known.classes, &mut known.workers, &mut known.descriptors]);
            spans.extend(known.records.iter_mut().map(|(_, span)| span));
        }
        let mut places: Vec<(u64, &mut [u8])> =
            spans.iter_mut().map(|span| (span.address, &mut span.new[..])).collect();
        memory
            .refresh(process, &mut places)
            .map_err(|error| format!("the registry can't be read: {error}"))?;
        let Some(known) = &mut self.registry else {
            if self.header.has_changed() && self.header.new[..8] != [0; 8] {
                self.registry = Some(Known::read(&self.image, &mut self.header)?);
                return self.look(process, memory);
            }
            return Ok(None);
        };
        if self.header.has_changed() || known.copy.has_changed() {
            return Err("the debug header, or its copy, has changed".into());
        }
        known.update(process, &self.image)
    }
}

impl Known {
    /// Reads what the tables say, once there is a header.
    fn read(image: &image::Process, header: &mut Span) -> Result<Known, String> {
        let registry = Registry::at(image, header.address)?;
        let meanings = registry.meanings()?;
        let header_fields = registry.fields("header fields")?;
        let row = registry.header_row(header.address, &header_fields)?;
        let table = |name: &str, rows: usize| {
            let (address, stride) = registry.place(name)?;
            Ok::<_, String>(Span::new(address, rows * stride as usize, stride as usize))
        };
        let classes = registry.rows("classes", None, &meanings.class_fields)?.len();
        let place = registry.place("records")?;
        let size = registry.header().size as usize;
        // From here on all of it, and it stays as it is.
        *header = Span::new(header.address, size, size);
        let mut copy = Span::new(row.number("region_base"), size, size);
        for span in [header, &mut copy] {
            span.fill(image)?;
        }
        let view = View {
            classes: Vec::new(),
            workers: Vec::new(),
            records: BTreeMap::new(),
            descriptors: Vec::new(),
            resume_pc: row.number("resume_pc"),
            end: row.number("end_context"),
            contexts: (place.0 + meanings.context_offset(), place.1),
        };
        Ok(Known {
            meanings,
            copy,
            classes: table("classes", classes)?,
            workers: table("workers", WORKERS)?,
            descriptors: table("descriptors", DESCRIPTORS)?,
            descriptor_meanings: (registry.fields("descriptor fields")?, registry.names("descriptor roles")?),
            records: Vec::new(),
            place,
            view,
        })
    }

    /// Understands what has changed; returns the view before, if anything has.
    fn update(&mut self, process: &Process, image: &image::Process) -> Result<Option<View>, String> {
        let is_changed = self.classes.has_changed()
            || self.workers.has_changed()
            || self.descriptors.has_changed()
            || self.records.iter().any(|(_, span)| span.has_changed());
        if !is_changed {
            return Ok(None);
        }
        let before = self.view.clone();
        if self.classes.has_changed() || self.view.classes.is_empty() {
            self.view.classes =
                self.classes.rows(&self.meanings.class_fields).map(|(_, row)| class(&row)).collect();
            self.classes.keep();
            self.follow_classes(process)?;
        }
        if self.workers.has_changed() || self.view.workers.is_empty() {
            self.view.workers =
                self.workers.rows(&self.meanings.worker_fields).map(|(_, row)| worker(&row)).collect();
            self.workers.keep();
        }
        if self.descriptors.has_changed() || self.view.descriptors.is_empty() {
            let (fields, roles) = &self.descriptor_meanings;
            let rows = self.descriptors.rows(fields).map(|(number, row)| {
                Descriptor::of(&row, roles).map_err(|what| format!("descriptor {number}: {what}"))
            });
            self.view.descriptors = rows.collect::<Result<_, _>>()?;
            self.descriptors.keep();
        }
        for (first, span) in &mut self.records {
            for (number, row) in span.rows(&self.meanings.record_fields) {
                let index = *first + number;
                if span.has_changed_in(number) || !self.view.records.contains_key(&index) {
                    let coroutine = self.meanings.coroutine(image, &row);
                    let coroutine =
                        coroutine.map_err(|what| format!("the record of slot {index}: {what}"))?;
                    self.view.records.insert(index, coroutine);
                }
            }
            span.keep();
        }
        Ok(Some(before))
    }

    /// Makes room for the records of slots that have come into use.
    fn follow_classes(&mut self, process: &Process) -> Result<(), String> {
        let stride = self.place.1 as usize;
        self.records.resize_with(self.view.classes.len(), || (0, Span::new(self.place.0, 0, stride)));
        for ((first, span), class) in self.records.iter_mut().zip(&self.view.classes) {
            if span.new.len() != class.used as usize * stride {
                let address = self.place.0 + u64::from(class.first) * self.place.1;
                (*first, *span) = (class.first, Span::new(address, class.used as usize * stride, stride));
                process
                    .read(&mut [(address, &mut span.new)])
                    .map_err(|error| format!("the records of class {} can't be read: {error}", class.name))?;
            }
        }
        Ok(())
    }
}

impl Span {
    fn new(address: u64, length: usize, stride: usize) -> Span {
        Span { address, old: vec![0; length], new: vec![0; length], stride }
    }

    /// Reads it by itself.
    fn fill(&mut self, image: &image::Process) -> Result<(), String> {
        let bytes = image.read(self.address, self.new.len());
        self.new = bytes.map_err(|error| format!("the header at {:#x}: {error}", self.address))?;
        self.keep();
        Ok(())
    }

    fn has_changed(&self) -> bool {
        self.old != self.new
    }

    fn has_changed_in(&self, row: u32) -> bool {
        let start = row as usize * self.stride;
        self.old[start..start + self.stride] != self.new[start..start + self.stride]
    }

    fn keep(&mut self) {
        self.old.copy_from_slice(&self.new);
    }

    fn rows<'f>(&self, fields: &'f Fields) -> impl Iterator<Item = (u32, Row<'f>)> {
        (0..).zip(self.new.chunks_exact(self.stride).map(|row| Row::new(row, fields)))
    }
}

fn class(row: &Row<'_>) -> Class {
    let half = |name: &str| row.number(name) as u32;
    let queue = |name: &'static str| {
        let (tag, first, count) = row.free_queue(name);
        FreeQueue { name, tag, first, count }
    };
    Class {
        name: row.text("name"),
        base: row.number("base"),
        stride: row.number("stride"),
        redzone: row.number("redzone"),
        first: half("first_record"),
        count: half("count"),
        used: half("used"),
        queues: ["free", "cooling", "cold"].map(queue),
    }
}

fn worker(row: &Row<'_>) -> Worker {
    let half = |name: &str| row.number(name) as u32;
    Worker {
        thread: row.number("thread"),
        main: half("main"),
        switch: half("switch"),
        io: half("io"),
        free_slots: half("free_slots"),
        alive: row.number("alive"),
        switches: row.number("switches"),
    }
}

/// The pc of the context that ends backtraces: its second word.
pub(crate) fn end_pc(process: &Process, view: &View) -> Result<u64, String> {
    let mut bytes = [0; 16];
    let read = process.read(&mut [(view.end, &mut bytes)]);
    read.map_err(|error| format!("the context that ends backtraces, at {:#x}: {error}", view.end))?;
    Ok(word(&bytes, 8))
}
