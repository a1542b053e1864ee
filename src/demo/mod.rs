//! The program `main`: the lwan demo (the default), its server, and what to practise on.
//!
//! | file | does |
//! |---|---|
//! | `cli` | what can be asked for |
//! | `load`, `target`, `visit`, `gate`, `tally`, `report` | rounds of clients against a server, counted |
//! | `serve`, `routes`, `endpoints`, `lua`, `pattern`, `admin`, `form` | the embedded server |
//! | `files`, `cache`, `packed`, `range` | its files |
//! | `park` with `lot`, `overflow`, `stray`, `stuck`, `leak`, `floats` | states to look at with a debugger |
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
mod leak;
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
use std::cell::Cell;
use std::fmt;
use std::io::Write;

/// Why the program ends with status 1: a sentence for a person.
#[derive(Debug)]
pub(crate) struct Problem {
    sentence: String,
    is_told: Cell<bool>,
}

impl Problem {
    fn new(sentence: impl Into<String>) -> Problem {
        Problem { sentence: sentence.into(), is_told: Cell::new(false) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
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
        Some(Command::Leak) => leak::run(),
        Some(Command::Floats(options)) => floats::run(&options),
    }
}

/// Runs `main` with room for `coroutines`, and says why if that is not possible.
fn run_with_room_for<T>(coroutines: usize, main: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    run_with(coro::Builder::new().max_coroutines(coroutines), main)
}

/// Runs `main`. Its problem is told when it has returned, before the others end: if they don't, the process exits
/// without coming back here.
fn run_with<T>(builder: coro::Builder, main: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    let status = |result: &Result<T, Problem>| {
        result.as_ref().err().map_or(0, |problem| {
            complain(problem);
            1
        })
    };
    builder.run_program(main, status).unwrap_or_else(|error| Err(Problem::new(error.to_string())))
}

/// Says on stderr what went wrong, once. That nobody reads it (any more) changes neither the status nor anything else.
pub(crate) fn complain(problem: &Problem) {
    if !problem.is_told.replace(true) {
        let _ = writeln!(std::io::stderr(), "main: {problem}");
    }
}

/// Writes a line for the user at once, also into a pipe. A reader that has gone (`main | head`)
/// is no reason to die.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;
    use std::{env, process};

    use pretty_assertions::assert_eq;

    use super::*;

    /// What the program's main function does, with a coroutine that doesn't end.
    fn fail_while_somebody_stays() -> Result<(), Problem> {
        run_with(coro::Builder::new().grace(Duration::from_millis(1)), || {
            coro::spawn(|| coro::shield(|| coro::sleep(Duration::MAX)));
            coro::yield_now();
            Err(Problem::new("it went wrong"))
        })
    }

    fn fail() -> Result<(), Problem> {
        run_with_room_for(8, || Err(Problem::new("it went wrong")))
    }

    #[test]
    fn problem_is_told_once_and_before_those_who_do_not_end_are_left() {
        const CHILD: &str = "CORO_TEST_CHILD";
        let failures = [("stays", fail_while_somebody_stays as fn() -> _), ("ends", fail)];
        if let Some(how) = env::var_os(CHILD) {
            let (_, fails) =
                failures.into_iter().find(|(name, _)| how == *name).expect("there is no other child");
            complain(&fails().expect_err("it fails"));
            process::exit(1);
        }
        for (how, behind) in
            [("stays", &["coro: main has returned, but 1 coroutine has not ended in 1ms"][..]), ("ends", &[])]
        {
            let mut child = Command::new(env::current_exe().expect("a test knows its path"));
            let name = "demo::tests::problem_is_told_once_and_before_those_who_do_not_end_are_left";
            child.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, how);
            let output = child.output().expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("  ")).collect();
            assert_eq!(output.status.code(), Some(1), "{how}: {said}");
            assert_eq!(lines.first(), Some(&"main: it went wrong"), "{how}: {said}");
            let as_expected = lines[1..].iter().zip(behind).all(|(line, begin)| line.starts_with(begin));
            assert!(as_expected && lines.len() == 1 + behind.len(), "{how}: {said}");
        }
    }
}
