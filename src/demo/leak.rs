//! A program that gets larger and larger: coroutines that never end.

use super::{Problem, hints, run_with, say};
use coro::sync::{Receiver, channel};
use std::time::Duration;

/// So many are enough to look at.
const MOST: u64 = 100_000;
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);
/// Requests between two lines that say how many coroutines there are.
const TOLD: u64 = 1000;

/// `main leak`.
pub(super) fn run() -> Result<(), Problem> {
    // One that answers each request, one that watches over it.
    run_with(coro::Builder::new().max_coroutines(2 * MOST as usize), || {
        say("each request leaves a coroutine behind, which waits for ever");
        say(&hints::leak());
        for request in 1..=MOST {
            let answering = coro::CoroutineBuilder::new()
                .name(format!("request-{request}"))
                .spawn(move || handle(request));
            answering.map_err(|error| Problem::new(format!("could not start request {request}: {error}")))?;
            coro::sleep(PAUSE);
            if request.is_multiple_of(TOLD) {
                let alive = coro::stats().map_err(|error| Problem::new(error.to_string()))?.alive;
                say(&format!("{request} requests, {alive} coroutines"));
            }
        }
        say("that is enough: nobody comes any more, and nobody goes");
        coro::sleep(Duration::MAX);
        Ok(())
    })
}

/// Answers a request, watched over by another coroutine.
#[inline(never)]
fn handle(request: u64) {
    let (done, ended) = channel::<()>(1);
    // The bug to find: the watchdog keeps a sender of the channel on which it waits for the last one's end.
    let also_done = done.clone();
    coro::spawn(move || {
        watch(request, &ended);
        drop(also_done);
    });
    coro::yield_now();
    drop(done);
}

/// Waits until all senders of a request are gone.
#[inline(never)]
fn watch(request: u64, ended: &Receiver<()>) {
    while ended.recv().is_ok() {}
    say(&format!("request {request} has ended, which it should not have"));
}
