//! When io gets its turn though somebody is always ready.
//!
//! A look at I/O is a system call, 100 to 200 ns and more when it finds something: as much as several switches. It is
//! due when [`SOON`] has passed since the last one, and all who were ready then have had their turn: before that it would
//! gain nothing, since whom it finds comes behind them anyhow. A server whose connections are all busy so gets all that has
//! come meanwhile by one look. When that takes too long ([`AT_LAST`]) it is due all the same: others may be made ready
//! meanwhile, and be ahead.
//!
//! The clock is not read at each switch either (20 ns), but after so many; the number follows the length of the turns, so
//! that coroutines which compute for long between their waits don't keep I/O waiting for 61 of them. It falls at once, and
//! grows only when it could have been greater [many times](STEADY) in a row: between two turns of one who computes for long
//! there may be dozens of short ones.

use std::cell::Cell;

/// Switches until the clock is read, at most. A prime, as in tokio, so that it doesn't fall in step with the
/// program's own rounds.
const MOST: u32 = 61;
/// A look sooner than this after the last one (in nanoseconds) would hardly find anything.
const SOON: u64 = 100_000;
/// What shall pass between two looks, if the coroutines' turns are short enough: who is woken by an event or a timer is late
/// by so much at most, and by those who are ready before him. A look costs a thousandth of it.
const LATE: u64 = 200_000;
/// The number of switches between two looks at the clock grows after so many that came early, one after the other: more than
/// one long turn among as many short ones lets pass, and few enough that short turns cost nothing after 10,000 of them.
const STEADY: u32 = 16;
/// So long after the last look there is another one, however many have not had their turn.
const AT_LAST: u64 = 1_000_000;

/// A worker's rhythm.
#[derive(Debug)]
pub(crate) struct Rhythm {
    /// Switches until the next look at the clock.
    left: Cell<u32>,
    interval: Cell<u32>,
    /// So many times in a row more switches would have fitted between two looks at the clock.
    steady: Cell<u32>,
    /// Those who were ready at the last look, and had no turn when the clock was read.
    waiting: Cell<usize>,
    /// When the clock was read, in nanoseconds since the last look.
    read: Cell<u64>,
}

impl Rhythm {
    pub(super) fn new() -> Rhythm {
        Rhythm {
            left: Cell::new(MOST),
            interval: Cell::new(MOST),
            steady: Cell::new(0),
            waiting: Cell::new(0),
            read: Cell::new(0),
        }
    }

    /// io has looked, and so many are ready now.
    pub(super) fn look_was_taken(&self, ready: usize) {
        self.waiting.set(ready);
        self.read.set(0);
    }

    /// Counts a switch; says whether it is time to look at the clock.
    #[inline]
    pub(super) fn beat(&self) -> bool {
        let left = self.left.get().wrapping_sub(1);
        self.left.set(left);
        left == 0
    }

    /// No look at the clock for the next four billion switches.
    #[cfg(feature = "bench")]
    pub(crate) fn stop(&self) {
        self.left.set(u32::MAX);
    }

    /// The clock was looked at, so many nanoseconds after the last poll: says whether io's turn is due.
    pub(super) fn is_due(&self, since_poll: u64) -> bool {
        let interval = self.interval.get();
        // As many switches have passed; fewer if io was not called by this, but because nobody was ready.
        let waiting = self.waiting.get().saturating_sub(interval as usize);
        self.waiting.set(waiting);
        // As many turns as fit, if they go on like this.
        let took = since_poll.saturating_sub(self.read.replace(since_poll));
        let fit = (u64::from(interval) * LATE / took.max(1)).clamp(1, u64::from(MOST)) as u32;
        let steady = if fit > interval { self.steady.get() + 1 } else { 0 };
        let next = match steady {
            STEADY => fit.min(interval.saturating_mul(2)),
            _ => fit.min(interval),
        };
        self.steady.set(steady % STEADY);
        self.interval.set(next);
        self.left.set(next);
        since_poll >= if waiting == 0 { SOON } else { AT_LAST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats until io's turn, when each turn lasts so long.
    fn turns_until_due(rhythm: &Rhythm, turn: u64) -> u64 {
        let mut turns = 0;
        rhythm.read.set(0);
        loop {
            turns += 1;
            if rhythm.beat() && rhythm.is_due(turns * turn) {
                return turns;
            }
        }
    }

    #[test]
    fn short_turns_are_counted_long_ones_are_looked_at_sooner() {
        let rhythm = Rhythm::new();
        assert_eq!(turns_until_due(&rhythm, 50), 33 * 61, "100 µs in whole rounds of 61");
        assert_eq!(turns_until_due(&rhythm, 10_000), 61, "nobody knew");
        assert_eq!(turns_until_due(&rhythm, 10_000), 20, "200 µs");
        assert_eq!(turns_until_due(&rhythm, 10_000), 20);
        assert_eq!(turns_until_due(&rhythm, 1_000_000), 20, "nobody knew");
        assert_eq!(turns_until_due(&rhythm, 1_000_000), 1);
        assert_eq!(turns_until_due(&rhythm, u64::MAX), 1);
        // Short again: the interval grows back, in its own time.
        let turns: Vec<_> = (0..40).map(|_| turns_until_due(&rhythm, 10_000)).collect();
        assert!(turns.is_sorted() && turns[0] == 10 && turns[39] == 20, "{turns:?}");
        // Many are ready: not before they all had their turn, or 1 ms has passed.
        rhythm.look_was_taken(90);
        assert_eq!(turns_until_due(&rhythm, 10_000), 100, "90 in whole rounds of 20");
        rhythm.look_was_taken(10_000);
        assert_eq!(turns_until_due(&rhythm, 20_000), 50, "1 ms");
        rhythm.look_was_taken(0);
        assert_eq!(turns_until_due(&rhythm, 20_000), 10);
        // A greedy one that computes for 100 µs at a time.
        let rhythm = Rhythm::new();
        let turns: Vec<_> = (0..4).map(|_| turns_until_due(&rhythm, 100_000)).collect();
        assert_eq!(turns, [61, 2, 2, 2]);
    }

    #[test]
    fn long_turn_among_short_ones_is_not_forgotten() {
        let (rhythm, mut since_poll, mut long, mut between) = (Rhythm::new(), 0, 0, Vec::new());
        // Eight turns of 110 µs, then 25 of 1 µs, and so on.
        for turn in 0..10_000 {
            let is_long = turn % 33 < 8;
            since_poll += if is_long { 110_000 } else { 1000 };
            long += u32::from(is_long);
            if rhythm.beat() && rhythm.is_due(since_poll) {
                between.push(std::mem::take(&mut long));
                since_poll = 0;
                rhythm.look_was_taken(0);
            }
        }
        // It has to learn it first.
        assert_eq!(between[5..].iter().max(), Some(&2), "long turns between two looks: {between:?}");
    }
}
