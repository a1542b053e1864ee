//! Damage of files for tests, the same in each run; and the files, in tests/corpus/elf.
//!
//! It stands in for a fuzzer: what a crash reads must not crash. `CORO_FUZZ_ROUNDS` says how often each file is damaged
//! in another way; tests/long/crash.sh sets it high.

use std::path::Path;
use std::{env, fs};

/// Random numbers that are the same in each run (Marsaglia, Xorshift RNGs, 2003).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// How often each file is damaged.
pub(crate) fn rounds() -> u64 {
    env::var("CORO_FUZZ_ROUNDS").map_or(150, |rounds| rounds.parse().expect("a number of rounds"))
}

/// The files to start from.
pub(crate) fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/elf");
    ["dwarf4.so", "dwarf5.so", "dwarf4-optimised.so", "dwarf5-optimised.so"]
        .map(|name| (name, fs::read(folder.join(name)).expect("the corpus is in the repository")))
        .into()
}

/// Changes a few places: bits, bytes, and numbers to such as are at an edge.
pub(crate) fn damage(bytes: &mut [u8], random: &mut Random) {
    const EDGES: [u64; 8] = [0, 1, 0x7f, 0x80, 0xffff_fff0, u32::MAX as u64, i64::MAX as u64, u64::MAX];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64) as usize;
        let width = [1, 2, 4, 8][random.below(4) as usize].min(bytes.len() - at);
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => {
                let edge = EDGES[random.below(EDGES.len() as u64) as usize].to_le_bytes();
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            // What stands elsewhere is of the right kind, but in the wrong place.
            _ => {
                let from = random.below((bytes.len() - width + 1) as u64) as usize;
                bytes.copy_within(from..from + width, at);
            }
        }
    }
}
