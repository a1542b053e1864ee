//! Coroutines as a report names them, read from their records.
//!
//! *No allocation, no locks, bounded loops.* What a record says is checked before it is followed.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::abi::record::{NAME_LENGTH, Record};
use crate::abi::state::State;
use crate::debug::symbolize::Text;
use crate::stack::geometry::SlotIndex;
use crate::stack::region::Region;
use crate::sys::peek::peek;

/// A coroutine's number and name.
pub(super) struct Who<'a>(pub(super) &'a Record);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0.id())?;
        let mut name = [0; NAME_LENGTH];
        for (bytes, word) in name.chunks_exact_mut(8).zip(&self.0.name) {
            bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name.is_empty() { Ok(()) } else { write!(f, " '{}'", Text(name)) }
    }
}

/// Where a coroutine was spawned.
pub(super) struct Site<'a>(pub(super) &'a Record);

impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = [0; 160];
        let length = self.0.spawn_file_length.load(Relaxed) as usize;
        let start = self.0.spawn_file.load(Relaxed).addr() as u64;
        // Of a long path the end says more.
        let kept = length.min(path.len());
        if length == 0 || !peek(start.wrapping_add((length - kept) as u64), &mut path[..kept]) {
            return f.write_str("?");
        }
        write!(f, "{}:{}", Text(&path[..kept]), self.0.spawn_line.load(Relaxed))?;
        match self.0.spawn_column.load(Relaxed) {
            0 => Ok(()),
            column => write!(f, ":{column}"),
        }
    }
}

/// Whoever has a slot, or had it last.
pub(super) struct Tenant<'a>(pub(super) &'a Region, pub(super) Option<SlotIndex>);

impl fmt::Display for Tenant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(slot) = self.1 else { return f.write_str("no coroutine, behind the last stack") };
        let record = self.0.record(slot);
        match (record.id(), record.word().state()) {
            (0, _) => write!(f, "slot {}, which was never used", slot.0),
            (_, State::Free) => {
                write!(f, "of coroutine {}, which has ended (spawned at {})", Who(record), Site(record))
            }
            _ => write!(f, "coroutine {}", Who(record)),
        }
    }
}

/// Bytes as a person says them: `40 B`, `192 KiB`, `1.5 MiB`.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            size if size < 1 << 10 => return write!(f, "{size} B"),
            size if size < 1 << 20 => (1_u64 << 10, "KiB"),
            _ => (1 << 20, "MiB"),
        };
        let tenths = (self.0.saturating_mul(10).saturating_add(unit / 2)) / unit;
        match tenths % 10 {
            0 => write!(f, "{} {name}", tenths / 10),
            rest => write!(f, "{}.{rest} {name}", tenths / 10),
        }
    }
}

/// A count with its digits in threes: `1,203`.
pub(super) struct Count(pub(super) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From the last digit on.
        let mut text = [b','; 26];
        let (mut at, mut rest) = (text.len(), self.0);
        loop {
            if (text.len() - at) % 4 == 3 {
                at -= 1;
            }
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return f.pad(str::from_utf8(&text[at..]).unwrap_or_default());
            }
        }
    }
}

/// A duration in nanoseconds, as debuggers' commands say it: `830 ns`, `1.2 ms`, `3.1 s`, `2 min 5 s`, `2 h 5 min`.
pub(super) struct Age(pub(super) u64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        if self.0 < 1000 {
            return write!(f, "{} ns", self.0);
        }
        // What rounds to 1000.0 is the next unit's 1.0.
        for (unit, name, most) in [(1000, "us", 999), (1_000_000, "ms", 999), (SECOND, "s", 59)] {
            let tenths = self.0.saturating_add(unit / 20) / (unit / 10);
            if tenths <= most * 10 + 9 {
                return write!(f, "{}.{} {name}", tenths / 10, tenths % 10);
            }
        }
        let seconds = self.0.saturating_add(SECOND / 2) / SECOND;
        let (whole, name, rest, rest_name) = match seconds {
            0..3600 => (seconds / 60, "min", seconds % 60, "s"),
            3600..86_400 => (seconds / 3600, "h", seconds / 60 % 60, "min"),
            _ => (seconds / 86_400, "d", seconds / 3600 % 24, "h"),
        };
        write!(f, "{} {name}", Count(whole))?;
        if rest == 0 { Ok(()) } else { write!(f, " {rest} {rest_name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_a_person_does() {
        assert_eq!((Size(40).to_string(), Size(196_608).to_string()), ("40 B".into(), "192 KiB".into()));
        assert_eq!(
            (Size(1_572_864).to_string(), Size(196_400).to_string()),
            ("1.5 MiB".into(), "191.8 KiB".into())
        );
        let counts = [0, 999, 1203, 1_000_000, 12_003_004, u64::MAX].map(|count| Count(count).to_string());
        assert_eq!(format!("{:>6}", Count(1203)), " 1,203");
        assert_eq!(counts, ["0", "999", "1,203", "1,000,000", "12,003,004", "18,446,744,073,709,551,615"]);
        // As tests/scripts/test_text.py has them.
        for (age, words) in [
            (830, "830 ns"),
            (1_200_000, "1.2 ms"),
            (999_949_999, "999.9 ms"),
            (999_950_000, "1.0 s"),
            (12_400_000_000, "12.4 s"),
            (59_960_000_000, "1 min"),
            (125_000_000_000, "2 min 5 s"),
            (7_500_000_000_000, "2 h 5 min"),
            (100_000_000_000_000, "1 d 3 h"),
            (u64::MAX, "213,503 d 23 h"),
        ] {
            assert_eq!(Age(age).to_string(), words);
        }
    }
}
