//! The report: the tally as text, while it grows and at the end. Pure: numbers in, lines out.

use super::tally::Tally;
use std::fmt::Write;
use std::time::Duration;

/// What the runtime says of itself at the end.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) most_alive: usize,
    pub(super) deepest_stack: usize,
}

/// One line while it runs.
pub(super) fn progress(tally: &Tally, elapsed: Duration) -> String {
    format!(
        "round {}: {} requests, {}/s, {} errors",
        grouped(tally.rounds + 1),
        grouped(tally.requests),
        rate(tally.requests, elapsed),
        grouped(tally.failed()),
    )
}

/// The figures at the end.
pub(super) fn summary(tally: &Tally, elapsed: Duration, figures: &Figures) -> String {
    let mut text = String::new();
    let mut line = |label: &str, rest: String| {
        writeln!(text, "{label:<14}{rest}").expect("a String takes all");
    };
    let seconds = elapsed.as_secs_f64();
    line("rounds", format!("{} in {seconds:.2} s", grouped(tally.rounds)));
    for (label, count) in [("connections", tally.connections), ("requests", tally.requests)] {
        line(label, format!("{}, {}/s", grouped(count), rate(count, elapsed)));
    }
    if tally.latency.is_empty() {
        line("latency", "not known: no request succeeded".into());
    } else {
        let at = |quantile| milliseconds(tally.latency.value_at_quantile(quantile));
        let max = milliseconds(tally.latency.max());
        line("latency", format!("p50 {}, p99 {}, max {max}", at(0.5), at(0.99)));
    }
    line("bodies", format!("{} bytes", grouped(tally.bytes)));
    line("errors", grouped(tally.failed()));
    for (failure, count) in &tally.failures {
        line("", format!("{} × {}: {}", grouped(*count), failure.kind, failure.reason));
    }
    if tally.left_open > 0 {
        line(
            "left open",
            format!(
                "{} connections that the server did not close; closing them here leaves their ports \
             in TIME_WAIT",
                grouped(tally.left_open)
            ),
        );
    }
    line("coroutines", format!("{} alive at most", grouped(figures.most_alive as u64)));
    line("deepest stack", format!("{:.1} KiB", figures.deepest_stack as f64 / 1024.0));
    text
}

/// A count per second, rounded.
pub(super) fn rate(count: u64, elapsed: Duration) -> String {
    grouped((count as f64 / elapsed.as_secs_f64().max(1e-9)).round() as u64)
}

/// A number with a comma before each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn milliseconds(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Failure, Visit};
    use super::*;
    use coro::http::{Answer, Framing, Version};
    use pretty_assertions::assert_eq;

    const FIGURES: Figures = Figures { most_alive: 1203, deepest_stack: 12_288 };

    fn visit(outcome: Result<Duration, Failure>) -> Visit {
        let answer = Answer {
            status: 200,
            version: Version::Http11,
            framing: Framing::Length(500),
            length: 500,
            keep_alive: false,
        };
        Visit { connects: 1, left_open: false, outcome: outcome.map(|time| (answer, time)) }
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown = [0, 12, 123, 1234, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn a_summary_says_what_happened() {
        let mut tally = Tally::new();
        for _ in 0..3 {
            tally.count(visit(Ok(Duration::from_micros(1500))));
        }
        tally.count(visit(Err(Failure::new("connect", "Connection refused (os error 111)"))));
        tally.rounds = 2;
        assert_eq!(
            summary(&tally, Duration::from_millis(500), &FIGURES),
            "rounds        2 in 0.50 s\n\
             connections   4, 8/s\n\
             requests      4, 8/s\n\
             latency       p50 1.50 ms, p99 1.50 ms, max 1.50 ms\n\
             bodies        1,500 bytes\n\
             errors        1\n\
             \x20             1 × connect: Connection refused (os error 111)\n\
             coroutines    1,203 alive at most\n\
             deepest stack 12.0 KiB\n"
        );
    }

    #[test]
    fn a_summary_of_nothing_has_no_figures_that_are_not_there() {
        let text = summary(&Tally::new(), Duration::ZERO, &FIGURES);
        assert!(text.contains("no request succeeded"), "{text}");
        assert!(text.contains("requests      0, 0/s"), "{text}");
    }
}
