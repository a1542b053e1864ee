//! Coroutines that belong together: the members of a scope, a group, a pool, a set.
//!
//! A family that *keeps ends* remembers which members have ended, in that order, until somebody takes it from there.
//!
//! The list is under a lock of the system's, held for a few instructions and never over a switch. A member leaves it as
//! the last thing that its coroutine does, when its result has its place and all that it has deferred has run.
//!
//! Readers find all of it: who waits for a family waits at the address of its head, which leads to the members; and a
//! member's record leads to the head, from before the member is queued.

use std::collections::VecDeque;
use std::mem;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::abi::lifetimes::{FamilyHead, FamilyKind, MemberRow, push_row};
use crate::abi::objects::SelectHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::cancel::Target;
use crate::coroutine::waiter::Waiter;
use crate::coroutine::{current, extra};
use crate::error::{Kind, Result};
use crate::scheduler::cancel;
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::lock;

/// See the module.
#[derive(Debug)]
pub(super) struct Family {
    head: FamilyHead,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// One for each place; the head tells where they lie.
    rows: Vec<MemberRow>,
    /// The places that nobody has.
    vacant: Vec<usize>,
    /// The places whose members have ended, if those are kept, and nobody has taken that yet.
    ended: VecDeque<usize>,
    keeps_ends: bool,
    waiting: Vec<(Goal, Waiter)>,
    /// Whoever comes from now on is cancelled, too.
    is_over: bool,
    /// How many have panicked without anybody having been told yet.
    panics: usize,
}

/// Until when one waits.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Until so many members at the most are left.
    AtMost(usize),
    /// Until there is an end that nobody has taken, or nobody is left who could give one.
    End,
}

/// A place in a family; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Member {
    family: Arc<Family>,
    place: usize,
}

impl Members {
    /// How many have not ended.
    fn count(&self) -> usize {
        self.rows.len() - self.vacant.len() - self.ended.len()
    }

    fn has_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::AtMost(left) => self.count() <= left,
            Goal::End => !self.ended.is_empty() || self.count() == 0,
        }
    }
}

impl Family {
    /// One without members; with room for `capacity`, 0: for any number.
    pub(super) fn new(kind: FamilyKind, capacity: usize, made: &'static Location<'static>) -> Arc<Family> {
        Arc::new(Family { head: FamilyHead::new(kind, capacity, made), members: Mutex::default() })
    }

    /// The same, and it keeps ends.
    pub(super) fn that_keeps_ends(kind: FamilyKind, made: &'static Location<'static>) -> Arc<Family> {
        let family = Family::new(kind, 0, made);
        family.lock().keeps_ends = true;
        family
    }

    /// By what a wait for it is told of.
    pub(super) fn object(&self) -> u64 {
        ptr::from_ref(&self.head).expose_provenance() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        lock::of(&self.members)
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.lock().count()
    }

    /// Takes in one more.
    pub(super) fn enter(self: &Arc<Family>) -> Member {
        self.enter_if_below(usize::MAX).expect("there is always room")
    }

    /// Takes in one more if there are fewer than `limit`.
    pub(super) fn enter_if_below(self: &Arc<Family>, limit: usize) -> Option<Member> {
        let mut members = self.lock();
        if members.count() >= limit {
            return None;
        }
        let place = members.vacant.pop().unwrap_or_else(|| {
            push_row(&mut members.rows, MemberRow::VACANT, &self.head.members, &self.head.places);
            members.rows.len() - 1
        });
        self.head.count.store(members.count() as u64, Relaxed);
        Some(Member { family: Arc::clone(self), place })
    }

    /// Waits until there are none.
    pub(super) fn wait(&self) -> Result<()> {
        while self.len() > 0 {
            self.wait_once()?;
        }
        Ok(())
    }

    /// Waits until there are fewer than `limit`, or something else wakes this coroutine.
    pub(super) fn wait_for_place(&self, limit: usize) -> Result<()> {
        let room = Until { family: self, goal: Goal::AtMost(limit.saturating_sub(1)) };
        park::block(WaitReason::Place, self.object(), &room)
    }

    /// Waits until there are none, or something else wakes this coroutine.
    pub(super) fn wait_once(&self) -> Result<()> {
        park::block(WaitReason::Group, self.object(), &self.emptiness())
    }

    /// That there are no members, to be waited for.
    pub(super) fn emptiness(&self) -> Until<'_> {
        Until { family: self, goal: Goal::AtMost(0) }
    }

    /// That there is an end to be taken, or nobody is left who could give one; likewise.
    pub(super) fn an_end(&self) -> Until<'_> {
        Until { family: self, goal: Goal::End }
    }

    /// Waits until there is an end to be taken, or nobody is left; until the deadline at the longest, or until something else
    /// wakes this coroutine.
    pub(super) fn wait_for_end(&self, deadline: Option<u64>) -> Result<Woken> {
        // Who waits for a group waits for each of its members. Where the first of several will do, it is told as of a `select!`:
        // then no reader takes one who never ends, because he waits for this one, for a deadlock.
        let family = Told::new(WaitReason::Group, self.object()).0;
        let head = SelectHead { count: 1, things: &raw const family };
        let (reason, object) = match self.len() {
            1 => (WaitReason::Group, self.object()),
            _ => (WaitReason::Select, ptr::from_ref(&head).expose_provenance() as u64),
        };
        park::block_until(reason, object, &self.an_end(), deadline)
    }

    /// Takes the first end: the place of the member, which is vacant from here on.
    pub(super) fn take_end(&self) -> Option<usize> {
        let mut members = self.lock();
        let place = members.ended.pop_front()?;
        members.vacant.push(place);
        Some(place)
    }

    /// Takes the end of the member that had this place.
    pub(super) fn forget_end(&self, place: usize) {
        let mut members = self.lock();
        members.ended.retain(|ended| *ended != place);
        members.vacant.push(place);
    }

    /// Cancels all who are members now.
    pub(super) fn cancel(&self) {
        // Collected first: who is woken on this worker is only queued, but the lock isn't needed for it.
        let targets: Vec<Target> = self.lock().rows.iter().filter_map(target_of).collect();
        targets.into_iter().for_each(cancel::cancel);
    }

    /// The same, and all who come later.
    pub(super) fn cancel_for_good(&self) {
        self.lock().is_over = true;
        self.cancel();
    }

    /// Cancels as a program asks for it.
    pub(super) fn try_cancel(&self, tried: &'static str) -> Result<()> {
        if cfg!(panic = "abort") {
            return Err(Kind::Unsupported { tried }.into());
        }
        self.cancel();
        Ok(())
    }

    /// Counts a panic, or one that somebody was told of.
    pub(super) fn note_panic(&self, told: bool) {
        let panics = &mut self.lock().panics;
        *panics = if told { panics.saturating_sub(1) } else { *panics + 1 };
    }

    /// Whether somebody has panicked, and nobody was told.
    pub(super) fn has_panicked(&self) -> bool {
        self.lock().panics > 0
    }
}

fn target_of(row: &MemberRow) -> Option<Target> {
    row.record.map(|record| Target { record, id: row.coroutine })
}

impl Member {
    /// The same place, by which its coroutine can be introduced when the member has gone into what that is to run.
    pub(super) fn place(&self) -> Place {
        Place { family: Arc::clone(&self.family), number: self.place }
    }

    /// The place's number in the family.
    pub(super) fn number(&self) -> usize {
        self.place
    }

    /// Whether it is its coroutine that runs.
    fn is_running(&self) -> bool {
        let id = self.family.lock().rows[self.place].coroutine;
        current::running().is_some_and(|record| record.id() == id)
    }

    /// Keeps the place until the running coroutine has ended.
    pub(super) fn keep(self) {
        if let Some(record) = current::running() {
            extra::get_or_make(record).kept.borrow_mut().push(Box::new(self));
        }
    }
}

/// Which place of which family: see [`Member::place`].
#[derive(Debug)]
pub(super) struct Place {
    pub(super) family: Arc<Family>,
    number: usize,
}

impl Place {
    /// Says which coroutine has the place. To be called when it has its record, and before it is queued: so the place can't
    /// have been given back yet.
    pub(super) fn introduce(&self, target: Target) {
        let head = ptr::from_ref(&self.family.head).cast_mut();
        let told = &extra::get_or_make(target.record).head;
        told.second_family.store(told.family.load(Relaxed), Relaxed);
        told.family.store(head, Relaxed);
        let mut members = self.family.lock();
        members.rows[self.number] = MemberRow { coroutine: target.id, record: Some(target.record) };
        let is_over = members.is_over;
        drop(members);
        if is_over {
            cancel::cancel(target);
        }
    }
}

/// What a member runs.
pub(super) struct Run<F> {
    f: Option<F>,
    member: Option<Member>,
}

impl<F> Run<F> {
    pub(super) fn new(f: F, member: Member) -> Run<F> {
        Run { f: Some(f), member: Some(member) }
    }

    /// Runs it, in the member's coroutine.
    pub(super) fn run<T>(mut self) -> T
    where
        F: FnOnce() -> T,
    {
        if let Some(member) = self.member.take() {
            member.keep();
        }
        let f = self.f.take().expect("it runs once");
        f()
    }
}

impl<F> Drop for Run<F> {
    /// Of one that never runs, too, the place is given back last: when its coroutine, if it has got as far, says that it has ended.
    fn drop(&mut self) {
        self.f = None;
        if let Some(member) = self.member.take()
            && member.is_running()
        {
            member.keep();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let head = ptr::from_ref(&self.family.head).cast_mut();
        // Of the member itself, as long as it is one: nobody is to be led to a head that is gone.
        if let Some(told) = current::running().and_then(extra::get).map(|extra| &extra.head) {
            let second = told.second_family.load(Relaxed);
            if told.family.load(Relaxed) == head {
                // For a moment it is told of twice, and at no time not at all.
                told.family.store(second, Relaxed);
            }
            if [head, told.family.load(Relaxed)].contains(&second) {
                told.second_family.store(ptr::null_mut(), Relaxed);
            }
        }
        let mut members = self.family.lock();
        members.rows[self.place] = MemberRow::VACANT;
        if members.keeps_ends {
            members.ended.push_back(self.place);
        } else {
            members.vacant.push(self.place);
        }
        self.family.head.count.store(members.count() as u64, Relaxed);
        let waiting = mem::take(&mut members.waiting);
        let (woken, waiting): (Vec<_>, _) =
            waiting.into_iter().partition(|(goal, _)| members.has_reached(*goal));
        members.waiting = waiting;
        drop(members);
        for (_, waiter) in woken {
            park::wake(&waiter);
        }
    }
}

/// Those who wait for a family. All whose goal is reached are told, so that nothing is to be passed on.
#[derive(Debug)]
pub(super) struct Until<'a> {
    family: &'a Family,
    goal: Goal,
}

impl WaitList for Until<'_> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut members = self.family.lock();
        let must_wait = !members.has_reached(self.goal);
        if must_wait {
            members.waiting.push((self.goal, waiter));
        }
        must_wait
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        let waiting = &mut self.family.lock().waiting;
        let at = waiting.iter().position(|(_, other)| other == waiter);
        at.is_some_and(|at| {
            waiting.remove(at);
            true
        })
    }
}

impl Sealed for Until<'_> {}

impl Waitable for Until<'_> {
    fn is_ready(&self) -> bool {
        self.family.lock().has_reached(self.goal)
    }
    fn enlist(&self, who: &Token) -> bool {
        WaitList::enlist(self, who.0.clone())
    }
    fn delist(&self, who: &Token) -> bool {
        WaitList::delist(self, &who.0)
    }
    fn told(&self) -> Told {
        Told::new(WaitReason::Group, self.family.object())
    }
}
