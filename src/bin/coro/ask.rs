//! One command, answered by a debugger that is started for it alone. Its text is what the debugger's script writes
//! (gdb/coro_debug/once.py); what else the debugger says is kept, and shown only if there is no answer.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::thread;

use nix::unistd::dup;

use crate::debugger::{Debugger, Kind};
use crate::problem::Problem;
use crate::running::{Ended, Running};
use crate::target::Target;

/// What a user wants to know.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) debugger: Option<Kind>,
    pub(crate) target: String,
    /// Of which a core is, if it was said.
    pub(crate) program: Option<PathBuf>,
    /// The command's name, and its words.
    pub(crate) name: &'static str,
    pub(crate) words: Vec<OsString>,
}

/// With what the debugger ends when the command has complained itself; otherwise as gdb/coro_debug/once.py says.
const COMPLAINED: i32 = 3;
/// Lines of what the debugger has said that tell why there is no answer.
const LINES: usize = 12;

/// Asks; the answer, or the command's complaint, has been written then.
pub(crate) fn ask(question: &Question) -> Result<ExitCode, Problem> {
    let debugger = Debugger::find(question.debugger)?;
    let target = Target::find(&question.target, question.program.as_deref())?.running()?;
    let last = match debugger.kind {
        Kind::Gdb => "python from coro_gdb import once; once.run()",
        Kind::Lldb => "script from coro_lldb import once; once.run(lldb.debugger)",
    };
    let (noise, to_noise) = pipe()?;
    let (answer, to_answer) = pipe()?;
    let (complaint, to_complaint) = pipe()?;
    let mut command = debugger.command(&target, &[], Some(last))?;
    // `dup`, and not as Rust makes descriptors: these two are to be the debugger's, too.
    let passed = [dup(to_answer).map_err(no_pipe)?, dup(to_complaint).map_err(no_pipe)?];
    command
        .env("CORO_ONCE", line(question.name, &question.words))
        .env("CORO_ONCE_OUT", passed[0].as_raw_fd().to_string())
        .env("CORO_ONCE_ERR", passed[1].as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(to_noise.try_clone().map_err(no_pipe)?)
        .stderr(to_noise);
    let mut running = Running::start(&debugger, &target, command)?;
    // Only the debugger has them now, so that they end with it.
    drop(passed);
    let said = thread::scope(|scope| {
        let said = scope.spawn(|| read(noise));
        let complained = scope.spawn(|| pass_on(complaint, io::stderr()));
        pass_on(answer, io::stdout());
        let _ = complained.join();
        said.join().unwrap_or_default()
    });
    match running.end()? {
        Ended::With(0) => Ok(ExitCode::SUCCESS),
        Ended::With(COMPLAINED) => Ok(ExitCode::FAILURE),
        Ended::With(_) => Err(unanswered(&debugger, &String::from_utf8_lossy(&said))),
        Ended::Interrupted => Err(Problem("interrupted".into())),
    }
}

fn pipe() -> Result<(PipeReader, PipeWriter), Problem> {
    io::pipe().map_err(no_pipe)
}

fn no_pipe(error: impl Display) -> Problem {
    Problem(format!("can't have a pipe to the debugger: {error}"))
}

fn read(mut from: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    bytes
}

/// Writes all that comes; where nobody reads it any more, whoever sends it gets to know that.
fn pass_on(mut from: PipeReader, mut to: impl Write) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.flush();
}

/// The command's line, as the scripts take it apart: quoted as in a shell.
fn line(name: &str, words: &[OsString]) -> String {
    let quoted = words.iter().map(|word| {
        let word = word.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+#".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            return word.into_owned();
        }
        format!("'{}'", word.replace('\'', r#"'"'"'"#))
    });
    ["coro".to_owned(), name.to_owned()].into_iter().chain(quoted).collect::<Vec<String>>().join(" ")
}

/// Why a debugger has not come to the command.
fn unanswered(debugger: &Debugger, said: &str) -> Problem {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
    let advice = if said.contains("not permitted") {
        "\nA debugger may look at this user's processes only, or at none that isn't its child: try it as root (sudo); or \
         `sysctl kernel.yama.ptrace_scope=0` allows it, where that is what forbids it"
    } else {
        ""
    };
    Problem(format!("{} gave no answer. It says:\n  {last}{advice}", debugger.path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_the_scripts_take_them_apart() {
        let line_of = |words: &[&str]| line("list", &words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(line_of(&["-state", "parked", "#4"]), "coro list -state parked #4");
        assert_eq!(
            line_of(&["-name", "a b", "", "it's", "$(x)"]),
            r#"coro list -name 'a b' '' 'it'"'"'s' '$(x)'"#
        );
        assert_eq!(line_of(&[]), "coro list");
    }

    #[test]
    fn what_the_debugger_says_is_told_with_advice() {
        let debugger = Debugger { kind: Kind::Gdb, path: "/usr/bin/gdb".into() };
        let said = "\n[New LWP 4]\nptrace: Operation not permitted.\n";
        let Problem(text) = unanswered(&debugger, said);
        assert!(
            text.starts_with("/usr/bin/gdb gave no answer. It says:\n  [New LWP 4]\n  ptrace: "),
            "{text}"
        );
        assert!(text.contains("ptrace_scope"), "{text}");
        assert!(!unanswered(&debugger, "odd").0.contains("ptrace_scope"));
    }
}
