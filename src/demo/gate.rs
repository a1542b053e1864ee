//! The gate before a server: how many connections may wait for an answer at once.
//! A server's listen backlog may be short (Python's `http.server` has 5). What comes beyond it the
//! kernel drops without a word, and both sides try again after 1, 3, 7 seconds: so a hundred
//! connects at once would take half a minute, and some would fail. The gate begins narrow and
//! widens as answers come; if a connection is overtaken by many later ones, it was dropped, and the
//! gate stays narrow. A server that is merely slow answers in order, and does not look like that.

use coro::sync::{Mutex, Receiver, Sender, channel};
use std::collections::BTreeMap;
use std::sync::{self, PoisonError};
use std::time::{Duration, Instant};

/// As wide as any backlog allows.
pub(super) const NARROW: usize = 4;

/// A dropped segment is sent again after this long at the soonest; what takes less was not dropped.
const SOONEST_RETRY: Duration = Duration::from_millis(200);

/// Lets so many coroutines through as the server seems to bear; the others wait, first come first
/// served.
#[derive(Debug)]
pub(super) struct Gate {
    tokens: Mutex<Receiver<()>>,
    // std's mutex: held for some arithmetic, never over a wait.
    inner: sync::Mutex<(Sender<()>, Width)>,
}

/// The right to be connected and unanswered, to be given back.
#[derive(Debug)]
#[must_use = "a pass that is not given back narrows the gate"]
pub(super) struct Pass(u64);

impl Gate {
    /// A gate that is `narrow` at first, and `most` wide in the end if all goes well.
    pub(super) fn new(narrow: usize, most: usize) -> Gate {
        // There is room for every token, so giving one back never waits.
        let (sender, receiver) = channel(most.max(narrow));
        for _ in 0..narrow {
            let _ = sender.send(());
        }
        Gate { tokens: Mutex::new(receiver), inner: sync::Mutex::new((sender, Width::new(narrow, most))) }
    }

    /// Waits for a token.
    pub(super) fn enter(&self) -> Pass {
        // The sender lives as long as we do, so there is always something to come.
        let _ = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Pass(self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.enter(Instant::now()))
    }

    /// Gives the token back, and perhaps one more, or none.
    pub(super) fn leave(&self, pass: Pass) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..inner.1.leave(pass.0, Instant::now()) {
            let _ = inner.0.send(());
        }
    }

    /// Whether the server was seen to drop connections.
    pub(super) fn is_stuck(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.dropped
    }
}

/// The arithmetic of it: who is in, and how many tokens there are.
#[derive(Debug)]
struct Width {
    narrow: usize,
    most: usize,
    tokens: usize,
    next: u64,
    inside: BTreeMap<u64, Instant>,
    newest_out: u64,
    since_widened: usize,
    dropped: bool,
}

impl Width {
    fn new(narrow: usize, most: usize) -> Width {
        let inside = BTreeMap::new();
        Width {
            narrow,
            most,
            tokens: narrow,
            next: 0,
            inside,
            newest_out: 0,
            since_widened: 0,
            dropped: false,
        }
    }

    fn enter(&mut self, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.inside.insert(number, now);
        number
    }

    /// One comes out; returns how many may go in for it: 0, 1 or 2.
    fn leave(&mut self, number: u64, now: Instant) -> usize {
        self.newest_out = self.newest_out.max(number);
        // Looked at while the one that leaves is still among them: it may be the dropped one.
        if let Some((&oldest, &since)) = self.inside.first_key_value() {
            let overtaken_by = self.newest_out.saturating_sub(oldest);
            self.dropped |=
                overtaken_by > 3 * self.tokens as u64 && now.duration_since(since) >= SOONEST_RETRY;
        }
        self.inside.remove(&number);
        self.since_widened += 1;
        if self.dropped && self.tokens > self.narrow {
            self.tokens -= 1;
            0
        // A tenth wider with each generation of answers: few are dropped before it is noticed.
        } else if !self.dropped && self.tokens < self.most && self.since_widened >= 10.min(self.tokens) {
            self.since_widened = 0;
            self.tokens += 1;
            2
        } else {
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `visits` through, one every 10 ms; those whose number `is_lost` names never come out.
    /// Returns the width.
    fn pass(width: &mut Width, visits: u32, is_lost: impl Fn(u64) -> bool) -> usize {
        let mut free = NARROW;
        let mut inside = std::collections::VecDeque::new();
        let start = Instant::now();
        for now in (0..visits).map(|i| start + i * Duration::from_millis(10)) {
            while free > 0 {
                inside.push_back(width.enter(now));
                free -= 1;
            }
            inside.retain(|&number| !is_lost(number));
            match inside.pop_front() {
                Some(number) => free += width.leave(number, now),
                None => break,
            }
        }
        width.tokens
    }

    #[test]
    fn it_widens_while_answers_come_in_order() {
        let mut width = Width::new(NARROW, 100);
        assert_eq!(pass(&mut width, 5000, |_| false), 100);
        assert!(!width.dropped);
    }

    #[test]
    fn it_narrows_for_good_when_one_is_overtaken() {
        let mut width = Width::new(NARROW, 100);
        assert_eq!(pass(&mut width, 5000, |number| number == 40), NARROW);
        assert!(width.dropped);
        width.leave(40, Instant::now());
        assert_eq!(pass(&mut width, 5000, |_| false), NARROW);
    }

    #[test]
    fn a_slow_server_is_not_taken_for_one_that_drops() {
        let mut width = Width::new(NARROW, 50);
        let start = Instant::now();
        for now in (0..100).map(|i| start + i * Duration::from_secs(1)) {
            let numbers: Vec<_> = (0..width.tokens).map(|_| width.enter(now)).collect();
            // Even in the reverse order nobody is overtaken by more than one generation.
            for &number in numbers.iter().rev() {
                width.leave(number, now + Duration::from_secs(1));
            }
        }
        assert!(!width.dropped);
    }
}
