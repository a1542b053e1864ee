//! All coroutines at a glance, for logs: what each waits for and where; and how deep their stacks have been.

use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::backtrace::{self, Backtrace};
use super::waits;
use crate::abi::layout::ClassName;
use crate::abi::record::{Kind, Record};
use crate::abi::state::State;
use crate::abi::wait::{ObjectKind, WaitReason};
use crate::arch::SAVED_REGISTERS;
use crate::arch::registers::{REGISTER_COUNT, Registers};
use crate::debug::memory::{OwnMemory, ReadMemory as _};
use crate::registry::{self, Tenant};
use crate::stack::geometry::SlotIndex;
use crate::stack::region::{self, Region};
use crate::stack::slots;
use crate::sys::clock;

/// Coroutines whose backtraces a dump shows.
const MOST_BACKTRACES: usize = 200;

/// How deep the stack of a coroutine has been; from [`stack_report`](crate::stack_report).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackDepth {
    /// The coroutine's number.
    pub id: u64,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Bytes from the stack's top to the lowest page that was ever touched: by it, or by whoever had the stack before.
    pub deepest: usize,
    /// Bytes of the stack.
    pub size: usize,
    /// Where it was spawned.
    pub spawned_at: String,
}

impl StackDepth {
    /// Whether three quarters of the stack have been used, as a crash report counts those of others: "3 crossed 75 % of
    /// theirs".
    pub fn is_nearly_full(&self) -> bool {
        slots::is_nearly_full(self.deepest, self.size)
    }
}

/// How deep the stacks of all coroutines alive have been, the deepest first: what a stack size can be chosen by.
///
/// It is told by which pages have been touched, so that it costs nothing until it is asked for (half a microsecond a
/// coroutine), and tells no less than a page. In an optimised build a stack is handed on as it is left, so that it may
/// have been somebody else who went that deep.
///
/// ```
/// coro::run(|| {
///     let deep = coro::spawn(|| {
///         let array = std::hint::black_box([1_u8; 50_000]);
///         coro::yield_now();
///         array.len()
///     });
///     coro::yield_now();
///     let report = coro::stack_report();
///     assert!(report[0].deepest > 50_000 && report[0].size == 192 * 1024);
///     assert_eq!(report.iter().filter(|stack| stack.is_nearly_full()).count(), 0);
///     deep.join().unwrap();
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn stack_report() -> Vec<StackDepth> {
    let Some(region) = region::get() else { return Vec::new() };
    let mut report: Vec<StackDepth> = alive(region)
        .filter_map(|record| {
            let tenant = registry::tenant(record).filter(|tenant| tenant.kind == Kind::User)?;
            let bounds = region.geometry.bounds(region.slot(record))?;
            Some(StackDepth {
                id: tenant.id,
                name: tenant.name,
                deepest: slots::depth(bounds),
                size: bounds.top - bounds.limit,
                spawned_at: tenant.spawn_site,
            })
        })
        .collect();
    report.sort_by_key(|depth| std::cmp::Reverse(depth.deepest));
    report
}

/// All coroutines of the process as text: who each is, what it does or waits for and since when, where it was spawned, and
/// the backtraces of those that wait.
///
/// Those of other threads' runtimes may run on meanwhile: what is said of them is what they did at some moment.
///
/// ```
/// coro::run(|| {
///     let _sleeper = coro::CoroutineBuilder::new().name("sleeper").spawn(|| coro::sleep(std::time::Duration::MAX))?;
///     coro::yield_now();
///     let text = coro::dump();
///     assert!(text.contains("'sleeper' parked in sleep"));
///     Ok::<(), coro::Error>(())
/// })??;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn dump() -> String {
    let Some(region) = region::get() else { return "no runtime has started yet\n".into() };
    let mut text = String::new();
    for (number, record) in alive(region).enumerate() {
        // Others may be giving the slot to its next tenant just now.
        let Some(tenant) = registry::tenant(record) else { continue };
        let _ = writeln!(text, "{}", Line(record, &tenant));
        if number < MOST_BACKTRACES && record.word().state() == State::Parked {
            let _ = write!(text, "{}", backtrace_of(record));
        }
    }
    text
}

fn alive(region: &'static Region) -> impl Iterator<Item = &'static Record> {
    ClassName::ALL.into_iter().flat_map(move |name| {
        let first = region.geometry.class(name).first;
        // Acquire: pairs with the Release of whoever took a fresh slot.
        let used = region.class(name).used.load(Acquire);
        let records = (first..first + used).map(move |slot| region.record(SlotIndex(slot)));
        records.filter(|record| !matches!(record.word().state(), State::Free | State::Exited))
    })
}

/// The record of a coroutine that is alive.
pub(super) fn find(id: u64) -> Option<&'static Record> {
    alive(region::get()?).find(|record| record.id() == id)
}

/// One coroutine in one line, as [`dump`] has it.
pub(super) fn line(record: &Record) -> String {
    registry::tenant(record).map_or(String::new(), |tenant| Line(record, &tenant).to_string())
}

/// A coroutine that doesn't run, from where it was left.
fn backtrace_of(record: &Record) -> Backtrace {
    let sp = record.context.sp() as u64;
    let memory = OwnMemory::careful();
    let mut registers: Registers = [0; REGISTER_COUNT];
    for register in SAVED_REGISTERS {
        let place = sp.wrapping_add(u64::from(register.offset));
        let value = if register.in_memory { memory.word(place).unwrap_or(0) } else { place };
        registers[usize::from(register.dwarf)] = value;
    }
    backtrace::take(&registers, false)
}

/// What a wait is for, behind its reason.
struct Object(WaitReason, u64);

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Object(reason, object) = self;
        match reason.object() {
            ObjectKind::Nothing => Ok(()),
            ObjectKind::CoroutineId => write!(f, " of #{object}"),
            ObjectKind::FileDescriptor => write!(f, " of descriptor {object}"),
            ObjectKind::Address => write!(f, " at {object:#x}"),
        }
    }
}

/// One coroutine in one line.
struct Line<'a>(&'a Record, &'a Tenant);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(record, tenant) = self;
        write!(f, "#{}", tenant.id)?;
        if let Some(name) = &tenant.name {
            write!(f, " '{name}'")?;
        }
        let state = tenant.word.state();
        write!(f, " {}", state.name())?;
        let reason = record.wait_reason.load(Relaxed) as usize;
        if state == State::Parked
            && let Some(reason) = WaitReason::ALL.get(reason)
        {
            let object = record.wait_object.load(Relaxed);
            match waits::family_in_words(*reason, object) {
                Some(family) => write!(f, " in {family}")?,
                None => write!(f, " in {}{}", reason.name(), Object(*reason, object))?,
            }
        }
        let age = clock::now().saturating_sub(record.since.load(Relaxed)) / 1_000_000;
        write!(f, " for {}.{:03} s", age / 1000, age % 1000)?;
        write!(f, ", spawned at {}", tenant.spawn_site)?;
        match record.parent.load(Relaxed) {
            0 => Ok(()),
            parent => write!(f, " by #{parent}"),
        }
    }
}

/// The coroutines that led to one: its creator, the creator's creator, up to main; those that still live are named.
pub(crate) fn ancestors(record: &Record) -> String {
    const MOST: usize = 16;
    const MOST_LOOKED_AT: usize = 10_000;
    let mut text = String::new();
    let Some(region) = region::get() else { return text };
    let mut parent = record.parent.load(Relaxed);
    for _ in 0..MOST {
        if parent == 0 {
            break;
        }
        let _ = write!(text, " by #{parent}");
        // Of a crowd not all are looked at, for a panic.
        let Some(found) = alive(region).take(MOST_LOOKED_AT).find(|record| record.id() == parent) else {
            break;
        };
        let Some(tenant) = registry::tenant(found).filter(|tenant| tenant.id == parent) else { break };
        if let Some(name) = &tenant.name {
            let _ = write!(text, " '{name}'");
        }
        parent = found.parent.load(Relaxed);
        if parent != 0 {
            let _ = write!(text, ", spawned at {}", tenant.spawn_site);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump_names_all_with_what_they_wait_for_and_where() {
        let text = crate::run(|| {
            let (tell, told) = crate::sync::channel::<u8>(1);
            let receiver =
                crate::CoroutineBuilder::new().name("receiver").spawn(move || told.recv()).unwrap();
            let id = receiver.id();
            let joiner =
                crate::CoroutineBuilder::new().name("joiner").spawn(move || receiver.wait()).unwrap();
            crate::yield_now();
            let text = dump();
            drop(tell);
            joiner.join().unwrap().unwrap();
            assert!(text.contains(&format!("'joiner' parked in join of {id} for ")), "{text}");
            text
        })
        .unwrap();
        assert!(
            text.contains("'main' running for ") && text.contains("'receiver' parked in receive at 0x"),
            "{text}"
        );
        // Where it waits, to its first frame.
        let (_, receiver) = text.split_once("'receiver'").unwrap();
        let frames: Vec<&str> = receiver.lines().skip(1).take_while(|line| !line.starts_with('#')).collect();
        assert!(frames.iter().any(|frame| frame.contains("recv")), "{text}");
        assert!(frames.last().unwrap().contains("coro::scheduler::switch::start"), "{text}");
    }

    #[test]
    fn stacks_are_as_deep_as_they_were_used() {
        crate::run(|| {
            let deep = crate::CoroutineBuilder::new()
                .name("deep one")
                .stack_size(1 << 20)
                .spawn(|| {
                    std::hint::black_box([1_u8; 600 << 10]);
                    crate::yield_now();
                })
                .unwrap();
            crate::yield_now();
            let report = stack_report();
            let found = report.iter().find(|depth| depth.name.as_deref() == Some("deep one")).unwrap();
            assert!((600 << 10..4 << 20).contains(&found.deepest) && found.size == 8 << 20, "{found:?}");
            assert!(!found.is_nearly_full() && found.spawned_at.starts_with(file!()), "{found:?}");
            deep.join().unwrap();
            let fuller = crate::CoroutineBuilder::new()
                .name("fuller one")
                .spawn(|| {
                    let mut array = [1_u8; 150 << 10];
                    std::hint::black_box(&mut array);
                    crate::yield_now();
                })
                .unwrap();
            crate::yield_now();
            let report = stack_report();
            let found = report.iter().find(|depth| depth.name.as_deref() == Some("fuller one")).unwrap();
            assert!(found.is_nearly_full() && found.size == 192 << 10, "{found:?}");
            fuller.join().unwrap();
        })
        .unwrap();
    }
}
