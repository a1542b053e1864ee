//! Which streams a [`BufferedSender`](super::BufferedSender) can be made of, and what it needs of one.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::super::{TcpStream, UnixStream};
use crate::reactor::source::Source;

/// What a [`BufferedSender`](super::BufferedSender) can be made of: a [`TcpStream`], a [`UnixStream`], or an `Arc` of one,
/// for who goes on reading from it.
pub trait SendsBytes: Stream {}

impl SendsBytes for TcpStream {}
impl SendsBytes for UnixStream {}
impl<S: SendsBytes> SendsBytes for Arc<S> {}

/// What the sender needs of a stream.
#[derive(Debug)]
pub struct Wire<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) source: &'static Source,
    pub(super) timeout: Option<Duration>,
}

/// Public so that [`SendsBytes`] can be; it can't be named outside of this module, so that nobody else implements it.
pub trait Stream: Send + Sync + 'static {
    fn wire(&self) -> Wire<'_>;
    /// Tells readers who is about to wait.
    fn note_wait(&self, user: u64);
}

impl<S: Stream> Stream for Arc<S> {
    fn wire(&self) -> Wire<'_> {
        (**self).wire()
    }

    fn note_wait(&self, user: u64) {
        (**self).note_wait(user);
    }
}

macro_rules! wire {
    ($type:ident) => {
        impl Stream for $type {
            fn wire(&self) -> Wire<'_> {
                let timeout = self.write_timeout().unwrap_or(None);
                Wire { fd: self.as_fd(), source: self.inner.source(), timeout }
            }

            fn note_wait(&self, user: u64) {
                self.inner.note_wait(user);
            }
        }
    };
}

wire!(TcpStream);
wire!(UnixStream);
