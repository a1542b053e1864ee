//! Folding of repeats: a recursion's thousand frames as one round and a count. Values in, values out.
//!
//! *No allocation, no locks, bounded loops.*

/// The longest cycle that is looked for, and how often it must come.
const LONGEST_PERIOD: usize = 32;
const FEWEST_ROUNDS: usize = 3;
/// Stretches that are told apart; what comes behind them is one.
pub(crate) const MOST_RUNS: usize = 64;

/// A stretch of a sequence: `rounds` times the same `period` items, from `start` on. One round: no repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) period: usize,
    pub(crate) rounds: usize,
}

impl Run {
    pub(crate) fn end(&self) -> usize {
        self.start + self.period * self.rounds
    }

    pub(crate) fn repeats(&self) -> bool {
        self.rounds > 1
    }
}

/// The runs of which a sequence is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    list: [Run; MOST_RUNS],
    count: usize,
}

impl Runs {
    pub(crate) const EMPTY: Runs =
        Runs { list: [Run { start: 0, period: 0, rounds: 0 }; MOST_RUNS], count: 0 };

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.list[..self.count].iter()
    }

    fn push(&mut self, run: Run) -> bool {
        match self.list.get_mut(self.count) {
            Some(place) if run.period > 0 => {
                *place = run;
                self.count += 1;
                self.count < MOST_RUNS
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Folds a sequence of so many items. Each item is in one run; of several cycles at one place the one that covers
    /// most wins, of those the shortest.
    pub(crate) fn fold(&mut self, length: usize, key: impl Fn(usize) -> u64) {
        self.count = 0;
        let (mut at, mut plain) = (0, 0);
        while at < length {
            let (period, rounds) = best_cycle(length, at, &key);
            if rounds == 1 {
                at += 1;
                continue;
            }
            let has_room = self.push(Run { start: plain, period: at - plain, rounds: 1 })
                && self.push(Run { start: at, period, rounds });
            at += period * rounds;
            plain = at;
            if !has_room {
                break;
            }
        }
        if plain < length {
            let rest = Run { start: plain, period: length - plain, rounds: 1 };
            if !self.push(rest) && self.list[MOST_RUNS - 1].end() < length {
                // No room: the last one takes what is left.
                let last = &mut self.list[MOST_RUNS - 1];
                *last = Run { start: last.start, period: length - last.start, rounds: 1 };
            }
        }
    }
}

fn best_cycle(length: usize, start: usize, key: &impl Fn(usize) -> u64) -> (usize, usize) {
    let (mut best, mut covered) = ((1, 1), 0);
    for period in 1..=LONGEST_PERIOD.min((length - start) / FEWEST_ROUNDS) {
        let mut at = start + period;
        while at < length && key(at) == key(at - period) {
            at += 1;
        }
        let rounds = (at - start) / period;
        if rounds >= FEWEST_ROUNDS && rounds * period > covered {
            (best, covered) = ((period, rounds), rounds * period);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> String {
        let bytes = text.as_bytes();
        let mut runs = Runs::EMPTY;
        runs.fold(bytes.len(), |at| u64::from(bytes[at]));
        assert_eq!(runs.iter().map(|run| run.period * run.rounds).sum::<usize>(), bytes.len());
        let shown = runs.iter().map(|run| {
            let items = &text[run.start..run.start + run.period];
            if run.repeats() { format!("({items})x{}", run.rounds) } else { items.into() }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn repeats_are_folded_and_the_rest_is_left() {
        assert_eq!(fold(""), "");
        assert_eq!(fold("abc"), "abc");
        assert_eq!(fold("aab"), "aab", "twice is no recursion");
        assert_eq!(fold("xaaaaab"), "x (a)x5 b");
        assert_eq!(fold("fabababababm"), "f (ab)x5 m");
        assert_eq!(fold("fabababababam"), "f (ab)x5 am");
        assert_eq!(fold("abcabcabcabcaxaaaz"), "(abc)x4 ax (a)x3 z");
        assert_eq!(fold("aabaabaabq"), "(aab)x3 q");
    }

    #[test]
    fn longest_cycles_and_the_last_run_hold_their_bounds() {
        let cycle: String = (0..LONGEST_PERIOD as u8).map(|n| char::from(b'0' + n)).collect();
        assert_eq!(fold(&cycle.repeat(5)), format!("({cycle})x5"));
        let longer = format!("{cycle}z");
        assert_eq!(fold(&longer.repeat(5)), longer.repeat(5), "one more is not looked for");
        // Stretches of three letters, of which no longer cycle is made.
        let stretches = |count: u8| -> String {
            (0..count).map(|n| char::from(b'A' + n % 53).to_string().repeat(3)).collect()
        };
        assert_eq!(fold(&stretches(MOST_RUNS as u8)).matches("x3").count(), MOST_RUNS);
        let more = stretches(200);
        assert!(fold(&more).ends_with(&more[more.len() - 30..]), "what there is no room for is one run");
    }

    #[test]
    fn random_sequences_are_covered_once() {
        let mut random = fastrand::Rng::with_seed(3);
        for letters in [1, 2, 3, 9] {
            for length in 0..200 {
                let text: String =
                    (0..length).map(|_| char::from(b'a' + random.u64(..letters) as u8)).collect();
                fold(&text);
            }
        }
    }
}
