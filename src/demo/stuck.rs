//! Programs that don't come forward: a deadlock and a hang.

use super::{Problem, hints, run_with_room_for, say};
use coro::sync::Mutex;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many wait for each other in a circle.
const CIRCLE: usize = 3;

/// `main deadlock`.
pub(super) fn deadlock() -> Result<(), Problem> {
    run_with_room_for(8, || {
        let locks: Arc<[Mutex<()>; CIRCLE]> = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        let holding = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..CIRCLE)
            .map(|own| {
                let (locks, holding) = (locks.clone(), holding.clone());
                spawn(&format!("philosopher-{own}"), move || {
                    let _own = locks[own].lock();
                    holding.fetch_add(1, Ordering::Relaxed);
                    while holding.load(Ordering::Relaxed) < CIRCLE {
                        coro::yield_now();
                    }
                    let _next = locks[(own + 1) % CIRCLE].lock();
                })
            })
            .collect::<Result<_, _>>()?;
        while holding.load(Ordering::Relaxed) < CIRCLE {
            coro::yield_now();
        }
        say("each of three coroutines holds a mutex and waits for the next one's, in a circle");
        say(&hints::deadlock());
        for handle in handles {
            let _ = handle.join();
        }
        Err(Problem::new("the deadlock resolved itself, which it should not have"))
    })
}

/// `main hang`.
pub(super) fn hang() -> Result<(), Problem> {
    run_with_room_for(8, || {
        let starving = spawn("starving", || {
            // Its first turn comes before the spinning one's: so it is one that has run, and is ready again.
            coro::yield_now();
            say("the other coroutine had a turn again, which it should not have had");
        })?;
        say("a coroutine named spinning computes without ever waiting, so nobody else runs");
        say(&hints::hang());
        let _ = spawn("spinning", || spin(black_box(1)))?.join();
        let _ = starving.join();
        Err(Problem::new("the spinning coroutine ended, which it should not have"))
    })
}

/// Collatz sequences without end.
#[inline(never)]
fn spin(start: u64) {
    let mut number = start;
    loop {
        let even = black_box(number).is_multiple_of(2);
        number = if even { number / 2 } else { number.wrapping_mul(3).wrapping_add(1) };
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<coro::JoinHandle<()>, Problem> {
    coro::CoroutineBuilder::new()
        .name(name)
        .spawn(body)
        .map_err(|error| Problem::new(format!("could not start coroutine {name}: {error}")))
}
