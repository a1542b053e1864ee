//! What is to be looked at: a process or a core, by a number, a path or a name.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::elf::{self, Kind};
use crate::problem::Problem;
use crate::processes::{self, Process};

/// What a debugger can be started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A running process.
    Process(u32),
    /// A core, and the program that it is of, where that is known.
    Core { core: PathBuf, program: Option<PathBuf> },
    /// A program that can be started.
    Program(PathBuf),
}

impl Target {
    /// By what a user has named: a process's number, a file, or the name of a process. `program`: of which a core is, if
    /// it was said.
    pub(crate) fn find(name: &str, program: Option<&Path>) -> Result<Target, Problem> {
        let target = Target::named(name, program)?;
        if program.is_some() && !matches!(target, Target::Core { .. }) {
            return Err(Problem(format!(
                "`--program` says of which program a core is, and `{name}` is no core"
            )));
        }
        Ok(target)
    }

    fn named(name: &str, program: Option<&Path>) -> Result<Target, Problem> {
        let path = Path::new(name);
        if let Ok(pid) = name.parse() {
            return process(pid);
        }
        let kind = elf::kind(path);
        let is_missing = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        if kind.as_ref().is_err_and(is_missing) {
            let is_it =
                |process: &Process| process.name == name || process.program.file_name() == path.file_name();
            return match processes::look()?.found.into_iter().filter(is_it).collect::<Vec<_>>().as_slice() {
                [] => Err(Problem(format!(
                    "there is no file `{name}`, and no process of that name which has coroutines; `coro ps` lists those \
                     that have some"
                ))),
                [one] => process(one.pid),
                several => Err(several_of(&format!("are named `{name}`"), several)),
            };
        }
        match kind.map_err(|error| Problem(format!("`{name}` can't be opened: {error}")))? {
            Kind::Core => core(path, program),
            Kind::Program => Ok(Target::Program(path.to_owned())),
            Kind::Other => {
                Err(Problem(format!("`{name}` is no core, and no program for x86-64 Linux that can be read")))
            }
        }
    }

    /// In place of a program the process that executes it.
    pub(crate) fn running(self) -> Result<Target, Problem> {
        let Target::Program(program) = &self else { return Ok(self) };
        let name = program.display();
        let file = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        let is_it =
            |process: &Process| file(Path::new(&format!("/proc/{}/exe", process.pid))) == file(program);
        match processes::look()?.found.into_iter().filter(is_it).collect::<Vec<_>>().as_slice() {
            [] => Err(Problem(format!(
                "`{name}` is a program, and no process with coroutines executes it: `coro gdb {name}` starts it in GDB"
            ))),
            [one] => process(one.pid),
            several => Err(several_of(&format!("execute `{name}`"), several)),
        }
    }
}

fn several_of(what: &str, processes: &[Process]) -> Problem {
    let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
    Problem(format!("{} processes {what}: say which, {}", pids.len(), pids.join(" or ")))
}

/// A process that a debugger can attach to, as far as that can be told.
pub(crate) fn process(pid: u32) -> Result<Target, Problem> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| {
        Problem(format!("there is no process {pid}; `coro ps` lists those that have coroutines"))
    })?;
    let of = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    if of("Tgid").is_some_and(|first| first != pid.to_string()) {
        let first = of("Tgid").unwrap_or("");
        return Err(Problem(format!("{pid} is a thread of process {first}: `{first}` is what to look at")));
    }
    if of("State").is_some_and(|state| state.starts_with('Z')) {
        return Err(Problem(format!("process {pid} has ended, and only waits for its parent to notice")));
    }
    match of("TracerPid").unwrap_or("0") {
        "0" => Ok(Target::Process(pid)),
        tracer => Err(Problem(format!(
            "process {pid} is being looked at by process {tracer}{}: only one debugger can be attached, so detach that, \
             or give it the command",
            fs::read_to_string(format!("/proc/{tracer}/comm"))
                .map_or(String::new(), |name| format!(" ({})", name.trim_end()))
        ))),
    }
}

fn core(path: &Path, program: Option<&Path>) -> Result<Target, Problem> {
    let name = path.display();
    if let Some(program) = program {
        let program_name = program.display();
        match elf::kind(program) {
            Ok(Kind::Program) => {}
            Ok(_) => return Err(Problem(format!("`--program {program_name}`: that is no program"))),
            Err(error) => {
                return Err(Problem(format!("`--program {program_name}`: that can't be opened: {error}")));
            }
        }
    }
    match elf::missing(path) {
        Ok(0) | Err(_) => {}
        Ok(missing) => eprintln!(
            "coro: {name} is cut short, {missing} bytes of it are missing (was the disk full, or `ulimit -c` small?): \
             whatever was in them is missing in the answer, which may be wrong"
        ),
    }
    let dumped = elf::program_of_core(path);
    let is_other_build = |program: &Path| {
        let own = dumped.as_ref().and_then(|dumped| dumped.build_id.clone());
        let there = elf::build_id(program);
        own.is_some() && there.is_some() && own != there
    };
    if let Some(program) = program.filter(|program| is_other_build(program)) {
        eprintln!(
            "coro: {} is another program than the one of which {name} is, or another build of it: functions, lines and \
             variables are wrong or missing",
            program.display()
        );
    }
    let program = program.map(Path::to_owned).or_else(|| {
        let told = &dumped.as_ref()?.path;
        if told.exists() && is_other_build(told) {
            // Left out it is for GDB; LLDB takes it by its name, whatever build it is.
            eprintln!(
                "coro: {name} is a core of another build of {} than the one that is there now: functions, lines and \
                 variables are wrong or missing; `--program FILE` says where that build is",
                told.display()
            );
            return None;
        }
        if told.exists() {
            return Some(told.clone());
        }
        eprintln!(
            "coro: {} is a core of {}, which isn't there: names and lines will be missing; `--program FILE` says where \
             it is",
            name,
            told.display()
        );
        None
    });
    Ok(Target::Core { core: path.to_owned(), program })
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    fn refusal(name: &str) -> String {
        Target::find(name, None).unwrap_err().0
    }

    #[test]
    fn numbers_are_processes() {
        assert_eq!(Target::find(&process::id().to_string(), None), Ok(Target::Process(process::id())));
        assert!(refusal("4194305").starts_with("there is no process 4194305; `coro ps` lists"));
    }

    #[test]
    fn files_are_told_apart_and_names_are_looked_for() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(Target::find(own.to_str().unwrap(), None), Ok(Target::Program(own.clone())));
        assert!(refusal(file!()).ends_with("is no core, and no program for x86-64 Linux that can be read"));
        assert_eq!(
            Target::find("/proc/self/exe", Some(Path::new("/bin/sh"))).unwrap_err().0,
            "`--program` says of which program a core is, and `/proc/self/exe` is no core"
        );
        assert!(refusal("no-such-name").starts_with("there is no file `no-such-name`, and no process"));
        let refused = Target::Program("/bin/sh".into()).running().unwrap_err().0;
        assert!(
            refused.starts_with("`/bin/sh` is a program, and no process with coroutines executes it"),
            "{refused}"
        );
    }
}
