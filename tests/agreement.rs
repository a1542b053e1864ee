//! GDB and LLDB agree on a program: which coroutines there are, their states, what they wait for, and each frame of theirs.
//!
//! A dozen programs and moments. What waits is looked at by attaching, one debugger after the other; what computes by the core of
//! the moment at which it was killed. tests/scripts/agree.py compares the snapshots which both write.

mod support;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use support::debuggee::{Debuggee, scratch};
use support::{Profile, gdb_with, lldb_going_on, program};

/// Has both debuggers write a snapshot, and compares; what was compared at least.
#[track_caller]
fn agree(gdb_options: &[OsString], lldb_options: &[OsString], coroutines: usize) {
    let folder = scratch("snapshots");
    let (by_gdb, by_lldb) = (folder.join("gdb.json"), folder.join("lldb.json"));
    let source = concat!("source ", env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py");
    let gdb = gdb_with(gdb_options, &[source, &format!("coro dump --json {}", by_gdb.display())]);
    let import = "command script import lldb/coro.py".to_owned();
    let lldb = lldb_going_on(lldb_options, &[import, format!("coro dump --json {}", by_lldb.display())]);
    let compared = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/agree.py"))
        .args([&by_gdb, &by_lldb])
        .output()
        .unwrap_or_else(|error| panic!("python3 does not start ({error}): tests/install.sh installs it"));
    let said = String::from_utf8_lossy(&compared.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&compared.stderr);
    assert!(compared.status.success() && !said.contains("DIFFERS"), "{said}\n{wrong}\n{gdb}\n{lldb}");
    let count = said.split_once("compared: ").and_then(|(_, rest)| rest.split(' ').next()).map(str::parse);
    assert!(count.is_some_and(|count| count.is_ok_and(|count: usize| count >= coroutines)), "{said}");
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

#[track_caller]
fn agree_on_process(debuggee: &Debuggee, coroutines: usize) {
    let options = debuggee.attach().map(OsString::from);
    agree(&options, &options, coroutines);
}

/// Kills the program when it has computed for so many ticks of the kernel's.
#[track_caller]
fn agree_on_core(file: &Path, arguments: &[&str], ticks: u64, coroutines: usize) {
    let mut command = vec!["-c", "ulimit -c unlimited && exec \"$0\" \"$@\" > output"];
    let name = file.to_str().expect("a path is text");
    command.push(name);
    command.extend(arguments);
    let folder = scratch("moment");
    let mut child = Command::new("sh").args(command).current_dir(&folder).spawn().expect("there is a shell");
    loop {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("nobody has waited for it");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("a state").split(' ').collect();
        let is_itself = !stat.contains("(sh)");
        if fields[0] == "Z" || (is_itself && fields[11].parse::<u64>().expect("ticks") >= ticks) {
            break;
        }
        thread::yield_now();
    }
    // SAFETY: sends a signal to our own child, which we have not waited for.
    unsafe { libc::kill(child.id().try_into().expect("a process id"), libc::SIGABRT) };
    child.wait().expect("the child is ours to wait for");
    let mut files = fs::read_dir(&folder).expect("the folder is ours").flatten().map(|entry| entry.path());
    let core = files.find(|path| !path.ends_with("output")).expect("the kernel writes cores into the folder");
    let of = |words: [&std::ffi::OsStr; 3]| words.map(OsString::from);
    let (core, file) = (core.as_os_str(), file.as_os_str());
    agree(&of(["-c".as_ref(), core, file]), &of(["-c".as_ref(), core, file]), coroutines);
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

#[test]
fn on_what_waits() {
    agree_on_process(&Debuggee::seen(Profile::Debug, "parked").asleep(), 7);
    agree_on_process(&Debuggee::seen(Profile::Release, "parked").asleep(), 7);
    let four = &mut Command::new(program("seen", Profile::Debug));
    agree_on_process(&Debuggee::start(four.args(["parked", "4"])).asleep(), 16);
    agree_on_process(&Debuggee::start(&mut Command::new(program("parked", Profile::Debug))).asleep(), 12);
    let mut park = Debuggee::start_unheard(Command::new(env!("CARGO_BIN_EXE_main")).args(["park", "60"]));
    assert!(park.line().contains("60"));
    agree_on_process(&park.asleep(), 63);
    let mut stuck = Debuggee::start_unheard(Command::new(env!("CARGO_BIN_EXE_main")).arg("deadlock"));
    assert!(!stuck.line().is_empty());
    agree_on_process(&stuck.asleep(), 6);
}

#[test]
fn on_what_computes() {
    let main = Path::new(env!("CARGO_BIN_EXE_main"));
    agree_on_core(main, &["hang"], 10, 5);
    agree_on_core(main, &["overflow", "recursion"], u64::MAX, 4);
    let relay = program("relay", Profile::Debug);
    for ticks in [5, 40] {
        agree_on_core(&relay, &["3", "20", "1000000000"], ticks, 60);
    }
    // Four workers: each has its three, one that joins, and 20.
    agree_on_core(&relay, &["4", "20", "1000000000", "workers"], 25, 96);
}
