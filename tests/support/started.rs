//! What the lines mean by which a page's session starts a debugger: `./main park 20 &`, `gdb -q -p $!`.
//!
//! A program in the background is attached to when it has come to rest.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::debuggee::may_be_traced;
use super::events::waits_for_events;
use super::killed::Killed;
use super::{Profile, program};

/// The debugger's options, and the programs to which it is attached: `debugger` is how its line begins, `main` where
/// `./main` lies.
#[track_caller]
pub(crate) fn options(starts: &[&str], debugger: &str, main: &str) -> (Vec<OsString>, Vec<Started>) {
    let (line, before) = starts.split_last().expect("a session starts its debugger");
    let started: Vec<Started> = before.iter().map(|line| Started::of(line, main)).collect();
    let words = line.strip_prefix(debugger).expect("a session starts its debugger").split(' ');
    let option = |word| match word {
        "$!" => started.last().expect("a program was started").pid().into(),
        "./main" => main.into(),
        _ if word.starts_with("./target/") => path_of(word, main).into(),
        _ => word.into(),
    };
    (words.map(option).collect(), started)
}

/// Keeps from all who are started what this process was given beyond its standard streams: shells and `cargo` leave
/// descriptors open, and with them the numbers of all that a program opens are others.
fn keep_inherited_descriptors() {
    // SAFETY: no descriptor is closed; those which are to be inherited, the standard streams, are left as they are.
    let result = unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
    assert_eq!(result, 0, "close_range: {}", std::io::Error::last_os_error());
}

/// Killed in the end.
pub(crate) struct Started(Killed);

impl Started {
    /// The program of a line like `./main park 20 &`, when it waits for events, or, in vain, computes for ever.
    #[track_caller]
    pub(crate) fn of(line: &str, main: &str) -> Started {
        keep_inherited_descriptors();
        let mut words = line.strip_suffix(" &").expect("it runs in the background").split(' ');
        let path = path_of(words.next().expect("there is a program"), main);
        let mut command = Command::new(&path);
        let child = may_be_traced(&mut command)
            .env("CORO_MONITOR", "off")
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", path.display()));
        let mut started = Started(Killed(child));
        let mut output = started.0.stdout.take().expect("a pipe was asked for");
        // It says something when it is where it is to be looked at, and goes on talking for a moment.
        let mut first = [0];
        output.read_exact(&mut first).expect("it says something");
        thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        if !line.contains("hang") {
            let folder = PathBuf::from(format!("/proc/{}", started.pid()));
            while !waits_for_events(&folder).expect("it lives") {
                thread::yield_now();
            }
        }
        started
    }

    pub(crate) fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

/// Where the program lies that a page calls `./main` or `target/debug/examples/NAME`.
fn path_of(word: &str, main: &str) -> PathBuf {
    if word == "./main" {
        return Path::new(main).to_owned();
    }
    let name = word.rsplit('/').next().expect("a path has a last part");
    program(name, Profile::Debug)
}
