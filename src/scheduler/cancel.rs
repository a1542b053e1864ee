//! Cancelling a coroutine from any thread.
//!
//! *No cancel is lost:* who cancels stores the request and then looks at the state; who parks a coroutine stores the state
//! and then looks at the request. Each of the four is SeqCst, so at least one of the two sees the other's. A coroutine that
//! is not parked meets the request at its next wait anyway, or is seen when it has parked.
//!
//! *None goes astray:* the request is a compare-exchange on a word with the coroutine's id, the wake-up one on a word with
//! the slot's generation and the wait's epoch; and that this one, read after the request, is still the same coroutine's, its
//! id tells, which is read again behind it. Nobody is woken who wasn't cancelled, and who is woken by it sees the request:
//! locks count on both (`park::block_until`).
//!
//! What touches the two words is generic over them, so that a model checker can run this very code.

use std::sync::atomic::Ordering::SeqCst;

use super::park;
use crate::abi::record::Record;
use crate::abi::state::{Key, Word};
use crate::coroutine::cancel::{Target, is_there};
use crate::registry::WakeToken;
use crate::stack::region;
use crate::sys::atomic::Atomic;

/// Has a coroutine end at its next wait, or now if it waits. Nothing happens to one that has ended or was cancelled
/// already.
pub(crate) fn cancel(target: Target) {
    if target.request() {
        wake_if_there(target);
    }
}

/// Wakes a coroutine from the wait that it is in, if it is in one, and hasn't ended.
fn wake_if_there(target: Target) {
    if let Some(key) = key_of(&target.record.state, &target.record.requests, target.id) {
        wake_from(target.record, key);
    }
}

/// The key of the wait that the coroutine with this id is in, or of none that is still open; `None` if the slot is another
/// one's.
fn key_of(state: &impl Atomic<u64>, requests: &impl Atomic<u64>, id: u64) -> Option<Key> {
    // SeqCst: see the module. It is Acquire, too: whoever's wait the key is, his id is seen behind it.
    let key = Word(state.load(SeqCst)).key();
    is_there(requests, id).then_some(key)
}

/// Wakes a coroutine that this worker has just parked.
#[cold]
#[inline(never)]
pub(super) fn wake(record: &'static Record) {
    wake_from(record, Word(record.state.load(SeqCst)).key());
}

fn wake_from(record: &'static Record, key: Key) {
    let Some(region) = region::get() else { return };
    park::unpark(WakeToken { slot: region.slot(record), key }, 0);
}

// loom leaks a little for each thread that uses it.
#[cfg(all(test, not(feature = "sanitize")))]
mod models;
#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::abi::wait::WaitReason;

    #[test]
    fn who_has_cancelled_the_slots_last_tenant_does_not_wake_the_next_one() {
        static HAS_WOKEN: AtomicBool = AtomicBool::new(false);
        crate::run(|| {
            let waiting = crate::spawn(|| {
                let wait = park::Wait::open(WaitReason::Join, 0).unwrap();
                wait.park_until(None);
                HAS_WOKEN.store(true, Relaxed);
            });
            crate::yield_now();
            let next = waiting.target();
            // As if it had ended, and the slot were another's, after the request.
            let last = Target { record: next.record, id: next.id - 1 };
            wake_if_there(last);
            crate::yield_now();
            assert!(!HAS_WOKEN.load(Relaxed));
            wake_if_there(next);
            crate::yield_now();
            assert!(HAS_WOKEN.load(Relaxed), "the one who is there is woken");
        })
        .unwrap();
    }
}
