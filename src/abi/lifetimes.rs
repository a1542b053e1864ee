//! What coroutines belong to, and what ends them early: the heads of families (scopes, groups, pools) with their members,
//! and what a coroutine's own heap part tells of timeouts and shields.
//!
//! A record's `extra` is the address of an [`ExtraHead`], which leads to the coroutine's timeout scopes and to its
//! families. The family's head, whose address is also the object of who waits for it, leads to all members.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use super::record::Record;

/// What kind of family it is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Scope = 1,
    Group = 2,
    Pool = 3,
}

impl FamilyKind {
    /// All kinds.
    pub(crate) const ALL: [FamilyKind; 3] = [FamilyKind::Scope, FamilyKind::Group, FamilyKind::Pool];

    /// The name that every reader shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            FamilyKind::Scope => "scope",
            FamilyKind::Group => "group",
            FamilyKind::Pool => "pool",
        }
    }
}

/// The head of a family; its address is the object of the reasons `group` and `place`. What changes is stored under the
/// family's lock.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct FamilyHead {
    /// A number of the table `family kinds`.
    pub(crate) kind: u32,
    /// Where it was made: a path in read-only data, not NUL-terminated.
    pub(crate) file_length: u32,
    pub(crate) file: *const u8,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// For how many there is room; 0 = for any number.
    pub(crate) capacity: u64,
    /// How many members have not ended.
    pub(crate) count: AtomicU64,
    /// The first of the members' places, the others behind it.
    pub(crate) members: AtomicPtr<MemberRow>,
    /// How many places there are, the vacant ones among them.
    pub(crate) places: AtomicU64,
}

// SAFETY: the path is static and read-only; readers of the places take the family's lock, or read as a debugger does.
unsafe impl Send for FamilyHead {}
// SAFETY: as above; what changes is atomic.
unsafe impl Sync for FamilyHead {}

impl FamilyHead {
    /// That of a family without members.
    pub(crate) fn new(kind: FamilyKind, capacity: usize, made: &'static Location<'static>) -> FamilyHead {
        FamilyHead {
            kind: kind as u32,
            file_length: made.file().len() as u32,
            file: made.file().as_ptr(),
            line: made.line(),
            column: made.column(),
            capacity: capacity as u64,
            count: AtomicU64::new(0),
            members: AtomicPtr::new(ptr::null_mut()),
            places: AtomicU64::new(0),
        }
    }
}

/// A member's place in its family.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberRow {
    /// Its id; 0 = the place is vacant, or the member is being spawned.
    pub(crate) coroutine: u64,
    pub(crate) record: Option<&'static Record>,
}

impl MemberRow {
    /// Nobody's.
    pub(crate) const VACANT: MemberRow = MemberRow { coroutine: 0, record: None };
}

/// How a coroutine's heap part begins; its record's `extra` is the address.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ExtraHead {
    /// The timeout scopes that it is in, the outermost first.
    pub(crate) timeouts: AtomicPtr<TimeoutRow>,
    pub(crate) timeout_count: AtomicU64,
    /// The family of which it is a member; null = none. Of several the one that it was last made a member of.
    pub(crate) family: AtomicPtr<FamilyHead>,
    /// How many shields it is in: while this isn't zero a cancel is held back, and so are the timeouts that have begun
    /// within fewer.
    pub(crate) shields: AtomicU32,
    /// The family of which it was made a member before; null = none. Nobody is in more than two: what `Pool::map` spawns is
    /// in the call's scope and in the pool.
    pub(crate) second_family: AtomicPtr<FamilyHead>,
}

/// A timeout scope.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeoutRow {
    /// Its number, by which its error names it.
    pub(crate) scope: u64,
    pub(crate) deadline: u64,
    /// In how many shields it has begun.
    pub(crate) shields: u64,
}

const _: () = assert!(size_of::<MemberRow>() == 16, "a reader takes rows to end with their last field");
const _: () = assert!(size_of::<TimeoutRow>() == 24, "as above");

/// Adds a row to those that `first` and `count` tell of, so that a reader who stops the program anywhere in between finds
/// rows, and no memory that was given back.
pub(crate) fn push_row<T: Copy>(rows: &mut Vec<T>, row: T, first: &AtomicPtr<T>, count: &AtomicU64) {
    if rows.len() == rows.capacity() {
        let mut roomier = Vec::with_capacity((2 * rows.len()).max(4));
        roomier.extend_from_slice(rows);
        // Release: the rows are there before, and the old ones go after.
        first.store(roomier.as_mut_ptr(), Release);
        *rows = roomier;
    }
    rows.push(row);
    // Release: as above.
    count.store(rows.len() as u64, Release);
}

/// Takes the last of such rows away.
pub(crate) fn pop_row<T: Copy>(rows: &mut Vec<T>, count: &AtomicU64) -> Option<T> {
    count.store(rows.len().saturating_sub(1) as u64, Relaxed);
    rows.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_told_of_are_those_that_there_are() {
        let (mut rows, first, count) = (Vec::new(), AtomicPtr::new(ptr::null_mut()), AtomicU64::new(0));
        for n in 0..1000_u64 {
            push_row(&mut rows, n, &first, &count);
            if n % 3 == 0 {
                assert_eq!(pop_row(&mut rows, &count), Some(n));
            }
            assert_eq!(
                (first.load(Relaxed).cast_const(), count.load(Relaxed)),
                (rows.as_ptr(), rows.len() as u64)
            );
        }
        while pop_row(&mut rows, &count).is_some() {}
        assert_eq!((count.load(Relaxed), pop_row(&mut rows, &count)), (0, None));
    }
}
