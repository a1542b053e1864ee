//! A process describes itself: from the debug header alone, which is found by its symbol or by an ELF note, a
//! reader that knows no layout learns who lives, in what state, and what for.
//!
//! The debuggee is tests/programs/parked.rs, the reader tests/support/registry_reader.rs. What is read is the
//! running process and a core of it; what is run is a debug build and a stripped release build.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use support::image::{Image, header_by_note, word};
use support::parked::Parked;
use support::registry_reader::{Coroutine, Header, Registry, mask};
use support::{Profile, gdb_with, line_of, lldb_with, program};

const PARKED: &str = "tests/programs/parked.rs";

#[track_caller]
fn registry(image: &dyn Image) -> Registry<'_> {
    let found = header_by_note(image).and_then(|address| Registry::at(image, address));
    found.unwrap_or_else(|problem| panic!("{problem}"))
}

fn by_name(coroutines: Vec<Coroutine>) -> BTreeMap<String, Coroutine> {
    coroutines.into_iter().map(|coroutine| (coroutine.name.clone(), coroutine)).collect()
}

#[test]
fn symbol_and_note_lead_to_the_same_header() {
    let parked = Parked::start(Profile::Debug);
    let image = parked.image();
    let address = header_by_note(&image).unwrap();
    assert_eq!(Header::read(&image, address).unwrap().self_address, address);

    let pid = parked.pid().to_string();
    let gdb = gdb_with(&["-p", &pid], &["set language c", "print/x (long)&coro_debug_v1"]);
    let by_gdb = gdb.block("print/x (long)&coro_debug_v1").trim();
    assert_eq!(by_gdb.split(" = ").last(), Some(&*format!("{address:#x}")), "{gdb}");

    let command = "script print(hex(lldb.target.FindSymbols('coro_debug_v1')[0].symbol.addr.GetLoadAddress(lldb.target)))";
    let lldb = lldb_with(&["-p", &pid], &[command]);
    assert!(lldb.block(command).lines().any(|line| line == format!("{address:#x}")), "{address:#x}: {lldb}");
}

#[test]
fn stripped_program_has_the_note_and_no_symbol() {
    let file = program("parked", Profile::Stripped);
    let gdb = gdb_with(&[&file], &["info address coro_debug_v1"]);
    assert!(gdb.block("info address coro_debug_v1").contains("No symbol"), "{gdb}");
    let parked = Parked::start(Profile::Stripped);
    let image = parked.image();
    assert_eq!(registry(&image).header().version, (1, 4));
}

#[test]
fn header_leads_to_every_table() {
    let parked = Parked::start(Profile::Stripped);
    let image = parked.image();
    let registry = registry(&image);
    let tables = registry.table_names();
    let known = [
        "channel fields",
        "class fields",
        "classes",
        "descriptor fields",
        "descriptor roles",
        "descriptors",
        "events",
        "extra fields",
        "family fields",
        "family kinds",
        "field kinds",
        "flags",
        "header fields",
        "job fields",
        "kinds",
        "member fields",
        "mutex fields",
        "object kinds",
        "parked",
        "parked fields",
        "policies",
        "record fields",
        "records",
        "redzone methods",
        "requests",
        "saved registers",
        "select fields",
        "source exceptions",
        "state word",
        "states",
        "sync fields",
        "thing fields",
        "timeout fields",
        "wait objects",
        "wait reasons",
        "worker fields",
        "workers",
    ];
    assert_eq!(tables, known);
    let values = |table: &str| registry.names(table).unwrap().into_values().collect::<Vec<_>>();
    assert_eq!(values("states"), ["free", "new", "ready", "running", "parked", "exited"]);
    assert_eq!(values("flags"), ["waiting", "notified", "timed out", "lent"]);
    assert_eq!(values("kinds"), ["user", "main", "switch", "io"]);
    assert_eq!(values("family kinds"), ["scope", "group", "pool"]);
    assert_eq!(values("policies"), ["fair", "backtrack"]);
    assert_eq!(values("descriptor roles"), ["none", "stream", "listener", "datagram", "other"]);
    let reasons = values("wait reasons");
    for reason in
        ["none", "turn", "sleep", "join", "read", "write", "accept", "connect", "mutex", "send", "receive"]
    {
        assert!(reasons.iter().any(|name| name == reason), "no wait reason `{reason}` in {reasons:?}");
    }
    let fields = registry.fields("header fields").unwrap();
    let header = registry.header_row(registry.header().self_address, &fields).unwrap();
    assert_eq!(header.number("pid"), parked.pid().into());
    let prefix =
        image.read(header.number("source_prefix"), header.number("source_prefix_length") as usize).unwrap();
    assert_eq!(String::from_utf8(prefix).unwrap(), concat!(env!("CARGO_MANIFEST_DIR"), "/src/"));
}

#[test]
fn header_is_copied_to_the_regions_start() {
    let parked = Parked::start(Profile::Stripped);
    let image = parked.image();
    let registry = registry(&image);
    let fields = registry.fields("header fields").unwrap();
    let header = registry.header_row(registry.header().self_address, &fields).unwrap();
    let base = header.number("region_base");
    let copy = Header::read(&image, base).unwrap();
    // It names the header, not itself: so no reader takes it for one.
    assert_eq!(&copy, registry.header());
    assert!(Registry::at(&image, base).is_err());
    let copy = registry.header_row(base, &fields).unwrap();
    for name in fields.keys() {
        assert_eq!(copy.number(name), header.number(name), "{name}");
    }
    let maps = fs::read_to_string(parked.proc("maps")).unwrap();
    assert!(maps.lines().any(|line| line.starts_with(&format!("{base:x}-"))), "{base:x}: {maps}");
}

#[test]
fn classes_and_workers_are_told() {
    let parked = Parked::start(Profile::Debug);
    let image = parked.image();
    let registry = registry(&image);
    let (class_fields, worker_fields) =
        (registry.fields("class fields").unwrap(), registry.fields("worker fields").unwrap());
    let classes = registry.rows("classes", None, &class_fields).unwrap();
    let used: Vec<_> = classes.iter().map(|class| (class.text("name"), class.number("used"))).collect();
    // main; io and switch; the nine others.
    let expected = [("native", 1), ("service", 2), ("default", 9), ("large", 0)];
    assert_eq!(used, expected.map(|(name, used)| (name.to_owned(), used)));
    let workers = registry.rows("workers", None, &worker_fields).unwrap();
    let in_use: Vec<_> = workers.iter().filter(|worker| worker.number("thread") != 0).collect();
    let [worker] = in_use[..] else { panic!("{} workers are in use", in_use.len()) };
    assert_eq!(worker.number("thread"), parked.pid().into());
    assert_eq!((worker.number("alive"), worker.number("policy")), (9, 0));
    let record_fields = registry.fields("record fields").unwrap();
    for role in ["main", "switch", "io"] {
        let index = worker.number(role) as u32;
        let record = registry.rows("records", Some(index..index + 1), &record_fields).unwrap().remove(0);
        assert_eq!(record.text("name"), role);
    }
}

#[test]
fn debug_build_tells_who_waits_for_what() {
    tells_who_waits_for_what(Profile::Debug);
}

#[test]
fn stripped_build_tells_who_waits_for_what() {
    tells_who_waits_for_what(Profile::Stripped);
}

fn tells_who_waits_for_what(profile: Profile) {
    let parked = Parked::start(profile);
    let image = parked.image();
    let all = registry(&image).coroutines().unwrap();
    let coroutines = by_name(all.clone());
    assert_eq!(all.len(), coroutines.len(), "each name once");
    let told: BTreeMap<_, _> = coroutines
        .values()
        .map(|c| (&*c.name, (&*c.kind, &*c.state, &*c.wait_reason, &*c.wait_object.0)))
        .collect();
    let expected = [
        ("main", ("main", "parked", "sleep", "nothing")),
        ("switch", ("switch", "parked", "none", "nothing")),
        ("io", ("io", "running", "none", "nothing")),
        ("sleeper", ("user", "parked", "sleep", "nothing")),
        ("locker", ("user", "parked", "mutex", "address")),
        ("joiner", ("user", "parked", "join", "coroutine id")),
        ("receiver", ("user", "parked", "receive", "address")),
        ("sender", ("user", "parked", "send", "address")),
        ("acceptor", ("user", "parked", "accept", "file descriptor")),
        ("reader", ("user", "parked", "read", "file descriptor")),
        ("writer", ("user", "parked", "write", "file descriptor")),
        ("connector", ("user", "parked", "connect", "file descriptor")),
    ];
    assert_eq!(told, BTreeMap::from(expected));

    let object = |name: &str| coroutines[name].wait_object.1;
    assert_eq!(object("joiner"), coroutines["sleeper"].id);
    for name in ["locker", "receiver", "sender"] {
        assert!(
            image.read(object(name), 8).is_ok(),
            "{name} waits for {:#x}, where no memory is",
            object(name)
        );
    }
    for name in ["acceptor", "reader", "writer", "connector"] {
        let file = fs::read_link(parked.proc(&format!("fd/{}", object(name)))).unwrap();
        assert!(file.to_string_lossy().starts_with("socket:"), "{name} waits for {file:?}");
    }
    for coroutine in coroutines.values().filter(|coroutine| coroutine.kind == "user") {
        assert_eq!(coroutine.parent, coroutines["main"].id, "{coroutine:?}");
        assert_eq!(coroutine.spawn_file.as_deref(), Some(PARKED), "{coroutine:?}");
        let line = line_of(PARKED, &coroutine.name.to_uppercase());
        assert_eq!(coroutine.spawn_line, line.into(), "{coroutine:?}");
        assert_eq!(coroutine.flags, [""; 0], "{coroutine:?}");
    }
}

#[test]
fn parts_of_the_state_word_are_all_of_it() {
    let parked = Parked::start(Profile::Debug);
    let image = parked.image();
    let registry = registry(&image);
    let masks: Vec<u64> = registry.numbers("state word").unwrap().into_values().map(mask).collect();
    assert_eq!(masks.iter().fold(0, |all, mask| all | mask), u64::MAX);
    assert_eq!(masks.iter().map(|mask| mask.count_ones()).sum::<u32>(), 64, "they overlap: {masks:x?}");
    let flags = registry.names("flags").unwrap().into_keys().fold(0, |all, bit| all | bit);
    let mask_of_flags = mask(registry.numbers("state word").unwrap()["flags"]);
    assert_eq!(flags & !mask_of_flags, 0, "flags are bits of their part");

    let fields = registry.fields("record fields").unwrap();
    let worker_fields = registry.fields("worker fields").unwrap();
    let worker = registry.rows("workers", Some(0..1), &worker_fields).unwrap().remove(0);
    let main = worker.number("main") as u32;
    let main = registry.rows("records", Some(main..main + 1), &fields).unwrap().remove(0);
    let parts = registry.state_word(main.number("state")).unwrap();
    assert_eq!(registry.names("states").unwrap()[&parts["state"]], "parked");
    assert_eq!(parts["generation"], 0, "the slot's first tenant");
    assert!(parts["epoch"] > 0, "it has waited");
}

#[test]
fn registers_lie_where_the_table_says() {
    for profile in [Profile::Debug, Profile::Stripped] {
        let parked = Parked::start(profile);
        let image = parked.image();
        let registry = registry(&image);
        let registers = registry.fields("saved registers").unwrap();
        // System V ABI for AMD64, figure 3.36.
        let numbers: BTreeMap<&str, u32> =
            registers.iter().map(|(name, field)| (&**name, field.extra)).collect();
        assert_eq!(numbers, BTreeMap::from([("rbx", 3), ("rbp", 6), ("rsp", 7), ("rip", 16)]));
        for (name, field) in &registers {
            let kind = if name == "rsp" { "register value" } else { "saved register" };
            assert_eq!((&*field.kind, field.size), (kind, 8), "{name}");
        }
        let header_fields = registry.fields("header fields").unwrap();
        let header = registry.header_row(registry.header().self_address, &header_fields).unwrap();
        let (resume_pc, end) = (header.number("resume_pc"), header.number("end_context"));
        let text = text_of(&parked, &program("parked", profile));
        assert!(text.contains(resume_pc));
        // END's second word is the pc of a function, too.
        assert!(text.contains(word(&image.read(end, 16).unwrap(), 8)));
        let main_context = by_name(registry.coroutines().unwrap())["main"].context;
        for coroutine in registry.coroutines().unwrap() {
            let Coroutine { name, stack, context: (sp, pc), link, .. } = &coroutine;
            if coroutine.state != "parked" {
                // Its saved stack pointer is stale.
                continue;
            }
            let register = |name: &str| {
                let field = &registers[name];
                let place = sp + field.offset as u64;
                if field.kind == "saved register" { word(&image.read(place, 8).unwrap(), 0) } else { place }
            };
            assert!(stack.contains(sp), "{name}: {sp:#x} in {stack:x?}");
            assert!(stack.contains(&register("rsp")) && register("rsp") > *sp, "{coroutine:x?}");
            assert!(text.contains(register("rip")), "{name}: {:#x} in {text:x?}", register("rip"));
            assert_eq!(*pc, resume_pc, "{name}");
            match coroutine.kind.as_str() {
                // Who doesn't run has no resumer.
                "user" => assert_eq!(*link, end, "{name}"),
                // Its link is main, which waits: the two words of main's record.
                "switch" => {
                    let words = image.read(*link, 16).unwrap();
                    assert_eq!((word(&words, 0), word(&words, 8)), main_context);
                }
                _ => {}
            }
        }
    }
}

/// Where a program's code lies in a process.
#[derive(Debug)]
struct Text(Vec<std::ops::Range<u64>>);

impl Text {
    fn contains(&self, address: u64) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
}

fn text_of(parked: &Parked, file: &Path) -> Text {
    let maps = fs::read_to_string(parked.proc("maps")).unwrap();
    let file = file.canonicalize().unwrap();
    let ranges =
        maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with(file.to_str().unwrap()));
    let range = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
    };
    let text = Text(ranges.filter_map(range).collect());
    assert!(!text.0.is_empty(), "{} is nowhere in {maps}", file.display());
    text
}

#[test]
fn core_made_by_gdb_tells_the_same() {
    for profile in [Profile::Debug, Profile::Stripped] {
        let parked = Parked::start(profile);
        let image = parked.image();
        let live = registry(&image);
        let coroutines = without_file(live.coroutines().unwrap());
        let core = parked.dump_core();
        let dumped = registry(&core);
        assert_eq!(dumped.header(), live.header());
        assert_eq!(without_file(dumped.coroutines().unwrap()), coroutines);
    }
}

/// What is certain to be in a core.
fn without_file(coroutines: Vec<Coroutine>) -> Vec<Coroutine> {
    coroutines.into_iter().map(|coroutine| Coroutine { spawn_file: None, ..coroutine }).collect()
}

/// Not with guard pages: GDB 13 gives up a mapping at the first page that it can't read, the first redzone.
#[test]
fn core_made_by_gdb_has_the_stacks_between_mprotect_redzones() {
    let parked = Parked::start_with(Profile::Stripped, &[("CORO_REDZONE", "mprotect")]);
    let image = parked.image();
    let coroutines = registry(&image).coroutines().unwrap();
    let core = parked.dump_core();
    for Coroutine { name, context: (sp, _), stack, .. } in coroutines.iter().filter(|c| c.state == "parked") {
        let length = (stack.end - sp) as usize;
        let dumped = core.read(*sp, length).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(dumped == image.read(*sp, length).unwrap(), "{name}'s stack is another one in the core");
    }
}
