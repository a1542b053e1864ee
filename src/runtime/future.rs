//! Driving a `Future` from a coroutine, so that libraries which are async only can be used.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList};

/// Waits for a `Future`: the coroutine is parked until its waker is called, from whichever thread. On a plain OS thread it
/// blocks that.
///
/// A future that needs a certain executor (tokio's sockets and timers want tokio's reactor) still needs that, on a thread
/// of its own. If this coroutine is cancelled, the future is dropped.
///
/// ```
/// coro::run(|| {
///     let sum = coro::wait(async {
///         let two = std::future::ready(2).await;
///         two + 3
///     });
///     assert_eq!(sum, 5);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let call = Arc::new(Call::default());
    let waker = Waker::from(Arc::clone(&call));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !call.take() {
            if let Err(error) = park::block(WaitReason::Future, 0, &*call) {
                park::abort_unwinding_wait(&error.to_string());
            }
        }
    }
}

/// Whether the waker was called, and who waits for that.
#[derive(Debug, Default)]
struct Call(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_called: bool,
    waiter: Option<Waiter>,
}

impl Call {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was called since the last time.
    fn take(&self) -> bool {
        std::mem::take(&mut self.lock().is_called)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Call>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Call>) {
        let mut inner = self.lock();
        inner.is_called = true;
        let waiter = inner.waiter.take();
        drop(inner);
        if let Some(waiter) = waiter {
            park::wake(&waiter);
        }
    }
}

impl WaitList for Call {
    fn enlist(&self, waiter: Waiter) -> bool {
        let mut inner = self.lock();
        if !inner.is_called {
            inner.waiter = Some(waiter);
        }
        !inner.is_called
    }

    fn delist(&self, _: &Waiter) -> bool {
        self.lock().waiter.take().is_some()
    }
}
