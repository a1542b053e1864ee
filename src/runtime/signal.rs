//! Signals as events: a coroutine waits for them, and no code runs in a signal handler but the runtime's.
//!
//! The handler counts the signal up and makes the eventfd of each listener readable; both are safe in a handler, on any
//! thread. (A signalfd would want the signal blocked in all threads, also in those that libraries start.) The descriptors
//! belong to places that are used again and never closed: so a handler that was held up writes to one that is still there.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64};
use std::sync::{Mutex, OnceLock};

use nix::errno::Errno;

use crate::abi::wait::WaitReason;
use crate::net::telltale::Telltale;
use crate::sync::select::{Sealed, Token, Told, Waitable};
use crate::sys::eventfd::Eventfd;
use crate::sys::{fork, lock, signal};

/// Listeners at a time.
const LISTENERS: usize = 64;
/// The kernel's signals are 1 to 64.
const SIGNALS: usize = 65;
/// The kernel's first real-time signal; libc keeps some for itself.
const FIRST_REAL_TIME: i32 = 32;

/// How often each signal has come.
static COUNTS: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];
static PLACES: [Place; LISTENERS] = [const {
    Place {
        taken: AtomicBool::new(false),
        signals: AtomicU64::new(0),
        descriptor: AtomicI32::new(-1),
        eventfd: OnceLock::new(),
    }
}; LISTENERS];

/// A listener's place.
#[derive(Debug)]
struct Place {
    taken: AtomicBool,
    /// A bit each that it listens for: bit 0 is signal 1.
    signals: AtomicU64,
    /// The eventfd's number, for the handler.
    descriptor: AtomicI32,
    eventfd: OnceLock<Eventfd>,
}

/// Signals that a coroutine waits for: see [`listen`]. In [`select!`](crate::select) they are waited for beside other
/// things: `wait(signals) => signals.wait()?`.
///
/// # Panics
/// `select!` does, with this, outside a runtime: nobody would report there that a signal has come.
#[derive(Debug)]
pub struct Signals {
    eventfd: Telltale<BorrowedFd<'static>>,
    /// Each signal, and how often it had come when it was told the last time.
    seen: Vec<(i32, u64)>,
    /// Last, so that the next listener finds an eventfd that nobody watches.
    _place: Taken,
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
struct Taken(&'static Place);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.signals.store(0, Release);
        self.0.taken.store(false, Release);
    }
}

/// Listens for signals, by their numbers (`libc::SIGTERM`): from now on they no longer do what they did (ending the process,
/// mostly), also when this is dropped again. Several may listen for one signal: each is told.
///
/// # Errors
/// For SIGKILL, SIGSTOP, those by which the processor tells of errors (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP), and those
/// that are libc's own (32 and 33); for no signal's number; if 64 listen already; or if the system refuses a descriptor. Then
/// all signals do what they did.
///
/// ```
/// coro::run(|| {
///     let mut hangups = coro::signal::listen(&[libc::SIGHUP])?;
///     let waiting = coro::spawn(move || hangups.wait());
///     coro::yield_now();
///     // SAFETY: the signal has a handler: see above.
///     unsafe { libc::raise(libc::SIGHUP) };
///     assert_eq!(waiting.join().unwrap()?, libc::SIGHUP);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn listen(signals: &[i32]) -> io::Result<Signals> {
    let refused = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    // All of them before anything is done: there is no handler of one beside an error for another.
    for &number in signals {
        if let Some(why) = why_not(number) {
            return Err(refused(format!("cannot listen for signal {number}: {why}")));
        }
    }
    let place = PLACES.iter().find(|place| !place.taken.swap(true, AcqRel));
    let place = place.ok_or_else(|| refused(format!("{LISTENERS} listen for signals already; drop some")))?;
    let place = Taken(place);
    let eventfd = place.0.eventfd()?;
    // Before the handler is there: what comes from now on is told.
    let seen = signals.iter().map(|&number| (number, count(number))).collect();
    place.0.signals.store(signals.iter().fold(0, |bits, number| bits | 1 << (number - 1)), Release);
    let eventfd = Telltale::new(eventfd.as_fd(), WaitReason::Signal);
    let listening = Signals { eventfd, seen, _place: place };
    for &number in signals {
        install(number).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen for signal {number}: {error}"))
        })?;
    }
    Ok(listening)
}

/// Why a number is not one to listen for.
fn why_not(number: i32) -> Option<&'static str> {
    match number {
        libc::SIGKILL | libc::SIGSTOP => Some("the kernel gives it no handler"),
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP => {
            Some("the processor tells of errors by it, so that it can't be an event")
        }
        _ if !(1..SIGNALS as i32).contains(&number) => Some("there is no such signal; they are 1 to 64"),
        _ if (FIRST_REAL_TIME..libc::SIGRTMIN()).contains(&number) => {
            Some("it is libc's own; SIGRTMIN is the first real-time one that is free")
        }
        _ => None,
    }
}

/// Makes our handler a signal's, once.
fn install(number: i32) -> io::Result<()> {
    static INSTALLED: Mutex<u64> = Mutex::new(0);
    let mut installed = lock::of(&INSTALLED);
    if *installed & 1 << (number - 1) == 0 {
        // SAFETY: the handler stores to atomics and writes to descriptors, nothing else.
        unsafe { signal::handle(number, handler) }?;
        *installed |= 1 << (number - 1);
    }
    Ok(())
}

extern "C" fn handler(number: i32) {
    let Some(count) = COUNTS.get(number as usize) else { return };
    // Its listeners are in the parent, and so are the eventfds.
    if fork::is_child() {
        return;
    }
    let errno = Errno::last_raw();
    // Release: pairs with `count`'s.
    count.fetch_add(1, Release);
    for place in &PLACES {
        if place.signals.load(Acquire) & 1 << (number - 1) != 0 {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: an eventfd that is never closed is given eight bytes.
            unsafe { libc::write(place.descriptor.load(Relaxed), one.as_ptr().cast(), one.len()) };
        }
    }
    Errno::set_raw(errno);
}

impl Place {
    fn eventfd(&'static self) -> io::Result<&'static Eventfd> {
        if self.eventfd.get().is_none() {
            let made = Eventfd::new()?;
            self.descriptor.store(made.as_fd().as_raw_fd(), Relaxed);
            // Only the one who has taken the place does this.
            let _ = self.eventfd.set(made);
        }
        Ok(self.eventfd.get().expect("made just now, or before"))
    }
}

impl Signals {
    /// Waits for the next signal; its number. One that has come several times since it was told the last time is told
    /// once.
    ///
    /// # Errors
    /// Outside a runtime, where it would have to wait.
    pub fn wait(&mut self) -> io::Result<i32> {
        let Signals { eventfd, seen, .. } = self;
        eventfd.wait(None, || Ok(take(seen)))
    }
}

/// The next signal that has come since it was told the last time.
fn take(seen: &mut [(i32, u64)]) -> Option<i32> {
    seen.iter_mut().find_map(|(number, seen)| {
        let now = count(*number);
        let is_new = now != *seen;
        *seen = now;
        is_new.then_some(*number)
    })
}

fn count(number: i32) -> u64 {
    // Acquire: pairs with the handler's.
    COUNTS[number as usize].load(Acquire)
}

impl Sealed for Signals {}

/// Ready when a signal has come; `wait` gives it then.
impl Waitable for Signals {
    fn is_ready(&self) -> bool {
        self.eventfd.is_ready(|| self.seen.iter().any(|(number, seen)| count(*number) != *seen))
    }
    fn enlist(&self, who: &Token) -> bool {
        self.eventfd.enlist(who)
    }
    fn delist(&self, who: &Token) -> bool {
        self.eventfd.delist(who)
    }
    fn told(&self) -> Told {
        self.eventfd.told()
    }
}
