//! The reports in debug-docs/crash-reports.md are what the program says. `CORO_REGENERATE=1 cargo test --test crash_docs`
//! writes them anew.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use pretty_assertions::assert_eq;

const MARK: &str = "<!-- ./main ";
const FENCE: &str = "```text\n";

/// The reports are those of a debug build: in others, functions are inlined into each other.
#[cfg(debug_assertions)]
#[test]
fn reports_are_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("debug-docs/crash-reports.md");
    let before = fs::read_to_string(&path).unwrap();
    let mut now = String::new();
    let mut rest = before.as_str();
    let mut reports = 0;
    while let Some((text, marked)) = rest.split_once(MARK) {
        let (arguments, behind) = marked.split_once(" -->\n").expect("a mark ends");
        let behind = behind.strip_prefix(FENCE).expect("a report follows a mark");
        let (_, behind) = behind.split_once("```\n").expect("a report ends");
        now.push_str(&format!("{text}{MARK}{arguments} -->\n{FENCE}{}```\n", report(arguments)));
        rest = behind;
        reports += 1;
    }
    now.push_str(rest);
    assert!(reports >= 8, "{reports} reports are marked");
    if env::var_os("CORO_REGENERATE").is_some() {
        fs::write(&path, now).unwrap();
    } else {
        assert_eq!(before, now, "CORO_REGENERATE=1 cargo test --test crash_docs writes it anew");
    }
}

/// What is said, without what differs from run to run and from machine to machine.
fn report(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_main"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments.split(' '))
        .envs([("CORO_CRASH", "full"), ("LC_ALL", "C")])
        .env_remove("CORO_CRASH_FILE")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().filter(|line| !line.is_empty());
    lines.map(|line| as_shown(line) + "\n").collect()
}

fn as_shown(line: &str) -> String {
    let mut shown = line.replace(env!("CARGO_BIN_EXE_main"), "target/debug/main");
    for (before, after, replacement) in
        [(", pid ", ",", "812"), (", thread ", " '", "812"), (" at 0x", ",", "…"), (" 0x", ",", "…")]
    {
        shown = with(&shown, before, after, replacement);
    }
    if let Some((before, after)) = shown.split_once(" ago")
        && let Some((site, _)) = before.rsplit_once(", ")
    {
        shown = format!("{site}, 1 ms ago{after}");
    }
    // Frames of the C library: their sizes and lines are a matter of its build.
    if shown.ends_with(" B") && !shown.contains(".rs:") && !shown.contains("biggest") {
        shown = shown[..shown.len() - 9].trim_end().to_owned();
    }
    shown
}

/// The text between the two, when it is short and a number, replaced.
fn with(line: &str, before: &str, after: &str, replacement: &str) -> String {
    for (at, _) in line.match_indices(before) {
        let start = at + before.len();
        if let Some(length) = line[start..].find(after) {
            let between = &line[start..start + length];
            let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_hexdigit());
            if between.split("..0x").all(is_number) {
                return format!("{}{replacement}{}", &line[..start], &line[start + length..]);
            }
        }
    }
    line.to_owned()
}

#[test]
fn what_differs_is_left_out() {
    let head =
        "fatal: coroutine #4 'overflow' overflowed its stack   [coro 0.1.0, pid 14311, thread 9 'main']";
    assert_eq!(as_shown(head), head.replace("14311", "812").replace("thread 9", "thread 812"));
    let stack = "  stack     192 KiB 0x1008251000..0x1008281000, redzone 68 KiB; 192 KiB in use";
    assert_eq!(as_shown(stack), "  stack     192 KiB 0x…, redzone 68 KiB; 192 KiB in use");
    assert_eq!(
        as_shown("  what      write at 0x1008, by f (a.rs:3)"),
        "  what      write at 0x…, by f (a.rs:3)"
    );
    assert_eq!(as_shown("  spawned   a.rs:3, 7.7 s ago, by x"), "  spawned   a.rs:3, 1 ms ago, by x");
}
