//! The program `main`: the lwan demo (the default), its server, and what to practise on.
//!
//! | file | does |
//! |---|---|
//! | `cli` | what can be asked for |
//! | `load`, `target`, `visit`, `gate`, `tally`, `report` | rounds of clients against a server, counted |
//! | `serve`, `routes`, `endpoints`, `lua`, `pattern`, `admin`, `form` | the embedded server |
//! | `files`, `cache`, `packed`, `range` | its files |
//! | `park` with `lot`, `overflow`, `stray`, `stuck`, `floats` | states to look at with a debugger |
//! | `hints` | what to type in the debugger |

mod admin;
mod cache;
pub(crate) mod cli;
mod endpoints;
mod files;
mod floats;
mod form;
mod gate;
mod hints;
mod limits;
mod load;
mod lot;
mod lua;
mod overflow;
mod packed;
mod park;
mod pattern;
mod range;
mod report;
mod routes;
mod serve;
mod stray;
mod stuck;
mod tally;
mod target;
mod visit;

use cli::{Cli, Command};
use std::fmt;
use std::io::Write;

/// Why the program ends with status 1: a sentence for a person.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    fn new(sentence: impl Into<String>) -> Problem {
        Problem(sentence.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Result<(), Problem> {
    match cli.command {
        None => load::run(&cli.load),
        Some(Command::Serve(options)) => serve::run(&options),
        Some(Command::Park(options)) => park::run(&options),
        Some(Command::Overflow { how }) => overflow::run(how),
        Some(Command::Wild) => stray::wild(),
        Some(Command::Stale) => stray::stale(),
        Some(Command::Deadlock) => stuck::deadlock(),
        Some(Command::Hang) => stuck::hang(),
        Some(Command::Floats(options)) => floats::run(&options),
    }
}

/// Runs `main` with room for `coroutines`, and says why if that is not possible.
fn run_with_room_for<T>(coroutines: usize, main: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    coro::Builder::new()
        .max_coroutines(coroutines)
        .run_program(main, |result| i32::from(result.is_err()))
        .unwrap_or_else(|error| Err(Problem::new(error.to_string())))
}

/// Says on stderr what went wrong. That nobody reads it (any more) changes neither the status nor anything else.
pub(crate) fn complain(problem: &Problem) {
    let _ = writeln!(std::io::stderr(), "main: {problem}");
}

/// Writes a line for the user at once, also into a pipe. A reader that has gone (`main | head`)
/// is no reason to die.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
