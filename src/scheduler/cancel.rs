//! Cancelling a coroutine from any thread.
//!
//! *No cancel is lost:* who cancels stores the request and then looks at the state; who parks a coroutine stores the state
//! and then looks at the request. Each of the four is SeqCst, so at least one of the two sees the other's. A coroutine that
//! is not parked meets the request at its next wait anyway, or is seen when it has parked.
//!
//! *None goes astray:* the request is a compare-exchange on a word with the coroutine's id, the wake-up one on a word with
//! the slot's generation and the wait's epoch.

use std::sync::atomic::Ordering::SeqCst;

use super::park;
use crate::abi::record::Record;
use crate::abi::state::Word;
use crate::coroutine::cancel::Target;
use crate::registry::WakeToken;
use crate::stack::region;

/// Has a coroutine end at its next wait, or now if it waits. Nothing happens to one that has ended or was cancelled
/// already.
pub(crate) fn cancel(target: Target) {
    if target.request() {
        wake(target.record);
    }
}

/// Wakes a coroutine from the wait that it is in, if it is in one.
#[cold]
#[inline(never)]
pub(super) fn wake(record: &'static Record) {
    let Some(region) = region::get() else { return };
    // SeqCst: see the module.
    let key = Word(record.state.load(SeqCst)).key();
    park::unpark(WakeToken { slot: region.slot(record), key }, 0);
}
