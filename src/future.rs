//! Futures, driven from a coroutine: a crate that only knows `async` can be used all the same.

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList};
use crate::sys::lock;

/// Waits until a future is ready, and gives its output; meanwhile the others on this thread run. On a plain OS thread it
/// blocks that.
///
/// The future is polled on this coroutine's stack and on this thread, so it may borrow from both and need not be `Send`;
/// its waker may be woken from anywhere. A future that wants its own runtime around it (tokio's sockets and timers, say) has to
/// be given that: enter the runtime's handle first. A coroutine that is cancelled meanwhile drops the future.
///
/// # Panics
/// When the future does. In a destructor that runs because of a panic, a future that is not ready at once ends the process,
/// which says so: whoever would wake it may be a coroutine, and none runs meanwhile.
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
///
/// coro::run(|| {
///     let mut polls = 0;
///     let answer = coro::wait(poll_fn(|context| {
///         polls += 1;
///         if polls == 3 {
///             return Poll::Ready(42);
///         }
///         let waker = context.waker().clone();
///         coro::spawn(move || waker.wake());
///         Poll::Pending
///     }));
///     assert_eq!((answer, polls), (42, 3));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[doc(alias = "block_on")]
#[track_caller]
pub fn wait<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let alarm = Arc::new(Alarm(Mutex::default()));
    let waker = Waker::from(alarm.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        // Before it is polled: a wake-up from here on may be about what this poll doesn't see.
        alarm.state().is_rung = false;
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !alarm.state().is_rung {
            if let Err(error) = park::block(WaitReason::Future, 0, &*alarm) {
                park::abort_unwinding_wait(WaitReason::Future, 0, &error);
            }
        }
        // A future that wakes itself at once is a loop of its own: others get their turn.
        park::spend();
    }
}

/// What a waker rings.
struct Alarm(Mutex<State>);

#[derive(Default)]
struct State {
    is_rung: bool,
    waiter: Option<Waiter>,
}

impl Alarm {
    // Nothing panics under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        lock::of(&self.0)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Alarm>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Alarm>) {
        let waiter = {
            let mut state = self.state();
            state.is_rung = true;
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            park::wake(&waiter);
        }
    }
}

impl WaitList for Alarm {
    fn enlist(&self, waiter: Waiter) -> bool {
        // Under the lock under which it is rung: either we see it, or it sees us.
        let mut state = self.state();
        if !state.is_rung {
            state.waiter = Some(waiter);
        }
        !state.is_rung
    }

    fn delist(&self, _: &Waiter) -> bool {
        self.state().waiter.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::thread;

    use super::*;

    /// Ready when it has been woken `rounds` times by plain threads.
    fn woken_by_threads(rounds: usize) -> impl Future<Output = usize> {
        let mut polls = 0;
        poll_fn(move |context| {
            polls += 1;
            if polls > rounds {
                return Poll::Ready(polls);
            }
            let waker = context.waker().clone();
            thread::spawn(move || waker.wake());
            Poll::Pending
        })
    }

    #[test]
    fn threads_wake_coroutines_and_threads() {
        assert_eq!(wait(woken_by_threads(20)), 21, "on a plain thread");
        let count = crate::run(|| {
            let others: Vec<_> = (0..10).map(|_| crate::spawn(|| wait(woken_by_threads(20)))).collect();
            others.into_iter().map(|other| other.join().unwrap()).sum::<usize>()
        });
        assert_eq!(count.unwrap(), 210);
    }

    #[test]
    fn a_future_that_wakes_itself_keeps_nobody_from_running() {
        crate::run(|| {
            let turns = Arc::new(AtomicUsize::new(0));
            let other = {
                let turns = turns.clone();
                crate::spawn(move || turns.store(1, Relaxed))
            };
            wait(poll_fn(|context| {
                if turns.load(Relaxed) == 1 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }));
            other.join().unwrap();
        })
        .unwrap();
    }

    #[test]
    fn a_wake_up_in_the_middle_of_a_poll_counts() {
        crate::run(|| {
            let mut polls = 0;
            wait(poll_fn(|context| {
                polls += 1;
                context.waker().wake_by_ref();
                if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
            }));
            assert_eq!(polls, 2);
        })
        .unwrap();
    }

    #[test]
    fn who_is_cancelled_drops_the_future() {
        struct Told(Arc<AtomicUsize>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let told = Told(drops.clone());
        crate::run(|| {
            crate::spawn(move || {
                let told = told;
                wait(async move {
                    let _told = told;
                    std::future::pending::<()>().await;
                });
            });
            crate::yield_now();
            assert_eq!(drops.load(Relaxed), 0);
        })
        .unwrap();
        assert_eq!(drops.load(Relaxed), 1);
    }
}
