//! Before a worker sleeps: a short wait with its eyes open, for what another worker is about to send.
//!
//! To sleep and to be woken costs 5 µs (two system calls, and a CPU that comes out of idleness), in a virtual machine 25; an
//! answer from another worker may take a tenth of a microsecond. So where the last wait was short, the worker looks at its inbox for a while first. That
//! is worth nothing where the other one has no CPU at the moment: each spin in vain makes it let twice as many short waits
//! pass before it tries again, and one that finds somebody makes up for all of them. A worker that has been asleep for long, and
//! one of a process that has no CPU for each of its workers, never spins.

use std::cell::Cell;
use std::hint;
use std::thread;

use super::worker::Worker;
use crate::sys::clock;

/// How long one spin lasts (in nanoseconds): long enough for another worker to be woken, and to answer.
const LONG: u64 = 50_000;
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;
/// A sleep that was this short (in nanoseconds), waking included, might have been better spent with eyes open.
const SHORT: u64 = 100_000;
/// Short waits that are let pass without a spin, at most.
const MOST: u32 = 4096;
/// The reactor is looked at after this time (in nanoseconds), however many answers come without it.
const UNSEEN: u64 = 100_000;

/// What a worker has learnt of its waits.
#[derive(Debug)]
pub(super) struct Spin {
    has_cpu: bool,
    /// The last wait was short, and for another worker's sending.
    was_short: Cell<bool>,
    /// Short waits still to be let pass, and to be let pass after the next spin in vain.
    pass: Cell<u32>,
    penalty: Cell<u32>,
}

impl Spin {
    /// For one of so many workers.
    pub(super) fn new(workers: usize) -> Spin {
        Spin::with(workers > 1 && thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= workers))
    }

    fn with(has_cpu: bool) -> Spin {
        Spin { has_cpu, was_short: Cell::new(false), pass: Cell::new(0), penalty: Cell::new(1) }
    }

    /// Whether it is to be told of sleeps.
    pub(super) fn learns(&self) -> bool {
        self.has_cpu
    }

    /// To be told of each sleep: how long it was, and whether somebody was sent meanwhile.
    pub(super) fn learn(&self, slept: u64, was_sent_somebody: bool) {
        let is_short = self.has_cpu && was_sent_somebody && slept < SHORT;
        self.was_short.set(is_short);
        if is_short {
            self.pass.set(self.pass.get().saturating_sub(1));
        }
    }

    fn is_worth_it(&self) -> bool {
        self.was_short.get() && self.pass.get() == 0
    }

    fn end(&self, has_found: bool) {
        if has_found {
            self.penalty.set(1);
        } else {
            self.pass.set(self.penalty.get());
            self.penalty.set((2 * self.penalty.get()).min(MOST));
        }
    }
}

/// Waits for a moment, if that may be worth it; says whether somebody was sent. The reactor is not looked at: so it doesn't
/// wait if the last look was some time ago.
pub(super) fn spin(worker: &Worker) -> bool {
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
    use super::*;

    #[test]
    fn only_after_a_short_wait_that_somebody_else_has_ended() {
        let spin = Spin::with(true);
        assert!(!spin.is_worth_it());
        for (slept, was_sent_somebody) in [(SHORT, true), (SHORT - 1, false)] {
            spin.learn(slept, was_sent_somebody);
            assert!(!spin.is_worth_it(), "{slept}");
        }
        spin.learn(SHORT - 1, true);
        assert!(spin.is_worth_it());
        spin.learn(SHORT, true);
        assert!(!spin.is_worth_it(), "the last one counts");
        let crowded = Spin::with(false);
        crowded.learn(1, true);
        assert!(!crowded.is_worth_it());
        assert!(!Spin::new(1).has_cpu && !Spin::new(100_000).has_cpu);
    }

    #[test]
    fn spins_in_vain_get_rarer_and_one_that_finds_somebody_makes_up_for_them() {
        let spin = Spin::with(true);
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
