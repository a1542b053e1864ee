//! What debug-docs/caveats.md says will hurt, does; and what it says to do instead, helps.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::sync::{Mutex, TryLockError};

/// What the C function leaves in its static buffer.
fn text(buffer: *const libc::c_char) -> String {
    // SAFETY: the functions called here give a C string of their own, which lives as long as the process.
    unsafe { CStr::from_ptr(buffer) }.to_string_lossy().into_owned()
}

fn address(number: u32) -> libc::in_addr {
    libc::in_addr { s_addr: number.to_be() }
}

unsafe extern "C" {
    safe fn inet_ntoa(address: libc::in_addr) -> *const libc::c_char;
}

#[test]
fn static_buffers_are_shared_over_a_wait() {
    coro::run(|| {
        let first = coro::spawn(|| {
            let mine = inet_ntoa(address(0x7f00_0001)).addr();
            let before = text(std::ptr::with_exposed_provenance(mine));
            coro::yield_now();
            (before, text(std::ptr::with_exposed_provenance(mine)))
        });
        let second = coro::spawn(|| text(inet_ntoa(address(0x0a00_0009))));
        assert_eq!(second.join().unwrap(), "10.0.0.9");
        assert_eq!(first.join().unwrap(), ("127.0.0.1".into(), "10.0.0.9".into()));
    })
    .unwrap();
}

#[test]
fn lock_of_stds_held_over_a_wait_blocks_the_thread() {
    static THEIRS: Mutex<()> = Mutex::new(());
    static OURS: coro::sync::Mutex<()> = coro::sync::Mutex::new(());
    coro::run(|| {
        let holder = coro::spawn(|| {
            let _guards = (THEIRS.lock().unwrap(), OURS.lock().unwrap());
            coro::yield_now();
            coro::yield_now();
        });
        coro::yield_now();
        // `lock` would block this thread, which alone can run the holder.
        assert!(matches!(THEIRS.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(OURS.lock().is_ok(), "the holder gets its turn meanwhile");
        holder.join().unwrap();
    })
    .unwrap();
}

#[test]
fn borrow_held_over_a_wait_is_seen_by_others() {
    thread_local!(static SHARED: RefCell<u32> = const { RefCell::new(0) });
    coro::run(|| {
        let holder = coro::spawn(|| {
            SHARED.with_borrow_mut(|shared| {
                coro::yield_now();
                *shared += 1;
            })
        });
        coro::yield_now();
        assert!(SHARED.with(|shared| shared.try_borrow().is_err()));
        holder.join().unwrap();
        assert_eq!(SHARED.with_borrow(|shared| *shared), 1);
    })
    .unwrap();
}

#[test]
fn thread_local_is_everybodys_and_a_coroutine_local_is_not() {
    thread_local!(static THREADS: Cell<u32> = const { Cell::new(0) });
    coro::coroutine_local! {
        static OWN: Cell<u32> = Cell::new(0);
    }
    coro::run(|| {
        let one = coro::spawn(|| {
            THREADS.set(1);
            OWN.with(|own| own.set(1));
        });
        one.join().unwrap();
        let other = coro::spawn(|| (THREADS.get(), OWN.with(Cell::get)));
        assert_eq!(other.join().unwrap(), (1, 0));
    })
    .unwrap();
}
