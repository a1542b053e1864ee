//! One command, answered by a debugger that is started for it alone. Its text is what the debugger's script writes
//! (gdb/coro_debug/once.py); what else the debugger says is kept, and shown only if there is no answer.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::{fs, thread};

use nix::unistd::{dup, geteuid};

use crate::debugger::{Debugger, Kind};
use crate::print;
use crate::problem::Problem;
use crate::running::{Ended, Running};
use crate::target::{self, Target};

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

/// Asks, and writes the answer, or the command's complaint.
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
    // All of it, before any is written: who reads ours may take their time, as a pager does, and the process stands still
    // until the debugger is rid of its answer.
    let (said, complaint, answer) = thread::scope(|scope| {
        let (said, complaint) = (scope.spawn(|| read(noise)), scope.spawn(|| read(complaint)));
        let answer = read(answer);
        (said.join().unwrap_or_default(), complaint.join().unwrap_or_default(), answer)
    });
    let ended = running.end()?;
    let _ = io::stderr().write_all(&complaint);
    match ended {
        Ended::With(0) => print(&answer).map(|()| ExitCode::SUCCESS),
        Ended::With(COMPLAINED) => match ended_meanwhile(&target) {
            Some(why) => Err(why),
            None => Ok(ExitCode::FAILURE),
        },
        Ended::With(_) => Err(unanswered(&debugger, &target, &String::from_utf8_lossy(&said))),
        Ended::Interrupted => Err(Problem("interrupted".into())),
    }
}

/// Why the command had to complain, where a process has ended under it; what is killed does so at any instant.
fn ended_meanwhile(target: &Target) -> Option<Problem> {
    let Target::Process(pid) = target else { return None };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    (status.is_empty() || status.contains("\nState:\tZ"))
        .then(|| Problem(format!("process {pid} has ended while it was looked at")))
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
fn unanswered(debugger: &Debugger, target: &Target, said: &str) -> Problem {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
    let advice = advice(target, said).map_or(String::new(), |advice| format!("\n{advice}"));
    Problem(format!("{} gave no answer. It says:\n  {last}{advice}", debugger.path.display()))
}

/// What may help when a debugger could not attach. LLDB doesn't always say why it could not.
fn advice(target: &Target, said: &str) -> Option<String> {
    let Target::Process(pid) = target else { return None };
    // It may have ended meanwhile, or another debugger was faster.
    if let Err(Problem(why)) = target::process(*pid) {
        return Some(why);
    }
    if said.contains("already traced") {
        return Some("Another debugger was faster; it has let the process go by now: ask again".into());
    }
    let is_root = geteuid().is_root();
    let owner = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    if !is_root && owner != geteuid().as_raw() {
        return Some(format!(
            "The process is user {owner}'s, and you are user {}: ask as that user, or as root (sudo)",
            geteuid()
        ));
    }
    let advice = if is_root {
        "Root may not look at it either: in a container that takes a capability (`docker run --cap-add SYS_PTRACE`)"
    } else {
        "A debugger may look at its own children only, it seems: ask as root (sudo), or allow it \
         (`sysctl kernel.yama.ptrace_scope=0`)"
    };
    ["not permitted", "attach failed"].iter().any(|words| said.contains(words)).then(|| advice.into())
}

#[cfg(test)]
mod tests {
    use std::process;

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
        let own = Target::Process(process::id());
        let Problem(text) = unanswered(&debugger, &own, said);
        assert!(
            text.starts_with("/usr/bin/gdb gave no answer. It says:\n  [New LWP 4]\n  ptrace: "),
            "{text}"
        );
        let is_advice = |text: &str| text.contains("ptrace_scope") || text.contains("SYS_PTRACE");
        assert!(is_advice(&text), "{text}");
        assert!(!is_advice(&unanswered(&debugger, &own, "odd").0));
        let Problem(text) = unanswered(&debugger, &own, "process 1 is already traced by process 2\n");
        assert!(text.ends_with(": ask again"), "{text}");
        let Problem(text) = unanswered(&debugger, &Target::Process(4_194_305), said);
        assert!(text.contains("\nthere is no process 4194305; "), "{text}");
    }
}
