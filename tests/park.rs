//! What `main park` promises to who practises on it: each way of waiting, under its name.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use object::{Object, ObjectSymbol};
use pretty_assertions::assert_eq;
use support::image::{Image, Process, header_by_note, word};
use support::objects::{Owner, owner};
use support::registry_reader::{Coroutine, Registry};

/// `main park` with what has been parked; killed in the end.
struct Park(Child);

impl Park {
    fn start(arguments: &[&str]) -> Park {
        let mut child = Command::new(env!("CARGO_BIN_EXE_main"))
            .arg("park")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe was asked for")).lines();
        let said = lines.next().expect("it says something").expect("a pipe can be read");
        assert!(said.starts_with("parked "), "{said}");
        // To the last line, or it would wait for us.
        assert!(lines.any(|line| line.expect("a pipe can be read").contains("coro select")));
        Park(child)
    }

    fn is_in_state(&self, letter: char) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it lives");
        stat.contains(&format!(") {letter} "))
    }

    /// Until all wait: then it sleeps.
    fn settle(&self) {
        while !self.is_in_state('S') {
            thread::yield_now();
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("it lives");
    }

    fn image(&self) -> Process {
        Process::open(self.0.id()).expect("a process may read its child's memory")
    }
}

impl Drop for Park {
    fn drop(&mut self) {
        // Whether it works or not, the test has its result.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn registry(image: &Process) -> Registry<'_> {
    Registry::at(image, header_by_note(image).unwrap()).unwrap()
}

fn by_name(registry: &Registry<'_>) -> BTreeMap<String, Coroutine> {
    let all = registry.coroutines().unwrap();
    all.into_iter().filter(|c| c.kind == "user").map(|c| (c.name.clone(), c)).collect()
}

const WAYS: [&str; 9] = ["accept", "connect", "join", "mutex", "read", "receive", "send", "sleep", "write"];

#[test]
fn twenty_coroutines_wait_in_all_the_ways_there_are() {
    let park = Park::start(&["20"]);
    park.settle();
    let image = park.image();
    let registry = registry(&image);
    let coroutines = by_name(&registry);
    assert_eq!(coroutines.len(), 20, "each has a name of its own");
    let mut ways = BTreeSet::new();
    for (name, coroutine) in &coroutines {
        assert_eq!(coroutine.state, "parked", "{name}");
        let way = match name.split_once('-') {
            Some((way, number)) => {
                assert!(number.parse::<u32>().unwrap() > 0, "{name}");
                way
            }
            None => {
                assert_eq!(name, "owner");
                "sleep"
            }
        };
        assert_eq!(coroutine.wait_reason, way, "{name}");
        ways.insert(way);
    }
    assert_eq!(ways.into_iter().collect::<Vec<_>>(), WAYS);

    let fields = registry.fields("mutex fields").unwrap();
    let mutex = registry.row_at(coroutines["mutex-1"].wait_object.1, &fields).unwrap();
    assert_eq!(owner(&mutex, "owner"), Owner::Coroutine(coroutines["owner"].id));
}

#[test]
fn of_two_that_yield_one_is_ready() {
    let park = Park::start(&["20", "--yielding"]);
    let mut states = BTreeMap::new();
    // A stop may come before the first turn, or amid a switch; then the next one.
    while states != BTreeMap::from([("ready".to_owned(), 1), ("running".to_owned(), 1)]) {
        park.signal(Signal::SIGSTOP);
        while !park.is_in_state('T') {
            thread::yield_now();
        }
        let image = park.image();
        let coroutines = by_name(&registry(&image));
        assert_eq!(coroutines.len(), 22);
        states.clear();
        for name in ["yield-1", "yield-2"] {
            *states.entry(coroutines[name].state.clone()).or_default() += 1;
        }
        park.signal(Signal::SIGCONT);
    }
}

#[test]
fn each_waits_in_a_function_of_its_way() {
    let park = Park::start(&["20"]);
    park.settle();
    let image = park.image();
    let functions = functions(&park);
    for (name, coroutine) in by_name(&registry(&image)) {
        let function = match name.split_once('-') {
            Some((way, _)) => format!("wait_in_{way}"),
            None => "hold_the_mutex".into(),
        };
        let code = functions.get(&function).unwrap_or_else(|| panic!("no {function} in {functions:x?}"));
        // Where it goes on, somewhere among its frames.
        let (sp, top) = (coroutine.context.0, coroutine.stack.end);
        let stack = image.read(sp, (top - sp) as usize).unwrap();
        let words = stack.chunks_exact(8).map(|bytes| word(bytes, 0));
        assert!(words.into_iter().any(|word| code.contains(&word)), "{name} is not in {function}");
    }
}

/// The code of the functions of demo::park, by their last names.
fn functions(park: &Park) -> BTreeMap<String, Range<u64>> {
    let program = Path::new(env!("CARGO_BIN_EXE_main")).canonicalize().unwrap();
    let maps = fs::read_to_string(format!("/proc/{}/maps", park.0.id())).unwrap();
    let first = maps.lines().find(|line| line.ends_with(program.to_str().unwrap())).unwrap();
    let bias = u64::from_str_radix(first.split_once('-').unwrap().0, 16).unwrap();
    let bytes = fs::read(program).unwrap();
    let object = object::File::parse(&*bytes).unwrap();
    let function = |symbol: object::Symbol<'_, '_>| {
        // Mangled: each part of the path with its length before it.
        let (_, rest) = symbol.name().ok()?.split_once("4demo4park")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let name = rest[digits..].get(..rest[..digits].parse().ok()?)?;
        let start = bias + symbol.address();
        Some((name.to_owned(), start..start + symbol.size()))
    };
    // Not those of the functions' closures, whose names have these in them.
    object
        .symbols()
        .filter(|symbol| !symbol.name().unwrap_or("$").contains("closure"))
        .filter_map(function)
        .collect()
}
