//! A wait group: waiting until all who have a part in something are done.

use std::fmt;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::abi::objects::SyncHead;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::scheduler::park::{self, WaitList, Woken};
use crate::sys::{clock, lock};

/// A member of a group, whose members wait for each other's ends; as `crossbeam_utils::sync::WaitGroup`: a clone is another
/// member, which is done when it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// coro::run(|| {
///     let (group, done) = (coro::sync::WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
///     for _ in 0..5 {
///         let (member, done) = (group.clone(), done.clone());
///         coro::spawn(move || {
///             coro::yield_now();
///             done.fetch_add(1, Relaxed);
///             drop(member);
///         });
///     }
///     group.wait();
///     assert_eq!(done.load(Relaxed), 5);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub struct WaitGroup {
    shared: Arc<Shared>,
}

#[repr(C)]
struct Shared {
    /// Its count is how many members are not done.
    head: SyncHead,
    waiting: Mutex<Waiters>,
}

impl WaitGroup {
    /// A group of one member.
    pub fn new() -> WaitGroup {
        let shared = Shared { head: SyncHead::new(1, 0), waiting: Mutex::new(Waiters::new()) };
        WaitGroup { shared: Arc::new(shared) }
    }

    /// Says that this member is done, and waits until all others are.
    pub fn wait(self) {
        self.leave().wait_until(None);
    }

    /// Says that this member is done, and waits for the others, for `timeout` at the longest; says whether all are done.
    pub fn wait_timeout(self, timeout: Duration) -> bool {
        self.leave().wait_until(Some(clock::after(timeout)))
    }

    fn leave(self) -> Arc<Shared> {
        let shared = self.shared.clone();
        drop(self);
        shared
    }
}

impl Shared {
    fn is_done(&self) -> bool {
        // Acquire: pairs with the Release of each member's end.
        self.head.count.load(Acquire) == 0
    }

    fn wait_until(&self, deadline: Option<u64>) -> bool {
        let object = ptr::from_ref(&self.head).addr() as u64;
        while !self.is_done() {
            match park::block_until(WaitReason::WaitGroup, object, self, deadline) {
                Ok(Woken::Deadline) => return self.is_done(),
                Ok(Woken::Event) => {}
                Err(error) => park::abort_unwinding_wait(WaitReason::WaitGroup, object, &error),
            }
        }
        true
    }

    fn list(&self) -> MutexGuard<'_, Waiters> {
        lock::of(&self.waiting)
    }
}

impl WaitList for Shared {
    fn enlist(&self, waiter: Waiter) -> bool {
        // Under the lock, as the last one's end is: either we see it, or it sees us.
        let mut list = self.list();
        let waits = !self.is_done();
        if waits {
            list.push(waiter);
        }
        waits
    }

    fn delist(&self, waiter: &Waiter) -> bool {
        self.list().remove(waiter)
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        // Nobody can find it at zero meanwhile: this member is not done.
        self.shared.head.count.fetch_add(1, Relaxed);
        WaitGroup { shared: self.shared.clone() }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        let mut list = self.shared.list();
        let was_last = self.shared.head.count.fetch_sub(1, Release) == 1;
        let all = if was_last { std::mem::take(&mut *list) } else { Waiters::new() };
        drop(list);
        park::wake_all(all);
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.shared.head.count.load(Relaxed);
        f.debug_struct("WaitGroup").field("members", &members).finish_non_exhaustive()
    }
}
