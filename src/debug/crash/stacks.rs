//! The stacks on which a crash is told. Where the fault was there is none left.
//!
//! A thread's handlers run on its alternate stack. Rust gives its threads one of 8 KiB; a report needs up to 50, so that
//! it is written on a stack of its own, which there is once: one crash is told at a time.

use std::marker::PhantomData;
use std::sync::OnceLock;

use crate::sys::memory::{self, PAGE};
use crate::sys::signal::AlternateStack;

/// Four times what an unoptimised build was seen to need.
const CRASH_STACK: usize = 256 << 10;
/// What classifying needs, unoptimised, behind the largest frame of the kernel's.
const ALTERNATE_STACK: usize = 64 << 10;

static FOR_REPORTS: OnceLock<(usize, usize)> = OnceLock::new();

/// Makes the stack for reports, at the first call. Where there is no memory, there will be no reports.
pub(super) fn prepare() {
    if FOR_REPORTS.get().is_none()
        && let Some(stack) = map(CRASH_STACK)
    {
        let _ = FOR_REPORTS.set(stack);
    }
}

/// The stack for reports: [start, end).
pub(super) fn for_reports() -> Option<(usize, usize)> {
    FOR_REPORTS.get().copied()
}

/// A stack with a page below it that faults.
fn map(size: usize) -> Option<(usize, usize)> {
    let start = memory::reserve(0, PAGE + size).ok()?;
    // SAFETY: nobody uses the fresh mapping.
    let guarded = unsafe { memory::guard_install(start, PAGE) };
    // SAFETY: as above. Before Linux 6.13; it makes two mappings of one, which takes 15 µs to its end.
    guarded.or_else(|_| unsafe { memory::deny(start, PAGE) }).ok()?;
    Some((start + PAGE, start + PAGE + size))
}

/// Gives this thread an alternate stack of our own as long as it lives.
pub(crate) struct ThreadStack {
    own: Option<(usize, usize)>,
    before: AlternateStack,
    /// It is the thread's own.
    _not_send: PhantomData<*const ()>,
}

impl ThreadStack {
    /// Where that fails, the thread keeps the one it has.
    pub(crate) fn enter() -> ThreadStack {
        let own = map(ALTERNATE_STACK);
        // SAFETY: it stays mapped until `drop` has set the one before.
        let before = own.map(|own| unsafe { AlternateStack(Some(own)).set() });
        match before {
            Some(Ok(before)) => ThreadStack { own, before, _not_send: PhantomData },
            _ => {
                own.inspect(|own| unmap(*own));
                ThreadStack { own: None, before: AlternateStack(None), _not_send: PhantomData }
            }
        }
    }
}

impl Drop for ThreadStack {
    fn drop(&mut self) {
        if let Some(own) = self.own {
            // SAFETY: it was this thread's before, and whoever set it keeps it until the thread's end.
            if unsafe { self.before.set() }.is_ok() {
                unmap(own);
            }
        }
    }
}

fn unmap((start, end): (usize, usize)) {
    // SAFETY: mapped by `map`, with the page below; no handler runs on it: the thread is here.
    unsafe { memory::release(start - PAGE, end - start + PAGE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_gets_its_own_stack_back() {
        let before = AlternateStack::current();
        let stack = ThreadStack::enter();
        assert_eq!(AlternateStack::current(), AlternateStack(stack.own));
        let (start, end) = stack.own.unwrap();
        assert_eq!(end - start, ALTERNATE_STACK);
        drop(stack);
        assert_eq!(AlternateStack::current(), before);
    }
}
