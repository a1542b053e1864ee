//! What GDB and LLDB say, in the same words, of coroutines that wait for members of theirs, for threads, signals and
//! processes, and of those that are cancelled, shielded or in timeouts; live, and in a core of a stripped program.
//!
//! And what a program says by itself when it can't go on because of such waits.

mod support;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use support::debuggee::Debuggee;
use support::killed::Killed;
use support::program::{line_of, program};
use support::{Profile, Transcript, gdb_with, lldb_with};

const SOURCE: &str = "tests/programs/lifetimes.rs";
const SCRIPTS: &str = env!("CARGO_MANIFEST_DIR");

/// Whether a text is as a pattern, in which each `*` stands for anything, or nothing.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(text) = text.strip_prefix(start) else { return false };
    (0..=text.len()).any(|at| text.is_char_boundary(at) && is_like(&text[at..], rest))
}

/// Whether there are as many lines as patterns, and each is as its one.
fn are_like(lines: &[impl AsRef<str>], patterns: &[impl AsRef<str>]) -> bool {
    lines.len() == patterns.len()
        && lines.iter().zip(patterns).all(|(line, like)| is_like(line.as_ref(), like.as_ref()))
}

/// A place in the program's source.
fn place(marker: &str) -> String {
    format!("{SOURCE}:{}", line_of(SOURCE, marker))
}

/// A coroutine, and what is said of it.
struct Told {
    name: &'static str,
    state: &'static str,
    /// The column WAITS FOR.
    words: String,
    /// What `coro why` has below its first line.
    why: Vec<String>,
    /// What `coro info` has besides.
    info: Vec<String>,
}

impl Told {
    fn parked(name: &'static str, words: impl Into<String>, why: &[&str]) -> Told {
        let why = why.iter().map(|line| (*line).to_owned()).collect();
        Told { name, state: "parked", words: words.into(), why, info: Vec::new() }
    }

    fn info(mut self, lines: &[&str]) -> Told {
        self.info = lines.iter().map(|line| (*line).to_owned()).collect();
        self
    }
}

fn all_told() -> Vec<Told> {
    let sleeps = "    it sleeps for ever";
    let kernel = "  it goes on when the kernel says that fd * is ready";
    let scope = format!("scope at {} (1 alive)", place("SCOPE"));
    let channel = "receive on channel 0x* (empty, 1 sender)";
    vec![
        Told::parked("of-scope", &scope, &["  #* 'member' has waited*: sleep, for ever", sleeps]),
        Told::parked("member", "sleep, for ever", &["  it sleeps for ever"])
            .info(&[&format!("member of     {scope}")]),
        Told::parked(
            "of-group",
            "group 0x* (3 members alive)",
            &[
                "  #4 has waited*: sleep, for ever",
                sleeps,
                "  #6 has waited*: sleep, for ever",
                sleeps,
                "  #24 is ready for *",
                "    it can go on: nothing holds it up",
            ],
        ),
        Told::parked(
            "of-pool",
            "place in pool 0x* (2 of 2 busy)",
            &[
                "  probably #5 has waited*: sleep, for ever",
                sleeps,
                "  probably #7 has waited*: sleep, for ever",
                sleeps,
            ],
        ),
        Told::parked(
            "mapping",
            "place in pool 0x* (2 of 2 busy)",
            &[
                "  probably #21 has waited*: sleep, for ever",
                sleeps,
                "  probably #22 has waited*: sleep, for ever",
                sleeps,
            ],
        ),
        Told::parked(
            "offloading",
            format!("offload at {}, on thread *", place("OFFLOAD")),
            &["  it goes on when thread * has done its work"],
        ),
        Told::parked(
            "polling",
            "future",
            &["  it goes on when the future's waker is woken: its backtrace shows the future"],
        ),
        Told::parked("signalled", "signal fd *", &[kernel]),
        Told::parked("parent", "process fd *", &[kernel]),
        Told::parked("piped", "read fd *", &[kernel]),
        Told::parked("timed", "sleep, * left", &["  it goes on by itself when its time has come"]).info(&[
            "requests      timeout",
            "timeouts      scope 1: * h* left",
            "              scope 2: * left",
        ]),
        Told::parked(
            "selecting",
            format!("select on 2 things ({channel}; {channel})"),
            &["  nobody is known who would have to act"],
        ),
        Told::parked("shielded", "sleep, for ever [cancel, shield]", &["  it sleeps for ever"]).info(&[
            "requests      cancel, shield",
            "cancelled     held back by a shield; it unwinds at its first wait after that",
            "shielded      what is asked of it is held back",
        ]),
        Told { state: "ready", ..Told::parked("fresh", "[cancel]", &["  it can go on: nothing holds it up"]) }
            .info(&[
                "requests      cancel",
                "cancelled     it is not unwinding yet: it does at its next wait, and if it has not begun it is not run",
            ]),
    ]
}

/// What a table has of a coroutine in a column whose cells begin below its heading.
fn cell<'a>(table: &'a str, name: &str, heading: &str) -> Option<&'a str> {
    let lines: Vec<&str> = table.lines().collect();
    let head = lines.iter().position(|line| line.contains(" NAME ") && line.contains(heading))?;
    let (names, column) = (lines[head].find("NAME")?, lines[head].find(heading)?);
    let row = lines[head + 1..]
        .iter()
        .find(|line| line.get(names..).is_some_and(|rest| rest.split_whitespace().next() == Some(name)))?;
    row.get(column..)?.split("  ").next()
}

#[track_caller]
fn check(said: &Transcript, list: &str) {
    for Told { name, state, words, why, info } in all_told() {
        assert_eq!(cell(list, name, "STATE"), Some(state), "{name}: {said}");
        let shown = cell(list, name, "WAITS FOR").unwrap_or_default();
        assert!(is_like(shown, &words), "{name}: {shown:?} is not {words:?}: {said}");

        let chain: Vec<&str> =
            said.block(&format!("coro why {name}")).lines().filter(|line| !line.is_empty()).collect();
        let how = if state == "parked" { "has waited*" } else { "is ready for *" };
        let first = format!("#* '{name}' {how}: {words}");
        let expected: Vec<&str> = [&*first].into_iter().chain(why.iter().map(String::as_str)).collect();
        assert!(are_like(&chain, &expected), "{name}: {chain:#?} is not {expected:#?}");

        let block = said.block(&format!("coro info {name}"));
        for like in [format!("waits for     {words}")].into_iter().chain(info) {
            assert!(block.lines().any(|line| is_like(line, &like)), "{name}: {like:?} is missing in {block}");
        }
    }
    // Those whom two wait for are members of just these, also the one that has not begun.
    for (number, of, kind, marker) in [
        (4, "of-group", "group", "GROUP"),
        (24, "of-group", "group", "GROUP"),
        (5, "of-pool", "pool", "POOL"),
        (21, "mapping", "pool", "MAPPING"),
    ] {
        let waits = cell(list, of, "WAITS FOR").unwrap_or_default();
        let words = waits.strip_prefix("place in ").unwrap_or(waits);
        let line = format!("member of     {words}, made at {}", place(marker));
        let block = said.block(&format!("coro info {number}"));
        assert!(
            words.starts_with(kind) && block.lines().any(|shown| shown == line),
            "{line:?} is missing in {block}"
        );
    }
    // One that a pool maps is a member of the call's scope, too.
    let block = said.block("coro info 21");
    let behind = block.lines().skip_while(|line| !line.starts_with("member of ")).nth(1);
    assert_eq!(behind, Some(&*format!("              scope at {} (2 alive)", place("MAP"))), "{block}");
    assert!(said.block("coro deadlock").starts_with("no deadlock: "), "{said}");
}

/// The commands, in either debugger.
#[track_caller]
fn look(options: &[String], is_gdb: bool) {
    let load = if is_gdb {
        format!("source {SCRIPTS}/gdb/coro.py")
    } else {
        format!("command script import {SCRIPTS}/lldb/coro.py")
    };
    let mut commands = vec![load, "coro list".into(), "coro deadlock".into()];
    for Told { name, .. } in all_told() {
        commands.extend([format!("coro why {name}"), format!("coro info {name}")]);
    }
    commands.extend([4, 5, 21, 24].map(|number| format!("coro info {number}")));
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let said = if is_gdb { gdb_with(options, &commands) } else { lldb_with(options, &commands) };
    check(&said, said.block("coro list"));
}

#[test]
fn gdb_and_lldb_tell_of_a_live_program() {
    let debuggee = Debuggee::start(&mut Command::new(program("lifetimes", Profile::Debug))).asleep();
    for is_gdb in [true, false] {
        look(&["-p".into(), debuggee.pid()], is_gdb);
    }
}

#[test]
fn gdb_and_lldb_tell_the_same_of_a_core_of_a_stripped_program() {
    let file = program("lifetimes", Profile::Stripped);
    let core = Debuggee::where_cores_go(&file, &[], &[]).asleep().kernel_core();
    let [file, core_path] = [&file, &core.path].map(|path| path.to_str().expect("it is UTF-8").to_owned());
    look(&[file.clone(), core_path.clone()], true);
    look(&["-c".into(), core_path, file], false);
}

/// One has a lock, and waits for a scope's members, who want it.
#[test]
fn a_circle_through_a_scope_is_noticed_and_found() {
    let mut circle = Command::new(program("lifetimes", Profile::Debug));
    circle.arg("circle").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Killed(circle.spawn().expect("the program starts"));
    let said = BufReader::new(child.stderr.take().expect("it is piped"));
    let said: Vec<String> = said.lines().take(4).map(|line| line.expect("it can be read")).collect();
    let scope = place("CIRCLE");
    let expected = [
        "coro: nobody can go on: *".to_owned(),
        "coro: deadlock: 2 coroutines wait for each other in a circle".to_owned(),
        format!("  #* 'keeper' (spawned at {SOURCE}:*) waits for scope at {scope} (3 alive: #*, #*, #*)"),
        format!("  #* 'ann' (spawned at {SOURCE}:*) waits for mutex 0x* held by #* 'keeper'"),
    ];
    let options = ["-p".to_owned(), child.id().to_string()];
    let load =
        [format!("source {SCRIPTS}/gdb/coro.py"), format!("command script import {SCRIPTS}/lldb/coro.py")];
    let [gdb, lldb] = [0, 1].map(|which| {
        let commands = [&*load[which], "coro deadlock", "coro why keeper"];
        if which == 0 { gdb_with(&options, &commands) } else { lldb_with(&options, &commands) }
    });
    drop(child);
    assert!(are_like(&said, &expected), "{said:#?}");
    for by in [gdb, lldb] {
        let circle: Vec<&str> = by.block("coro deadlock").lines().take(3).collect();
        let expected = [
            "deadlock: 2 coroutines wait for each other in a circle".to_owned(),
            format!("  #* 'keeper' has waited *: scope at {scope} (3 alive) (spawned at {SOURCE}:*)"),
            format!("  #* 'ann' has waited *: mutex 0x* held by #* 'keeper' (spawned at {SOURCE}:*)"),
        ];
        assert!(are_like(&circle, &expected), "{by}");
        let why = by.block("coro why keeper");
        let ends = why.lines().filter(|line| is_like(line, "    #* 'keeper' again: a deadlock"));
        assert_eq!(ends.count(), 2, "{why}");
    }
}

/// What ends the process says where, and whom it would have waited for.
#[test]
fn a_wait_in_a_destructor_during_a_panic_names_the_destructor_and_the_chain() {
    let output =
        Command::new(program("lifetimes", Profile::Debug)).arg("dropped").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    let lines: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("fatal: ")).collect();
    let expected = [
        format!(
            "fatal: coroutine #* 'panics' (spawned at {SOURCE}:*) waits in a destructor, while it unwinds from a panic: \
             Mutex::lock could only be ended by another coroutine, *"
        ),
        "whom it would wait for (mutex):".into(),
        format!("  #* 'holder' parked in join of #* for *, spawned at {SOURCE}:* by #1"),
        format!("  which waits for #* 'idle' parked in sleep for *, spawned at {SOURCE}:* by #1"),
        format!("the destructor: <lifetimes::Wants as core::ops::drop::Drop>::drop ({})", place("DROPPED")),
        "where it waits:".into(),
    ];
    let (told, frames) = lines.split_at(expected.len().min(lines.len()));
    assert!(are_like(told, &expected), "{said}");
    assert!(
        frames.iter().any(|line| line.contains("lifetimes::wait_in_a_destructor::{{closure}}")),
        "{said}"
    );
}
