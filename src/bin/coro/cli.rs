//! The command line. Of the scripts' commands it knows what the scripts say of them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PathBufValueParser};
use clap::{Arg, ArgMatches, Command};

use crate::ask::Question;
use crate::commands;
use crate::debugger::{Kind, Session};

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A command of the scripts'.
    Command(Question),
    /// A debugger to type in.
    Debugger(Session),
    /// `ps`
    Processes,
    /// `scripts`
    Scripts,
}

const ABOUT: &str =
    "Shows the coroutines of a running program, or of a core, by way of the debugger that is installed";
const AFTER: &str = "\
TARGET is a process's number, the name of a process, the program that one process executes, or a core. A
process stands still while it is looked at, for a second or so, and goes on then.

Of one of those commands `coro COMMAND --help` says what may follow the target. Examples:
  coro ps
  coro list 4711 -state parked -sort age
  coro bt 4711 12
  coro group core -wait mutex
  coro gdb 4711";
const TARGET: &str = "A process's number or name, the program that it executes, or a core";

/// What the command line of this process asks for; ends the process where that is an error, or `--help`.
pub(crate) fn asked() -> Asked {
    taken(&cli().get_matches())
}

fn cli() -> Command {
    let mut cli = Command::new("coro")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true);
    for command in commands::all() {
        let usage = format!("coro {} [OPTIONS] TARGET {}", command.name, command.arguments);
        cli = cli.subcommand(
            Command::new(command.name)
                .about(command.summary)
                .override_usage(usage.trim_end().to_owned())
                .after_help(command.text)
                .args([
                    Arg::new("debugger")
                        .long("debugger")
                        .value_name("WHICH")
                        .value_parser(EnumValueParser::<Kind>::new())
                        .help("The debugger to ask, in place of the one that is there"),
                    program(),
                    target(TARGET),
                    rest("words").help("What the command takes: see below"),
                ]),
        );
    }
    cli.subcommand(Command::new("ps").about("Lists the processes that have coroutines"))
        .subcommand(debugger("gdb", "Starts GDB with the commands loaded, on a process, a core or a program"))
        .subcommand(debugger("lldb", "Starts LLDB with the commands loaded, on a process, a core or a program"))
        .subcommand(Command::new("scripts").about("Prints the folder with the debuggers' scripts").after_help(
            "`source FOLDER/gdb/coro.py` in ~/.gdbinit, or `command script import FOLDER/lldb/coro.py` in \
             ~/.lldbinit,\nloads them whenever the debugger starts.",
        ))
}

fn debugger(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).args([
        program(),
        target("A process's number or name, a core, or a program, which is started when you say `run`"),
        rest("arguments").help("The program's arguments"),
    ])
}

fn program() -> Arg {
    Arg::new("program")
        .long("program")
        .value_name("FILE")
        .value_parser(PathBufValueParser::new())
        .help("The program of which the target, a core, is, where that isn't found")
}

fn target(help: &'static str) -> Arg {
    Arg::new("target").value_name("TARGET").required(true).help(help)
}

/// All that comes behind the target, whatever it begins with.
fn rest(name: &'static str) -> Arg {
    Arg::new(name)
        .value_name("WORDS")
        .value_parser(clap::value_parser!(OsString))
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
}

fn taken(matches: &ArgMatches) -> Asked {
    let (name, matches) = matches.subcommand().expect("one is required");
    match name {
        "ps" => return Asked::Processes,
        "scripts" => return Asked::Scripts,
        _ => {}
    }
    let target = matches.get_one::<String>("target").expect("it is required").clone();
    let program = matches.get_one::<PathBuf>("program").cloned();
    let many = |name: &str| matches.get_many::<OsString>(name).into_iter().flatten().cloned().collect();
    let session = |kind| Session {
        kind,
        target: target.clone(),
        program: program.clone(),
        arguments: many("arguments"),
    };
    match name {
        "gdb" => Asked::Debugger(session(Kind::Gdb)),
        "lldb" => Asked::Debugger(session(Kind::Lldb)),
        _ => {
            let command = commands::all().into_iter().find(|command| command.name == name);
            Asked::Command(Question {
                debugger: matches.get_one::<Kind>("debugger").copied(),
                target,
                program,
                name: command.expect("there is no other subcommand").name,
                words: many("words"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(words: &[&str]) -> Question {
        let matches = cli().try_get_matches_from(["coro"].iter().chain(words)).unwrap();
        match taken(&matches) {
            Asked::Command(question) => question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn command_line_is_consistent() {
        cli().debug_assert();
    }

    #[test]
    fn what_follows_the_target_is_the_commands() {
        let asked =
            question(&["list", "--debugger", "lldb", "4711", "-state", "parked", "--name", "a b", "-h"]);
        assert_eq!((asked.name, asked.target.as_str(), asked.debugger), ("list", "4711", Some(Kind::Lldb)));
        assert_eq!(asked.words, ["-state", "parked", "--name", "a b", "-h"]);
        let asked = question(&["bt", "--program", "./main", "core", "12"]);
        assert_eq!((asked.program, asked.words), (Some("./main".into()), vec!["12".into()]));
    }

    #[test]
    fn debuggers_take_programs_with_arguments() {
        let matches = cli().try_get_matches_from(["coro", "gdb", "./main", "--addr", "127.0.0.1:0"]).unwrap();
        let Asked::Debugger(session) = taken(&matches) else { panic!("{matches:?}") };
        assert_eq!((session.kind, session.target.as_str()), (Kind::Gdb, "./main"));
        assert_eq!(session.arguments, ["--addr", "127.0.0.1:0"]);
    }

    #[test]
    fn help_of_a_command_is_the_scripts() {
        let error = cli().try_get_matches_from(["coro", "list", "--help"]).unwrap_err().to_string();
        assert!(error.contains("coro list [OPTIONS] TARGET [FILTERS]"), "{error}");
        assert!(error.contains("    -older 5s "), "{error}");
    }
}
