//! What waitable things and `select!` promise each other, and nobody else can: who is on a list is taken off it before what
//! the token points at is gone. Public, because public traits have it in their methods; but it can't be named outside of
//! this crate, so that nobody else implements them.

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use crate::abi::objects::Thing;
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;

/// Of this crate.
pub trait Sealed {}

/// Whose token it is that is on several lists; and what is claimed by whoever does what an arm is for, in its place.
#[derive(Debug)]
pub struct Token(pub(crate) Waiter, pub(crate) Option<NonNull<AtomicU32>>);

/// What a debugger is told of a thing: a reason to wait, and its object.
#[derive(Clone, Copy, Debug)]
pub struct Told(pub(crate) Thing);

impl Told {
    pub(crate) fn new(reason: WaitReason, object: u64) -> Told {
        Told(Thing { reason: reason as u64, object })
    }
}
