//! Floating point over switches: is a coroutine's computation ever disturbed by the others'?
//! A switch that lost a register or the rounding mode would show as a difference in some bit.

use super::{Problem, cli, report, run_with_room_for, say};
use std::time::{Duration, Instant};

/// `main floats`.
pub(super) fn run(options: &cli::Floats) -> Result<(), Problem> {
    let (n, steps) = (options.n.get(), options.steps.get());
    run_with_room_for(n.saturating_add(8), || {
        say(&format!("{n} coroutines compute {steps} steps each, and switch after every step"));
        let start = Instant::now();
        let mut handles = Vec::with_capacity(n);
        for seed in 0..n {
            let handle = coro::CoroutineBuilder::new()
                .name("floats")
                .spawn(move || compute(seed, steps, |step| give_way(seed, step)))
                .map_err(|error| Problem::new(format!("could not start coroutine {seed} of {n}: {error}")))?;
            handles.push(handle);
        }
        let mut different = 0;
        for (seed, handle) in handles.into_iter().enumerate() {
            let with_switches = handle
                .join()
                .map_err(|error| Problem::new(format!("coroutine {seed} gave no result: {error}")))?;
            // Bits and not values: so a different NaN would count as well.
            if with_switches != compute(seed, steps, |_| {}) {
                different += 1;
            }
        }
        let switches = report::rate((n * steps) as u64, start.elapsed());
        match different {
            0 => {
                say(&format!("all equal to the same computation without switches ({switches} steps/s)"));
                Ok(())
            }
            _ => Err(Problem::new(format!(
                "{different} of {n} results differ from the same computation without switches"
            ))),
        }
    })
}

/// A computation whose every step depends on all bits of the one before; returns the last bits.
fn compute(seed: usize, steps: usize, mut between: impl FnMut(usize)) -> [u64; 3] {
    let mut double = 0.1 + 0.8 * (seed as f64 + 0.5) / (seed as f64 + 1.5);
    let mut single = double as f32;
    let mut sum = 0.0_f64;
    for step in 0..steps {
        // These three are alive over the switch, in registers where the compiler can.
        double = 3.9 * double * (1.0 - double);
        single = (single * 1.7).sin().abs() + 0.01;
        sum += (double.sqrt() * f64::from(single)).ln() / 3.0;
        between(step);
    }
    [double.to_bits(), u64::from(single.to_bits()), sum.to_bits()]
}

/// Mostly a yield, now and then a short sleep, so that the order changes all the time.
fn give_way(seed: usize, step: usize) {
    if (seed + step).is_multiple_of(61) {
        coro::sleep(Duration::from_micros((seed % 7) as u64 * 100));
    } else {
        coro::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_computation_depends_on_seed_and_steps() {
        let result = compute(1, 100, |_| {});
        assert_eq!(result, compute(1, 100, |_| {}));
        assert_ne!(result, compute(2, 100, |_| {}));
        assert_ne!(result, compute(1, 101, |_| {}));
    }
}
