//! What the basic operations cost in instructions, which callgrind counts: the same on a busy machine as on an idle
//! one. The counts of record are in benches/instructions.txt; one that has grown by more than 3 % fails.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use support::program::program_with;
use support::{Profile, valgrind};

/// Growth that passes: another compiler's or C library's choice here and there.
const TOLERANCE: f64 = 1.03;
/// Operations in the two runs whose difference is taken.
const RUNS: [u64; 2] = [10_000, 30_000];
const CASES: [&str; 6] = ["switch", "yield", "spawn", "wake", "echo", "http"];
const RECORD: &str = "benches/instructions.txt";

#[test]
fn no_operation_has_grown_by_more_than_three_percent() {
    let program = program_with("instructions", Profile::Release, &["bench"]);
    let mut counts: BTreeMap<&str, f64> =
        CASES.into_iter().map(|case| (case, count(&program, case))).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORD);
    if env::var_os("RECORD_INSTRUCTIONS").is_some() {
        fs::write(&path, record_of(&counts)).expect("the record can be written");
        return;
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let record = parse(&text);
    // How often a socket is found empty is the kernel's to decide, on a busy machine now and then another time: what code
    // takes is the least that it takes.
    for _ in 0..2 {
        for (case, least) in counts.iter_mut().filter(|(case, now)| has_grown(case, **now, &record)) {
            *least = least.min(count(&program, case));
        }
    }
    let problems = compare(&counts, &record);
    assert!(
        problems.is_empty(),
        "{}\nIf that is as it should be: RECORD_INSTRUCTIONS=1 cargo test --test instructions, and say why in the \
         commit",
        problems.join("\n")
    );
}

/// What is wrong with the counts, a line each.
fn compare(counts: &BTreeMap<&str, f64>, record: &BTreeMap<String, f64>) -> Vec<String> {
    let mut problems = Vec::new();
    for (case, now) in counts {
        match record.get(*case) {
            None => problems.push(format!("{case}: {now:.1} instructions, and {RECORD} has no count of it")),
            Some(then) if has_grown(case, *now, record) => problems.push(format!(
                "{case}: {now:.1} instructions, {:.1} % more than the {then:.1} of record",
                (now / then - 1.0) * 100.0
            )),
            Some(_) => println!("{case}: {now:.1} instructions"),
        }
    }
    problems
}

fn has_grown(case: &str, now: f64, record: &BTreeMap<String, f64>) -> bool {
    record.get(case).is_some_and(|then| now > then * TOLERANCE)
}

/// Instructions of one operation.
fn count(program: &Path, case: &str) -> f64 {
    let [few, many] = RUNS.map(|n| collected(program, case, n));
    (many - few) as f64 / (RUNS[1] - RUNS[0]) as f64
}

fn collected(program: &Path, case: &str, n: u64) -> u64 {
    let output = Command::new(valgrind())
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([case, &n.to_string()])
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case} {n} under callgrind: {}\n{said}", output.status);
    let figure = said.lines().find_map(|line| line.split("Collected :").nth(1));
    figure
        .and_then(|figure| figure.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind says no count:\n{said}"))
}

fn record_of(counts: &BTreeMap<&str, f64>) -> String {
    let mut text = format!(
        "# Instructions of one operation (callgrind; {}). Written by\n\
         # RECORD_INSTRUCTIONS=1 cargo test --test instructions\n",
        compiler()
    );
    for (case, count) in counts {
        writeln!(text, "{case} {count:.1}").expect("a String takes all");
    }
    text
}

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    let output = Command::new(rustc).arg("--version").output().expect("rustc starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (case, count) = line.split_once(' ').unwrap_or_else(|| panic!("{RECORD}: `{line}`"));
            (case.to_owned(), count.parse().unwrap_or_else(|error| panic!("{RECORD}: `{line}`: {error}")))
        })
        .collect()
}

#[test]
fn growth_and_a_missing_count_are_told() {
    let record = parse("# of old\nswitch 40.0\nyield 200.0\n");
    let counts = BTreeMap::from([("switch", 41.0), ("wake", 300.0), ("yield", 207.0)]);
    let problems = compare(&counts, &record);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("wake: 300.0 instructions, and"), "{problems:?}");
    assert!(problems[1].starts_with("yield: 207.0 instructions, 3.5 % more than the 200.0"), "{problems:?}");
}
