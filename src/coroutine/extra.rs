//! The heap part of a coroutine: what only some have. It begins with what a debugger may want to know of it.
//!
//! Made when first needed, by the coroutine itself (or by its creator, before it runs), on the one thread to
//! which it belongs; freed when it is retired. So nothing in it has to be `Send`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use crate::abi::lifetimes::{ExtraHead, TimeoutRow};
use crate::abi::record::Record;

/// See the module.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Extra {
    /// First: readers find it at the address in the record.
    pub(crate) head: ExtraHead,
    /// `coroutine_local!` values, by their keys' addresses, in the order of their making. Raw, because
    /// references to them are out while the vector grows.
    pub(super) locals: RefCell<Vec<(usize, NonNull<dyn Any>)>>,
    /// Set when the locals are being dropped: from then on none is made.
    pub(super) locals_ended: Cell<bool>,
    pub(super) deferred: RefCell<Vec<Box<dyn FnOnce()>>>,
    /// The timeout scopes that it is in, the outermost first; the head tells where they lie.
    pub(super) timeouts: RefCell<Vec<TimeoutRow>>,
    /// What is to be dropped as the very last, when the coroutine's result and all its locals are gone.
    pub(crate) kept: RefCell<Vec<Box<dyn Any>>>,
    /// Under `Policy::Backtrack`: to whom control goes when this one waits.
    pub(crate) lineage: RefCell<Option<Rc<dyn Any>>>,
}

/// The coroutine's heap part, if it has one.
#[inline]
pub(crate) fn get(record: &Record) -> Option<&Extra> {
    let extra = record.extra.load(Relaxed).cast::<Extra>();
    // SAFETY: null, or from `get_or_make`'s Box, freed only by `free` when the coroutine has ended; only code
    // that runs in the coroutine, or makes or retires it, on its one thread, calls this.
    unsafe { extra.as_ref() }
}

/// The coroutine's heap part.
pub(crate) fn get_or_make(record: &Record) -> &Extra {
    if record.extra.load(Relaxed).is_null() {
        record.extra.store(Box::into_raw(Box::<Extra>::default()).cast(), Relaxed);
    }
    get(record).expect("made just now")
}

/// Frees the heap part, when the coroutine has ended.
#[inline]
pub(crate) fn free(record: &Record) {
    let extra = record.extra.load(Relaxed).cast::<Extra>();
    if !extra.is_null() {
        record.extra.store(std::ptr::null_mut(), Relaxed);
        // SAFETY: it came from `get_or_make`'s Box, and nobody finds it any more. `get`'s references live no
        // longer than the call that got them, in code of the coroutine that has ended.
        drop(unsafe { Box::from_raw(extra) });
    }
}
