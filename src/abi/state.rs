//! The state word: everything that decides whether a wake-up still concerns a coroutine, in one word.
//!
//! ```text
//!   63            36 35          12 11      4 3      0
//!  ┌────────────────┬──────────────┬─────────┬────────┐
//!  │ generation  28 │ wait epoch 24│ flags 8 │ state 4│
//!  └────────────────┴──────────────┴─────────┴────────┘
//! ```
//!
//! The *generation* counts the slot's tenants, the *wait epoch* the waits of one tenant. Together they are
//! the [`Key`] that a waker holds: a wake is one compare-exchange on the whole word, so that a late timer, a
//! second waker or a stale handle can touch neither the next wait nor the slot's next tenant. A key comes back
//! after 2^24 waits; every wait looks at its own condition again when it is woken, so that even then
//! nothing but a spurious wake-up comes of it.
//!
//! All zero is a free slot of generation 0: fresh memory needs no initialising.

/// What a coroutine is doing.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The slot has no tenant.
    Free = 0,
    /// Published, not queued yet.
    New = 1,
    /// May run, and will when its turn comes.
    Ready = 2,
    /// A thread's stack pointer lies in its stack; or, between a switch and what is done after it, its
    /// registers are saved already (readers say `switching`).
    Running = 3,
    /// Waits, for what its record says.
    Parked = 4,
    /// Its function has ended; the slot is not free yet. There is nothing on its stack any more, which may be unreadable.
    Exited = 5,
}

impl State {
    /// All states, in the order of their numbers.
    pub(crate) const ALL: [State; 6] =
        [State::Free, State::New, State::Ready, State::Running, State::Parked, State::Exited];

    /// The name that every reader shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            State::Free => "free",
            State::New => "new",
            State::Ready => "ready",
            State::Running => "running",
            State::Parked => "parked",
            State::Exited => "exited",
        }
    }
}

/// Marks beside the state.
pub(crate) mod flag {
    /// The running coroutine has opened a wait and may be woken, though it is not parked yet.
    pub(crate) const WAITING: u64 = 1 << 4;
    /// It was woken before it parked.
    pub(crate) const NOTIFIED: u64 = 1 << 5;
    /// What ended its last wait was the wait's deadline.
    pub(crate) const TIMED_OUT: u64 = 1 << 6;
    /// Ready, but in no queue: it has lent its worker to a coroutine that it started, and goes on when
    /// that one waits or ends.
    pub(crate) const LENT: u64 = 1 << 7;

    /// All flags with the names that readers show.
    pub(crate) const ALL: [(u64, &str); 4] =
        [(WAITING, "waiting"), (NOTIFIED, "notified"), (TIMED_OUT, "timed out"), (LENT, "lent")];
}

/// Lowest bit and width of the word's parts, for the export.
pub(crate) const STATE_BITS: (u32, u32) = (0, 4);
pub(crate) const FLAG_BITS: (u32, u32) = (4, 8);
pub(crate) const EPOCH_BITS: (u32, u32) = (12, 24);
pub(crate) const GENERATION_BITS: (u32, u32) = (36, 28);

const STATE_MASK: u64 = (1 << STATE_BITS.1) - 1;
const EPOCH_MASK: u64 = ((1 << EPOCH_BITS.1) - 1) << EPOCH_BITS.0;
const GENERATION_MASK: u64 = ((1 << GENERATION_BITS.1) - 1) << GENERATION_BITS.0;

/// A state word's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

/// Generation and wait epoch: which wait of which tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(u64);

impl Word {
    pub(crate) const fn state(self) -> State {
        match self.0 & STATE_MASK {
            1 => State::New,
            2 => State::Ready,
            3 => State::Running,
            4 => State::Parked,
            5 => State::Exited,
            // No code writes another number; memory that something else overwrote reads as free.
            _ => State::Free,
        }
    }

    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn generation(self) -> u32 {
        ((self.0 & GENERATION_MASK) >> GENERATION_BITS.0) as u32
    }

    pub(crate) const fn epoch(self) -> u32 {
        ((self.0 & EPOCH_MASK) >> EPOCH_BITS.0) as u32
    }

    pub(crate) const fn key(self) -> Key {
        Key(self.0 & (GENERATION_MASK | EPOCH_MASK))
    }

    /// The same tenant and wait in another state, with these flags and no others.
    pub(crate) const fn with(self, state: State, flags: u64) -> Word {
        Word(self.key().0 | flags | state as u64)
    }

    /// The tenant's next wait.
    pub(crate) const fn next_epoch(self) -> Word {
        Word((self.0 & !EPOCH_MASK) | (self.0.wrapping_add(1 << EPOCH_BITS.0) & EPOCH_MASK))
    }

    /// The slot's next tenant, at its first wait.
    pub(crate) const fn next_generation(self) -> Word {
        Word(
            (self.0 & !(GENERATION_MASK | EPOCH_MASK))
                | (self.0.wrapping_add(1 << GENERATION_BITS.0) & GENERATION_MASK),
        )
    }
}

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(generation {}, epoch {}", self.state().name(), self.generation(), self.epoch())?;
        for (flag, name) in flag::ALL {
            if self.has(flag) {
                write!(f, ", {name}")?;
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_touch_each_other() {
        let full = Word(u64::MAX).with(State::Parked, 0);
        assert_eq!((full.generation(), full.epoch()), ((1 << 28) - 1, (1 << 24) - 1));
        let next = full.next_epoch();
        assert_eq!((next.generation(), next.epoch(), next.state()), ((1 << 28) - 1, 0, State::Parked));
        let next = full.next_generation();
        assert_eq!((next.generation(), next.epoch(), next.state()), (0, 0, State::Parked));
    }

    #[test]
    fn numbers_and_names_agree() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
            assert_eq!(Word(number as u64).state(), state);
        }
        let mut seen = 0;
        for (bit, _) in flag::ALL {
            assert_eq!(bit & (STATE_MASK | EPOCH_MASK | GENERATION_MASK | seen), 0);
            seen |= bit;
        }
    }

    #[test]
    fn fresh_memory_is_a_free_slot() {
        assert_eq!(format!("{:?}", Word(0)), "free(generation 0, epoch 0)");
    }
}
