//! One run of GDB or LLDB in batch mode, the output of each command by itself.
//!
//! Each command is framed by lines `BEGIN number` and `END number`, so that a test matches a block alone, and
//! neither what the debugger says at its start nor the next command's output. The user's start-up files are
//! not read, nothing is fetched from the network, and standard input is empty.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one debugger said, command by command.
#[derive(Debug)]
pub(crate) struct Transcript {
    /// Each command with its output.
    blocks: Vec<(String, String)>,
    /// All of it, for messages.
    whole: String,
}

impl Transcript {
    /// Of commands with their outputs.
    pub(crate) fn of(blocks: Vec<(String, String)>) -> Transcript {
        let whole = blocks.iter().map(|(command, text)| format!("{command}\n{text}")).collect();
        Transcript { blocks, whole }
    }

    /// The output of a command that was given once.
    #[track_caller]
    pub(crate) fn block(&self, command: &str) -> &str {
        let blocks: Vec<&str> = self.blocks(command).collect();
        assert!(blocks.len() == 1, "`{command}` was given {} times, not once:\n{self}", blocks.len());
        blocks[0]
    }

    /// The outputs of a command that was given several times, in order.
    pub(crate) fn blocks(&self, command: &str) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter(move |(name, _)| name == command).map(|(_, text)| text.as_str())
    }

    /// All of it: of all commands, and what stands around them.
    pub(crate) fn whole(&self) -> &str {
        &self.whole
    }

    /// The output of the command at a position.
    pub(crate) fn nth_block(&self, number: usize) -> &str {
        &self.blocks[number].1
    }

    /// Takes the output apart; panics if the debugger has not come to the end of all commands.
    fn parse(whole: String, commands: &[&str]) -> Transcript {
        let block = |(number, command): (usize, &&str)| {
            let (begin, end) = (format!("\nBEGIN {number}\n"), format!("END {number}\n"));
            let text = whole.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
            let (text, _) = text
                .unwrap_or_else(|| panic!("the debugger did not come to the end of `{command}`:\n{whole}"));
            (String::from(*command), text.to_owned())
        };
        let blocks = commands.iter().enumerate().map(block).collect();
        Transcript { blocks, whole }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

/// Runs GDB on a program, which it does not start.
#[track_caller]
pub(crate) fn gdb(program: &Path, arguments: &[&str], commands: &[&str]) -> Transcript {
    let mut options = vec![OsStr::new("--args"), program.as_os_str()];
    options.extend(arguments.iter().map(OsStr::new));
    gdb_with(&options, commands)
}

/// Runs GDB with options of its own: `-p PID`, `PROGRAM CORE`, `--args PROGRAM …`.
#[track_caller]
pub(crate) fn gdb_with(options: &[impl AsRef<OsStr>], commands: &[&str]) -> Transcript {
    let mut gdb = Command::new("gdb");
    // The debuggee's monitor would be one more thread in all that is said.
    gdb.env("CORO_MONITOR", "off");
    gdb.args(["-nx", "-q", "-batch"]);
    for setting in [
        "debuginfod enabled off",
        "pagination off",
        "confirm off",
        "width 0",
        "height 0",
        // Programs have scripts in them; GDB would say that it does not run these.
        "auto-load python-scripts off",
    ] {
        gdb.arg("-iex").arg(format!("set {setting}"));
    }
    // GDB takes scripts and commands in the order in which they are given; what stands behind --args is the program's.
    let end = options.iter().position(|option| option.as_ref() == "--args").unwrap_or(options.len());
    gdb.args(&options[..end]);
    for (number, command) in commands.iter().enumerate() {
        gdb.arg("-ex").arg(format!("echo \\nBEGIN {number}\\n"));
        gdb.arg("-ex").arg(command);
        gdb.arg("-ex").arg(format!("echo END {number}\\n"));
    }
    gdb.args(&options[end..]);
    Transcript::parse(run(gdb), commands)
}

/// Runs LLDB on a program, which it does not start.
#[track_caller]
pub(crate) fn lldb(program: &Path, arguments: &[&str], commands: &[&str]) -> Transcript {
    let mut options = vec![OsStr::new("--"), program.as_os_str()];
    options.extend(arguments.iter().map(OsStr::new));
    lldb_with(&options, commands)
}

/// Runs LLDB with options of its own: `-p PID`, `-c CORE PROGRAM`, `-- PROGRAM …`.
#[track_caller]
pub(crate) fn lldb_with(options: &[impl AsRef<OsStr>], commands: &[&str]) -> Transcript {
    let mut lldb = Command::new(lldb_name());
    // As above.
    lldb.env("CORO_MONITOR", "off");
    lldb.args(["--no-lldbinit", "-b", "-Q"]);
    for (number, command) in commands.iter().enumerate() {
        lldb.arg("-o").arg(format!("script print('\\nBEGIN {number}')"));
        lldb.arg("-o").arg(command);
        lldb.arg("-o").arg(format!("script print('END {number}')"));
    }
    lldb.args(options);
    Transcript::parse(run(lldb), commands)
}

/// As [`lldb_with`], for commands of which some may fail: LLDB goes on with the next one. They stand in a file, which LLDB
/// reads once the program is there.
#[track_caller]
pub(crate) fn lldb_going_on(options: &[impl AsRef<OsStr>], commands: &[impl AsRef<str>]) -> Transcript {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("commands.{}.{number}", std::process::id()));
    let commands: Vec<&str> = commands.iter().map(AsRef::as_ref).collect();
    let mut text = String::new();
    for (number, command) in commands.iter().enumerate() {
        // The formatting of a number and a command can't fail.
        let _ = writeln!(text, "script print('\\nBEGIN {number}')\n{command}\nscript print('END {number}')");
    }
    fs::write(&file, text).expect("the tests' folder can be written to");
    let mut lldb = Command::new(lldb_name());
    // As above.
    lldb.env("CORO_MONITOR", "off");
    lldb.args(["--no-lldbinit", "-b", "-Q", "-o"]).arg(format!("command source -e false {}", file.display()));
    // As above.
    lldb.env("CORO_MONITOR", "off");
    // Paths are shown from here on.
    lldb.args(options).current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = run(lldb);
    fs::remove_file(&file).expect("a file just made can be removed");
    // Each command is repeated by LLDB before its output.
    let said =
        said.lines().filter(|line| !line.starts_with("(lldb) ")).map(|line| line.to_owned() + "\n").collect();
    Transcript::parse(said, &commands)
}

/// Runs a debugger to its end; what it wrote to either output, in the order in which it did.
#[track_caller]
fn run(mut debugger: Command) -> String {
    let (mut output, input) = io::pipe().expect("a process may have one more pipe");
    let errors = input.try_clone().expect("a process may have one more descriptor");
    debugger.stdin(Stdio::null()).stdout(input).stderr(errors);
    // Messages in the language that is matched; no question to a server for debug information.
    debugger.env("LC_ALL", "C").env_remove("DEBUGINFOD_URLS");
    // Scripts lie in the source tree: no `__pycache__` beside them.
    debugger.env("PYTHONDONTWRITEBYTECODE", "1");
    let name = debugger.get_program().to_string_lossy().into_owned();
    let mut child = debugger
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not start ({error}): tests/install.sh installs it"));
    // Our copies of the pipe's other end: with them open, reading would not come to an end.
    drop(debugger);
    let mut text = Vec::new();
    output.read_to_end(&mut text).expect("a pipe can be read");
    let status = child.wait().expect("the child is ours to wait for");
    let mut text = String::from_utf8_lossy(&text).into_owned();
    write!(text, "\n({name}: {status})\n").expect("a String takes all");
    text
}

pub(crate) fn lldb_name() -> &'static str {
    if is_in_path("lldb-19") { "lldb-19" } else { "lldb" }
}

/// LLDB's program for editors.
pub(crate) fn lldb_dap_name() -> &'static str {
    if is_in_path("lldb-dap-19") { "lldb-dap-19" } else { "lldb-dap" }
}

fn is_in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
