//! Damage of files for tests, the same in each run; and the files, in tests/corpus/elf.
//!
//! It stands in for a fuzzer: what a crash reads must not crash. `CORO_FUZZ_ROUNDS` says how often each file is damaged
//! in another way, `CORO_FUZZ_SEED` by which ways it begins; tests/long/crash.sh sets the one high, the other anew.

use std::path::Path;
use std::{env, fs};

use fastrand::Rng;

/// The seeds by which each file is damaged.
pub(crate) fn seeds() -> impl Iterator<Item = u64> {
    let number =
        |variable, usual: u64| env::var(variable).map_or(usual, |text| text.parse().expect("a number"));
    let first = number("CORO_FUZZ_SEED", 1);
    (0..number("CORO_FUZZ_ROUNDS", 150)).map(move |round| first.wrapping_add(round))
}

/// The files to start from.
pub(crate) fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/elf");
    ["dwarf4.so", "dwarf5.so", "dwarf4-optimised.so", "dwarf5-optimised.so"]
        .map(|name| (name, fs::read(folder.join(name)).expect("the corpus is in the repository")))
        .into()
}

/// Changes a few places: bits, bytes, and numbers to such as are at an edge.
pub(crate) fn damage(bytes: &mut [u8], random: &mut Rng) {
    const EDGES: [u64; 8] = [0, 1, 0x7f, 0x80, 0xffff_fff0, u32::MAX as u64, i64::MAX as u64, u64::MAX];
    for _ in 0..=random.u32(..4) {
        let at = random.usize(..bytes.len());
        let width = [1, 2, 4, 8][random.usize(..4)].min(bytes.len() - at);
        match random.u32(..4) {
            0 => bytes[at] ^= 1 << random.u32(..8),
            1 => bytes[at] = random.u8(..),
            2 => {
                let edge = EDGES[random.usize(..EDGES.len())].to_le_bytes();
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            // What stands elsewhere is of the right kind, but in the wrong place.
            _ => {
                let from = random.usize(..=bytes.len() - width);
                bytes.copy_within(from..from + width, at);
            }
        }
    }
}
