//! How a wait for a channel begins and ends; apart from [`protocol`](super::protocol), which is for those who need not wait.
//!
//! Who comes as an arm of a `select!` whose other arms wait already can be won meanwhile: it claims itself as well.
//! It wins its partner first: one that can't be won must not keep it from waiting. If it then finds that it has been won itself, the
//! partner goes back to its place; or, an arm, it is woken for nothing, and comes again, since others may have passed it by.

use super::line::{Claim, Party, claims};
use super::protocol::{Core, PartyOf, Side, State, Who, has_taken, tell_watching, wake_all};
use crate::sync::ground::List;
use crate::sys::atomic::Atomic;

/// Puts one in its line; `false`: there is no need to wait, since it has met, or will not, or another arm of `own` has.
#[inline(always)]
pub(super) fn enlist<C: Core>(
    core: &C,
    side: Side,
    party: &PartyOf<C>,
    who: Who<C>,
    own: Claim<C::Word>,
) -> bool {
    match side {
        Side::Sender => enlist_sender(core, party, who, own),
        Side::Receiver => enlist_receiver(core, party, who, own),
    }
}

#[inline(always)]
fn enlist_sender<C: Core>(core: &C, party: &PartyOf<C>, who: Who<C>, own: Claim<C::Word>) -> bool {
    let mut state = core.lock();
    if state.is_over[Side::Sender as usize] {
        return false;
    }
    if !state.lines[Side::Receiver as usize].is_empty()
        && let Some(partner) = meet(&mut state, Side::Sender, party, own)
    {
        return has_met(core, state, Side::Sender, partner);
    }
    if state.values.len() < core.capacity() {
        if claims(own) {
            state.values.push_back(party.take().expect("it has a value"));
            core.tell(&state);
            core.note(Side::Sender);
            tell_watching(core, state, Side::Receiver);
        }
        return false;
    }
    begin(core, state, Side::Sender, party, who, own);
    true
}

#[inline(always)]
fn enlist_receiver<C: Core>(core: &C, party: &PartyOf<C>, who: Who<C>, own: Claim<C::Word>) -> bool {
    let mut state = core.lock();
    if !state.values.is_empty() {
        if claims(own)
            && let Some((value, sender)) = state.take()
        {
            party.put(value);
            has_taken(core, state, sender);
        }
        return false;
    }
    if !state.lines[Side::Sender as usize].is_empty()
        && let Some(partner) = meet(&mut state, Side::Receiver, party, own)
    {
        return has_met(core, state, Side::Receiver, partner);
    }
    if state.is_over[Side::Receiver as usize] {
        return false;
    }
    begin(core, state, Side::Receiver, party, who, own);
    true
}

/// Hands a value from one party to the other, if there is one to be had and we are to be had ourselves; says whom to wake, if
/// anybody. `None`: there is nobody.
#[inline(never)]
fn meet<T, L: List, A: Atomic<u64>>(
    state: &mut State<T, L, A>,
    side: Side,
    party: &Party<T, L::Who, A>,
    own: Claim<A>,
) -> Option<Option<L::Who>> {
    let line = &mut state.lines[side.other() as usize];
    let partner = line.win(own)?;
    if claims(own) {
        // SAFETY: whoever has the state has the lock.
        let its = unsafe { partner.party() };
        match side {
            Side::Sender => its.put(party.take().expect("it has a value")),
            Side::Receiver => party.put(its.take().expect("a sender who waits has a value")),
        }
        // SAFETY: as above.
        return Some(Some(unsafe { partner.into_who() }));
    }
    // SAFETY: as above.
    if unsafe { partner.is_arm() } {
        // SAFETY: as above.
        return Some(Some(unsafe { partner.into_who() }));
    }
    line.put_back(partner);
    Some(None)
}

#[inline(never)]
fn has_met<'a, C: Core>(core: &'a C, state: C::Guard<'a>, side: Side, partner: Option<Who<C>>) -> bool {
    core.note(side);
    drop(state);
    if let Some(who) = partner {
        core.wake(&who);
    }
    false
}

/// Begins to wait.
#[inline(always)]
fn begin<'a, C: Core>(
    core: &'a C,
    mut state: C::Guard<'a>,
    side: Side,
    party: &PartyOf<C>,
    who: Who<C>,
    own: Claim<C::Word>,
) {
    core.note(side);
    let others = side.other();
    // With room it is the values that others watch.
    if core.capacity() > 0 || state.watching[others as usize].is_empty() {
        // SAFETY: the party is on its owner's stack, as the claim is, and whoever calls `enlist` waits until it is off the line.
        unsafe { state.lines[side as usize].push(party, who, own) };
        return;
    }
    // Not itself, as another arm of a `select!`: it would be woken by each of its own waits.
    let watching = state.take_watching(others, Some(&who));
    // SAFETY: as above.
    unsafe { state.lines[side as usize].push(party, who, own) };
    drop(state);
    wake_all(core, watching);
}

/// Takes one off its line; says whether it was still there. Then it has not met.
pub(super) fn delist<C: Core>(core: &C, side: Side, party: &PartyOf<C>) -> bool {
    core.lock().lines[side as usize].remove(party)
}

/// Has one told when it could send or receive, if it can't yet; says whether it can't.
pub(super) fn watch<C: Core>(core: &C, side: Side, who: Who<C>, own: Claim<C::Word>) -> bool {
    let mut state = core.lock();
    let waits = state.must_wait(side, core.capacity(), own);
    if waits {
        state.watching[side as usize].push(who);
        core.note(side);
    }
    waits
}

/// Takes one off who watches; says whether it was still there.
pub(super) fn unwatch<C: Core>(core: &C, side: Side, who: &Who<C>) -> bool {
    core.lock().watching[side as usize].remove(who)
}
