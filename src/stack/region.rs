//! The region: one mapping with the debug tables, all records, descriptors and stacks, for the life of the process.
//!
//! That it is one, never moves and is never unmapped is what makes a debugger's work easy: any address is
//! told to be a coroutine's by arithmetic, and an address written down an hour ago still means the same slot.
//! Several runtimes share it; the first one's Builder decides its size. Only address space is reserved, a page
//! costs when it is touched.

use std::sync::{Mutex, OnceLock};
use std::{io, ptr};

use super::checkers;
use super::geometry::{ClassGeometry, DEFAULT_CAPACITY, FEWEST_DESCRIPTORS, Geometry, REDZONE, SlotIndex};
use super::redzone::Redzones;
use crate::abi::descriptor::Head;
use crate::abi::layout::{CLASS_COUNT, Class, ClassName, Parked, Worker};
use crate::abi::objects::Descriptor;
use crate::abi::record::Record;
use crate::abi::{DebugHeader, HEADER, MAGIC, MAJOR, MINOR};
use crate::arch::{DEBUG_HEADER_SIZE, END, resume_point};
use crate::error::{Kind, Result};
use crate::sys::memory::{self, PAGE};
use crate::sys::{lock, process};

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Where the region is asked to lie: low, away from where the kernel puts libraries and thread stacks, so that
/// a coroutine's address is known at sight. Any other place does as well.
const HINT: usize = 0x10_0000_0000;
/// Fewer coroutines than this are not worth starting with when the address space is limited.
const FEWEST: usize = 64;
/// Parts of the region get into core dumps in steps of this many bytes, as slots come into use.
const DUMP_STEP: usize = 64 << 20;
/// And the rows of descriptors, which are small, and few of them used.
const DESCRIPTOR_STEP: usize = 1 << 20;

/// The process's region.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) geometry: Geometry,
    pub(crate) redzones: Redzones,
    head: &'static Head,
    /// What is in core dumps already.
    dumped: Mutex<Dumped>,
    /// High-water mark: the rows of descriptors from here on were never used.
    descriptors_used: AtomicUsize,
}

/// Bytes that are in core dumps.
#[derive(Debug)]
struct Dumped {
    /// All before this, from the start on: head and records.
    until: usize,
    /// Of each class: of its records and of its slots.
    classes: [(usize, usize); CLASS_COUNT],
    descriptors: usize,
}

impl Dumped {
    /// The head and the first records: those of a program with a few hundred thousand coroutines, by no call for each class.
    fn at_start(geometry: &Geometry) -> Dumped {
        // No row of a descriptor shares a page with records.
        let until = geometry.descriptors.min(geometry.records + DUMP_STEP);
        let classes = geometry.classes.each_ref().map(|class| {
            let (start, length) = records_of(geometry, class);
            (until.saturating_sub(start).min(length), 0)
        });
        Dumped { until, classes, descriptors: 0 }
    }
}

/// Where a class's records start, and how many bytes they are.
fn records_of(geometry: &Geometry, class: &ClassGeometry) -> (usize, usize) {
    let row = size_of::<Record>();
    (geometry.records + class.first as usize * row, class.count as usize * row)
}

static REGION: OnceLock<Region> = OnceLock::new();

/// The region, if a runtime has ever started.
pub(crate) fn get() -> Option<&'static Region> {
    REGION.get()
}

/// The region, made for `capacity` user coroutines (`None`: by default, or as many as there is address space
/// for) if this is the first call.
pub(crate) fn start(capacity: Option<usize>) -> Result<&'static Region> {
    static STARTING: Mutex<()> = Mutex::new(());
    // A panic in an earlier start left nothing behind that could be half done: REGION is set last.
    let _one_at_a_time = lock::of(&STARTING);
    if let Some(region) = REGION.get() {
        let fixed = region.geometry.capacity();
        return match capacity {
            Some(asked) if asked != fixed => Err(Kind::Geometry { asked, fixed }.into()),
            _ => Ok(region),
        };
    }
    let most = Geometry::largest_capacity();
    if let Some(asked) = capacity.filter(|asked| !(1..=most).contains(asked)) {
        return Err(Kind::Capacity { asked, most }.into());
    }
    let geometry = reserve(capacity)?;
    let (base, length) = (geometry.base, geometry.length);
    match Region::lay_out(geometry) {
        Ok(region) => Ok(REGION.get_or_init(|| region)),
        Err(error) => {
            // SAFETY: it has failed before it told anybody of the mapping: the debug header comes last.
            unsafe { memory::release(base, length) };
            Err(error)
        }
    }
}

/// Reserves the addresses: all that were asked for, or, when nothing was, what there is room for.
fn reserve(capacity: Option<usize>) -> Result<Geometry> {
    let files = usize::try_from(process::most_open_files()).unwrap_or(usize::MAX);
    fit(
        capacity,
        files,
        |length| memory::reserve(HINT, length),
        |base, length| {
            // SAFETY: the mapping was made just now, nobody has an address of it.
            unsafe { memory::release(base, length) };
        },
    )
}

/// What of capacity and descriptors can be had of `reserve`, which gives the base for a length, or refuses.
fn fit(
    capacity: Option<usize>,
    mut descriptors: usize,
    mut reserve: impl FnMut(usize) -> io::Result<usize>,
    mut release: impl FnMut(usize, usize),
) -> Result<Geometry> {
    let mut wanted = capacity.unwrap_or(DEFAULT_CAPACITY);
    let mut limited = false;
    loop {
        let length = Geometry::new(0, wanted, descriptors).length;
        match reserve(length) {
            // RLIMIT_AS or strict overcommit: what just fits would leave nothing to malloc, so one step less.
            Ok(base) if limited => {
                release(base, length);
                limited = false;
                wanted /= 2;
            }
            Ok(base) => return Ok(Geometry::new(base, wanted, descriptors)),
            // What has no row works as well: the rows go first.
            Err(_) if descriptors > FEWEST_DESCRIPTORS => descriptors = FEWEST_DESCRIPTORS,
            Err(_) if capacity.is_none() && wanted / 2 >= FEWEST => {
                limited = true;
                wanted /= 2;
            }
            Err(source) => return Err(Kind::Region { length, capacity: wanted, source }.into()),
        }
    }
}

impl Region {
    /// Fills in the fresh mapping's head and publishes the debug header.
    fn lay_out(geometry: Geometry) -> Result<Region> {
        let Geometry { base, length, records, record_count, descriptors, descriptor_count, .. } = geometry;
        memory::name(base, length, c"coro stacks");
        memory::small_pages(base, length);
        let dumped = Dumped::at_start(&geometry);
        // Where that fails (valgrind refuses it) cores are large, and nothing else is wrong.
        let _ = memory::exclude_from_cores(dumped.until, base + length - dumped.until);
        checkers::reserve(records, base + length);
        let redzones = Redzones::choose(geometry.class(ClassName::Service).base)?;

        let head = ptr::with_exposed_provenance_mut::<Head>(base);
        // SAFETY: the mapping starts with zeroed memory for a `Head`, page-aligned, ours alone until REGION is set.
        unsafe {
            Head::write(head, (records as u64, record_count), (descriptors as u64, descriptor_count));
        }
        // SAFETY: as above; from here on it is only shared, and never unmapped.
        let head: &'static Head = unsafe { &*head };
        for (row, class) in head.classes.iter().zip(&geometry.classes) {
            for (word, chunk) in row.name.iter().zip(padded(class.name.name()).chunks_exact(8)) {
                word.store(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")), Relaxed);
            }
            row.base.store(class.base as u64, Relaxed);
            row.stride.store(class.stride as u64, Relaxed);
            row.redzone.store(if class.stride == 0 { 0 } else { REDZONE as u64 }, Relaxed);
            row.first_record.store(class.first, Relaxed);
            row.count.store(class.count, Relaxed);
        }
        for header in [&head.header, &HEADER] {
            describe(header, &geometry, &redzones, head);
        }
        Ok(Region {
            geometry,
            redzones,
            head,
            dumped: Mutex::new(dumped),
            descriptors_used: AtomicUsize::new(0),
        })
    }

    /// The record of a slot.
    #[inline]
    pub(crate) fn record(&self, slot: SlotIndex) -> &'static Record {
        assert!(slot.0 < self.geometry.record_count, "slot {} is none of the region's", slot.0);
        let record =
            ptr::with_exposed_provenance::<Record>(self.geometry.records).wrapping_add(slot.0 as usize);
        // SAFETY: it lies in the array of `record_count` records, which is never unmapped; all bytes, zero ones
        // too, are a valid `Record` (atomics only), and it is only ever shared.
        unsafe { &*record }
    }

    /// The slot of a record.
    #[inline]
    pub(crate) fn slot(&self, record: &Record) -> SlotIndex {
        let offset = ptr::from_ref(record).addr() - self.geometry.records;
        debug_assert!(
            offset.is_multiple_of(size_of::<Record>())
                && offset / size_of::<Record>() < self.geometry.record_count as usize
        );
        SlotIndex((offset / size_of::<Record>()) as u32)
    }

    /// The row of a file descriptor, if there is one for its number.
    #[inline]
    pub(crate) fn descriptor(&self, number: usize) -> Option<&'static Descriptor> {
        let row = ptr::with_exposed_provenance::<Descriptor>(self.geometry.descriptors).wrapping_add(number);
        // SAFETY: it lies in the array of `descriptor_count` rows, which is never unmapped; all bytes, zero ones
        // too, are a valid `Descriptor` (atomics only), and it is only ever shared.
        (number < self.geometry.descriptor_count as usize).then(|| unsafe { &*row })
    }

    /// A row is about to be used: from here on it is in core dumps.
    #[inline]
    pub(crate) fn use_descriptor(&self, row: &Descriptor) {
        let number = (ptr::from_ref(row).addr() - self.geometry.descriptors) / size_of::<Descriptor>();
        if number >= self.descriptors_used.load(Relaxed) {
            self.use_descriptors(number + 1);
        }
    }

    #[cold]
    #[inline(never)]
    fn use_descriptors(&self, used: usize) {
        let Geometry { descriptors, descriptor_count, .. } = self.geometry;
        let mut dumped = lock::of(&self.dumped);
        let row = size_of::<Descriptor>();
        let before = dumped.descriptors;
        widen(
            &mut dumped.descriptors,
            (descriptors, descriptor_count as usize * row),
            used * row,
            DESCRIPTOR_STEP,
        );
        if dumped.descriptors > before {
            checkers::allow(descriptors + before, descriptors + dumped.descriptors);
        }
        // Release: pairs with the Acquire in `descriptors`.
        self.descriptors_used.fetch_max(used, Release);
    }

    /// The rows that were ever used, in the order of their numbers.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &'static Descriptor> {
        (0..self.descriptors_used.load(Acquire)).filter_map(|number| self.descriptor(number))
    }

    /// The header's copy at the region's start.
    pub(crate) fn header_copy(&self) -> &'static DebugHeader {
        &self.head.header
    }

    #[inline]
    pub(crate) fn class(&self, name: ClassName) -> &'static Class {
        &self.head.classes[name as usize]
    }

    pub(crate) fn workers(&self) -> &'static [Worker] {
        &self.head.workers
    }

    /// How many coroutines are parked, by worker.
    pub(crate) fn parked(&self) -> &'static [Parked] {
        &self.head.parked
    }

    /// Puts a class's first `used` slots, with their records, into core dumps.
    pub(crate) fn include_in_cores(&self, name: ClassName, used: usize) {
        let class = self.geometry.class(name);
        let mut dumped = lock::of(&self.dumped);
        let (records, slots) = &mut dumped.classes[name as usize];
        widen(records, records_of(&self.geometry, class), used * size_of::<Record>(), DUMP_STEP);
        // One byte more than the slots: then the redzone above the last one is in the same mapping.
        widen(slots, (class.base, class.end() - class.base), used * class.stride, DUMP_STEP);
    }
}

/// Widens what of [start, start + length) is in core dumps to at least `wanted` bytes, in steps of `step`.
fn widen(done: &mut usize, (start, length): (usize, usize), wanted: usize, step: usize) {
    if wanted > *done {
        let until = wanted.next_multiple_of(step).min(length);
        let from = (start + *done) & !(PAGE - 1);
        // A failure costs a reader of the core something, and nobody else anything.
        let _ = memory::include_in_cores(from, (start + until).next_multiple_of(PAGE) - from);
        *done = until;
    }
}

/// Fills in a header, the magic last.
fn describe(header: &DebugHeader, geometry: &Geometry, redzones: &Redzones, head: &Head) {
    // Crate-relative source paths begin so in debug information: the manifest's folder, or the registry's.
    const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    header.self_address.store((&raw const HEADER).addr() as u64, Relaxed);
    header.version_major.store(MAJOR, Relaxed);
    header.version_minor.store(MINOR, Relaxed);
    header.header_size.store(DEBUG_HEADER_SIZE as u32, Relaxed);
    header.table_count.store(crate::abi::descriptor::TABLE_COUNT as u32, Relaxed);
    header.tables.store(head.tables_address(), Relaxed);
    header.pid.store(process::pid(), Relaxed);
    header.redzone_method.store(redzones.method() as u32, Relaxed);
    header.region_base.store(geometry.base as u64, Relaxed);
    header.region_length.store(geometry.length as u64, Relaxed);
    header.resume_pc.store(resume_point() as u64, Relaxed);
    header.end_context.store((&raw const END).addr() as u64, Relaxed);
    header.source_prefix.store(SOURCES.as_ptr().addr() as u64, Relaxed);
    header.source_prefix_length.store(SOURCES.len() as u64, Relaxed);
    // Release: whoever sees the magic sees all of the above, and the tables.
    header.magic.store(MAGIC, Release);
}

fn padded(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capacity and descriptors that `fit` finds in so much address space.
    fn found(capacity: Option<usize>, descriptors: usize, space: usize) -> Option<(usize, usize)> {
        let refuse = || io::Error::from_raw_os_error(libc::ENOMEM);
        let reserve = |length| if length <= space { Ok(PAGE) } else { Err(refuse()) };
        let geometry = fit(capacity, descriptors, reserve, |base, _| assert_eq!(base, PAGE)).ok()?;
        Some((geometry.capacity(), geometry.descriptor_count as usize))
    }

    #[test]
    fn in_a_limited_address_space_descriptors_go_first() {
        let all = Geometry::new(0, 1000, 1 << 20).length;
        let few = Geometry::new(0, 1000, 0).length;
        assert_eq!(all - few, ((1 << 20) - 1024) * size_of::<Descriptor>());
        assert_eq!(found(Some(1000), 1 << 20, all), Some((1000, 1 << 20)));
        assert_eq!(found(Some(1000), 1 << 20, all - 1), Some((1000, 1024)));
        assert_eq!(found(Some(1000), 1 << 20, few), Some((1000, 1024)));
        assert_eq!(found(Some(1000), 1 << 20, few - 1), None);
        // What just fits is halved once more.
        let quarter = Geometry::new(0, DEFAULT_CAPACITY / 4, 0).length;
        assert_eq!(found(None, 20_000, quarter), Some((DEFAULT_CAPACITY / 8, 1024)));
        assert_eq!(found(None, 20_000, usize::MAX), Some((DEFAULT_CAPACITY, 20_000)));
    }
}
