//! What `#[coro::main]` and `#[coro::test]` call. Public for them only.

use std::fmt::Debug;
use std::io::{Write as _, stderr};
use std::process;

use crate::error::Error;
use crate::runtime::builder::Builder;

/// What a program's main function has returned. What is known of it depends on its type: an inherent method is preferred to
/// [`AnyReturned`]'s.
#[derive(Debug)]
pub struct Returned<'a, T>(pub &'a T);

impl Returned<'_, ()> {
    /// The program's status.
    pub fn tell(self) -> Option<i32> {
        Some(0)
    }
}

impl<E: Debug> Returned<'_, Result<(), E>> {
    /// The program's status; an error is told, as the standard library does it.
    pub fn tell(self) -> Option<i32> {
        let Err(error) = self.0 else { return Some(0) };
        // Not `eprintln!`, which panics when nobody reads it.
        let _ = writeln!(stderr(), "Error: {error:?}");
        Some(1)
    }
}

/// See [`Returned`].
pub trait AnyReturned {
    /// The program's status, if it is known.
    fn tell(self) -> Option<i32>;
}

impl<T> AnyReturned for Returned<'_, T> {
    fn tell(self) -> Option<i32> {
        None
    }
}

/// Runs a program. `tell` tells an error, and says with which status the process exits if others don't end in time.
#[track_caller]
pub fn start_program<T>(builder: Builder, main: fn() -> T, tell: fn(&T) -> Option<i32>) -> T {
    let mut status = None;
    let returned = builder.run_with_status(main, |returned| {
        status = tell(returned);
        status
    });
    match (returned, status) {
        (Err(error), _) => cannot_start(&error),
        // It has been told.
        (Ok(_), Some(status @ 1..)) => process::exit(status),
        (Ok(returned), _) => returned,
    }
}

/// Runs a function that need not be a program's main function.
#[track_caller]
pub fn start_main<T>(builder: Builder, main: fn() -> T) -> T {
    builder.run(main).unwrap_or_else(|error| cannot_start(&error))
}

fn cannot_start(error: &Error) -> ! {
    let _ = writeln!(stderr(), "coro can't start: {error}");
    process::exit(1)
}

/// Runs a test.
///
/// # Panics
/// If no runtime can be started.
#[track_caller]
pub fn start_test<T>(builder: Builder, test: fn() -> T) -> T {
    match builder.run(test) {
        Ok(result) => result,
        Err(error) => panic!("no runtime for the test: {error}"),
    }
}
