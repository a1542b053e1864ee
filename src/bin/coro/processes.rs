//! The processes of this machine that have a coroutine runtime in them, as far as they can be looked at.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fmt::Write as _, io, process};

use nix::unistd::geteuid;

use crate::elf;
use crate::problem::Problem;

/// A process with coroutines.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// As `ps` shows it: at most 15 bytes.
    pub(crate) name: String,
    pub(crate) threads: usize,
    pub(crate) program: PathBuf,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Processes {
    /// Those with coroutines, by their numbers.
    pub(crate) found: Vec<Process>,
    /// How many others' processes could not be looked at.
    pub(crate) unreadable: usize,
}

/// Looks at all processes.
pub(crate) fn look() -> Result<Processes, Problem> {
    let entries = fs::read_dir("/proc")
        .map_err(|error| Problem(format!("can't look for processes: /proc can't be read: {error}")))?;
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut known = HashMap::new();
    let mut processes = Processes { found: Vec::new(), unreadable: 0 };
    for pid in pids.into_iter().filter(|pid| *pid != process::id()) {
        match has_runtime(pid, &mut known) {
            Ok(true) => processes.found.extend(describe(pid)),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => processes.unreadable += 1,
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(processes)
}

/// Whether a file that a process executes has a runtime in it. `known`: what was found of files before, by device and number.
fn has_runtime(pid: u32, known: &mut HashMap<(u64, u64), bool>) -> io::Result<bool> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut looked_at = Vec::new();
    for line in maps.lines() {
        let Some(path) = executed_file(line) else { continue };
        if looked_at.contains(&path) {
            continue;
        }
        looked_at.push(path);
        // As the process sees it, which may be in a container.
        let path = format!("/proc/{pid}/root{path}");
        if is_known(Path::new(&path), known) {
            return Ok(true);
        }
    }
    // A program that has been deleted, or replaced, since it was started.
    Ok(is_known(Path::new(&format!("/proc/{pid}/exe")), known))
}

fn is_known(path: &Path, known: &mut HashMap<(u64, u64), bool>) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    // A device that was mapped may do something when it is opened.
    metadata.is_file()
        && *known
            .entry((metadata.dev(), metadata.ino()))
            .or_insert_with(|| File::open(path).is_ok_and(elf::has_runtime))
}

/// The file of a line of `maps`, if what is mapped of it may be executed.
fn executed_file(line: &str) -> Option<&str> {
    let permissions = line.split(' ').nth(1)?;
    let path = &line[line.find('/')?..];
    (permissions.as_bytes().get(2) == Some(&b'x')).then_some(path)
}

fn describe(pid: u32) -> Option<Process> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Process {
        pid,
        name: name.trim_end().escape_debug().to_string(),
        threads: fs::read_dir(format!("/proc/{pid}/task")).ok()?.count(),
        program: fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default(),
    })
}

/// The answer of `coro ps`.
pub(crate) fn table(processes: &Processes) -> String {
    let mut text = String::new();
    if !processes.found.is_empty() {
        let _ = writeln!(text, "{:>7}  {:<15}  {:>7}  PROGRAM", "PID", "NAME", "THREADS");
    }
    for Process { pid, name, threads, program } in &processes.found {
        let _ = writeln!(text, "{pid:>7}  {name:<15}  {threads:>7}  {}", program.display());
    }
    if processes.found.is_empty() {
        text.push_str("no process with coroutines was found\n");
    }
    if processes.unreadable > 0 {
        let noun = if processes.unreadable == 1 { "process" } else { "processes" };
        let advice = if geteuid().is_root() { "" } else { ", as root can" };
        let _ = writeln!(text, "{} {noun} could not be looked at{advice}", processes.unreadable);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_executed_are_told_from_others() {
        let line =
            |permissions: &str, path: &str| format!("7f00-8f00 {permissions} 00001000 fe:00 123   {path}");
        assert_eq!(executed_file(&line("r-xp", "/lib/a b.so")), Some("/lib/a b.so"));
        assert_eq!(executed_file(&line("r--p", "/lib/a.so")), None);
        assert_eq!(executed_file(&line("r-xp", "[vdso]")), None);
        assert_eq!(executed_file(""), None);
    }

    #[test]
    fn table_says_what_could_not_be_looked_at() {
        let one = Process { pid: 12, name: "a".into(), threads: 2, program: "/bin/a".into() };
        let text = table(&Processes { found: vec![one], unreadable: 1 });
        assert!(text.starts_with("    PID  NAME ") && text.contains("\n     12  a  "), "{text}");
        assert!(text.contains("\n1 process could not be looked at"), "{text}");
        assert_eq!(
            table(&Processes { found: vec![], unreadable: 0 }),
            "no process with coroutines was found\n"
        );
    }
}
