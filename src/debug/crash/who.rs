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
        write!(f, "{}:{}", Text(&path[..kept]), self.0.spawn_line.load(Relaxed))
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
        let tenths = self.0 * 10 / unit;
        match tenths % 10 {
            0 => write!(f, "{} {name}", tenths / 10),
            rest => write!(f, "{}.{rest} {name}", tenths / 10),
        }
    }
}

/// A count with its digits in threes: `1 203`.
pub(super) struct Count(pub(super) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unit = 1;
        while self.0 / unit >= 1000 {
            unit *= 1000;
        }
        write!(f, "{}", self.0 / unit)?;
        while unit > 1 {
            unit /= 1000;
            write!(f, " {:03}", self.0 / unit % 1000)?;
        }
        Ok(())
    }
}

/// A duration in nanoseconds.
pub(super) struct Age(pub(super) u64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0 / 1_000_000;
        match milliseconds {
            0..1000 => write!(f, "{milliseconds} ms"),
            1000..60_000 => write!(f, "{}.{} s", milliseconds / 1000, milliseconds / 100 % 10),
            60_000..3_600_000 => write!(f, "{} min {} s", milliseconds / 60_000, milliseconds / 1000 % 60),
            _ => write!(f, "{} h {} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
        }
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
            ("1.5 MiB".into(), "191.7 KiB".into())
        );
        let counts = [0, 999, 1203, 1_000_000, 12_003_004].map(|count| Count(count).to_string());
        assert_eq!(counts, ["0", "999", "1 203", "1 000 000", "12 003 004"]);
        let ages = [830, 12_400_000_000, 125_000_000_000, 7_500_000_000_000].map(|age| Age(age).to_string());
        assert_eq!(ages, ["0 ms", "12.4 s", "2 min 5 s", "2 h 5 min"]);
    }
}
