//! Four workers: the commands on coroutines of threads that aren't the selected one.
//!
//! tests/programs/seen.rs with one coroutine on each worker: which is on which differs from run to run, so that is asked
//! first.

use crate::seen::{COMMANDS, Tells, check_all, frame_of};
use crate::support::debuggee::Debuggee;
use crate::support::{Profile, Transcript, line_of, program};
use crate::{SEEN, coro, has, row};

const SUM: &str = "16 coroutines: 12 parked, 4 running";
const FOUR: [&str; 2] = ["parked", "4"];
/// What one worker alone would not need.
const MORE: [&str; 12] = [
    "coro thread",
    "coro thread 2",
    "coro stats",
    "coro stacks",
    "coro tree",
    "coro why joiner",
    "coro deadlock",
    "coro group",
    "coro list -worker 1 -sort id",
    "coro info owner",
    "coro select owner",
    "thread",
];

/// The cell of a row that ends in that column.
#[track_caller]
fn cell<'a>(table: &'a str, row_name: &str, column: &str) -> &'a str {
    let heading = table.lines().next().unwrap();
    let end = heading.find(column).unwrap_or_else(|| panic!("no column {column}:\n{table}")) + column.len();
    row(table, row_name)[..end].rsplit(' ').next().unwrap()
}

#[track_caller]
fn check(said: &Transcript, tells: Tells) {
    check_all(said, tells, SUM);
    let list = said.block("coro list");
    let names = ["reader", "owner", "locker", "joiner"];
    let mut homes = names.map(|name| cell(list, name, "WORKER"));
    let home_of_owner = homes[1];
    homes.sort_unstable();
    assert_eq!(homes, ["0", "1", "2", "3"], "each has one: {said}");

    // Each worker has a thread, on which its io is.
    let threads = said.block("coro thread");
    for worker in 0..4 {
        let begin = threads.find(&format!("worker {worker} ")).unwrap_or_else(|| panic!("{said}"));
        let one = &threads[begin..];
        assert!(one.lines().nth(1).unwrap().ends_with(" 'io' (waits for events)"), "{said}");
        assert_eq!(one.lines().nth(2), Some("  coroutines  3 parked, 1 running"), "{said}");
        assert!(one.lines().nth(3).unwrap().contains("alive 1, most alive 1, "), "{said}");
    }
    let second = said.block("coro thread 2");
    assert!(second.starts_with("worker 2 ") && !second.contains("worker 1"), "{said}");

    let stats = said.block("coro stats");
    assert_eq!(stats.lines().count(), 6, "a heading, four workers, all of them: {said}");
    for (column, value) in [("ALIVE", "4"), ("SPAWNED", "4"), ("ENDED", "0")] {
        assert_eq!(cell(stats, "all", column), value, "{said}");
    }
    let of_all = stats.lines().last().unwrap();
    for words in ["2 sleep", "1 read", "3 shutdown", "1 join", "1 mutex"] {
        assert!(of_all.contains(words), "{said}");
    }
    for (line, worker) in stats.lines().skip(1).zip(["0", "1", "2", "3"]) {
        let parked = &line[stats.lines().next().unwrap().find("PARKED").unwrap()..];
        // What the one of the four waits for, and main.
        let own = ["read", "sleep", "mutex", "join"].into_iter().zip(["reader", "owner", "locker", "joiner"]);
        let (reason, _) = own.into_iter().find(|(_, name)| cell(list, name, "WORKER") == worker).unwrap();
        let expected = match (worker, reason) {
            ("0", "sleep") => vec!["2 sleep"],
            ("0", _) => vec!["1 sleep"],
            _ => vec!["1 shutdown"],
        };
        let expected = expected
            .into_iter()
            .map(str::to_owned)
            .chain((worker != "0" || reason != "sleep").then(|| format!("1 {reason}")));
        let (mut expected, mut found): (Vec<_>, Vec<_>) = (expected.collect(), parked.split(", ").collect());
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{said}");
    }

    has(said, "coro stacks", &["default", "service", "native"]);
    has(said, "coro tree", &["#1 'main'", "#4 'reader'", "'io'", "'switch'"]);
    has(said, "coro why joiner", &["#7 'joiner' has waited ", ": join #5 'owner'", "it sleeps for ever"]);
    has(said, "coro deadlock", &["no deadlock: "]);
    has(said, "coro group", &["16 coroutines in "]);
    let on_one = said.block("coro list -worker 1 -sort id");
    assert_eq!(on_one.lines().last(), Some("4 coroutines: 3 parked, 1 running"), "{said}");
    has(said, "coro info owner", &[&format!("worker        {home_of_owner} (thread ")]);
    // Its own worker's thread, whose thread-locals are its.
    let io =
        list.lines().find(|line| line.contains(" io ") && cell_of(list, line, "WORKER") == home_of_owner);
    let thread = io.unwrap().split("running on thread ").nth(1).unwrap().split(' ').next().unwrap();
    let selected = format!("[coroutine #5 'owner', parked, on thread {thread}]");
    has(said, "coro select owner", &[&selected]);
    assert!(
        said.block("thread").contains(&format!("[Current thread is {thread} (")),
        "the thread of its worker is selected: {said}"
    );
}

/// The cell of a line that ends in a column.
fn cell_of<'a>(table: &str, line: &'a str, column: &str) -> &'a str {
    let end = table.lines().next().unwrap().find(column).unwrap() + column.len();
    line[..end].rsplit(' ').next().unwrap()
}

fn commands() -> Vec<&'static str> {
    [&COMMANDS[..], &MORE[..]].concat()
}

#[test]
fn attached() {
    for (profile, tells) in [(Profile::Debug, Tells::Locals), (Profile::Stripped, Tells::Addresses)] {
        let debuggee =
            Debuggee::start(std::process::Command::new(program("seen", profile)).args(FOUR)).asleep();
        check(&coro(&debuggee.attach(), &commands()), tells);
    }
}

#[test]
fn kernel_core() {
    let file = program("seen", Profile::Release);
    let core = Debuggee::where_cores_go(&file, &FOUR, &[]).asleep().kernel_core();
    let options = ["-c".as_ref(), core.path.as_os_str(), file.as_os_str()];
    check(&coro(&options, &commands()), Tells::Lines);
}

/// Its files have names that are relative to it, as the program's own are to the program.
#[test]
fn files_of_a_crate_from_a_registry_are_named_with_the_crate() {
    let relay = program("relay", Profile::Debug);
    let options = ["4", "20", "1000", "workers"].map(std::ffi::OsStr::new);
    let options = [&["--args".as_ref(), relay.as_os_str()], &options[..]].concat();
    let record = "&coro::abi::record::Record";
    let place = format!("break 'crossbeam_deque::deque::Worker<{record}>::push<{record}>'");
    let said = coro(&options, &[&place, "run", "coro bt -raw"]);
    let newest = said.block("coro bt -raw").lines().find(|line| line.starts_with("#0 ")).unwrap();
    assert!(newest.contains("::push") && newest.contains(" at crossbeam-deque-"), "{said}");
}

/// The thread that has stopped is main's, and others run on until they wait.
#[test]
fn started_by_gdb() {
    let file = program("seen", Profile::Debug);
    let options = ["--args".as_ref(), file.as_os_str(), "parked".as_ref(), "4".as_ref()];
    let frame = frame_of!("read_request");
    let commands = [
        "break seen::see_all",
        "run",
        "coro list",
        "coro select reader",
        frame,
        "info locals",
        "coro select .",
        "thread 1",
        "bt 1",
    ];
    let said = coro(&options, &commands);
    let list = said.block("coro list");
    assert!(
        row(list, "main").starts_with('*') && row(list, "main").contains("running on thread 1"),
        "{said}"
    );
    assert!(row(list, "joiner").contains("join #5 'owner'"), "{said}");
    has(&said, "info locals", &["secret = 42", "name = \"request\""]);
    has(&said, "bt 1", &["#0  seen::see_all"]);
}

/// Steps of a coroutine on another worker than the selected thread's, which gives way to one of its own worker in the
/// middle of them.
#[test]
fn next_goes_with_a_coroutine_of_another_worker() {
    let file = program("seen", Profile::Debug);
    let options = ["--args".as_ref(), file.as_os_str(), "steps".as_ref(), "4".as_ref()];
    let first = format!("break {SEEN}:{} if who == 1 && round > 2", line_of(SEEN, "FIRST"));
    let two = "break seen::twice if who == 2";
    let mut commands = vec![first.as_str(), "run", "delete", "print $coro()"];
    // Now a thread of another worker is selected.
    commands.extend([two, "continue", "delete", "print $coro() + 0", "coro list"]);
    commands.extend(["coro select one", frame_of!("turns"), "coro next", "print $coro() + 1"]);
    for _ in 0..6 {
        commands.extend(["coro next", "print $coro() * 1", "print who"]);
    }
    let said = coro(&options, &commands);
    has(&said, "print $coro()", &["= 4"]);
    has(&said, "print $coro() + 0", &["= 5"]);
    let list = said.block("coro list");
    assert!(row(list, "two").starts_with('*'), "{said}");
    assert_ne!(cell(list, "one", "WORKER"), cell(list, "two", "WORKER"), "{said}");
    has(&said, "print $coro() + 1", &["= 5"]);
    for block in said.blocks("print $coro() * 1") {
        assert!(block.ends_with("= 4\n"), "another coroutine: {said}");
    }
    for block in said.blocks("print who") {
        assert!(block.ends_with("= 1\n"), "another coroutine's variables: {said}");
    }
    let lines = ["FIRST", "SECOND", "THIRD", "FOURTH"].map(|marker| format!("{}\t", line_of(SEEN, marker)));
    for line in &lines[1..] {
        let comes_by = said.blocks("coro next").filter(|block| block.contains(line)).count();
        assert!(comes_by >= 1, "no `coro next` comes to {line}: {said}");
    }
}
