//! A running process of tests/programs/parked.rs, to be read by whatever reads registries.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use super::image::{Core, Process};
use super::{Profile, gdb_with, program};

/// A process of the debuggee in which every coroutine but io waits; killed in the end.
pub(crate) struct Parked {
    child: Child,
    _output: BufReader<ChildStdout>,
}

impl Parked {
    pub(crate) fn start(profile: Profile) -> Parked {
        Parked::start_with(profile, &[])
    }

    pub(crate) fn start_with(profile: Profile, environment: &[(&str, &str)]) -> Parked {
        let mut child = Command::new(program("parked", profile))
            .env("CORO_MONITOR", "off")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program that was just built starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line, "parked\n");
        let parked = Parked { child, _output: output };
        // Main has yet to wait. Then io does, for all of them: the one place where the process sleeps.
        while !fs::read_to_string(parked.proc("stat")).expect("it lives").contains(") S ") {
            thread::yield_now();
        }
        parked
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its file in /proc.
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    pub(crate) fn image(&self) -> Process {
        Process::open(self.child.id()).expect("a process may read its child's memory")
    }

    /// A core as GDB's `gcore` makes it. The process lives on.
    pub(crate) fn dump_core(&self) -> Core {
        let pid = self.child.id().to_string();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("parked.{pid}.core"));
        let gdb = gdb_with(&["-p", &pid], &[&format!("generate-core-file {}", path.display())]);
        let core = Core::open(&path).unwrap_or_else(|error| panic!("{}: {error}\n{gdb}", path.display()));
        fs::remove_file(&path).expect("a file just made can be removed");
        core
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // Whether it works or not, the test has its result.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
