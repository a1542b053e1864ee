//! Where a debugger stops at a coroutine's spawn, end and panic: by addresses from the table `events`, in a stripped
//! program, with the record as the first argument.
//!
//! The debuggee is tests/programs/events.rs.

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pretty_assertions::assert_eq;
use support::image::{self, header_by_note};
use support::registry_reader::{Registry, mask};
use support::{Profile, Transcript, gdb_with, program};

/// What GDB prints of a number.
#[track_caller]
fn number(text: &str) -> u64 {
    let digits = text.trim().rsplit(" = 0x").next().unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// One stop: at which event, of whom, in what state, and whether on that coroutine's own stack.
#[derive(Debug, PartialEq, Eq)]
struct Stop {
    event: String,
    name: String,
    state: String,
    is_on_own_stack: bool,
}

fn stop(event: &str, name: &str, state: &str, is_on_own_stack: bool) -> Stop {
    Stop { event: event.into(), name: name.into(), state: state.into(), is_on_own_stack }
}

/// The debuggee, which waits for a line, in its runtime; killed in the end.
struct Waiting {
    child: Child,
    errors: std::path::PathBuf,
}

impl Waiting {
    fn start(profile: Profile) -> Waiting {
        let errors = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("events-{profile:?}.stderr"));
        let mut child = Command::new(program("events", profile))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a file can be made"))
            .spawn()
            .expect("a program that was just built starts");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("a pipe was asked for");
        BufReader::new(output).read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line, "ready\n");
        Waiting { child, errors }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Whether it works or not, the test has its result.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn stripped_program_stops_at_each_event_with_the_record() {
    stops_at_each_event(Profile::Stripped);
}

#[test]
fn debug_build_stops_at_each_event_with_the_record() {
    stops_at_each_event(Profile::Debug);
}

fn stops_at_each_event(profile: Profile) {
    let waiting = Waiting::start(profile);
    let pid = waiting.child.id();
    let image = image::Process::open(pid).expect("a process may read its child's memory");
    let registry = Registry::at(&image, header_by_note(&image).unwrap()).unwrap();
    let events = registry.names("events").unwrap();
    assert_eq!(events.len(), 3, "each has code of its own: {events:x?}");
    let states = registry.names("states").unwrap();
    let state_bits = mask(registry.numbers("state word").unwrap()["state"]);
    let fields = registry.fields("record fields").unwrap();

    // At each stop: where, and of the record in rdi what is needed. Without symbols, all of it by numbers.
    let field = |name: &str| format!("print/x *(unsigned long *)($rdi + {})", fields[name].offset);
    let [rip, rsp] = ["rip", "rsp"].map(|register| format!("print/x (unsigned long)${register}"));
    let [state, limit, top] = ["state", "stack_limit", "stack_top"].map(field);
    let name = format!("printf \"%s\\n\", (char *)($rdi + {})", fields["name"].offset);
    let said = format!("shell wc -c < {}", waiting.errors.display());
    let look = ["continue", &rip, &rsp, &state, &limit, &top, &name, &said];
    let mut commands: Vec<String> = vec!["set language c".into()];
    commands.extend(events.keys().map(|address| format!("break *{address:#x}")));
    // GDB has stopped it in its read, which ends now.
    commands.push(format!("shell echo > /proc/{pid}/fd/0"));
    for _ in 0..EXPECTED {
        commands.extend(look.map(String::from));
    }
    // Not "continue", whose outputs are those of the stops.
    commands.push("continue 1".into());
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let gdb = gdb_with(&["-p", &pid.to_string()], &commands);

    let column = |command: &str| gdb.blocks(command).map(number).collect::<Vec<_>>();
    let [rips, rsps, words, limits, tops] = [&rip, &rsp, &state, &limit, &top].map(|command| column(command));
    let names: Vec<&str> = gdb.blocks(&name).map(str::trim).collect();
    let stops: Vec<Stop> = (0..EXPECTED)
        .map(|i| Stop {
            event: events.get(&rips[i]).cloned().unwrap_or_else(|| format!("{:#x}", rips[i])),
            name: names[i].to_owned(),
            state: states[&(words[i] & state_bits)].clone(),
            is_on_own_stack: (limits[i]..tops[i]).contains(&rsps[i]),
        })
        .collect();
    let expected = [
        stop("spawn", "returns", "new", false),
        // What was deferred runs before the end.
        stop("spawn", "deferred", "new", false),
        stop("exit", "returns", "running", true),
        stop("exit", "deferred", "running", true),
        stop("spawn", "panics", "new", false),
        stop("panic", "panics", "running", true),
        stop("exit", "panics", "running", true),
    ];
    assert_eq!(expected.len(), EXPECTED);
    assert_eq!(stops, expected, "{gdb}");
    assert_ends(&gdb);
    // Nothing has been said of the panic at its stop, and something at the next one.
    let said: Vec<u64> = gdb.blocks(&said).map(|text| text.trim().parse().unwrap()).collect();
    assert!(said[..6].iter().all(|bytes| *bytes == 0) && said[6] > 0, "{said:?}");
    let text = fs::read_to_string(&waiting.errors).unwrap();
    assert!(text.contains("'panics'") && text.contains("on purpose"), "{text}");
}

/// How often it stops.
const EXPECTED: usize = 7;

#[track_caller]
fn assert_ends(gdb: &Transcript) {
    let last = gdb.block("continue 1");
    assert!(last.contains("exited normally"), "it stops once more:\n{last}");
}
