//! Private pieces for the benches: what can't be measured through the public interface.
//!
//! [`RawCoroutine`] is the bare switch on a slot of the region, with no scheduler, so that it can be put beside
//! libraries which have nothing else. Behind the feature `bench`; no part of the interface.

use std::cell::Cell;
use std::hint::black_box;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicPtr;

use crate::abi::layout::ClassName;
use crate::arch::{self, Context, END};
use crate::coroutine::current;
use crate::error::Result;
use crate::scheduler::worker;
use crate::stack::geometry::SlotIndex;
use crate::stack::region::{self, Region};
use crate::stack::slots;

/// From here on this thread's runtime looks at I/O only when nobody is ready: for who counts instructions, since it
/// is the clock that says when io has its turn.
///
/// # Panics
/// Outside a runtime.
pub fn without_polling() {
    worker::current().expect("a runtime").rhythm.stop();
}

/// The running coroutine's slot and generation.
pub fn tenancy() -> Option<(u32, u32)> {
    let record = current::running()?;
    Some((region::get()?.slot(record).0, record.word().generation()))
}

/// Two stacks that switch to each other: the caller's, and one which counts how often it was resumed.
#[derive(Debug)]
pub struct RawCoroutine {
    /// Boxed, and never handed out: its stack knows its address.
    inner: Box<Inner>,
    /// It stays on the thread that resumed it.
    _not_send: PhantomData<*const ()>,
}

#[derive(Debug)]
#[repr(C)]
struct Inner {
    /// As in a record, `arch`'s entry finds the resumer by the first word.
    link: AtomicPtr<Context>,
    context: Context,
    host: Context,
    resumed: Cell<usize>,
    region: &'static Region,
    slot: SlotIndex,
}

impl RawCoroutine {
    /// One that has not run yet. With `inexact`, its side does inexact arithmetic once, which leaves a sticky flag in
    /// MXCSR that the caller's side may not have.
    ///
    /// # Errors
    /// If there is no stack.
    pub fn new(inexact: bool) -> Result<RawCoroutine> {
        let region = region::start(None)?;
        let slot = slots::acquire(region, ClassName::Default)?;
        let inner = Box::new(Inner {
            link: AtomicPtr::new((&raw const END).cast_mut()),
            context: Context::unused(),
            host: Context::unused(),
            resumed: Cell::new(0),
            region,
            slot,
        });
        let start = if inexact { count_after_inexact_arithmetic } else { count };
        let bounds = region.geometry.bounds(slot).expect("the default class has stacks");
        // SAFETY: the slot was acquired just now, so that its stack is mapped, writable and ours; the coloured top
        // is 64-byte aligned.
        let sp = unsafe {
            arch::init_stack(bounds.coloured_top(slot), ptr::from_ref(&*inner).expose_provenance(), start)
        };
        inner.context.prepare(sp);
        Ok(RawCoroutine { inner, _not_send: PhantomData })
    }

    /// A round trip: there, and back again.
    #[inline]
    pub fn resume(&self) {
        // SAFETY: `context` was prepared by `new` or left by `count`, on this thread: the type is not Send.
        unsafe { arch::swap(&raw const self.inner.host, &raw const self.inner.context) };
    }

    /// How often it was resumed.
    pub fn resumed(&self) -> usize {
        self.inner.resumed.get()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: nobody goes on with the stack any more, and `count`'s frame has nothing to drop.
        unsafe { slots::release(self.region, self.slot) };
    }
}

extern "C" fn count(raw: *const ()) -> ! {
    // SAFETY: `new` passed the address of the box, which lives as long as somebody resumes it.
    let raw = unsafe { &*raw.cast::<Inner>() };
    loop {
        raw.resumed.set(raw.resumed.get() + 1);
        // SAFETY: `host` was left by `resume`.
        unsafe { arch::swap(&raw const raw.context, &raw const raw.host) };
    }
}

extern "C" fn count_after_inexact_arithmetic(raw: *const ()) -> ! {
    black_box(black_box(1.0) / black_box(3.0));
    count(raw)
}
