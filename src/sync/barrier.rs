//! A barrier: so many wait for each other.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::current;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::{clock, lock};

/// A place where so many wait until all have come; as `std::sync::Barrier`.
///
/// ```
/// use std::sync::Arc;
///
/// coro::run(|| {
///     let barrier = Arc::new(coro::sync::Barrier::new(3));
///     let parts: Vec<_> = (0..3)
///         .map(|_| {
///             let barrier = barrier.clone();
///             coro::spawn(move || barrier.wait().is_leader())
///         })
///         .collect();
///     let leaders = parts.into_iter().map(|part| part.join().unwrap()).filter(|leads| *leads).count();
///     assert_eq!(leaders, 1);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[repr(C)]
pub struct Barrier {
    /// Its count is how many have come, its limit how many are to come.
    head: SyncHead,
    waiting: Mutex<Waiters>,
}

const _: () = assert!(mem::offset_of!(Barrier, head) == 0, "a barrier's address is its head's");

/// What a wait at a [`Barrier`] says; as std's, which nobody else can make.
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether it is the one of them who came last.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// One for so many; 0 is as good as 1.
    pub const fn new(n: usize) -> Barrier {
        Barrier { head: SyncHead::new(0, n as u64), waiting: Mutex::new(Waiters::new()) }
    }

    /// Waits until as many have come as the barrier is for. Then it starts anew.
    pub fn wait(&self) -> BarrierWaitResult {
        self.wait_until(None).expect("without a deadline nobody leaves before the others have come")
    }

    /// Waits for the others, for `timeout` at the longest. `None`: they haven't come, and this one has left again.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<BarrierWaitResult> {
        self.wait_until(Some(clock::after(timeout)))
    }

    fn wait_until(&self, deadline: Option<u64>) -> Option<BarrierWaitResult> {
        let arrival = Arrival { barrier: self, is_leader: Cell::new(false), has_left: Cell::new(false) };
        let object = ptr::from_ref(&self.head).addr() as u64;
        loop {
            match park::block_until(WaitReason::Barrier, object, &arrival, deadline) {
                Ok(_) if !arrival.has_left.take() => return Some(BarrierWaitResult(arrival.is_leader.get())),
                Ok(Woken::Deadline) => return None,
                Ok(Woken::Event) => {}
                Err(error) => park::abort_unwinding_wait(WaitReason::Barrier, object, &error),
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, Waiters> {
        lock::of(&self.waiting)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// One who has come.
struct Arrival<'a> {
    barrier: &'a Barrier,
    is_leader: Cell<bool>,
    /// It was on the list to the end: it has left before the others came.
    has_left: Cell<bool>,
}

impl WaitList for Arrival<'_> {
    fn enlist(&self, waiter: Waiter) -> bool {
        let head = &self.barrier.head;
        let mut list = self.barrier.list();
        head.owner.store(current::owner(), Relaxed);
        let come = head.count.load(Relaxed) + 1;
        if come < head.limit.load(Relaxed) {
            head.count.store(come, Relaxed);
            list.push(waiter);
            return true;
        }
        head.count.store(0, Relaxed);
        let all = mem::take(&mut *list);
        drop(list);
        self.is_leader.set(true);
        park::wake_all(all);
        false
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        let mut list = self.barrier.list();
        let was_there = list.remove(waiter);
        if was_there {
            self.barrier.head.count.fetch_sub(1, Relaxed);
        }
        self.has_left.set(was_there);
        was_there
    }
}
