//! Why a stack was not enough, and what to do: from the sizes of its frames. Values in, values out.
//!
//! *No allocation, no locks, bounded loops.*

use super::fold::Runs;
use crate::stack::geometry::LARGEST_STACK;

/// A cycle that covers so much of the stack, in so many rounds, is a runaway recursion; a frame of so much is a large one.
const RECURSION_PERCENT: u64 = 80;
const RECURSION_ROUNDS: usize = 50;
const FRAME_PERCENT: u64 = 50;

/// What filled a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// These frames, from `start` on, come again and again.
    Recursion { start: usize, period: usize, rounds: usize, round: u64, percent: u64 },
    /// One frame. `size` is the whole of it, also when only a part of it fitted.
    Frame { at: usize, size: u64, percent: u64 },
    /// Many frames together.
    Depth,
}

/// What filled a stack of so many bytes. `size` gives a frame's; `whole` is what the first one gets when it is complete.
pub(crate) fn weigh(
    runs: &Runs,
    size: impl Fn(usize) -> u64,
    whole: u64,
    count: usize,
    stack: u64,
) -> Weight {
    let stack = stack.max(1);
    for run in runs.iter().filter(|run| run.rounds >= RECURSION_ROUNDS) {
        let bytes: u64 = (run.start..run.end()).map(&size).sum();
        if bytes * 100 >= stack * RECURSION_PERCENT {
            let (start, period, rounds) = (run.start, run.period, run.rounds);
            let percent = (bytes * 100 / stack).min(100);
            return Weight::Recursion { start, period, rounds, round: bytes / rounds as u64, percent };
        }
    }
    let full = |at: usize| if at == 0 { size(0).max(whole) } else { size(at) };
    let largest = (0..count).max_by_key(|at| full(*at)).filter(|at| full(*at) * 100 >= stack * FRAME_PERCENT);
    match largest {
        Some(at) => Weight::Frame { at, size: full(at), percent: full(at) * 100 / stack },
        None => Weight::Depth,
    }
}

/// A stack size, in KiB, on which so many bytes have room with as much to spare: a power of two. `None`: no stack is so
/// large.
pub(crate) fn roomy(bytes: u64) -> Option<u64> {
    let most = LARGEST_STACK as u64 >> 10;
    let wanted = (bytes.saturating_mul(2) >> 10).max(64).next_power_of_two();
    // The largest one will do without as much to spare.
    if wanted <= most { Some(wanted) } else { (bytes.saturating_mul(5) / 4 <= most << 10).then_some(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: u64 = 192 << 10;

    fn weigh_frames(frames: &[(u64, u64)], whole: u64) -> Weight {
        let mut runs = Runs::EMPTY;
        runs.fold(frames.len(), |at| frames[at].0);
        weigh(&runs, |at| frames[at].1, whole, frames.len(), STACK)
    }

    #[test]
    fn cycle_that_fills_the_stack_is_a_recursion() {
        let mut frames = vec![(9, 800)];
        frames.extend([(1, 96), (2, 832)].repeat(211));
        frames.extend([(3, 208), (4, 100)]);
        let expected = Weight::Recursion { start: 1, period: 2, rounds: 211, round: 928, percent: 99 };
        assert_eq!(weigh_frames(&frames, 800), expected);
        // In fewer rounds, or of less than most of the stack, it is none.
        assert_eq!(weigh_frames(&[(1, 4000)].repeat(49), 0), Weight::Depth);
        assert_eq!(weigh_frames(&[(1, 1000)].repeat(150), 0), Weight::Depth);
    }

    #[test]
    fn frame_of_half_the_stack_is_a_large_one_even_before_it_is_complete() {
        let frame = |at, size| Weight::Frame { at, size, percent: size * 100 / STACK };
        assert_eq!(weigh_frames(&[(1, 100), (2, 120 << 10), (3, 500)], 0), frame(1, 120 << 10));
        assert_eq!(weigh_frames(&[(1, 4096), (2, 1000)], 300 << 10), frame(0, 300 << 10));
        assert_eq!(weigh_frames(&[(1, 4096), (2, 1000)], 90 << 10), Weight::Depth);
        assert_eq!(weigh_frames(&[], 0), Weight::Depth);
    }

    #[test]
    fn advised_stacks_have_room_and_can_be_had() {
        assert_eq!((roomy(0), roomy(40 << 10), roomy(300 << 10)), (Some(64), Some(128), Some(1024)));
        assert_eq!((roomy(3 << 20), roomy(6 << 20), roomy(7 << 20)), (Some(8192), Some(8192), None));
        assert_eq!(roomy(u64::MAX), None);
    }
}
