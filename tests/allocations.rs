//! What waits without asking the heap for anything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use coro::sync::{Receiver, Sender, channel};
use coro::{select, spawn};
use pretty_assertions::assert_eq;

/// The heap, which counts how often each thread asks it.
struct Counted;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending counts no more.
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the system's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static HEAP: Counted = Counted;

const ROUNDS: usize = 100;

/// How often the heap is asked in so many rounds of a coroutine that waits and of another one that sends, both on this thread.
fn asked<const N: usize>(capacity: usize, wait: fn(&[Receiver<usize>; N]) -> usize) -> usize {
    coro::run(|| {
        let ends: [(Sender<usize>, Receiver<usize>); N] = [(); N].map(|()| channel(capacity));
        let senders = ends.each_ref().map(|(sender, _)| sender.clone());
        let receivers = ends.map(|(_, receiver)| receiver);
        let sends = spawn(move || {
            // The first round is for what is allocated once.
            for round in 0..=ROUNDS {
                senders[round % N].send(round).unwrap();
            }
        });
        let mut before = 0;
        for round in 0..=ROUNDS {
            assert_eq!(wait(&receivers), round);
            if round == 0 {
                before = ASKED.get();
            }
        }
        let asked = ASKED.get() - before;
        sends.join().unwrap();
        asked
    })
    .unwrap()
}

macro_rules! first_of {
    ($receivers:expr; $($n:literal)*) => {
        select! { $(recv($receivers[$n]) -> value => value.unwrap(),)* }
    };
}

#[test]
fn send_and_receive_wait_without_the_heap() {
    assert_eq!(asked::<1>(0, |receivers| receivers[0].recv().unwrap()), 0);
}

#[test]
fn select_of_up_to_eight_arms_waits_without_the_heap() {
    assert_eq!(asked::<2>(0, |receivers| first_of!(receivers; 0 1)), 0);
    assert_eq!(asked::<8>(0, |receivers| first_of!(receivers; 0 1 2 3 4 5 6 7)), 0);
    let of_nine = asked::<9>(0, |receivers| first_of!(receivers; 0 1 2 3 4 5 6 7 8));
    assert!(of_nine > 0, "nothing is counted");
}
