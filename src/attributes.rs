//! What `#[coro::main]` and `#[coro::test]` call. Public for them only.

use std::process;

use crate::runtime::builder::Builder;

/// Runs a program's main function.
#[track_caller]
pub fn start_main<T>(builder: Builder, main: fn() -> T) -> T {
    builder.run(main).unwrap_or_else(|error| {
        eprintln!("coro can't start: {error}");
        process::exit(1)
    })
}

/// Runs a test.
///
/// # Panics
/// If no runtime can be started.
#[track_caller]
pub fn start_test<T>(builder: Builder, test: fn() -> T) -> T {
    builder.run(test).unwrap_or_else(|error| panic!("no runtime for the test: {error}"))
}
