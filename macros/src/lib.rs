//! The attributes `#[coro::main]` and `#[coro::test]`: a function whose body runs as a runtime's main coroutine.
//!
//! The function stays what it is, and gets a new body: the old one as a function of the same name within it, so that a
//! backtrace and a debugger's breakpoint show it, and a call that starts a runtime with it.
//!
//! Examples stand where `coro` exports them: here there is no runtime.

mod expand;

use proc_macro::TokenStream;

use expand::{Attribute, expand};

/// Runs a function, `main` mostly, as the main coroutine of a runtime: as [`coro::run`](https://docs.rs/coro-rt/latest/coro/fn.run.html)
/// does with a closure.
///
/// It may return what `main` may return. A runtime that can't be started is told on stderr, and the process exits with 1.
///
/// A function of the name `main` that returns nothing, or `Result<(), _>`, is a program: its error is told as soon as it has returned,
/// and the process exits when the `grace` period is over, whoever has not ended by then: as
/// [`Builder::run_program`](https://docs.rs/coro-rt/latest/coro/struct.Builder.html#method.run_program). (What others return can't be
/// looked at, and a function of another name may be called by somebody who goes on: they wait for all, as `coro::run`.)
///
/// Options are the methods of `coro::Builder` by their names: `workers = 4`, `max_coroutines = 10_000`,
/// `policy = coro::Policy::Backtrack`, `grace = Duration::from_secs(1)`, `dump_on_quit`, …
#[proc_macro_attribute]
pub fn main(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(Attribute::Main, options.into(), function.into()).into()
}

/// A test whose body runs as the main coroutine of a runtime of its own; options as those of [`main`](macro@main). Other
/// attributes (`#[should_panic]`, say) are as with `#[test]`.
///
/// A coroutine that is left when the test returns is ended, as at the end of any runtime.
#[proc_macro_attribute]
pub fn test(options: TokenStream, function: TokenStream) -> TokenStream {
    expand(Attribute::Test, options.into(), function.into()).into()
}
