//! The tally: what became of the requests, counted.

use coro::http::{Answer, ExchangeError, Framing};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one coroutine brought home.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) connects: u64,
    /// The server neither kept the connection nor closed it.
    pub(super) left_open: bool,
    pub(super) outcome: Result<(Answer, Duration), Failure>,
}

/// Why a request failed. Neither part comes from the peer, so there are few different ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn new(kind: &'static str, reason: impl Into<String>) -> Failure {
        Failure { kind, reason: reason.into() }
    }

    pub(super) fn of_exchange(error: &ExchangeError) -> Failure {
        let kind = match error {
            ExchangeError::Send(_) => "send",
            ExchangeError::Receive(_) => "receive",
            ExchangeError::TimedOut(_) => "timeout",
            ExchangeError::Closed | ExchangeError::Truncated => "truncated",
            ExchangeError::TooLarge(_) => "too large",
            _ => "malformed",
        };
        Failure::new(kind, error.to_string())
    }
}

/// All visits so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) rounds: u64,
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) left_open: u64,
    pub(super) failures: BTreeMap<Failure, u64>,
    /// Microseconds from the beginning of the connect, or of the request on a connection that
    /// was kept, to the answer's end.
    pub(super) latency: Histogram<u64>,
    first_length: Option<u64>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            rounds: 0,
            connections: 0,
            requests: 0,
            bytes: 0,
            left_open: 0,
            failures: BTreeMap::new(),
            // From 1 µs to two minutes, to three digits; what is longer counts as two minutes.
            latency: Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are valid"),
            first_length: None,
        }
    }

    /// Counts one visit, after checking the answer's status and length.
    pub(super) fn count(&mut self, visit: Visit) {
        self.requests += 1;
        self.connections += visit.connects;
        self.left_open += u64::from(visit.left_open);
        match visit.outcome.and_then(|(answer, time)| self.check(answer).map(|()| (answer, time))) {
            Ok((answer, time)) => {
                self.bytes += answer.length;
                self.latency.saturating_record(time.as_micros().max(1) as u64);
            }
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }

    /// How many requests failed.
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn check(&mut self, answer: Answer) -> Result<(), Failure> {
        if !(200..300).contains(&answer.status) {
            return Err(Failure::new("status", answer.status.to_string()));
        }
        // A body that ends with the connection shows in no other way that it was cut.
        if answer.framing == Framing::UntilClose
            && *self.first_length.get_or_insert(answer.length) != answer.length
        {
            return Err(Failure::new("length", "the body's length differs from the first one's"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coro::http::Version;
    use pretty_assertions::assert_eq;

    fn visit(status: u16, framing: Framing, length: u64) -> Visit {
        let answer = Answer { status, version: Version::Http10, framing, length, keep_alive: false };
        Visit { connects: 1, left_open: false, outcome: Ok((answer, Duration::from_millis(2))) }
    }

    fn tally(visits: impl IntoIterator<Item = Visit>) -> Tally {
        let mut tally = Tally::new();
        visits.into_iter().for_each(|visit| tally.count(visit));
        tally
    }

    #[test]
    fn failures_are_counted_by_kind_and_reason() {
        let tally = tally([404, 200, 404, 500].map(|status| visit(status, Framing::Length(1), 1)));
        let counted: Vec<_> = tally
            .failures
            .iter()
            .map(|(failure, count)| (failure.kind, failure.reason.as_str(), *count))
            .collect();
        assert_eq!(counted, [("status", "404", 2), ("status", "500", 1)]);
        assert_eq!((tally.requests, tally.failed(), tally.latency.len()), (4, 3, 1));
    }

    #[test]
    fn a_shorter_body_that_ends_with_the_connection_is_a_failure() {
        assert_eq!(tally([70, 70, 69].map(|n| visit(200, Framing::UntilClose, n))).failed(), 1);
        assert_eq!(tally([70, 69].map(|n| visit(200, Framing::Length(n), n))).failed(), 0);
    }
}
