//! One command, answered by a debugger that is started for it alone. Its text goes to our output as the debugger's script
//! writes it (gdb/coro_debug/once.py); what else the debugger says is kept, and shown only if there is no answer.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use nix::unistd::dup;

use crate::debugger::{self, Debugger, Kind};
use crate::problem::Problem;
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
    let not_passed = |error| Problem(format!("can't pass a descriptor to the debugger: {error}"));
    // These are not closed when the debugger starts.
    let (out, err) = (dup(io::stdout()).map_err(not_passed)?, dup(io::stderr()).map_err(not_passed)?);
    let (mut noise, from_debugger) =
        io::pipe().map_err(|error| Problem(format!("there is no pipe to be had: {error}")))?;
    let also =
        from_debugger.try_clone().map_err(|error| Problem(format!("there is no pipe to be had: {error}")))?;
    let mut command = debugger.command(&target, &[], Some(last))?;
    command
        .env("CORO_ONCE", line(question.name, &question.words))
        .env("CORO_ONCE_OUT", out.as_raw_fd().to_string())
        .env("CORO_ONCE_ERR", err.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(from_debugger)
        .stderr(also);
    let mut child = command.spawn().map_err(|error| debugger::not_started(&debugger, &error))?;
    // With it go our ends of the pipe, so that the noise has an end.
    drop(command);
    let mut said = Vec::new();
    let _ = noise.read_to_end(&mut said);
    let status = child
        .wait()
        .map_err(|error| Problem(format!("{} can't be waited for: {error}", debugger.path.display())))?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(COMPLAINED) => Ok(ExitCode::FAILURE),
        _ => Err(unanswered(&debugger, &String::from_utf8_lossy(&said))),
    }
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
