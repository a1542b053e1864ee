//! What the models of this module share.

use std::collections::VecDeque;

use loom::sync::{Condvar, Mutex};

use super::ground::{Ground, List};

/// Stands for a wait of a coroutine: a thread's number, and which of its waits it is.
pub(super) type Wait = (usize, u32);

/// Stands for the records: the wait that is open, until it has been ended.
#[derive(Default)]
pub(super) struct Sleeper {
    open: Mutex<Option<u32>>,
    bell: Condvar,
}

impl Sleeper {
    pub(super) fn open(&self, wait: u32) {
        *self.open.lock().expect("nobody panics with it") = Some(wait);
    }

    /// Ends a wait; says whether it was the first to do so.
    pub(super) fn end(&self, wait: u32) -> bool {
        let mut open = self.open.lock().expect("nobody panics with it");
        let is_first = *open == Some(wait);
        if is_first {
            *open = None;
            self.bell.notify_one();
        }
        is_first
    }

    pub(super) fn sleep(&self) {
        let mut open = self.open.lock().expect("nobody panics with it");
        while open.is_some() {
            open = self.bell.wait(open).expect("nobody panics with it");
        }
    }
}

impl List for VecDeque<Wait> {
    type Who = Wait;

    fn push(&mut self, who: Wait) {
        self.push_back(who);
    }
    fn pop(&mut self) -> Option<Wait> {
        self.pop_front()
    }
    fn remove(&mut self, who: &Wait) -> bool {
        let at = self.iter().position(|other| other == who);
        at.is_some_and(|at| VecDeque::remove(self, at).is_some())
    }
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// What is wrong with a ground.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Planted {
    Nothing,
    /// One who waits no longer is taken for one that was woken.
    WakesTheDead,
    /// Who is on the list is forgotten.
    WakesNobody,
}

impl Planted {
    /// Ends a wait, but for what is wrong; says whether it was the first to do so.
    pub(super) fn wake(self, sleepers: &[Sleeper; 3], who: &Wait) -> bool {
        match self {
            Planted::Nothing => sleepers[who.0].end(who.1),
            Planted::WakesTheDead => {
                sleepers[who.0].end(who.1);
                true
            }
            Planted::WakesNobody => false,
        }
    }
}

/// The ground of the models: threads that sleep.
pub(super) struct Modelled {
    list: Mutex<VecDeque<Wait>>,
    pub(super) sleepers: [Sleeper; 3],
    planted: Planted,
}

impl Modelled {
    pub(super) fn new(planted: Planted) -> Modelled {
        Modelled { list: Mutex::default(), sleepers: Default::default(), planted }
    }

    /// Waits once, as `park::block` does. `enlist` says whether there is a need to.
    pub(super) fn block(&self, who: Wait, enlist: impl FnOnce(Wait) -> bool) {
        self.sleepers[who.0].open(who.1);
        if enlist(who) {
            self.sleepers[who.0].sleep();
        } else {
            self.sleepers[who.0].end(who.1);
        }
    }
}

impl Ground for Modelled {
    type List = VecDeque<Wait>;

    fn with<R>(&self, look: impl FnOnce(&mut VecDeque<Wait>) -> R) -> R {
        look(&mut self.list.lock().expect("nobody panics with it"))
    }
    fn wake(&self, who: &Wait) -> bool {
        self.planted.wake(&self.sleepers, who)
    }
}
