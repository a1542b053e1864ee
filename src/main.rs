//! The demo: many coroutines against an HTTP server, and programs to practise debugging on.
//! Nothing here but the start and the end of the process; the rest is in `demo`.

mod demo;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match demo::run(demo::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            demo::complain(&problem);
            ExitCode::FAILURE
        }
    }
}
