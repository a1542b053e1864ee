//! Whether the registry is what its readers rely on.
//!
//! It takes nothing from the scheduler's own state: only the header, the tables, the records, and the stack
//! pointer of the caller, as a debugger would.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::abi::layout::{ClassName, Worker};
use crate::abi::objects::{ADDRESS_LENGTH, Descriptor, Role};
use crate::abi::record::{Kind, NO_SLOT, Record};
use crate::abi::state::{State, Word, flag};
use crate::abi::wait::{ObjectKind, WaitReason};
use crate::abi::{DebugHeader, HEADER, MAGIC, MAJOR};
use crate::arch::{END, SAVED_REGISTERS, resume_point, stack_pointer};
use crate::registry;
use crate::stack::geometry::{Place, SlotIndex, StackBounds};
use crate::stack::region::{self, Region};
use crate::sys::process;

/// Holds the coroutines of the calling thread's runtime against the invariants on which debuggers and crash reports
/// rely, and says which are broken: none, unless memory was overwritten, or the runtime has a bug. To be called
/// between the steps of a test.
///
/// # Errors
/// The list of what is wrong, a sentence each.
///
/// ```
/// coro::run(|| {
///     let sleeper = coro::spawn(|| coro::yield_now());
///     coro::debug::check().unwrap();
///     sleeper.join().unwrap();
///     coro::debug::check().unwrap();
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn check() -> Result<(), Vec<String>> {
    look(|findings, region| {
        let thread = process::thread_id();
        let mine = region.workers().iter().position(|worker| worker.thread.load(Relaxed) == thread);
        if let Some(index) = mine {
            findings.worker(region, index as u32, stack_pointer());
        }
    })
}

/// As [`check`], and besides what all runtimes of the process share, the queues of free slots and the rows of file
/// descriptors: so it means something only as long as no other thread runs one, or has sockets of ours.
///
/// # Errors
/// The list of what is wrong, a sentence each.
pub fn check_with_shared() -> Result<(), Vec<String>> {
    check()?;
    look(|findings, region| {
        for name in ClassName::ALL {
            findings.free_slots(region, name);
        }
        for (number, row) in region.descriptors().enumerate() {
            findings.0.extend(problem_of(number, row));
        }
    })
}

/// Collects what a look at the region finds, if there is one.
fn look(at: impl FnOnce(&mut Findings, &'static Region)) -> Result<(), Vec<String>> {
    let Some(region) = region::get() else { return Ok(()) };
    let mut findings = Findings(Vec::new());
    findings.header(region);
    at(&mut findings, region);
    if findings.0.is_empty() { Ok(()) } else { Err(findings.0) }
}

struct Findings(Vec<String>);

impl Findings {
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.0.push(otherwise());
        }
    }

    fn header(&mut self, region: &Region) {
        let address = (&raw const HEADER).addr() as u64;
        for (name, header) in [("the header", &HEADER), ("the header's copy", region.header_copy())] {
            let DebugHeader { magic, self_address, version_major, region_base, .. } = header;
            let right = magic.load(Acquire) == MAGIC
                && self_address.load(Relaxed) == address
                && version_major.load(Relaxed) == MAJOR
                && region_base.load(Relaxed) == region.geometry.base as u64;
            self.expect(right, || format!("{name} is damaged: {header:?}"));
        }
    }

    /// The worker with this index, whose thread calls, with its stack pointer at `sp`.
    fn worker(&mut self, region: &'static Region, index: u32, sp: usize) {
        let row = &region.workers()[index as usize];
        self.services(region, row);
        let mut ids = HashSet::new();
        let mut running = 0;
        let mut alive = 0;
        for record in registry::of_worker(region, index) {
            let word = record.word();
            alive += u64::from(record.kind() == Kind::User && word.state() != State::Exited);
            running += u32::from(word.state() == State::Running);
            self.expect(ids.insert(record.id()), || {
                format!("{} has an id that another one has", show(record))
            });
            self.record(region, record, word, sp);
        }
        self.expect(running == 1, || {
            format!("{running} coroutines of worker {index} are `running`; one can be")
        });
        let counted = row.alive.load(Relaxed);
        self.expect(alive == counted, || {
            format!("{alive} coroutines of worker {index} are alive, but it counts {counted}")
        });
    }

    fn services(&mut self, region: &'static Region, row: &Worker) {
        for (slot, kind) in [(&row.main, Kind::Main), (&row.switch, Kind::Switch), (&row.io, Kind::Io)] {
            let record = region.record(SlotIndex(slot.load(Relaxed)));
            self.expect(record.kind() == kind, || {
                format!("{} should be the worker's {}", show(record), kind.name())
            });
        }
    }

    fn record(&mut self, region: &'static Region, record: &'static Record, word: Word, sp: usize) {
        let known_flags = flag::ALL.iter().fold(0, |all, (bit, _)| all | bit);
        let right = word.state() as u64 | (word.0 & known_flags) == word.0 & 0xfff;
        self.expect(right, || format!("{} has a state word of no meaning: {:#x}", show(record), word.0));
        let slot = region.slot(record);
        let stack = StackBounds {
            limit: record.stack_limit.load(Relaxed) as usize,
            top: record.stack_top.load(Relaxed) as usize,
        };
        if let Some(bounds) = region.geometry.bounds(slot) {
            self.expect(stack == bounds, || {
                format!("{} says that its stack is {stack:x?}, but it is {bounds:x?}", show(record))
            });
        }
        self.expect(!registry::spawn_site(record).is_empty(), || {
            format!("{} has no spawn site", show(record))
        });
        if word.state() == State::Running {
            let found = match region.geometry.locate(sp) {
                Some(Place::Stack { slot: found }) => found == slot,
                Some(_) => false,
                None => {
                    record.kind() == Kind::Main
                        && (stack == StackBounds { limit: 0, top: 0 } || stack.contains(sp))
                }
            };
            self.expect(found, || {
                format!("{} is `running`, but the thread's stack pointer is {sp:#x}", show(record))
            });
            return;
        }
        self.object(region, record);
        let saved = record.context.sp();
        self.expect(stack.contains(saved), || {
            format!("{}'s saved stack pointer {saved:#x} is not in its stack", show(record))
        });
        self.expect(record.context.pc() == resume_point(), || {
            format!("{} goes on at {:#x}, not in `switch`", show(record), record.context.pc())
        });
        if stack.contains(saved) {
            self.saved_frame(record, saved);
        }
        // switch's link leads to main whenever main doesn't run; one that has lent its worker keeps its own.
        let may_be_linked = record.kind() == Kind::Switch || word.has(flag::LENT);
        let linked = !ptr::eq(record.link.load(Relaxed), &raw const END);
        self.expect(!linked || may_be_linked, || {
            format!("{} doesn't run, but is linked to a resumer", show(record))
        });
    }

    /// One who waits for a file descriptor finds its row: whoever waits has it, so that nobody can close it.
    fn object(&mut self, region: &Region, record: &Record) {
        let reason = WaitReason::ALL.get(record.wait_reason.load(Relaxed) as usize).copied();
        let Some(reason) = reason.filter(|reason| reason.object() == ObjectKind::FileDescriptor) else {
            return;
        };
        let number = record.wait_object.load(Relaxed) as usize;
        let Some(row) = region.descriptor(number) else { return };
        let expected: &[Role] = match reason {
            WaitReason::Accept => &[Role::Listener],
            WaitReason::Connect => &[Role::Stream],
            WaitReason::Signal | WaitReason::Process => &[Role::Other],
            _ => &[Role::Stream, Role::Datagram, Role::Other],
        };
        let role = row.role.load(Acquire);
        self.expect(expected.iter().any(|expected| role == *expected as u32), || {
            format!("{} waits for descriptor {number}, whose role is {role}: {}", show(record), reason.name())
        });
    }

    /// What `switch` left: the return address is code, in the same object as `switch` or the one that called it.
    fn saved_frame(&mut self, record: &Record, saved: usize) {
        let Some(rip) = SAVED_REGISTERS.iter().find(|register| register.in_memory && register.name == "rip")
        else {
            return;
        };
        let address = ptr::with_exposed_provenance::<usize>(saved + usize::from(rip.offset));
        // SAFETY: a saved frame lies at a saved stack pointer, which is in the coroutine's stack, and nobody runs
        // on that: the caller does, and it is another one.
        let rip = unsafe { address.read() };
        self.expect(rip > 0x1000 && rip != resume_point(), || {
            format!("{} would return to {rip:#x}", show(record))
        });
    }

    /// The queues of free slots, and that each slot that was ever used is alive, in a queue, or kept by a worker.
    fn free_slots(&mut self, region: &'static Region, name: ClassName) {
        let class = region.class(name);
        let used = class.used.load(Acquire);
        let first = region.geometry.class(name).first;
        let mut queued = 0;
        for (which, queue) in ["free", "cooling", "cold"].into_iter().zip(class.free_queues()) {
            let mut next = (queue.head.load(Acquire) as u32).wrapping_sub(1);
            let mut length = 0;
            while next != NO_SLOT {
                length += 1;
                if length > used || !(first..first + used).contains(&next) {
                    self.0.push(format!(
                        "the queue `{which}` of class {} leads to slot {next} after {length} steps",
                        name.name()
                    ));
                    return;
                }
                let record = region.record(SlotIndex(next));
                let state = record.word().state();
                self.expect(state == State::Free, || format!("{} is in a queue of free slots", show(record)));
                next = record.next_free.load(Relaxed);
            }
            let counted = queue.count.load(Relaxed);
            self.expect(length == counted, || {
                format!(
                    "the queue `{which}` of class {} has {length} slots, but counts {counted}",
                    name.name()
                )
            });
            queued += length;
        }
        let kept: u32 = match name {
            ClassName::Default => region.workers().iter().map(|row| row.free_slots.load(Relaxed)).sum(),
            _ => 0,
        };
        let live = (first..first + used)
            .filter(|slot| region.record(SlotIndex(*slot)).word().state() != State::Free)
            .count() as u32;
        self.expect(live + queued + kept == used, || {
            format!(
                "class {} has {used} slots that were used: {live} in use, {queued} in queues, {kept} kept by workers",
                name.name()
            )
        });
    }
}

/// What is wrong with a descriptor's row: its role is none that there is, or its address is no address.
pub(super) fn problem_of(number: usize, row: &Descriptor) -> Option<String> {
    let role = row.role.load(Acquire);
    if role as usize >= Role::ALL.len() {
        return Some(format!("descriptor {number} has the role {role}, which is none"));
    }
    // A socket address begins with two bytes of its family, in the machine's order.
    let family = i32::from(row.address[0].load(Relaxed) as u16);
    let length = row.address_length.load(Relaxed) as usize;
    let right = length == 0
        || length == size_of::<libc::sockaddr_in>() && family == libc::AF_INET
        || length == size_of::<libc::sockaddr_in6>() && family == libc::AF_INET6
        || (2..=ADDRESS_LENGTH).contains(&length) && family == libc::AF_UNIX;
    (!right).then(|| format!("descriptor {number} has {length} bytes of an address of family {family}"))
}

fn show(record: &Record) -> String {
    let mut text = format!("#{}", record.id());
    if let Some(name) = record.name() {
        let _ = write!(text, " '{name}'");
    }
    let _ = write!(text, " ({:?})", record.word());
    text
}
