//! The program `coro`: what it answers is what the debuggers say, of processes and of cores; and what it says when there is
//! no answer. `CORO_REGENERATE=1 cargo test --test inspector page` writes the sessions of its page anew.

#[path = "inspector/letting_go.rs"]
mod letting_go;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use pretty_assertions::assert_eq;

use support::debuggee::{Debuggee, scratch};
use support::started::Started;
use support::{Profile, Transcript, gdb_with, lldb_with, page, program};

/// What was printed.
struct Answer {
    is_success: bool,
    out: String,
    err: String,
}

/// `coro`, with its scripts in the target folder.
fn coro(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coro"));
    command.args(words).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

#[track_caller]
fn answer_of(command: &mut Command) -> Answer {
    let output = command.output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    Answer { is_success: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}

/// The answer to what is answered without a complaint.
#[track_caller]
fn answer(words: &[&str]) -> String {
    let Answer { is_success, out, err } = answer_of(&mut coro(words));
    assert!(is_success && err.is_empty(), "{words:?}:\n{out}{err}");
    out
}

/// The complaint about what can't be answered.
#[track_caller]
fn complaint(words: &[&str]) -> String {
    let Answer { is_success, out, err } = answer_of(&mut coro(words));
    assert!(!is_success && out.is_empty(), "{words:?}:\n{out}{err}");
    err
}

/// Copies a program, with another build id.
fn rebuilt(program: &Path, to: &Path) {
    let mut bytes = fs::read(program).unwrap();
    // Owner and type of the note: the id stands behind them.
    let note = bytes.windows(8).position(|window| window == b"\x03\0\0\0GNU\0").expect("it has a build id");
    bytes[note + 8] ^= 0xff;
    fs::write(to, bytes).unwrap();
}

/// A program of a name that no other process has.
struct OwnName {
    folder: PathBuf,
    path: PathBuf,
    name: String,
}

impl OwnName {
    fn of(profile: Profile) -> OwnName {
        let folder = scratch("inspected");
        let name = format!("own-{}", folder.extension().expect("it is numbered").display());
        let name = format!("{name}-{}", std::process::id());
        let path = folder.join(&name);
        // By a child: what this process has open for writing, others that are just being started may have, too, and then it
        // can't be executed.
        let copied = Command::new("cp").arg(program("seen", profile)).arg(&path).status();
        assert!(copied.expect("cp starts").success(), "it can be copied");
        OwnName { folder, path, name }
    }

    fn start(&self) -> Debuggee {
        Debuggee::start(Command::new(&self.path).arg("parked")).asleep()
    }
}

impl Drop for OwnName {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Without times, which differ from one look to the next.
fn timeless(text: &str) -> Vec<String> {
    let is_time = |word: &&str| {
        let word = word.trim_end_matches([':', ',']);
        word.parse::<f64>().is_ok() || ["ns", "us", "ms", "s", "min", "h"].contains(&word)
    };
    let line =
        |line: &str| line.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<&str>>().join(" ");
    text.lines().map(line).collect()
}

#[test]
fn times_are_left_out_with_what_stands_behind_them() {
    assert_eq!(timeless("parked for 1 min 3.5 s: read"), timeless("parked  for 999.1 ms: read"));
    assert_ne!(timeless("parked for 1 s: read"), timeless("parked for 1 s: write"));
}

#[test]
fn page_is_what_it_says() {
    page::check("debug-docs/inspector.md", page::SHELL, |starts, commands| {
        let main = env!("CARGO_BIN_EXE_main");
        let started = Started::of(starts[0], main);
        let answer_to = |command: &&str| {
            let words: Vec<String> =
                command.split(' ').map(|word| word.replace("$!", &started.pid())).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            (command.to_string(), answer(&words))
        };
        Transcript::of(commands.iter().map(answer_to).collect())
    });
}

#[test]
fn answers_are_the_debuggers_own_and_the_process_goes_on() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let pid = debuggee.pid();
    let commands = [
        "coro list -kind user -name ^r|^w",
        "coro bt reader",
        "coro why locker",
        "coro group wait -limit 3",
        "coro info reader",
    ];
    let gdb = gdb_with(&["-x", "gdb/coro.py", "-p", &pid], &commands);
    let script = "command script import lldb/coro.py";
    let lldb = lldb_with(&["-p", &pid], &[&[script], &commands[..]].concat());
    for command in commands {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        for (name, said) in [("gdb", &gdb), ("lldb", &lldb)] {
            let asked = [&[words[0], "--debugger", name, &pid], &words[1..]].concat();
            assert_eq!(timeless(&answer(&asked)), timeless(said.block(command)), "{name}: {command}");
        }
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("\nTracerPid:\t0\n"), "{status}");
    let _still_asleep = debuggee.asleep();
}

#[test]
fn core_finds_its_program_or_is_told_it() {
    let own = OwnName::of(Profile::Debug);
    let core = Debuggee::where_cores_go(&own.path, &["parked"], &[]).asleep().kernel_core();
    let core = core.path.to_str().unwrap();
    let list = answer(&["list", core]);
    assert!(list.lines().all(|line| !line.contains("warning")), "{list}");
    let reader = list.lines().find(|line| line.contains(" reader ")).unwrap_or_else(|| panic!("{list}"));
    assert!(reader.contains(" read fd ") && reader.contains("tests/programs/seen.rs:"), "{reader}");

    let moved = own.folder.join("moved");
    fs::rename(&own.path, &moved).unwrap();
    let Answer { is_success, out, err } = answer_of(&mut coro(&["list", core]));
    assert!(is_success && out.contains(" reader ") && !out.contains("seen.rs"), "{out}{err}");
    let gone = format!("coro: {core} is a core of {}, which isn't there: ", own.path.display());
    assert!(err.starts_with(&gone) && err.contains("`--program FILE`"), "{err}");
    // Another build in its place, which LLDB believes.
    rebuilt(&moved, &own.path);
    for debugger in ["gdb", "lldb"] {
        let Answer { is_success, out, err } =
            answer_of(&mut coro(&["bt", "--debugger", debugger, core, "reader"]));
        let sentence = format!("coro: {core} is a core of another build of {} than ", own.path.display());
        assert!(is_success && err.starts_with(&sentence), "{debugger}: {out}{err}");
        assert!(debugger == "lldb" || !out.contains("seen.rs"), "{debugger}: {out}");
        let told = own.path.to_str().unwrap();
        let Answer { err, .. } =
            answer_of(&mut coro(&["list", "--debugger", debugger, "--program", told, core]));
        assert!(err.starts_with(&format!("coro: {told} is another program than the one of which ")), "{err}");
    }
    for debugger in ["gdb", "lldb"] {
        let told = ["list", "--debugger", debugger, "--program", moved.to_str().unwrap(), core];
        let list = answer(&told);
        assert!(list.contains(" reader ") && list.contains("tests/programs/seen.rs:"), "{debugger}: {list}");
    }
    for (program, sentence) in [("no-such-file", "can't be opened: "), (core, "that is no program")] {
        let said = complaint(&["list", "--program", program, core]);
        assert!(said.starts_with(&format!("coro: `--program {program}`: that ")), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    // Its last page is no part of a list.
    let file = fs::File::options().write(true).open(core).unwrap();
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    let Answer { is_success, out, err } =
        answer_of(&mut coro(&["list", "--program", moved.to_str().unwrap(), core]));
    assert!(is_success && out.contains(" reader "), "{out}{err}");
    assert!(err.starts_with(&format!("coro: {core} is cut short, 4096 bytes of it are missing (")), "{err}");
}

#[test]
fn processes_are_found_by_name_and_by_program() {
    let own = OwnName::of(Profile::Debug);
    let path = own.path.to_str().unwrap();
    assert!(
        complaint(&["list", &own.name])
            .starts_with(&format!("coro: there is no file `{}`, and no ", own.name))
    );
    assert!(complaint(&["list", path]).contains("is a program, and no process with coroutines executes it"));

    let one = own.start();
    let row = |text: &str| text.lines().find(|line| line.ends_with(path)).map(str::to_owned);
    let processes = answer(&["ps"]);
    let found = row(&processes).unwrap_or_else(|| panic!("{processes}"));
    let name: String = own.name.chars().take(15).collect();
    assert_eq!(found.split_whitespace().take(3).collect::<Vec<_>>(), [&one.pid(), &name, "1"], "{found}");
    for target in [&own.name, path] {
        assert!(answer(&["list", target, "-name", "reader"]).contains(" reader "));
    }

    let other = own.start();
    let said = complaint(&["list", &own.name]);
    for pid in [one.pid(), other.pid()] {
        assert!(said.contains("2 processes are named") && said.contains(&pid), "{said}");
    }
    assert!(complaint(&["list", path]).contains("2 processes execute"));
}

#[test]
fn program_that_was_deleted_or_replaced_is_found_by_its_process() {
    let own = OwnName::of(Profile::Debug);
    let debuggee = own.start();
    let pid = debuggee.pid();
    fs::remove_file(&own.path).unwrap();
    let place = "tests/programs/seen.rs:";
    for debugger in ["gdb", "lldb"] {
        let list = answer(&["list", "--debugger", debugger, &pid, "-name", "reader"]);
        assert!(list.contains(" reader ") && list.contains(place), "{debugger}: {list}");
    }
    fs::write(&own.path, "another").unwrap();
    let list = answer(&["list", &pid, "-name", "reader"]);
    assert!(list.contains(" reader ") && list.contains(place), "{list}");
    let said = complaint(&["list", "--debugger", "lldb", &pid]);
    let other =
        format!("coro: process {pid} doesn't execute the `{}` which is there now, ", own.path.display());
    assert!(said.starts_with(&other), "{said}");
    let _still_asleep = debuggee.asleep();
}

#[test]
fn what_cannot_be_answered_is_a_sentence() {
    let mut debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let pid = debuggee.pid();
    for debugger in ["gdb", "lldb"] {
        let asked =
            |words: &[&str]| complaint(&[&[words[0], "--debugger", debugger, &pid], &words[1..]].concat());
        assert!(asked(&["bt", "4711"]).starts_with("coro: there is no coroutine 4711: "), "{debugger}");
        assert!(
            asked(&["list", "-stat", "parked"]).starts_with("coro: there is no filter `-stat`; "),
            "{debugger}"
        );
        assert!(
            asked(&["list", "-name", "it's ("]).starts_with("coro: `-name it's (`: that is no reg"),
            "{debugger}"
        );
        assert!(asked(&["dump"]).starts_with("coro: `coro dump` wants one file name, or `-`"), "{debugger}");
    }
    assert!(complaint(&["list", "4194305"]).starts_with("coro: there is no process 4194305; "));
    assert!(complaint(&["list", "Cargo.toml"]).contains("`Cargo.toml` is no core, and no program"));
    assert!(complaint(&["gdb", &pid, "word"]).contains("only a program that is started takes arguments"));
    assert!(debuggee.lives());

    let mut stranger = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    for debugger in ["gdb", "lldb"] {
        let said = complaint(&["list", "--debugger", debugger, &stranger.id().to_string()]);
        assert!(said.starts_with("coro: this program has no coro runtime"), "{said}");
    }
    drop(stranger.stdin.take());
    stranger.wait().unwrap();
    let zombie = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let has_ended = || fs::read_to_string(format!("/proc/{}/stat", zombie.id())).unwrap().contains(") Z ");
    while !has_ended() {
        thread::yield_now();
    }
    assert!(
        complaint(&["list", &zombie.id().to_string()]).contains(" has ended, and only waits for its parent")
    );
    let _ = { zombie }.wait();
}

#[test]
fn process_that_a_debugger_has_says_so() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let shell = format!("shell {} list {}", env!("CARGO_BIN_EXE_coro"), debuggee.pid());
    let said = gdb_with(&debuggee.attach(), &[&shell]);
    let sentence = format!("coro: process {} is being looked at by process ", debuggee.pid());
    assert!(said.whole().contains(&sentence) && said.whole().contains("(gdb): only one debugger"), "{said}");
}

#[test]
fn debugger_that_is_missing_is_named() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let pid = debuggee.pid();
    let nothing = scratch("empty");
    let said = |words: &[&str]| answer_of(coro(words).env("PATH", &nothing)).err;
    assert!(said(&["list", &pid]).starts_with("coro: neither GDB nor LLDB is installed: "));
    assert!(said(&["gdb", &pid]).starts_with("coro: GDB isn't installed: "));
    assert!(
        said(&["list", "--debugger", "lldb", &pid]).contains("`apt-get install lldb-19 python3-lldb-19`")
    );
    // One that does nothing of what is asked: its words are told.
    let odd = nothing.join("gdb");
    let script = "printf '#!/bin/sh\necho \"odd: this is not GDB\" >&2\nexit 9\n' >$0 && chmod +x $0";
    assert!(Command::new("sh").args(["-c", script]).arg(&odd).status().unwrap().success());
    let told =
        answer_of(coro(&["list", &pid]).env("PATH", format!("{}:/usr/bin:/bin", nothing.display()))).err;
    assert!(told.contains(" gave no answer. It says:\n  odd: this is not GDB"), "{told}");
    fs::remove_dir_all(nothing).unwrap();
}

#[test]
fn debuggers_start_with_the_commands_loaded() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let folder = scratch("session");
    let commands = folder.join("commands");
    fs::write(&commands, "coro list -name reader\nquit\n").unwrap();
    for debugger in ["gdb", "lldb"] {
        let input = fs::File::open(&commands).unwrap();
        // LLDB ends what it has started only when it was told not to ask.
        let mut command = coro(&[debugger, &debuggee.pid()]);
        let answer = answer_of(command.stdin(input).env("DEBUGINFOD_URLS", ""));
        assert!(
            answer.out.contains(" reader ") && answer.out.contains("read fd "),
            "{}{}",
            answer.out,
            answer.err
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn snapshot_goes_to_the_output_and_who_reads_may_stop() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    for debugger in ["gdb", "lldb"] {
        let words = ["dump", "--debugger", debugger, &debuggee.pid(), "--json", "-"];
        let json = answer(&words);
        assert!(json.starts_with("{\"format\": \"coro snapshot\"") && json.ends_with("\n]}\n"), "{json}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = coro(&words).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{debugger}");
        assert!(ended.status.success(), "{debugger}");
    }
}

#[test]
fn answer_that_cannot_be_written_is_an_error() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    for words in [&["list", &debuggee.pid()][..], &["ps"], &["scripts"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = coro(words).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        let is_said = said.starts_with("coro: can't write the answer: ");
        assert!(!ended.status.success() && is_said, "{words:?}: {said}");
    }
}

#[test]
fn scripts_are_this_users_alone() {
    let cache = scratch("cache");
    let scripts = || answer_of(coro(&["scripts"]).env("XDG_CACHE_HOME", &cache));
    let folder = PathBuf::from(scripts().out.trim_end());
    assert!(folder.starts_with(&cache), "{}", folder.display());
    let script = folder.join("lldb/coro.py");
    let text = fs::read(&script).unwrap();
    assert_eq!(text, fs::read("lldb/coro.py").unwrap());
    // What was changed is written anew.
    fs::write(&script, "import os").unwrap();
    assert!(scripts().is_success);
    assert_eq!(fs::read(&script).unwrap(), text);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = scripts();
    assert!(
        !refused.is_success && refused.err.contains("may be somebody else's: remove it"),
        "{}",
        refused.err
    );
    // Nor may another put one in its place. A folder like /tmp, where each has their own, will do.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    for (above, advice) in [(cache.join("coro"), "remove it"), (cache.clone(), "set XDG_CACHE_HOME to")] {
        fs::set_permissions(&above, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = scripts();
        let said = format!("coro: the folder {} isn't of user ", above.display());
        assert!(!refused.is_success && refused.err.starts_with(&said), "{}", refused.err);
        assert!(refused.err.contains(advice), "{}", refused.err);
        fs::set_permissions(&above, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(scripts().is_success);
    }
    fs::remove_dir_all(&cache).unwrap();

    fs::write(&cache, "a file").unwrap();
    let refused = scripts();
    assert!(!refused.is_success && refused.err.contains("for the debugger's scripts: "), "{}", refused.err);
    fs::remove_file(&cache).unwrap();
    assert!(Path::new("gdb/coro.py").exists(), "the tests run in the package's folder");
}
