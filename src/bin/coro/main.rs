//! `coro`: shows the coroutines of a running process, or of a core, from the shell.
//!
//! It reads nothing of a program by itself: it asks the debugger that is installed, by the scripts which it carries.
//! So a line that it prints is the one which that debugger prints.
//!
//! - [`cli`]: what can be asked for; [`commands`]: the scripts' commands, as the scripts describe them
//! - [`target`]: what is to be looked at; [`elf`]: what files say of it; [`processes`]: which processes have coroutines
//! - [`scripts`]: the scripts, and where they are put
//! - [`debugger`]: which debugger there is, and how it is started; [`ask`]: one command, answered; [`running`]: the debugger
//!   that answers it, which a signal ends

mod ask;
mod cli;
mod commands;
mod debugger;
mod elf;
mod problem;
mod processes;
mod running;
mod scripts;
mod target;

use std::io::{self, Write as _};
use std::process::ExitCode;

use cli::Asked;
use problem::Problem;

fn main() -> ExitCode {
    let done = match cli::asked() {
        Asked::Command(question) => ask::ask(&question),
        Asked::Debugger(session) => debugger::start(&session),
        Asked::Processes => list_processes().map(|()| ExitCode::SUCCESS),
        Asked::Scripts => print_scripts().map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("coro: {problem}");
        ExitCode::FAILURE
    })
}

fn list_processes() -> Result<(), Problem> {
    print(processes::table(&processes::look()?).as_bytes())
}

fn print_scripts() -> Result<(), Problem> {
    print(format!("{}\n", scripts::unpacked()?.display()).as_bytes())
}

fn print(text: &[u8]) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Who reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Problem(format!("can't write the answer: {error}"))),
    }
}
