//! Waiting for the first of several things: [`select!`](crate::select).
//!
//! `selection` says how exactly one of them is done. Where it begins to look changes from time to time, so that a thing
//! which is always ready starves no other.

mod sealed;
pub(super) mod selection;

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

pub(crate) use self::sealed::{Sealed, Token, Told};
use self::selection::{ForEach, Listable, Selection};
#[doc(hidden)]
pub use super::channel::{Receive, Send};
use crate::abi::objects::{SelectHead, Thing};
use crate::abi::wait::WaitReason;
use crate::coroutine::waiter::Waiter;
use crate::scheduler::park::{self, WaitList};
use crate::sys::clock;

/// What [`select!`](crate::select) can wait for, besides sending and receiving: `wait(thing) => ...`. It waits until the
/// thing is there, and takes nothing of it.
///
/// | thing | is ready when | then comes without a wait |
/// |---|---|---|
/// | [`Event`](super::Event) | it is set | |
/// | [`JoinHandle`](crate::JoinHandle), [`ScopedJoinHandle`](crate::ScopedJoinHandle) | its coroutine has ended | `join` |
/// | [`Group`](crate::Group), [`Pool`](crate::Pool) | it has no members | |
/// | [`JoinSet`](crate::JoinSet) | one of its coroutines has ended, or there is none | `join_next` |
/// | [`After`] | its time has come | |
/// | [`Interval`](crate::time::Interval) | a tick is due | `tick`, which only lets others have a turn |
/// | a channel's end | it can send or receive, or never will | `send`, `recv` |
/// | [`readable`, `writable`](crate::net::Readiness) of a socket | it is ready | the operation |
/// | [`Signals`](crate::signal::Signals) | a signal has come | `wait` |
/// | [`Child`](crate::process::Child) | the process has ended | `wait` |
/// | [`ServerHandle`](crate::ServerHandle) | it accepts no more | `wait` |
///
/// Since nothing is taken nothing is lost when another arm is done: a signal, a tick, a result is there the next time, too.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let mut stop = coro::signal::listen(&[libc::SIGTERM])?;
///     let mut child = coro::process::spawn(std::process::Command::new("sleep").arg("1000"))?;
///     let mut ticks = coro::time::interval(Duration::from_millis(1));
///     let mut count = 0;
///     let status = loop {
///         coro::select! {
///             wait(child) => break child.wait()?,
///             wait(stop) => { stop.wait()?; child.kill()?; }
///             wait(ticks) => {
///                 ticks.tick();
///                 count += 1;
///                 // SAFETY: the signal has a handler: see above.
///                 if count == 3 { unsafe { libc::raise(libc::SIGTERM) }; }
///             }
///         }
///     };
///     assert!(!status.success() && count >= 3);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Waitable: Sealed {
    /// Whether there is nothing to wait for any more.
    #[doc(hidden)]
    fn is_ready(&self) -> bool;
    /// Puts one on the list; `false`: it is ready.
    #[doc(hidden)]
    fn enlist(&self, who: &Token) -> bool;
    /// Takes one off the list; `false`: it was not there any more.
    #[doc(hidden)]
    fn delist(&self, who: &Token) -> bool;
    /// Tells the next one on the list: who was told has done something else.
    #[doc(hidden)]
    fn pass_on(&self) {}
    /// When it gets ready by itself.
    #[doc(hidden)]
    fn deadline(&self) -> Option<u64> {
        None
    }
    #[doc(hidden)]
    fn told(&self) -> Told;
}

macro_rules! waitable_by_pointer {
    ($($pointer:ty),*) => {$(
        impl<W: Waitable + ?Sized> Sealed for $pointer {}

        impl<W: Waitable + ?Sized> Waitable for $pointer {
            fn is_ready(&self) -> bool {
                (**self).is_ready()
            }
            fn enlist(&self, who: &Token) -> bool {
                (**self).enlist(who)
            }
            fn delist(&self, who: &Token) -> bool {
                (**self).delist(who)
            }
            fn pass_on(&self) {
                (**self).pass_on();
            }
            fn deadline(&self) -> Option<u64> {
                (**self).deadline()
            }
            fn told(&self) -> Told {
                (**self).told()
            }
        }
    )*};
}

waitable_by_pointer!(&W, &mut W, Arc<W>, Box<W>);

/// Makes a thing one that is waited for by way of another one, which it has.
macro_rules! waitable_by {
    ($(#[$doc:meta])* impl[$($of:tt)*] $thing:ty: $this:ident => $other:expr) => {
        impl<$($of)*> $crate::sync::select::Sealed for $thing {}

        $(#[$doc])*
        impl<$($of)*> $crate::sync::select::Waitable for $thing {
            fn is_ready(&self) -> bool {
                let $this = self;
                $crate::sync::select::Waitable::is_ready(&$other)
            }
            fn enlist(&self, who: &$crate::sync::select::Token) -> bool {
                let $this = self;
                $crate::sync::select::Waitable::enlist(&$other, who)
            }
            fn delist(&self, who: &$crate::sync::select::Token) -> bool {
                let $this = self;
                $crate::sync::select::Waitable::delist(&$other, who)
            }
            fn told(&self) -> $crate::sync::select::Told {
                let $this = self;
                $crate::sync::select::Waitable::told(&$other)
            }
        }
    };
}

pub(crate) use waitable_by;

/// A moment, for [`select!`](crate::select): see [`after`].
#[derive(Clone, Copy, Debug)]
pub struct After(u64);

/// The moment after `duration` from now, to be waited for in [`select!`](crate::select).
pub fn after(duration: Duration) -> After {
    After(clock::after(duration))
}

/// A moment to be waited for in [`select!`](crate::select).
pub fn at(instant: Instant) -> After {
    After(clock::from_instant(instant))
}

impl Sealed for After {}

impl Waitable for After {
    fn is_ready(&self) -> bool {
        clock::now() >= self.0
    }
    fn enlist(&self, _: &Token) -> bool {
        true
    }
    fn delist(&self, _: &Token) -> bool {
        true
    }
    fn deadline(&self) -> Option<u64> {
        Some(self.0)
    }
    fn told(&self) -> Told {
        Told::new(WaitReason::Sleep, self.0)
    }
}

/// An arm of `select!`: what it waits for, always the same, and what is then done, once.
#[doc(hidden)]
pub trait Arm: Sealed {
    fn thing(&self) -> &dyn Waitable;
    /// Does it, if that is possible without waiting.
    fn attempt(&mut self) -> bool;
    /// Whether somebody else has done it, who found it waiting.
    fn is_done(&self) -> bool {
        false
    }
}

/// `wait(thing)`
#[doc(hidden)]
pub struct Wait<W>(pub W);

impl<W> Sealed for Wait<W> {}

impl<W: Waitable> Arm for Wait<W> {
    fn thing(&self) -> &dyn Waitable {
        &self.0
    }
    fn attempt(&mut self) -> bool {
        self.0.is_ready()
    }
}

impl<W> Wait<W> {
    /// Nothing comes of it.
    pub fn take(self) {}
}

/// Does the first that can be done, and says which; `None` if none can be, and it is not to wait.
#[doc(hidden)]
pub fn run(arms: &mut [&mut dyn Arm], waits: bool) -> Option<usize> {
    let first = turn() % arms.len().max(1);
    park::spend();
    let done = selection::attempt(arms, first);
    if done.is_some() {
        return done;
    }
    waits.then(|| selection::run(arms, first, wait))
}

/// A number that is another one each time.
fn turn() -> usize {
    thread_local! {
        static TURN: Cell<usize> = const { Cell::new(0) };
    }
    TURN.with(|turn| turn.replace(turn.get().wrapping_add(1)))
}

impl Listable for &mut dyn Arm {
    type Who = Token;

    fn enlist(&self, who: &Token) -> bool {
        self.thing().enlist(who)
    }
    fn delist(&self, who: &Token) -> bool {
        self.thing().delist(who)
    }
    fn pass_on(&self) {
        self.thing().pass_on();
    }
    fn attempt(&mut self) -> bool {
        (**self).attempt()
    }
    fn is_done(&self) -> bool {
        (**self).is_done()
    }
}

/// Waits until one of them may be ready; then the token is on no list any more.
fn wait(selection: &Selection<'_, &mut dyn Arm>) {
    let things = || selection.arms().iter().map(|arm| arm.thing());
    let told: ForEach<Thing> = things().map(|thing| thing.told().0).collect();
    let head = SelectHead { count: told.len() as u64, things: told.as_ptr() };
    let deadline = things().filter_map(|thing| thing.deadline()).min();
    let object = ptr::from_ref(&head).expose_provenance() as u64;
    let waiting = Waiting { selection, claim: AtomicU32::new(0) };
    if let Err(error) = park::block_until(WaitReason::Select, object, &waiting, deadline) {
        park::abort_unwinding_wait(WaitReason::Select, object, &error);
    }
}

/// A wait for several things, and the word that is claimed by whoever does one of them.
struct Waiting<'a, A> {
    selection: &'a Selection<'a, A>,
    claim: AtomicU32,
}

impl<A> Waiting<'_, A> {
    fn token(&self, waiter: Waiter) -> Token {
        Token(waiter, Some(NonNull::from_ref(&self.claim)))
    }
}

impl<A: Listable<Who = Token>> WaitList for Waiting<'_, A> {
    fn enlist(&self, waiter: Waiter) -> bool {
        self.selection.enlist_all(&self.token(waiter))
    }

    /// `false`, so that it is always asked: what it was told it has to pass on itself.
    fn delist(&self, waiter: &Waiter) -> bool {
        self.selection.delist_all(&self.token(waiter.clone()));
        false
    }

    fn pass_on(&self) {
        self.selection.pass_all_on();
    }

    fn is_several(&self) -> bool {
        true
    }

    fn was_granted(&self) -> bool {
        self.selection.done().is_some()
    }
}

/// Waits for the first of several things, and does it: exactly one of them. The value is that of its arm.
///
/// | arm | waits until | gives |
/// |---|---|---|
/// | `recv(receiver) -> result => ...` | a value can be received, or none will come | as [`Receiver::recv`](crate::sync::Receiver::recv) |
/// | `send(sender, value) -> result => ...` | the value can be sent, or never will be | as [`Sender::send`](crate::sync::Sender::send) |
/// | `wait(thing) => ...` | a [`Waitable`](crate::sync::Waitable) is ready | |
/// | `after(duration) => ...` | so much time has passed | |
/// | `_ => ...` | it never waits: nothing of the above could be done at once | |
///
/// When several can be done, no one is preferred for long. What is given to arms is evaluated once, before the wait; the
/// value of a `send` that didn't win is dropped. Works on plain OS threads, too.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let (numbers, number) = coro::sync::channel(1);
///     let (words, word) = coro::sync::channel::<&str>(1);
///     coro::spawn(move || numbers.send(7));
///     let got = coro::select! {
///         recv(number) -> result => format!("number {}", result.unwrap()),
///         recv(word) -> result => format!("word {}", result.unwrap()),
///         after(Duration::from_secs(60)) => "nothing".into(),
///     };
///     assert_eq!(got, "number 7");
///     # drop(words);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[macro_export]
macro_rules! select {
    // An arm, its body a block or an expression; then the next ones.
    (@arm [$($arms:tt)*] $n:expr; $what:ident($($of:tt)*) $(-> $result:pat)? => $body:block, $($rest:tt)*) => {
        $crate::select!(@add [$($arms)*] $n; $what($($of)*) [$($result)?] $body; $($rest)*)
    };
    (@arm [$($arms:tt)*] $n:expr; $what:ident($($of:tt)*) $(-> $result:pat)? => $body:block $($rest:tt)*) => {
        $crate::select!(@add [$($arms)*] $n; $what($($of)*) [$($result)?] $body; $($rest)*)
    };
    (@arm [$($arms:tt)*] $n:expr; $what:ident($($of:tt)*) $(-> $result:pat)? => $body:expr, $($rest:tt)*) => {
        $crate::select!(@add [$($arms)*] $n; $what($($of)*) [$($result)?] $body; $($rest)*)
    };
    (@arm [$($arms:tt)*] $n:expr; $what:ident($($of:tt)*) $(-> $result:pat)? => $body:expr) => {
        $crate::select!(@add [$($arms)*] $n; $what($($of)*) [$($result)?] $body;)
    };
    (@add [$($arms:tt)*] $n:expr; $what:ident($($of:tt)*) [$($result:pat)?] $body:expr; $($rest:tt)*) => {{
        // A name of its own in each arm, by the macro's hygiene.
        let mut arm = $crate::select!(@make $what $($of)*);
        $crate::select!(@arm [$($arms)* (arm $n; [$($result)?] $body)] $n + 1; $($rest)*)
    }};
    (@make recv $receiver:expr) => { $crate::sync::select::Receive::new(&$receiver) };
    (@make send $sender:expr, $value:expr) => { $crate::sync::select::Send::new(&$sender, $value) };
    (@make wait $thing:expr) => { $crate::sync::select::Wait(&$thing) };
    (@make after $duration:expr) => { $crate::sync::select::Wait($crate::sync::after($duration)) };
    // All arms are there.
    (@arm [$($arms:tt)*] $n:expr;) => {
        $crate::select!(@run [$($arms)*] true ::std::unreachable!("it waits until one is done"))
    };
    (@arm [$($arms:tt)*] $n:expr; _ => $body:expr $(,)?) => {
        $crate::select!(@run [$($arms)*] false $body)
    };
    (@run [$(($arm:ident $n:expr; [$($result:pat)?] $body:expr))*] $waits:literal $otherwise:expr) => {{
        let done = $crate::sync::select::run(
            &mut [$(&mut $arm as &mut dyn $crate::sync::select::Arm),*],
            $waits,
        );
        $(if done == ::std::option::Option::Some($n) {
            $crate::select!(@bind $arm [$($result)?] $body)
        } else)* {
            $otherwise
        }
    }};
    (@bind $arm:ident [] $body:expr) => {{
        let _ = $arm.take();
        $body
    }};
    (@bind $arm:ident [$result:pat] $body:expr) => {{
        let $result = $arm.take();
        $body
    }};
    // What is none of all that, so that it doesn't come to the last rule, which would take it for arms again and again.
    (@make $what:ident $($of:tt)*) => {
        ::std::compile_error!(::std::concat!(
            "select!: `", ::std::stringify!($what), "(", ::std::stringify!($($of)*), ")` is none of the arms, which are \
             recv(receiver), send(sender, value), wait(thing), after(duration), and `_` as the last one"
        ))
    };
    (@arm [$($arms:tt)*] $n:expr; _ => $($rest:tt)*) => {
        ::std::compile_error!("select!: `_ => ...` has to be the last arm, and the only one of its kind")
    };
    (@arm [$($arms:tt)*] $n:expr; $($rest:tt)*) => {
        ::std::compile_error!(::std::concat!(
            "select!: no arm begins with `", ::std::stringify!($($rest)*), "`; an arm is `what(of it) -> result => value`, \
             with a comma behind it"
        ))
    };
    () => { ::std::compile_error!("select!: without an arm there is nothing to wait for") };
    ($($arms:tt)+) => { $crate::select!(@arm [] 0_usize; $($arms)+) };
}
