//! What one instruction may do to a backtrace: nothing, a call, a return, or (in `switch`) go over to another stack.
//!
//! That a backtrace comes to an end is not enough: a wrong row may lead there by chance, or lead to a caller with another
//! one's registers. But callers don't change while they don't run. So each frame, with each register that it will have
//! again, must be found the same at every instruction until control returns to it, and then the registers really are
//! what was foretold.

use crate::registers::{Registers, SP};
use crate::walk::{Chain, Frame};

/// How far behind a call, at most, its caller goes on: the CPU's longest instruction, and what fills up 16 bytes where `swap`
/// goes on.
const FARTHEST: u64 = 15 + 15;

/// What an instruction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Stayed,
    Called,
    Returned,
    /// Several frames were left at once, as when a panic unwinds.
    Unwound,
}

/// What happened between two successive backtraces of one thread on one stack, or what is wrong. The later one was walked
/// with the help of the earlier one.
pub(crate) fn between(before: &Chain, after: &Chain) -> Result<Move, String> {
    let (callers, now) = (before.callers(), after.callers());
    let differs = |before: &[Frame], now: &[Frame]| difference(before, now, after.shared.min(now.len()));
    let Some(what) = differs(callers, now) else { return Ok(Move::Stayed) };
    let (innermost, entered) = (&before.frames[0].registers, &after.frames[0].registers);
    if now.len() == callers.len() + 1 && is_called(innermost, &now[0].registers) {
        return match differs(callers, &now[1..]) {
            None => Ok(Move::Called),
            Some(what) => Err(format!("after a call, {what}")),
        };
    }
    // How many frames are gone.
    let gone = before.frames.len().saturating_sub(after.frames.len());
    let Some(returned_to) = before.frames.get(gone).filter(|_| gone > 0) else { return Err(what) };
    if differs(&before.frames[gone + 1..], now).is_some() {
        return Err(what);
    }
    match entered.difference(&returned_to.registers) {
        None if gone == 1 => Ok(Move::Returned),
        None => Ok(Move::Unwound),
        Some(what) if entered.pc == returned_to.registers.pc => Err(format!("after a return, {what}")),
        // A landing pad: the frame goes on elsewhere in its function, with registers of the unwinder's choice.
        Some(_) => Ok(Move::Unwound),
    }
}

/// Whether a frame is what a call made of its caller: it goes on behind the call, with the same registers. `entry` calls
/// by a jump, before which it has pushed the address itself: then the stack pointer is the one before the push.
fn is_called(before: &Registers, caller: &Registers) -> bool {
    let is_from = |sp| {
        let mut call = *before;
        call.pc = caller.pc;
        call.set(SP, sp);
        call.difference(caller).is_none()
    };
    let goes_on_behind = caller.pc > before.pc && caller.pc - before.pc <= FARTHEST;
    goes_on_behind && (is_from(before.sp()) || is_from(before.sp() + 8))
}

/// The first difference of two lists of frames, of which the latter was found later. The last `shared` frames are known
/// to be the same.
pub(crate) fn difference(before: &[Frame], after: &[Frame], shared: usize) -> Option<String> {
    if before.len() != after.len() {
        return Some(format!("there are {} callers, not {}", after.len(), before.len()));
    }
    let pairs = before.iter().zip(&after[..after.len() - shared]).enumerate();
    pairs.into_iter().find_map(|(number, (before, after))| {
        let what = after.registers.difference(&before.registers)?;
        Some(format!("caller {number} has changed while it did not run: {what}"))
    })
}
