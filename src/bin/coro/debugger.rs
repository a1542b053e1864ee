//! The debugger that is installed, and how it is started on a target with the scripts loaded.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use clap::ValueEnum;

use crate::problem::Problem;
use crate::scripts;
use crate::target::Target;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Gdb,
    Lldb,
}

/// A debugger to be started for a user, who then types.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) kind: Kind,
    pub(crate) target: String,
    /// Of which a core is, if it was said.
    pub(crate) program: Option<PathBuf>,
    /// The arguments of a program that is started.
    pub(crate) arguments: Vec<OsString>,
}

/// The oldest LLDB that the scripts know.
const OLDEST_LLDB: u32 = 15;

/// One that is installed.
#[derive(Debug)]
pub(crate) struct Debugger {
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
}

impl Debugger {
    /// The one that was asked for, or GDB, or else LLDB.
    pub(crate) fn find(asked: Option<Kind>) -> Result<Debugger, Problem> {
        let found = match asked {
            Some(Kind::Gdb) => gdb(),
            Some(Kind::Lldb) => lldb(),
            None => gdb().or_else(lldb),
        };
        found.ok_or_else(|| {
            let what = match asked {
                Some(Kind::Gdb) => "GDB isn't installed: there is no `gdb` on the PATH; `apt-get install gdb` brings it",
                Some(Kind::Lldb) => {
                    "LLDB isn't installed: there is no `lldb` on the PATH; `apt-get install lldb-19 python3-lldb-19` brings \
                     it"
                }
                None => {
                    "neither GDB nor LLDB is installed: there is no `gdb` and no `lldb` on the PATH; `apt-get install gdb` \
                     brings one"
                }
            };
            Problem(what.into())
        })
    }

    /// The debugger on a target, to which `last` is said when all is loaded; without that, a user says what.
    pub(crate) fn command(
        &self,
        target: &Target,
        arguments: &[OsString],
        last: Option<&str>,
    ) -> Result<Command, Problem> {
        let scripts = scripts::unpacked()?;
        let mut command = Command::new(&self.path);
        match self.kind {
            Kind::Gdb => gdb_on(&mut command, &scripts, target, arguments, last),
            Kind::Lldb => lldb_on(&mut command, &scripts, target, arguments, last)?,
        }
        Ok(command)
    }
}

fn gdb_on(
    command: &mut Command,
    scripts: &Path,
    target: &Target,
    arguments: &[OsString],
    last: Option<&str>,
) {
    if let Some(last) = last {
        // Without the user's settings, a download of debug information, and the scripts that programs carry themselves.
        command.args(["-q", "-nx", "-batch", "-iex", "set debuginfod enabled off"]);
        command.args(["-iex", "set auto-load python-scripts off", "-ex", last]);
    }
    // Before `-ex`, wherever it stands.
    command.arg("-ix").arg(scripts.join("gdb/coro.py"));
    match target {
        // With the program named GDB reads its symbols before it attaches, and the process stands still half as long. By itself
        // it would not find one that has been deleted.
        Target::Process(pid) => {
            let program = executed_by(*pid).map(|executed| match executed {
                Executed::Named(path) => path,
                Executed::Only { link, .. } => link,
            });
            command.args(program).args(["-p", &pid.to_string()])
        }
        Target::Core { core, program } => command.args(program).arg("-c").arg(core),
        Target::Program(program) => command.arg("--args").arg(program).args(arguments),
    };
}

fn lldb_on(
    command: &mut Command,
    scripts: &Path,
    target: &Target,
    arguments: &[OsString],
    last: Option<&str>,
) -> Result<(), Problem> {
    if last.is_some() {
        command.args(["--no-lldbinit", "-X", "-Q", "-b"]);
    }
    let script = scripts.join("lldb/coro.py").display().to_string();
    command
        .arg("-o")
        .arg(format!("command script import \"{}\"", script.replace('\\', "\\\\").replace('"', "\\\"")));
    command.args(last.into_iter().flat_map(|last| ["-o", last]));
    match target {
        Target::Process(pid) => {
            if let Some(Executed::Only { link, other }) = executed_by(*pid) {
                // LLDB would take that for the program, whatever it has been told before.
                if let Some(other) = other {
                    return Err(Problem(format!(
                        "process {pid} doesn't execute the `{}` which is there now, but one that was there before, or is in \
                         its container: LLDB would take the wrong one, GDB (`--debugger gdb`, `coro gdb {pid}`) does not",
                        other.display()
                    )));
                }
                command.arg("-O").arg(format!("target create {}", link.display()));
            }
            command.args(["-p", &pid.to_string()])
        }
        Target::Core { core, program } => command.arg("-c").arg(core).args(program),
        Target::Program(program) => command.arg("--").arg(program).args(arguments),
    };
    Ok(())
}

/// Where the file is that a process executes.
#[derive(Debug)]
enum Executed {
    /// Where the process found it.
    Named(PathBuf),
    /// To be had by the process's own link alone: it has been deleted, or replaced, or is in a container. `other`: the file
    /// that has its name here.
    Only { link: PathBuf, other: Option<PathBuf> },
}

/// The file that a process executes; `None`: we may not look.
fn executed_by(pid: u32) -> Option<Executed> {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    let file = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let path = fs::read_link(&link).ok()?;
    let executed = file(&link)?;
    if file(&path) == Some(executed) {
        return Some(Executed::Named(path));
    }
    // What the kernel appends to the name of a file that is gone.
    let name = path.as_os_str().as_bytes();
    let name = Path::new(OsStr::from_bytes(name.strip_suffix(b" (deleted)").unwrap_or(name)));
    let other = name.is_file().then(|| name.to_owned());
    Some(Executed::Only { link, other })
}

/// Becomes the debugger; returns only if that fails.
pub(crate) fn start(session: &Session) -> Result<ExitCode, Problem> {
    let Session { kind, target, program, arguments } = session;
    let debugger = Debugger::find(Some(*kind))?;
    let target = Target::find(target, program.as_deref())?;
    if !matches!(target, Target::Program(_)) && !arguments.is_empty() {
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        return Err(Problem(format!(
            "`{}`: only a program that is started takes arguments",
            words.join(" ")
        )));
    }
    let error = debugger.command(&target, arguments, None)?.exec();
    Err(Problem(format!("{} does not start: {error}", debugger.path.display())))
}

fn gdb() -> Option<Debugger> {
    let path = folders().map(|folder| folder.join("gdb")).find(|path| is_program(path))?;
    Some(Debugger { kind: Kind::Gdb, path })
}

/// The newest of those with a version in their names, as Debian has them, or else plain `lldb`.
fn lldb() -> Option<Debugger> {
    let versioned =
        folders().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.strip_prefix("lldb-")?.parse().ok()?;
            (version >= OLDEST_LLDB && is_program(&entry.path())).then(|| (version, entry.path()))
        });
    let newest = versioned.max_by_key(|(version, _)| *version).map(|(_, path)| path);
    let path =
        newest.or_else(|| folders().map(|folder| folder.join("lldb")).find(|path| is_program(path)))?;
    Some(Debugger { kind: Kind::Lldb, path })
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<PathBuf>>().into_iter()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
