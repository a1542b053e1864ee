//! The notice of a global deadlock: nobody of a runtime can go on, and nothing is under way that could change that.
//!
//! Looked for at the first worker's heartbeat, once nothing has happened for a second: all coroutines wait, none for a
//! descriptor or a time. Then only a thread outside the runtime could still wake one. Such a thread is no deadlock; so while
//! the process has other threads only coroutines are told of that wait for each other in a circle, with what is known.
//!
//! The circles are those of the debuggers' `coro deadlock`, by the same rules: see `debug::waits`.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use super::team::{Seat, Sight};
use super::worker::Worker;
use crate::abi::record::{Kind, Record};
use crate::abi::state::{State, Word};
use crate::abi::wait::{ObjectKind, WaitReason};
use crate::debug::waits::{self, Edges};
use crate::registry;

/// How many who wait are shown, and how many circles.
const SHOWN: usize = 20;
/// The name of the monitor's thread, which wakes nobody.
pub(crate) const MONITOR: &CStr = c"coro-monitor";

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
    edges: Edges,
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
            if reason == WaitReason::Select && waits::selects_reactors(record.wait_object.load(Relaxed)) {
                return None;
            }
            // The mains of other workers wait for the first one's.
            if reason == WaitReason::Shutdown {
                continue;
            }
            let object = record.wait_object.load(Relaxed);
            let edges = waits::edges(reason, object);
            all.push(Waiting { record, word, id: record.id(), reason, object, edges });
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The circles, each from its lowest id on: places in `waiting`. Of those that share somebody one is told.
fn circles(waiting: &[Waiting]) -> Vec<Vec<usize>> {
    let by_id: HashMap<u64, usize> = waiting.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
    // On the way that is gone along, each has its depth.
    let (mut is_seen, mut depth) = (vec![false; waiting.len()], vec![None; waiting.len()]);
    let mut is_told = vec![false; waiting.len()];
    let mut found: Vec<Vec<usize>> = Vec::new();
    for start in 0..waiting.len() {
        let mut way = Vec::new();
        let mut next = (!is_seen[start]).then_some(start);
        loop {
            if let Some(here) = next.take() {
                (is_seen[here], depth[here]) = (true, Some(way.len()));
                way.push((here, waiting[here].edges.to.iter()));
            }
            let Some((here, edges)) = way.last_mut() else { break };
            let Some(id) = edges.next() else {
                depth[*here] = None;
                way.pop();
                continue;
            };
            let Some(&to) = by_id.get(id) else { continue };
            if let Some(first) = depth[to] {
                let circle: Vec<usize> = way[first..].iter().map(|(at, _)| *at).collect();
                if !circle.iter().any(|at| is_told[*at]) {
                    circle.iter().for_each(|at| is_told[*at] = true);
                    found.push(circle);
                }
            } else if !is_seen[to] {
                next = Some(to);
            }
        }
    }
    for circle in &mut found {
        let lowest = (0..circle.len()).min_by_key(|i| waiting[circle[*i]].id).unwrap_or(0);
        circle.rotate_left(lowest);
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
        !number.is_some_and(own) && name.trim_end().as_bytes() != MONITOR.to_bytes()
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
        let is_certain = circle.iter().all(|at| waiting[*at].edges.is_certain);
        let what = if is_certain { "deadlock" } else { "probably a deadlock" };
        let who = match circle.len() {
            1 => "a coroutine waits for itself".into(),
            count => format!("{count} coroutines wait for each other in a circle"),
        };
        let but = if is_alone || is_certain { "" } else { ", unless a thread outside the runtime wakes one" };
        let _ = writeln!(text, "coro: {what}: {who}{but}");
        circle.iter().for_each(|at| line(&mut text, waiting, &waiting[*at]));
    }
    if circles.is_empty() {
        waiting.iter().take(SHOWN).for_each(|one| line(&mut text, waiting, one));
        if waiting.len() > SHOWN {
            let _ = writeln!(text, "  ... and {} more", waiting.len() - SHOWN);
        }
    }
    text
}

fn line(text: &mut String, waiting: &[Waiting], one: &Waiting) {
    let name = |record: &Record| record.name().map_or(String::new(), |name| format!(" '{name}'"));
    let site = registry::spawn_site(one.record);
    let _ = write!(text, "  #{}{} (spawned at {site}) waits for ", one.id, name(one.record));
    if let Some(family) = waits::family_in_words(one.reason, one.object) {
        let _ = writeln!(text, "{family}");
        return;
    }
    // Who isn't among those who wait, as a thread, has a number alone.
    let who = |id: u64| {
        let known = waiting.iter().find(|other| other.id == id);
        format!("#{id}{}", known.map_or(String::new(), |other| name(other.record)))
    };
    text.push_str(one.reason.name());
    let _ = match one.reason.object() {
        ObjectKind::CoroutineId => write!(text, " of {}", who(one.object)),
        ObjectKind::Address => write!(text, " {:#x}", one.object),
        ObjectKind::FileDescriptor | ObjectKind::Nothing => Ok(()),
    };
    if let Some(owner) = one.edges.to.first().filter(|_| one.reason != WaitReason::Join) {
        let how = if one.edges.is_certain { " held by" } else { ", last used by" };
        let _ = write!(text, "{how} {}", who(*owner));
    }
    text.push('\n');
}
