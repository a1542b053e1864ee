//! The reactor: tells which coroutines became ready, by I/O or by time. It never calls the scheduler: it
//! returns whom to wake.
//!
//! - [`poller`]: the epoll set, and how another thread ends a wait in it
//! - [`source`]: a file descriptor's readiness, and who waits for it
//! - [`timers`]: the timer wheel

pub(crate) mod poller;
pub(crate) mod source;
pub(crate) mod timers;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use self::poller::Poller;
use self::timers::{TimerKey, Wheel};
use crate::coroutine::waiter::Waiter;
use crate::registry::WakeToken;
use crate::sys::clock;
use crate::sys::epoll::Event;
use crate::sys::eventfd::Eventfd;

/// How often io wakes up though nothing happens: its permanent timer. No sequence of exits can leave io waiting
/// for ever while somebody is ready, and the worker's clock, which readers are told, is never much older.
const HEARTBEAT: u64 = 1_000_000_000;

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// The deadline of a coroutine's wait.
    Deadline(WakeToken),
    /// io's permanent timer.
    Heartbeat,
}

/// Who became ready.
#[derive(Debug)]
pub(crate) enum Ready {
    /// What it waits for may have happened.
    Event(Waiter),
    /// Its deadline has passed.
    Deadline(WakeToken),
}

/// One worker's reactor.
#[derive(Debug)]
pub(crate) struct Reactor {
    pub(crate) poller: Arc<Poller>,
    wheel: RefCell<Wheel<Timer>>,
    events: RefCell<Vec<Event>>,
    clock: Cell<u64>,
    beats: Cell<u64>,
}

impl Reactor {
    /// A reactor whose waits end when `bell` is rung.
    pub(crate) fn new(bell: &'static Eventfd) -> io::Result<Reactor> {
        let now = clock::now();
        let mut wheel = Wheel::new(now);
        wheel.arm(now + HEARTBEAT, Timer::Heartbeat);
        Ok(Reactor {
            poller: Arc::new(Poller::new(bell)?),
            wheel: RefCell::new(wheel),
            events: RefCell::default(),
            clock: Cell::new(now),
            beats: Cell::new(0),
        })
    }

    /// The time of the last poll.
    pub(crate) fn clock(&self) -> u64 {
        self.clock.get()
    }

    /// How often the permanent timer has fired.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.get()
    }

    /// Has `token` reported when `deadline` has passed.
    pub(crate) fn arm(&self, deadline: u64, token: WakeToken) -> TimerKey {
        self.wheel.borrow_mut().arm(deadline, Timer::Deadline(token))
    }

    /// Forgets a deadline, passed or not.
    pub(crate) fn disarm(&self, key: TimerKey) {
        self.wheel.borrow_mut().disarm(key);
    }

    /// Appends to `ready` who became ready; blocks the thread until there may be somebody, until the next timer at the
    /// latest, and for `longest` nanoseconds at most.
    pub(crate) fn poll(&self, longest: u64, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = if longest > 0 {
            let next = self.wheel.borrow().next_deadline();
            // Measured from now, not from the last poll: coroutines have run since.
            let left = next.map(|deadline| deadline.saturating_sub(clock::now()));
            left.map_or((longest != u64::MAX).then_some(longest), |left| Some(left.min(longest)))
        } else {
            Some(0)
        };
        let mut events = self.events.borrow_mut();
        self.poller.wait(timeout, &mut events)?;
        let now = clock::now();
        self.clock.set(now);
        for event in events.drain(..) {
            self.poller.dispatch(event, ready);
        }
        let mut wheel = self.wheel.borrow_mut();
        let mut heartbeat = false;
        wheel.expire(now, |timer| match timer {
            Timer::Deadline(token) => ready.push(Ready::Deadline(token)),
            Timer::Heartbeat => heartbeat = true,
        });
        if heartbeat {
            self.beats.set(self.beats.get() + 1);
            wheel.arm(now + HEARTBEAT, Timer::Heartbeat);
        }
        Ok(())
    }
}
