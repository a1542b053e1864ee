//! Handlers of SIGSEGV beside the library's: one that the program had before, and one which sees that nothing is allocated
//! in it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicU64};

use coro::CoroutineBuilder;

use super::{allocate_deeply, deeper, in_a_runtime, own_stack, prelude, sleepers, write};

/// The thread whose handler of SIGSEGV runs: it must not allocate.
static IN_HANDLER: AtomicI32 = AtomicI32::new(0);

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

impl Allocator {
    fn check(&self) {
        let handler = IN_HANDLER.load(SeqCst);
        // SAFETY: it only asks.
        if handler != 0 && handler == unsafe { libc::gettid() } {
            let text = "the allocator was used in the handler\n";
            // SAFETY: the text is there; abort ends it all.
            unsafe {
                libc::write(2, text.as_ptr().cast(), text.len());
                libc::abort();
            }
        }
    }
}

// SAFETY: it is the system's, with a check before.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.check();
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.check();
        // SAFETY: as the caller says.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A handler which the program had set before: it says that it was called, and ends the process by the default.
pub(super) fn chain() {
    extern "C" fn before(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        let text = "the handler of before was called\n";
        // SAFETY: as in a handler: a write, the default, and the signal again if no instruction brings it again.
        unsafe {
            assert_eq!((*info).si_signo, signal);
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::signal(signal, libc::SIG_DFL);
            if (*info).si_code <= 0 {
                libc::raise(signal);
            }
        }
    }
    set_handler(libc::SIGSEGV, before);
    set_handler(libc::SIGBUS, before);
}

static OURS: AtomicU64 = AtomicU64::new(0);

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Returns the one before.
fn set_handler(signal: i32, handler: Handler) -> usize {
    // SAFETY: all zero is an action; the handler does what a handler may.
    unsafe {
        let (mut action, mut old): (libc::sigaction, libc::sigaction) = (mem::zeroed(), mem::zeroed());
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(signal, &raw const action, &raw mut old), 0);
        old.sa_sigaction
    }
}

/// From the signal on an allocation aborts.
pub(super) fn no_allocation(case: &str) {
    extern "C" fn outer(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: it was the handler, and is called as the kernel would.
        unsafe {
            IN_HANDLER.store(libc::gettid(), SeqCst);
            let inner = mem::transmute::<*const (), Handler>(OURS.load(SeqCst) as *const ());
            inner(signal, info, context);
        }
        IN_HANDLER.store(0, SeqCst);
    }
    let case = case.to_owned();
    in_a_runtime(move || {
        OURS.store(set_handler(libc::SIGSEGV, outer) as u64, SeqCst);
        let body: Box<dyn FnOnce() + Send> = match case.as_str() {
            "recursion" => Box::new(|| println!("{}", prelude(3, deeper::<300>))),
            "malloc" => Box::new(|| allocate_deeply("")),
            "stranger" => Box::new(|| write(own_stack().1 + 64)),
            _ => panic!("{case}?"),
        };
        let careful = CoroutineBuilder::new().name("careful").spawn(body).unwrap();
        let _above = sleepers(2);
        drop(careful.join());
    });
}
