//! A thread of the runtime's own, that costs little to start.
//!
//! One of std's asks for its own stack's bounds and makes an alternate stack before it runs anything: an arena of malloc's, four
//! mappings more and ten page faults, a twentieth of a short program's whole time. This one does nothing of the kind: so
//! *what it runs should not allocate before it has something to do*. A fault of it is handled on its own stack.

use std::ffi::CStr;
use std::{io, mem, ptr};

use nix::sys::prctl;

use super::unwind;

/// What the thread is to do, once, and its name.
struct Start<F>(Option<F>, &'static CStr);

/// Starts a detached thread with a stack of at least so many bytes. A panic in `f` ends the thread and nothing else.
pub(crate) fn start<F: FnOnce() + Send + 'static>(name: &'static CStr, stack: usize, f: F) -> io::Result<()> {
    let attributes = Attributes::new(stack)?;
    let start = Box::into_raw(Box::new(Start(Some(f), name)));
    let mut thread = mem::MaybeUninit::uninit();
    // SAFETY: the attributes are initialised; `run` takes the box over, which is Send.
    let failed =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), &raw const attributes.0, run::<F>, start.cast()) };
    check(failed).inspect_err(|_| {
        // SAFETY: no thread has got it.
        drop(unsafe { Box::from_raw(start) });
    })
}

extern "C" fn run<F: FnOnce()>(start: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: from `start`, which has given it to this thread. It is given back at the end only: `free` makes an arena, too.
    let mut start = unsafe { Box::from_raw(start.cast::<Start<F>>()) };
    // A name is a help; a thread without is as good.
    let _ = prctl::set_name(start.1);
    unwind::contain(start.0.take().expect("a thread starts once"));
    ptr::null_mut()
}

/// How a thread is to be made.
struct Attributes(libc::pthread_attr_t);

impl Attributes {
    fn new(stack: usize) -> io::Result<Attributes> {
        let mut attributes = mem::MaybeUninit::uninit();
        // SAFETY: it has room for them.
        check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised just now.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        // SAFETY: as above.
        check(unsafe { libc::pthread_attr_setstacksize(&raw mut attributes.0, stack) })?;
        // SAFETY: as above.
        check(unsafe {
            libc::pthread_attr_setdetachstate(&raw mut attributes.0, libc::PTHREAD_CREATE_DETACHED)
        })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once.
        unsafe { libc::pthread_attr_destroy(&raw mut self.0) };
    }
}

fn check(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_has_its_name_and_runs_what_it_was_given() {
        let (sender, receiver) = mpsc::channel();
        let given = String::from("given");
        start(c"of-its-own", 64 << 10, move || {
            let name = fs::read_to_string("/proc/thread-self/comm").unwrap();
            sender.send((name, given)).unwrap();
        })
        .unwrap();
        assert_eq!(receiver.recv().unwrap(), ("of-its-own\n".into(), "given".into()));
    }

    #[test]
    fn panic_ends_it_and_nobody_else() {
        let (sender, receiver) = mpsc::channel::<()>();
        start(c"panics", 64 << 10, move || {
            let _sender = sender;
            panic!("as it should");
        })
        .unwrap();
        assert!(receiver.recv().is_err(), "its values are dropped, and this process goes on");
    }

    #[test]
    fn stack_that_cannot_be_had_is_an_error() {
        let error = start(c"large", usize::MAX / 2, || ()).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }
}
