//! A program that dies, and what it said before: tests/programs/crashing.rs, mostly.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use pretty_assertions::assert_eq;

use super::{Profile, program};

pub(crate) const SIGABRT: i32 = 6;
pub(crate) const SIGBUS: i32 = 7;
pub(crate) const SIGSEGV: i32 = 11;

/// What a program said, and how it ended.
pub(crate) struct Crash {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: ExitStatus,
}

/// Runs a program that dies.
pub(crate) fn crash_of(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Crash {
    crash_in(Path::new("."), program, arguments, environment)
}

/// The same, in a folder of its own.
pub(crate) fn crash_in(
    folder: &Path,
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Crash {
    let output = Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .env_remove("CORO_CRASH")
        .env_remove("CORO_CRASH_FILE")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with("started\n"), "{arguments:?} did not start: {out}");
    assert!(!out.contains("survived"), "{arguments:?} survived");
    Crash { out, err: String::from_utf8(output.stderr).unwrap(), status: output.status }
}

/// Of tests/programs/crashing.rs.
pub(crate) fn crash(profile: Profile, arguments: &[&str]) -> Crash {
    crash_of(&program("crashing", profile), arguments, &[])
}

/// How the test itself was built.
pub(crate) fn own_profile() -> Profile {
    if cfg!(debug_assertions) { Profile::Debug } else { Profile::Release }
}

impl Crash {
    /// The rest of the line which begins so.
    #[track_caller]
    pub(crate) fn line(&self, start: &str) -> &str {
        let mut lines = self.err.lines().filter_map(|line| line.trim_start().strip_prefix(start));
        let line = lines.next().unwrap_or_else(|| panic!("no line begins with {start:?} in:\n{}", self.err));
        assert!(lines.next().is_none(), "two lines begin with {start:?} in:\n{}", self.err);
        line
    }

    #[track_caller]
    pub(crate) fn assert_says(&self, words: &[&str]) -> &Crash {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in:\n{}", self.err);
        }
        self
    }

    #[track_caller]
    pub(crate) fn assert_silent(&self) -> &Crash {
        assert!(!self.err.contains("fatal: coroutine"), "{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn assert_died(&self, signal: i32) {
        assert_eq!(self.status.signal(), Some(signal), "{}", self.err);
    }

    /// Whether all of the report is there, and nothing went wrong in it.
    #[track_caller]
    pub(crate) fn assert_complete(&self) -> &Crash {
        assert_eq!(self.err.matches("fatal: ").count(), 1, "{}", self.err);
        assert!(!self.err.contains("the reporter itself"), "{}", self.err);
        self.line("what      ");
        self.line("other coroutines: ");
        self
    }
}
