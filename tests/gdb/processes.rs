//! Processes that are more than one program with one runtime on this machine, and what becomes of those
//! that GDB leaves.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::support::debuggee::{Debuggee, scratch};
use crate::support::killed::Killed;
use crate::support::{Profile, program};
use crate::{coro, has, row};

/// A library loaded twice under two names, so that each has a runtime of its own.
#[test]
fn two_runtimes_in_one_process() {
    let host = program("host", Profile::Debug);
    let library = program("library", Profile::Debug);
    let folder = scratch("libraries");
    let copies = ["one.so", "two.so"].map(|name| {
        let copy = folder.join(name);
        fs::copy(&library, &copy).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
        copy
    });
    let debuggee = Debuggee::start(Command::new(&host).args(&copies)).asleep();
    let commands = [
        "coro list -kind user",
        "coro list -kind user -runtime 2",
        "coro list -runtime 3",
        "coro bt sleeper-0",
        "coro bt sleeper-1 -runtime 2",
        "coro select sleeper-0",
        crate::seen::frame_of!("sleep_in_library"),
        "print seen",
        "bt -1",
        "coro select sleeper-1 -runtime 2",
        "coro select sleeper-1",
        "thread",
    ];
    let said = coro(&debuggee.attach(), &commands);
    has(&said, "coro select sleeper-1 -runtime 2", &["'sleeper-1', parked, on thread 3]"]);
    has(&said, "coro select sleeper-1", &["`sleeper-1` is no coroutine's id or name"]);
    has(&said, "thread", &["[Current thread is 3 "]);
    has(&said, crate::SOURCE, &["8 coroutines in 2 runtimes"]);
    let first = said.block("coro list -kind user");
    let second = said.block("coro list -kind user -runtime 2");
    assert!(first.contains("sleeper-0") && second.contains("sleeper-1"), "{said}");
    assert!(!first.contains("sleeper-1") && !second.contains("sleeper-0"), "{said}");
    has(&said, "coro list -runtime 3", &["coro: there is no runtime 3: this program has 2"]);
    for command in ["coro bt sleeper-0", "coro bt sleeper-1 -runtime 2"] {
        has(&said, command, &["sleep_in_library", "tests/programs/library.rs:"]);
    }
    has(&said, "print seen", &["= 900"]);
    has(&said, "bt -1", &["--- coroutine boundary, not running ---"]);
    fs::remove_dir_all(folder).expect("a folder just made can be removed");
}

/// A server whose clients have had their answers, and are thinking. tests/long/idle.sh does it with 10,000.
#[test]
fn hundred_idle_connections_are_one_group() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_main"));
    let mut server = Debuggee::start_unheard(command.args(["serve", "--addr", "127.0.0.1:0"]));
    let line = server.line();
    let address = line.strip_prefix("serving on http://").and_then(|rest| rest.split('/').next()).unwrap();
    let connections: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"Hello, world!") {
                let mut piece = [0; 1024];
                let count = connection.read(&mut piece).unwrap();
                assert_ne!(count, 0, "the server ended amid {answer:?}");
                answer.extend_from_slice(&piece[..count]);
            }
            connection
        })
        .collect();
    let said = coro(&server.asleep().attach(), &["coro group", "coro group wait"]);
    has(&said, "coro group", &["100 coroutines (", "coro::http::connection::serve"]);
    has(&said, "coro group wait", &["100 coroutines ("]);
    drop(connections);
}

/// The child of a fork has its parent's records, and runs none of them.
#[test]
fn forked_child() {
    let mut debuggee = Debuggee::seen(Profile::Debug, "fork");
    let child = debuggee.line();
    let said = coro(
        &["-p", &child],
        &[
            "coro list",
            "coro thread",
            "coro bt reader",
            "coro info main",
            "coro bt main",
            "bt 1",
            "coro select reader",
            "coro next",
        ],
    );
    assert_eq!(
        fs::read_link(format!("/proc/{child}/exe")).unwrap(),
        program("seen", Profile::Debug),
        "it lives on"
    );
    let list = said.block("coro list");
    assert!(row(list, "reader").contains("parked"), "{said}");
    // It would be waited for for ever.
    has(
        &said,
        "coro next",
        &["coro: this process is a fork, and the coroutine its parent's: here it never goes on"],
    );
    let parent = debuggee.pid();
    let greeting = format!("7 coroutines of process {parent}, of which this is a fork: none runs here; ");
    has(&said, crate::SOURCE, &[&greeting]);
    let line = format!(
        "\ncoro: this process is a fork of process {parent}, whose coroutines these are: none of them"
    );
    for command in ["coro list", "coro thread"] {
        has(&said, command, &[&line]);
    }
    has(&said, "coro bt reader", &["read_request"]);
}

/// Everything comes through the connection: the program's numbers and files are those of another machine.
#[test]
fn remote_program() {
    let file = program("seen", Profile::Debug);
    let server = Command::new("gdbserver")
        .env("CORO_MONITOR", "off")
        .args(["--once", "127.0.0.1:0"])
        .arg(&file)
        .arg("parked")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("gdbserver does not start ({error}): tests/install.sh installs it"));
    let mut server = Killed(server);
    let mut lines = BufReader::new(server.stderr.take().expect("a pipe was asked for")).lines();
    let port = loop {
        let line = lines.next().expect("it says where it listens").expect("a pipe can be read");
        if let Some(port) = line.strip_prefix("Listening on port ") {
            break port.to_owned();
        }
    };
    let connect = format!("target remote 127.0.0.1:{port}");
    let commands = [
        connect.as_str(),
        "coro list",
        "break seen::see_all",
        "continue",
        "coro list -kind user",
        "coro select reader",
        crate::seen::frame_of!("read_request"),
        "print secret",
        "info registers rip",
        "print $rip = 5",
        "coro select .",
        "coro break spawn",
        "kill",
    ];
    let said = coro(&[file], &commands);
    drop(server);
    has(&said, "coro list", &["no runtime of this program has started yet"]);
    let reader = row(said.block("coro list -kind user"), "reader");
    // The clock of this machine says nothing of that one's.
    assert!(reader.contains("read fd ") && reader.contains(" >"), "{said}");
    has(&said, "print secret", &["= 42"]);
    has(&said, "coro break spawn", &["Breakpoint 2 at "]);
}

#[test]
fn remote_stripped_program() {
    let debuggee = Debuggee::seen(Profile::Stripped, "parked").asleep();
    let server = Command::new("gdbserver")
        .env("CORO_MONITOR", "off")
        .args(["--once", "--attach", "127.0.0.1:0", &debuggee.pid()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("gdbserver does not start ({error}): tests/install.sh installs it"));
    let mut server = Killed(server);
    let mut lines = BufReader::new(server.stderr.take().expect("a pipe was asked for")).lines();
    let port = loop {
        let line = lines.next().expect("it says where it listens").expect("a pipe can be read");
        if let Some(port) = line.strip_prefix("Listening on port ") {
            break port.to_owned();
        }
    };
    let connect = format!("target remote 127.0.0.1:{port}");
    // Without a file: GDB fetches it, or has none, as the settings are.
    let commands = ["set sysroot /nowhere", connect.as_str(), "coro list", "coro bt reader", "detach"];
    let said = coro(&["-ex", "echo"], &commands);
    drop(server);
    assert!(row(said.block("coro list"), "reader").contains("read fd "), "{said}");
    has(&said, "coro bt reader", &["coroutine #4 'reader', parked"]);
}

/// A thread that runs on has no stack pointer to be asked for, and is no error.
#[test]
fn threads_that_run_on() {
    let debuggee = Debuggee::seen(Profile::Debug, "threads");
    let pid = debuggee.pid();
    let options = ["-iex", "set non-stop on", "-p", &pid];
    let commands = [
        "info threads",
        "coro list",
        "thread 2",
        "continue&",
        "coro list -kind user",
        "coro bt reader",
        "coro select reader",
        "thread 1",
        "continue&",
        "coro list -limit 100",
        "coro bt locker",
        "coro select locker",
        "coro next",
        "coro apply all -- bt 1",
        "coro gcore",
        "coro select .",
    ];
    let said = coro(&options, &commands);
    for list in ["coro list", "coro list -limit 100"] {
        assert!(row(said.block(list), "reader").contains("read fd "), "{list}: {said}");
    }
    assert!(
        row(said.block("coro list -kind user"), "reader").contains("seen.rs:"),
        "thread 1 stands: {said}"
    );
    has(&said, "coro bt reader", &["read_request"]);
    has(&said, "coro select reader", &["[coroutine #4 'reader', parked, on thread 1]"]);
    // Now nobody stands.
    for command in ["coro bt locker", "coro select locker"] {
        has(&said, command, &["coro: all threads run: `interrupt` stops one"]);
    }
    for command in ["coro next", "coro select ."] {
        has(&said, command, &["coro: the selected thread runs: `interrupt` stops it"]);
    }
    assert_eq!(
        said.block("coro apply all -- bt 1").trim(),
        "coro: all threads run: `interrupt` stops one, and a coroutine can be shown there"
    );
    has(&said, "coro gcore", &["coro: a core is of a program that stands: `interrupt -a` stops its threads"]);
}

/// In the background, with all threads: what memory tells is told, and what it doesn't isn't.
#[test]
fn program_that_runs_in_the_background() {
    let debuggee = Debuggee::seen(Profile::Debug, "threads");
    let stacks =
        ["coro bt reader", "coro select reader", "coro select .", "coro next", "coro apply all -- bt 1"];
    let commands = [&["continue&", "coro list", "coro why locker", "coro gcore x"][..], &stacks].concat();
    let said = coro(&debuggee.attach(), &commands);
    for command in ["coro list", "coro why locker"] {
        has(&said, command, &["coro: all threads run: what is shown may change while it is read"]);
    }
    assert!(row(said.block("coro list"), "reader").contains("read fd "), "{said}");
    has(&said, "coro gcore x", &["coro: the program runs: `interrupt` stops it"]);
    for command in stacks {
        has(&said, command, &["coro: the program runs: `interrupt` stops it\n"]);
        assert!(said.block(command).lines().count() <= 3, "{said}");
    }
}

/// Whether GDB ends or detaches, with a coroutine selected or after a step: the program runs on.
#[test]
fn program_goes_on_when_gdb_leaves() {
    for commands in
        [&["coro select reader", "detach"][..], &["coro select reader", "up"], &["coro list", "quit"]]
    {
        let mut debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
        let file = program("seen", Profile::Debug);
        let mut gdb = Command::new("gdb");
        gdb.env("CORO_MONITOR", "off");
        gdb.args(["-nx", "-q", "-batch", "-iex", "set debuginfod enabled off"]).arg(file);
        gdb.args(["-p", &debuggee.pid(), "-ex", crate::SOURCE]);
        for command in commands {
            gdb.args(["-ex", command]);
        }
        let output = gdb.output().expect("tests/install.sh installs GDB");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("7 coroutines"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(debuggee.lives(), "after {commands:?}");
        let state = debuggee.stat();
        assert!(!state.contains(") t ") && !state.contains(") T "), "after {commands:?}: {state}");
        // It does so with the registers that it had: what comes next is io's heartbeat, and then it sleeps
        // again.
        debuggee.asleep();
    }
}
