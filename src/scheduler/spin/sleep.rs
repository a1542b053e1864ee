//! Before a worker sleeps. To sleep and to be woken costs 5 µs (two system calls, and a CPU that comes out of idleness), in a
//! virtual machine 25; an answer from another worker may take a tenth of a microsecond. So where the last wait was short, the
//! worker looks at its inbox for a while first; one that has been asleep for long doesn't.

use std::cell::Cell;
use std::hint;

use super::Luck;
use crate::scheduler::worker::Worker;
use crate::sys::clock;

/// How long one spin lasts (in nanoseconds): long enough for another worker to be woken, and to answer.
const LONG: u64 = 50_000;
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;
/// A sleep that was this short (in nanoseconds), waking included, might have been better spent with eyes open.
const SHORT: u64 = 100_000;
/// The reactor is looked at after this time (in nanoseconds), however many answers come without it.
const UNSEEN: u64 = 100_000;

/// What a worker has learnt of its sleeps.
#[derive(Debug)]
pub(in crate::scheduler) struct Spin {
    has_cpu: bool,
    /// The last wait was short, and for another worker's sending.
    was_short: Cell<bool>,
    luck: Luck,
}

impl Spin {
    /// `has_cpu`: [`have_cpus`](super::have_cpus).
    pub(in crate::scheduler) fn new(has_cpu: bool) -> Spin {
        Spin { has_cpu, was_short: Cell::new(false), luck: Luck::new() }
    }

    /// Whether it is to be told of sleeps.
    pub(in crate::scheduler) fn learns(&self) -> bool {
        self.has_cpu
    }

    /// To be told of each sleep: how long it was, and whether somebody was sent meanwhile.
    pub(in crate::scheduler) fn learn(&self, slept: u64, was_sent_somebody: bool) {
        let is_short = self.has_cpu && was_sent_somebody && slept < SHORT;
        self.was_short.set(is_short);
        if is_short {
            self.luck.let_pass();
        }
    }

    fn is_worth_it(&self) -> bool {
        self.was_short.get() && self.luck.is_worth_it()
    }

    fn end(&self, has_found: bool) {
        self.luck.end(has_found);
    }
}

/// Waits for a moment, if that may be worth it; says whether somebody was sent. The reactor is not looked at: so it doesn't
/// wait if the last look was some time ago.
pub(in crate::scheduler) fn spin(worker: &Worker) -> bool {
    if !worker.spin.is_worth_it() {
        return false;
    }
    let began = clock::now();
    if began.saturating_sub(worker.clock()) > UNSEEN {
        return false;
    }
    let look = |_| {
        hint::spin_loop();
        worker.remote.has_somebody()
    };
    let mut has_found = (0..LOOKS).any(look);
    while !has_found && clock::now().saturating_sub(began) < LONG {
        has_found = (0..LOOKS).any(look);
    }
    worker.spin.end(has_found);
    has_found
}

#[cfg(test)]
mod tests {
    use super::super::MOST;
    use super::*;

    #[test]
    fn only_after_a_short_wait_that_somebody_else_has_ended() {
        let spin = Spin::new(true);
        assert!(!spin.is_worth_it());
        for (slept, was_sent_somebody) in [(SHORT, true), (SHORT - 1, false)] {
            spin.learn(slept, was_sent_somebody);
            assert!(!spin.is_worth_it(), "{slept}");
        }
        spin.learn(SHORT - 1, true);
        assert!(spin.is_worth_it());
        spin.learn(SHORT, true);
        assert!(!spin.is_worth_it(), "the last one counts");
        let crowded = Spin::new(false);
        crowded.learn(1, true);
        assert!(!crowded.is_worth_it());
    }

    #[test]
    fn spins_in_vain_get_rarer_and_one_that_finds_somebody_makes_up_for_them() {
        let spin = Spin::new(true);
        let waits_until_worth_it = || {
            (1..).find(|_| {
                spin.learn(1, true);
                spin.is_worth_it()
            })
        };
        assert_eq!(waits_until_worth_it(), Some(1));
        let vain: Vec<u32> = (0..14)
            .map(|_| {
                spin.end(false);
                waits_until_worth_it().unwrap()
            })
            .collect();
        assert_eq!(vain[..5], [1, 2, 4, 8, 16]);
        assert_eq!(vain[12..], [MOST, MOST]);
        spin.end(true);
        assert_eq!(waits_until_worth_it(), Some(1));
        spin.end(false);
        assert_eq!(waits_until_worth_it(), Some(1));
    }
}
