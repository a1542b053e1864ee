//! The notice of a global deadlock: nobody of a runtime can go on, and nothing is under way that could change that.
//!
//! Looked for at the first worker's heartbeat, once nothing has happened for a second: all coroutines wait, none for a
//! descriptor or a time. Then only a thread outside the runtime could still wake one. Such a thread is no deadlock; so while
//! the process has other threads only coroutines are told of that wait for each other in a circle, with what is known.
//!
//! The circles are those of the debuggers' `coro deadlock`, by the same rules: a lock leads to its owner, a join to its
//! coroutine, a channel to the last who used its other end, if only one of that end is left, and that is a guess.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;

use super::team::{Seat, Sight};
use super::worker::Worker;
use crate::abi::objects::{ChannelHead, MutexHead, OWNER_IS_THREAD, SelectHead, SyncHead, Thing};
use crate::abi::record::{Kind, Record};
use crate::abi::state::{State, Word};
use crate::abi::wait::{ObjectKind, WaitReason};
use crate::debug::memory::{OwnMemory, ReadMemory as _};
use crate::registry;

/// How many who wait are shown, and how many circles.
const SHOWN: usize = 20;
/// Of a select so many things are looked at.
const MOST_THINGS: u64 = 1000;
/// The name of the monitor's thread, which wakes nobody.
pub(crate) const MONITOR: &str = "coro-monitor";

/// What was seen at the last heartbeat.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stillness {
    /// Switches of all workers of the runtime.
    switches: u64,
    /// It has been looked at.
    is_settled: bool,
}

/// One who waits.
struct Waiting {
    record: &'static Record,
    word: Word,
    id: u64,
    reason: WaitReason,
    object: u64,
    /// Who would have to act, and whether that is certain.
    edge: Option<(u64, bool)>,
}

/// To be called at each heartbeat, by the runtime's first worker.
pub(super) fn look(worker: &Worker) {
    if !worker.notices_deadlocks || worker.is_ending.get() || !worker.has_nobody_ready() {
        return;
    }
    let switches = switches(worker);
    let seen = worker.stillness.get();
    let is_still = switches == seen.switches;
    worker.stillness.set(Stillness { switches, is_settled: is_still });
    if !is_still || seen.is_settled {
        return;
    }
    let Some(waiting) = survey(worker) else { return };
    let circles = circles(&waiting);
    let is_alone = !has_other_threads(worker);
    let is_as_it_was = waiting.iter().all(|one| one.record.word() == one.word);
    if is_as_it_was && self::switches(worker) == switches && (is_alone || !circles.is_empty()) {
        // Not `eprintln!`, which panics when nobody reads it.
        let _ = io::stderr().write_all(notice(&waiting, &circles, is_alone).as_bytes());
    }
}

fn indices(worker: &Worker) -> Vec<u32> {
    match &worker.seat {
        Some(seat) => seat.team().indices().collect(),
        None => vec![worker.index],
    }
}

fn switches(worker: &Worker) -> u64 {
    let rows = worker.region.workers();
    let counts = indices(worker).into_iter().map(|index| rows[index as usize].switches.load(Relaxed));
    counts.fold(0, u64::wrapping_add)
}

/// All who wait; `None`: somebody can go on, or will by himself.
fn survey(worker: &Worker) -> Option<Vec<Waiting>> {
    let seat: Option<&Seat> = worker.seat.as_ref();
    if seat.is_some_and(|seat| seat.sight(worker) != Sight::Nothing) {
        return None;
    }
    let mut all = Vec::new();
    for index in indices(worker) {
        for record in registry::of_worker(worker.region, index) {
            let word = record.word();
            if matches!(record.kind(), Kind::Switch | Kind::Io)
                || matches!(word.state(), State::Free | State::Exited)
            {
                continue;
            }
            let reason = *WaitReason::ALL.get(record.wait_reason.load(Relaxed) as usize)?;
            let deadline = record.wait_deadline.load(Relaxed);
            // A thread works for it, or may be about to wake its future.
            let is_for_elsewhere = matches!(reason, WaitReason::Offload | WaitReason::Future);
            if word.state() != State::Parked || reason.is_reactors() || is_for_elsewhere || deadline != 0 {
                return None;
            }
            if reason == WaitReason::Select && selects_reactors(record.wait_object.load(Relaxed)) {
                return None;
            }
            // The mains of other workers wait for the first one's.
            if reason == WaitReason::Shutdown {
                continue;
            }
            let object = record.wait_object.load(Relaxed);
            let edge = edge_of(reason, object);
            all.push(Waiting { record, word, id: record.id(), reason, object, edge });
        }
    }
    (!all.is_empty()).then_some(all)
}

/// Whether one of the things of a select is the reactor's; so it is said of what can't be read.
fn selects_reactors(object: u64) -> bool {
    let memory = OwnMemory::careful();
    let word = |base: u64, offset: usize| memory.word(base.wrapping_add(offset as u64));
    let things = || {
        let count = word(object, offset_of!(SelectHead, count))?;
        let first = word(object, offset_of!(SelectHead, things))?;
        let reason = |n: u64| {
            let thing = first.wrapping_add(n * size_of::<Thing>() as u64);
            let number = word(thing, offset_of!(Thing, reason))?;
            WaitReason::ALL.get(usize::try_from(number).ok()?).copied()
        };
        (0..count.min(MOST_THINGS)).map(reason).collect::<Option<Vec<WaitReason>>>()
    };
    things().is_none_or(|things| things.iter().any(|reason| reason.is_reactors()))
}

/// Who would have to act, and whether that is certain. What is there is read as a debugger reads it: it may go meanwhile.
fn edge_of(reason: WaitReason, object: u64) -> Option<(u64, bool)> {
    let memory = OwnMemory::careful();
    let word = |offset: usize| memory.word(object.wrapping_add(offset as u64));
    let (owner, is_certain) = match reason {
        WaitReason::Join => (object, true),
        WaitReason::Mutex => (word(offset_of!(MutexHead, owner))?, true),
        WaitReason::ReadLock | WaitReason::WriteLock => {
            let (readers, writes) = (word(offset_of!(SyncHead, count))?, word(offset_of!(SyncHead, limit))?);
            (word(offset_of!(SyncHead, owner))?, writes != 0 || readers == 1)
        }
        WaitReason::Once => (word(offset_of!(SyncHead, owner))?, true),
        WaitReason::Semaphore if word(offset_of!(SyncHead, limit))? == 1 => {
            (word(offset_of!(SyncHead, owner))?, false)
        }
        WaitReason::Send | WaitReason::Receive => {
            // Two half words: senders, receivers.
            let ends = word(offset_of!(ChannelHead, senders))?;
            let (others, last) = if reason == WaitReason::Send {
                (ends >> 32, offset_of!(ChannelHead, last_receiver))
            } else {
                (ends & 0xffff_ffff, offset_of!(ChannelHead, last_sender))
            };
            if others > 1 {
                return None;
            }
            (word(last)?, false)
        }
        _ => return None,
    };
    (owner != 0 && owner & OWNER_IS_THREAD == 0).then_some((owner, is_certain))
}

/// The circles, each from its lowest id on: places in `waiting`.
fn circles(waiting: &[Waiting]) -> Vec<Vec<usize>> {
    let by_id: HashMap<u64, usize> = waiting.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
    let next = |at: usize| waiting[at].edge.and_then(|(owner, _)| by_id.get(&owner).copied());
    // In which round each was come to.
    let mut rounds = vec![usize::MAX; waiting.len()];
    let mut found = Vec::new();
    for start in 0..waiting.len() {
        let (mut at, mut path) = (Some(start), Vec::new());
        while let Some(here) = at.filter(|here| rounds[*here] == usize::MAX) {
            rounds[here] = start;
            path.push(here);
            at = next(here);
        }
        let first = at.and_then(|again| path.iter().position(|here| *here == again));
        if let Some(first) = first {
            let mut circle = path.split_off(first);
            let lowest = (0..circle.len()).min_by_key(|i| waiting[circle[*i]].id).unwrap_or(0);
            circle.rotate_left(lowest);
            found.push(circle);
        }
    }
    found.sort_by_key(|circle| waiting[circle[0]].id);
    found
}

/// Whether the process has threads that are neither workers nor the monitor, as far as that can be told.
fn has_other_threads(worker: &Worker) -> bool {
    let own = |thread: u32| {
        let mut rows = indices(worker).into_iter().map(|index| &worker.region.workers()[index as usize]);
        rows.any(|row| row.thread.load(Relaxed) == thread)
    };
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return true };
    threads.flatten().any(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let number = entry.file_name().to_str().and_then(|number| number.parse().ok());
        !number.is_some_and(own) && name.trim_end() != MONITOR
    })
}

fn notice(waiting: &[Waiting], circles: &[Vec<usize>], is_alone: bool) -> String {
    let mut text = String::new();
    if is_alone {
        let _ = writeln!(
            text,
            "coro: nobody can go on: no coroutine is ready or runs, and none waits for a descriptor or a time"
        );
    }
    for circle in circles.iter().take(SHOWN) {
        let is_certain = circle.iter().all(|at| waiting[*at].edge.is_some_and(|(_, is_certain)| is_certain));
        let what = if is_certain { "deadlock" } else { "probably a deadlock" };
        let who = match circle.len() {
            1 => "a coroutine waits for itself".into(),
            count => format!("{count} coroutines wait for each other in a circle"),
        };
        let but = if is_alone || is_certain { "" } else { ", unless a thread outside the runtime wakes one" };
        let _ = writeln!(text, "coro: {what}: {who}{but}");
        circle.iter().for_each(|at| line(&mut text, &waiting[*at]));
    }
    if circles.is_empty() {
        waiting.iter().take(SHOWN).for_each(|one| line(&mut text, one));
        if waiting.len() > SHOWN {
            let _ = writeln!(text, "  ... and {} more", waiting.len() - SHOWN);
        }
    }
    text
}

fn line(text: &mut String, one: &Waiting) {
    let name = |record: &Record| record.name().map_or(String::new(), |name| format!(" '{name}'"));
    let _ = write!(text, "  #{}{} waits for {}", one.id, name(one.record), one.reason.name());
    let _ = match one.reason.object() {
        ObjectKind::CoroutineId => write!(text, " of #{}", one.object),
        ObjectKind::Address => write!(text, " {:#x}", one.object),
        ObjectKind::FileDescriptor | ObjectKind::Nothing => Ok(()),
    };
    if let Some((owner, is_certain)) = one.edge.filter(|_| one.reason != WaitReason::Join) {
        let _ = write!(text, "{} #{owner}", if is_certain { " held by" } else { ", last used by" });
    }
    let _ = writeln!(text, " (spawned at {})", registry::spawn_site(one.record));
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn select_over_a_socket_is_no_deadlock_and_one_over_channels_may_be() {
        let selects = |reasons: &[WaitReason]| {
            let things: Vec<Thing> =
                reasons.iter().map(|reason| Thing { reason: *reason as u64, object: 0 }).collect();
            let head = SelectHead { count: things.len() as u64, things: things.as_ptr() };
            selects_reactors(ptr::from_ref(&head).expose_provenance() as u64)
        };
        assert!(!selects(&[WaitReason::Receive, WaitReason::Send, WaitReason::Join]));
        assert!(selects(&[WaitReason::Receive, WaitReason::Read]));
        assert!(selects(&[WaitReason::Accept]));
        assert!(selects_reactors(8), "what can't be read is no reason to speak of a deadlock");
    }
}
