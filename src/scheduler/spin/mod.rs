//! A short wait with eyes open, for what another worker is about to do: before a worker [sleeps](sleep), and before a coroutine
//! waits for a [lock].
//!
//! Either is worth nothing where the other one has no CPU at the moment: each spin in vain makes it let twice as many occasions
//! pass before it tries again, and one that finds something makes up for all of them. In a process that has no CPU for each of
//! its workers nobody ever spins.

pub(crate) mod lock;
pub(super) mod sleep;

use std::cell::Cell;
use std::thread;

/// Occasions that are let pass without a spin, at most.
const MOST: u32 = 4096;

/// Whether each of so many workers has a CPU.
pub(super) fn have_cpus(workers: usize) -> bool {
    workers > 1 && thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= workers)
}

/// What spins of one kind have been worth.
#[derive(Debug)]
struct Luck {
    /// Occasions still to be let pass, and to be let pass after the next spin in vain.
    pass: Cell<u32>,
    penalty: Cell<u32>,
}

impl Luck {
    fn new() -> Luck {
        Luck { pass: Cell::new(0), penalty: Cell::new(1) }
    }

    fn is_worth_it(&self) -> bool {
        self.pass.get() == 0
    }

    fn let_pass(&self) {
        self.pass.set(self.pass.get().saturating_sub(1));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_or_too_many_have_no_cpu_to_spin_on() {
        assert!(!have_cpus(1) && !have_cpus(100_000));
    }
}
