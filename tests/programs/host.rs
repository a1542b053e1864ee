//! A process with several runtimes: `host LIBRARY...` loads each library by dlopen, and starts what is in it
//! (tests/programs/library.rs). Prints `parked` when all wait.

use std::ffi::{CString, c_char};
use std::{env, mem};

fn main() {
    // SAFETY: changes nothing but who may attach to us.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    for (number, path) in env::args().skip(1).enumerate() {
        let path = CString::new(path).expect("an argument has no NUL");
        let name = CString::new(format!("sleeper-{number}")).expect("no NUL either");
        // SAFETY: the library is the one of tests/programs/library.rs, whose `start` has this type.
        unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!library.is_null(), "{path:?} can't be loaded");
            let start = libc::dlsym(library, c"start".as_ptr());
            assert!(!start.is_null(), "{path:?} has no function `start`");
            mem::transmute::<*mut libc::c_void, unsafe extern "C" fn(*const c_char)>(start)(name.as_ptr());
        }
    }
    println!("parked");
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}
