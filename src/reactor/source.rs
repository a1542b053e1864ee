//! A file descriptor's readiness: what epoll has said of it, and who waits for more.
//!
//! Registered once, edge-triggered, for both directions: no `epoll_ctl` per wait. So what epoll says has to be
//! remembered: a bit per direction is set by each event and cleared by whoever finds nothing left. Between his
//! finding and his clearing another event may come, so each event also counts up a *tick*, and the bit is
//! cleared only where the tick is still the one that was seen before the attempt.
//!
//! *No event is lost:* a waiter enlists under the lock, and then looks at the bit again; an event sets the bit
//! and takes the waiters under the lock. Whichever comes second sees the other.
//!
//! The memory of sources is never freed, only used again, so that an event which was fetched just before its
//! fd was closed finds valid memory. The tag in the event has the source's generation; a source whose generation
//! has gone on ignores it.

mod readiness;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::sys::epoll::EpollFlags;

pub(crate) use self::readiness::Seen;
use self::readiness::{CLOSED, READABLE, Readiness, SHUT, URGENT, WRITABLE};
use super::Ready;
use super::poller::Poller;
use crate::coroutine::waiter::{Waiter, Waiters};
use crate::sys::{fork, lock};

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read = 0,
    Write = 1,
}

/// See the module. In a pool, for ever.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Source {
    readiness: Readiness,
    /// Counts the file descriptors that have used this source.
    generation: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// In whose epoll set the fd is; `None` while the source is in the pool.
    poller: Option<Arc<Poller>>,
    by_direction: [Waiters; 2],
    hook: Option<Arc<dyn ReadyHook>>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("by_direction", &self.by_direction).finish_non_exhaustive()
    }
}

/// What io runs at each event of a source, beside waking who waits. It neither waits, nor spawns, nor runs a user's code.
pub(crate) trait ReadyHook: Send + Sync {
    /// There was an event. Whom it concerns is appended.
    fn on_event(&self, source: &Source, ready: &mut Vec<Ready>);
}

/// All sources there are, and those of them that are free.
static POOL: Mutex<Pool> = Mutex::new(Pool { all: Vec::new(), free: Vec::new() });

struct Pool {
    all: Vec<&'static Source>,
    free: Vec<&'static Source>,
}

fn pool() -> MutexGuard<'static, Pool> {
    lock::of(&POOL)
}

/// Takes a source for a new file descriptor. It is watched from the first wait on: see [`Source::enlist`].
pub(crate) fn acquire() -> &'static Source {
    if fork::is_child() {
        // The pool's lock may be held for ever by a thread that isn't here.
        return make();
    }
    let mut pool = pool();
    if let Some(source) = pool.free.pop() {
        return source;
    }
    let source = make();
    pool.all.push(source);
    source
}

fn make() -> &'static Source {
    Box::leak(Box::new(Source {
        readiness: Readiness::new(),
        generation: AtomicU64::new(1),
        waiting: Mutex::default(),
    }))
}

/// Gives a source back, before its fd is closed or handed out.
///
/// A duplicate of the fd may live on, and epoll would go on watching through it: so it is taken out of the set.
pub(crate) fn release(source: &'static Source, fd: BorrowedFd<'_>) {
    if fork::is_child() {
        // The epoll set is the parent's, too: to take the fd out would take it from the parent. The lock may be held for
        // ever by a thread that isn't here.
        return;
    }
    let mut waiting = source.lock();
    if let Some(poller) = waiting.poller.take() {
        poller.unwatch(fd);
    }
    debug_assert!(waiting.hook.is_none(), "a hook outlives what it is for");
    debug_assert!(waiting.by_direction.iter().all(Waiters::is_empty), "somebody waits on what has no owner");
    // Release: pairs with `on_event`'s Acquire: an event of the old fd is ignored from here on.
    source.generation.fetch_add(1, Release);
    source.readiness.reset();
    drop(waiting);
    pool().free.push(source);
}

/// Takes the sources that `poller` would have told about away from it; appends their waiters.
pub(super) fn orphan(poller: &Poller, ready: &mut Vec<Ready>) {
    let all = pool().all.clone();
    for source in all {
        let mut waiting = source.lock();
        if waiting.poller.as_deref().is_some_and(|its| ptr::eq(its, poller)) {
            source.wake_all(&mut waiting, [true, true], ready);
        }
    }
}

impl Source {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock::of(&self.waiting)
    }

    /// What epoll reports this source's events under: address and generation. Never 0.
    fn tag(&'static self) -> u64 {
        ptr::from_ref(self).expose_provenance() as u64 | self.generation.load(Relaxed) << 48
    }

    /// The source that a tag is of, whatever it serves now.
    pub(super) fn of_tag(tag: u64) -> &'static Source {
        let source = ptr::with_exposed_provenance::<Source>((tag & 0xffff_ffff_ffff) as usize);
        // SAFETY: only `tag` makes tags, of sources, which are never freed.
        unsafe { &*source }
    }

    /// Whether it still serves the fd that has this tag.
    fn is_of(&self, tag: u64) -> bool {
        // Acquire: pairs with `release`'s.
        self.generation.load(Acquire) & 0xffff == tag >> 48
    }

    /// To be asked before an attempt, and given to [`Source::drained`] after it.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        self.readiness.seen()
    }

    /// The attempt found nothing left: the bit goes, unless an event has come since.
    #[inline]
    pub(crate) fn drained(&self, direction: Direction, seen: Seen) {
        self.readiness.drained(direction, seen);
    }

    /// The attempt moved fewer bytes than there was room for.
    #[inline]
    pub(crate) fn short(&self, direction: Direction, seen: Seen) {
        self.readiness.short(direction, seen);
    }

    /// Whether an attempt may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.readiness.is_ready(direction)
    }

    /// Puts one on the list of those to be told; `false` if an attempt may succeed now. `poller` is the
    /// caller's own, and watches the fd from here on, if no living one does yet.
    pub(crate) fn enlist(
        &'static self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        waiter: Waiter,
        poller: &Arc<Poller>,
    ) -> io::Result<bool> {
        let mut waiting = self.lock();
        self.watch(&mut waiting, fd, poller)?;
        if self.is_ready(direction) {
            return Ok(false);
        }
        waiting.by_direction[direction as usize].push(waiter);
        Ok(true)
    }

    /// As a waiter who is told of every event, from here on until [`Source::unhook`].
    pub(crate) fn hook(
        &'static self,
        fd: BorrowedFd<'_>,
        poller: &Arc<Poller>,
        hook: Arc<dyn ReadyHook>,
    ) -> io::Result<()> {
        let mut waiting = self.lock();
        self.watch(&mut waiting, fd, poller)?;
        waiting.hook = Some(hook);
        Ok(())
    }

    /// Ends [`Source::hook`]. When it has returned, the hook doesn't run any more.
    pub(crate) fn unhook(&self) {
        let hook = self.lock().hook.take();
        drop(hook);
    }

    fn watch(
        &'static self,
        waiting: &mut Waiting,
        fd: BorrowedFd<'_>,
        poller: &Arc<Poller>,
    ) -> io::Result<()> {
        if !waiting.poller.as_ref().is_some_and(|its| its.is_open()) {
            // What happened before nobody has reported: adding reports what is ready as a first event.
            poller.watch(fd, self.tag())?;
            waiting.poller = Some(Arc::clone(poller));
        }
        Ok(())
    }

    /// Before a wait: takes the fd out of another poller's set, if nobody waits. So it is the caller's own that is to watch it,
    /// and not that of a worker which doesn't look, because a coroutine computes there.
    pub(crate) fn leave_others(&self, fd: BorrowedFd<'_>, poller: &Arc<Poller>) {
        let mut waiting = self.lock();
        if waiting.by_direction.iter().all(Waiters::is_empty)
            && let Some(other) = waiting.poller.take_if(|its| !Arc::ptr_eq(its, poller))
        {
            // What it was about to tell of is told again: see `watch`.
            other.unwatch(fd);
        }
    }

    /// Counts the file descriptors that have used it: see [`Source::shut`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Ends the use of the file descriptor by all who share it: nobody tries or waits any more. Appends who waited.
    /// Nothing happens when it serves another one by now than that of `generation`.
    pub(crate) fn shut(&self, generation: u64, ready: &mut Vec<Ready>) {
        let mut waiting = self.lock();
        if self.generation() != generation {
            return;
        }
        // As an event: who finds nothing at this moment must not clear the bits.
        self.readiness.note(SHUT | READABLE | WRITABLE);
        self.wake_all(&mut waiting, [true, true], ready);
    }

    /// Takes one off the list: it timed out, was cancelled, or has been told.
    pub(crate) fn delist(&self, direction: Direction, waiter: &Waiter) {
        self.lock().by_direction[direction as usize].remove(waiter);
    }

    /// Notes an event, unless it is an earlier fd's, and appends whom it concerns. All who wait for the direction are told: the first may take
    /// only a part, and the rest gives no further event.
    pub(super) fn on_event(&self, tag: u64, flags: EpollFlags, ready: &mut Vec<Ready>) {
        let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let closed = broken || flags.contains(EpollFlags::EPOLLRDHUP);
        let readable = closed || flags.contains(EpollFlags::EPOLLIN);
        let writable = broken || flags.contains(EpollFlags::EPOLLOUT);
        let urgent = flags.contains(EpollFlags::EPOLLPRI);
        let mut bits = 0;
        for (set, bit) in [(readable, READABLE), (writable, WRITABLE), (closed, CLOSED), (urgent, URGENT)] {
            bits |= if set { bit } else { 0 };
        }
        let mut waiting = self.lock();
        // Under the lock, as `release` is: the source may have another fd since its tag was looked at.
        if !self.is_of(tag) {
            return;
        }
        self.readiness.note(bits);
        if let Some(hook) = &waiting.hook {
            hook.on_event(self, ready);
        }
        self.wake_all(&mut waiting, [readable, writable], ready);
    }

    fn wake_all(&self, waiting: &mut Waiting, directions: [bool; 2], ready: &mut Vec<Ready>) {
        for (waiters, concerned) in waiting.by_direction.iter_mut().zip(directions) {
            if concerned {
                while let Some(waiter) = waiters.pop() {
                    ready.push(Ready::Event(waiter));
                }
            }
        }
    }
}
