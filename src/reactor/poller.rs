//! The epoll set of one worker, with the bell that other threads ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::Ready;
use super::source::{self, Source};
use crate::sys::epoll::{Epoll, Event};
use crate::sys::eventfd::Eventfd;
use crate::sys::explore;

/// Marks the bell's events; no source's tag is 0.
const BELL: u64 = 0;

/// An epoll set that some worker polls, as long as that worker lives.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    bell: &'static Eventfd,
    open: AtomicBool,
}

impl Poller {
    pub(super) fn new(bell: &'static Eventfd) -> io::Result<Poller> {
        let epoll = Epoll::new()?;
        epoll.add_level(bell.as_fd(), BELL)?;
        Ok(Poller { epoll, bell, open: AtomicBool::new(true) })
    }

    /// Whether somebody still polls it.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Acquire)
    }

    /// Says that nobody polls it any more; returns the waiters that it would have told, who have to find
    /// another. To be called by its worker, at its end.
    pub(crate) fn close(&self, ready: &mut Vec<Ready>) {
        self.open.store(false, Release);
        source::orphan(self, ready);
    }

    pub(super) fn watch(&self, fd: BorrowedFd<'_>, tag: u64) -> io::Result<()> {
        self.epoll.add(fd, tag)
    }

    pub(super) fn unwatch(&self, fd: BorrowedFd<'_>) {
        // It fails when the fd isn't in the set, and then there is nothing to do.
        let _ = self.epoll.remove(fd);
    }

    pub(super) fn wait(&self, timeout: Option<u64>, events: &mut Vec<Event>) -> io::Result<()> {
        let timeout = explore::sleep(timeout, || self.epoll.has_events());
        self.epoll.wait(timeout, events)
    }

    /// Turns an event into those who waited for it.
    pub(super) fn dispatch(&self, event: Event, ready: &mut Vec<Ready>) {
        if event.data == BELL {
            self.bell.clear();
        } else {
            Source::of_tag(event.data).on_event(event.data, event.flags, ready);
        }
    }
}
