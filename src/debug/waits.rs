//! Who would have to act so that one who waits can go on, read from memory as a debugger reads it: what is there may go
//! meanwhile. By the same rules as the debuggers' `coro why` and `coro deadlock`: a lock leads to its owner, a join to its
//! coroutine, a family to its members, a channel to the last who used its other end, if only one of that end is left, and
//! that is a guess.

use std::fmt::{self, Write as _};
use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;

use super::memory::{OwnMemory, ReadMemory as _};
use super::overview;
use crate::abi::lifetimes::{FamilyHead, FamilyKind, MemberRow};
use crate::abi::objects::{ChannelHead, MutexHead, OWNER_IS_THREAD, SelectHead, SyncHead, Thing};
use crate::abi::wait::WaitReason;

/// Places of a family that are looked at.
const MOST_PLACES: u64 = 1 << 16;
/// Things of a select that are looked at.
const MOST_THINGS: u64 = 1000;
/// The longest path of a source file.
const LONGEST_PATH: u64 = 4096;
/// How many steps a chain is told, and how many of those whom one waits for.
const STEPS: usize = 8;
const NAMED: usize = 5;

/// Who would have to act.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges {
    /// Coroutines' ids.
    pub(crate) to: Vec<u64>,
    /// Whether each of them has to, for certain.
    pub(crate) is_certain: bool,
}

/// Who would have to end a wait. Nobody: nobody in particular is known.
pub(crate) fn edges(reason: WaitReason, object: u64) -> Edges {
    if matches!(reason, WaitReason::Group | WaitReason::Place) {
        let Some(family) = Family::read(object) else { return Edges::default() };
        // All have to end; or one of them, and only of a single one it is known which.
        return Edges { is_certain: reason == WaitReason::Group || family.count == 1, to: family.members };
    }
    let (owner, is_certain) = owner(reason, object).unwrap_or_default();
    let is_somebody = owner != 0 && owner & OWNER_IS_THREAD == 0;
    Edges { to: if is_somebody { vec![owner] } else { Vec::new() }, is_certain }
}

fn owner(reason: WaitReason, object: u64) -> Option<(u64, bool)> {
    let word = |offset: usize| word(object, offset);
    Some(match reason {
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
    })
}

/// Whether one of the things of a select is the reactor's; so it is said of what can't be read.
pub(crate) fn selects_reactors(select: u64) -> bool {
    let things = || {
        let count = word(select, offset_of!(SelectHead, count))?;
        let first = word(select, offset_of!(SelectHead, things))?;
        let reason = |n: u64| {
            let thing = first.wrapping_add(n * size_of::<Thing>() as u64);
            let number = word(thing, offset_of!(Thing, reason))?;
            WaitReason::ALL.get(usize::try_from(number).ok()?).copied()
        };
        (0..count.min(MOST_THINGS)).map(reason).collect::<Option<Vec<WaitReason>>>()
    };
    things().is_none_or(|things| things.iter().any(|reason| reason.is_reactors()))
}

fn word(object: u64, offset: usize) -> Option<u64> {
    OwnMemory::careful().word(object.wrapping_add(offset as u64))
}

fn half_word(object: u64, offset: usize) -> Option<u64> {
    let mut bytes = [0; 4];
    let is_read = OwnMemory::careful().read(object.wrapping_add(offset as u64), &mut bytes);
    is_read.then(|| u32::from_le_bytes(bytes).into())
}

/// What the head of a scope, a group or a pool tells. Its text is `scope at src/a.rs:3 (2 alive: #4, #5)`.
#[derive(Debug)]
struct Family {
    address: u64,
    kind: Option<FamilyKind>,
    made: String,
    capacity: u64,
    count: u64,
    /// The members' ids, the lowest first.
    members: Vec<u64>,
}

impl Family {
    /// Of the head at an address; `None`: it can't be read.
    fn read(address: u64) -> Option<Family> {
        let kind = half_word(address, offset_of!(FamilyHead, kind))?;
        let length = half_word(address, offset_of!(FamilyHead, file_length))?.min(LONGEST_PATH);
        let mut file = vec![0; length as usize];
        OwnMemory::careful().read(word(address, offset_of!(FamilyHead, file))?, &mut file);
        let line = half_word(address, offset_of!(FamilyHead, line))?;
        let first = word(address, offset_of!(FamilyHead, members))?;
        let places = word(address, offset_of!(FamilyHead, places))?.min(MOST_PLACES);
        let mut rows = vec![0; places as usize * size_of::<MemberRow>()];
        // What can't be read is of nobody.
        OwnMemory::careful().read(first, &mut rows);
        let ids = rows.chunks_exact(size_of::<MemberRow>()).filter_map(|row| {
            row[offset_of!(MemberRow, coroutine)..].first_chunk().map(|id| u64::from_le_bytes(*id))
        });
        let mut members: Vec<u64> = ids.filter(|id| *id != 0).collect();
        members.sort_unstable();
        Some(Family {
            address,
            kind: FamilyKind::ALL.into_iter().find(|known| *known as u64 == kind),
            made: format!("{}:{line}", String::from_utf8_lossy(&file)),
            capacity: word(address, offset_of!(FamilyHead, capacity))?,
            count: word(address, offset_of!(FamilyHead, count))?,
            members,
        })
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Family { address, kind, made, capacity, count, members } = self;
        match kind {
            Some(FamilyKind::Scope) => write!(f, "scope at {made} ({count} alive")?,
            Some(FamilyKind::Pool) => write!(f, "pool {address:#x} ({count} of {capacity} busy")?,
            _ => {
                let noun = if *count == 1 { "member" } else { "members" };
                write!(f, "group {address:#x} ({count} {noun} alive")?;
            }
        }
        for (number, id) in members.iter().take(NAMED).enumerate() {
            write!(f, "{} #{id}", if number == 0 { ":" } else { "," })?;
        }
        f.write_str(if members.len() > NAMED { ", ...)" } else { ")" })
    }
}

/// What one waits for who waits for members of a family: `scope at src/a.rs:3 (2 alive: #4, #5)`, `place in pool ...`.
/// `None`: it waits for something else, or the family can't be read.
pub(crate) fn family_in_words(reason: WaitReason, object: u64) -> Option<String> {
    match reason {
        WaitReason::Group => Family::read(object).map(|family| family.to_string()),
        WaitReason::Place => Family::read(object).map(|family| format!("place in {family}")),
        _ => None,
    }
}

/// Whom one would wait for, whom that one waits for, and so on, a line each; of several whom one waits for some are
/// named, and the first is followed.
pub(crate) fn chain(reason: WaitReason, object: u64) -> String {
    let mut text = String::new();
    let (mut next, mut seen) = (edges(reason, object), Vec::new());
    while seen.len() < STEPS && !next.to.is_empty() {
        let probably = if next.is_certain { "" } else { "probably " };
        let how = if seen.is_empty() { "" } else { "which waits for " };
        let mut followed = None;
        for (number, id) in next.to.iter().take(NAMED).enumerate() {
            let found = overview::find(*id);
            let line = found.map_or(format!("#{id} (ended)"), overview::line);
            let _ = writeln!(text, "  {how}{probably}{line}");
            if number == 0 {
                followed = found;
            }
        }
        if next.to.len() > NAMED {
            let _ = writeln!(text, "  ... and {} more", next.to.len() - NAMED);
        }
        let Some(record) = followed.filter(|record| !seen.contains(&record.id())) else { break };
        seen.push(record.id());
        let reason = WaitReason::ALL.get(record.wait_reason.load(Relaxed) as usize).copied();
        next = edges(reason.unwrap_or(WaitReason::None), record.wait_object.load(Relaxed));
    }
    if text.is_empty() {
        text.push_str("  nobody is known who would have to act\n");
    }
    text
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
