//! Stackful coroutines for Linux that a debugger can see.
//!
//! A server written with `coro` reads like plain blocking code: a coroutine per connection, `read` and `write` that
//! wait, locks and channels as in std. Its coroutines cost a page of memory each. And because all their stacks lie in
//! one region that the process itself describes, a debugger, a core dump's reader or a crash handler can tell
//! which coroutines there are, what each waits for, and where.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! coro::run(|| {
//!     let listener = coro::net::TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     coro::CoroutineBuilder::new().name("listener").spawn(move || {
//!         for stream in listener.incoming() {
//!             let mut stream = stream?;
//!             coro::spawn(move || std::io::copy(&mut &stream.try_clone()?, &mut stream));
//!         }
//!         Ok::<(), std::io::Error>(())
//!     })?;
//!
//!     let clients: Vec<_> = (0..3)
//!         .map(|n| {
//!             coro::spawn(move || {
//!                 let mut stream = coro::net::TcpStream::connect(address)?;
//!                 stream.write_all(format!("hello {n}").as_bytes())?;
//!                 stream.shutdown(std::net::Shutdown::Write)?;
//!                 let mut answer = String::new();
//!                 stream.read_to_string(&mut answer)?;
//!                 Ok::<String, std::io::Error>(answer)
//!             })
//!         })
//!         .collect();
//!     for client in clients {
//!         println!("{}", client.join().unwrap()?);
//!     }
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })??; // main returns: the listener is ended, its socket closed
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! hello 0
//! hello 1
//! hello 2
//! ```
//!
//! # The life of a coroutine
//!
//! [`run`] starts a runtime, or [`#[coro::main]`](macro@main) does, and [`#[coro::test]`](macro@test) in tests.
//! [`spawn`] takes a slot of the region, publishes the coroutine in the registry, and queues it. When its turn
//! comes it runs, until it waits: in [`net`], [`time`], [`sync`] or [`JoinHandle::join`]. Then its record says what it
//! waits for, and its worker goes on with the next one that is ready; an event, a timer or another coroutine makes it
//! ready again. When its function has returned or panicked, what it has deferred ([`defer`]) runs, its locals
//! ([`coroutine_local!`]) are dropped, those who joined it are woken, and the slot goes to the next one. When main
//! returns, the others are unwound where they wait, as threads end with their process, but with their values dropped.
//!
//! Threads that are none of the runtime's spawn by a [`Handle`]. Almost all of [`sync`] works on them, too: so they may join,
//! send and receive.
//!
//! A [`Policy`] says who is next. The runtime's own part in a worker are three coroutines: *main*, *switch* (who looks
//! for somebody ready) and *io* (who waits for events).
//!
//! # Seeing them
//!
//! `gdb -x gdb/coro.py -p PID`, or LLDB with `command script import lldb/coro.py`, on a live program or a core: `coro list`
//! shows every coroutine and what it waits for, `coro bt ID` its stack, `coro deadlock` who waits for whom in a circle
//! (`debug-docs/gdb.md` and `lldb.md` say what to type, by symptom). A stack that overflows is told by the program itself,
//! too: whose, by which functions and lines, and what to do ([`Builder::crash_report`]); [`dump()`] tells of all from the
//! inside.
//!
//! # What it does not do
//!
//! - A coroutine is not preempted: one that computes without waiting keeps the others on its thread from running. One that
//!   does so for 0.1 s while others wait is named on stderr, with its backtrace (`CORO_MONITOR=off`: it isn't), for which
//!   its thread gets a SIGURG, unless the program handles that.
//! - Its stack does not grow: 192 KiB, or what [`CoroutineBuilder::stack_size`] says, up to 8 MiB. An overrun hits a
//!   redzone: the process says whose stack it was and why, and dies of SIGSEGV (`debug-docs/crash-reports.md`).
//! - Calls that block in the system (files, other libraries' locks) block the thread. Names are looked up on another one.
//! - Thread-locals, and C functions with static buffers, are shared by all coroutines of the thread.
//! - It runs on Linux, on x86-64. By default it uses one thread; [`Builder::workers`] takes more.
//!
//! # Features
//!
//! `http` has the module of that name; `demo` (the default) builds the program `main`, which needs it. A library that
//! depends on `coro` wants `default-features = false`.
//!
//! `sanitize` tells AddressSanitizer and Valgrind of coroutines, so that they find what is wrong in a program, and nothing
//! else: see `debug-docs/sanitizers.md`. The API is the same with it, and the program runs without either, too.

mod abi;
mod arch;
#[doc(hidden)]
pub mod attributes;
mod coroutine;
mod error;
mod future;
mod offload;
mod reactor;
mod registry;
mod runtime;
mod scheduler;
mod stack;
mod sys;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
pub mod debug;
#[cfg(feature = "http")]
pub mod http;
pub mod net;
pub mod sync;
pub mod time;

/// ```
/// use std::time::Duration;
///
/// #[coro::main(workers = 2)]
/// fn main() -> Result<(), coro::JoinError> {
///     let other = coro::spawn(|| coro::sleep(Duration::from_millis(1)));
///     other.join()
/// }
/// ```
///
/// Whatever isn't a plain function without arguments is refused, and so are options that a `Builder` doesn't have:
///
/// ```compile_fail
/// #[coro::main]
/// async fn main() {}
/// ```
///
/// ```compile_fail
/// #[coro::main(threads = 4)]
/// fn main() {}
/// ```
pub use coro_macros::main;
/// ```
/// #[coro::test(workers = 2)]
/// fn values_arrive() {
///     let (sender, receiver) = coro::sync::channel(1);
///     coro::spawn(move || sender.send(7));
///     assert_eq!(receiver.recv(), Ok(7));
/// }
/// ```
pub use coro_macros::test;
pub use coroutine::current::{Coroutine, CoroutineId, current};
pub use coroutine::defer::defer;
pub use coroutine::join::JoinError;
pub use coroutine::local::{AccessError, LocalKey};
pub use debug::{CrashReport, backtrace, dump, stack_report};
pub use error::{Error, Result};
pub use future::wait;
pub use net::watch::{wait_readable, wait_writable};
pub use offload::offload;
pub use runtime::builder::{Builder, run};
pub use runtime::group::{Group, Pool, spawn_after};
pub use runtime::handle::JoinHandle;
pub use runtime::join_set::JoinSet;
pub use runtime::outside::Handle;
pub use runtime::process;
pub use runtime::scope::{Scope, ScopedJoinHandle, scope};
pub use runtime::several::{join_all, wait_any, wait_any_timeout};
pub use runtime::shield::shield;
pub use runtime::signal;
pub use runtime::spawn::{CoroutineBuilder, spawn, spawn_local, yield_now};
pub use runtime::stats::{Stats, stats, take_trace};
pub use runtime::stream_server::{ServerHandle, Stopped, StreamServer};
pub use scheduler::policy::Policy;
pub use scheduler::trace::Switch;
pub use time::{Elapsed, sleep, timeout};

/// The page's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../debug-docs/soundness.md")]
struct Soundness;

/// As above.
#[cfg(doctest)]
#[doc = include_str!("../debug-docs/caveats.md")]
struct Caveats;
