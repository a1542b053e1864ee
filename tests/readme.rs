//! The README's debugging session is what GDB says. `CORO_REGENERATE=1 cargo test --test readme` writes it anew.

mod support;

use std::path::Path;
use std::{env, fs};

use pretty_assertions::assert_eq;
use support::gdb;

const FENCE: &str = "```gdb\n";

#[test]
fn session_is_what_gdb_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(FENCE).expect("the README has a session");
    let (session, after) = rest.split_once("```\n").expect("the session has an end");
    let (start, _) = session.split_once('\n').expect("the session starts GDB");
    let arguments = start.strip_prefix("$ gdb -q --args ./main ").expect("the session is of ./main");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let commands: Vec<&str> = session.lines().filter_map(|line| line.strip_prefix("(gdb) ")).collect();

    let said = gdb(Path::new(env!("CARGO_BIN_EXE_main")), &arguments, &commands);
    let mut now = format!("{start}\n");
    for command in commands {
        now.push_str(&format!("(gdb) {command}\n"));
        for line in said.block(command).lines().filter(|line| is_content(line)) {
            now.push_str(&as_shown(line));
            now.push('\n');
        }
    }
    if env::var_os("CORO_REGENERATE").is_some() {
        fs::write(&path, format!("{before}{FENCE}{now}```\n{after}")).unwrap();
    } else {
        assert_eq!(session, now, "CORO_REGENERATE=1 cargo test --test readme writes it anew");
    }
}

/// Not what differs from machine to machine and says nothing of the program.
fn is_content(line: &str) -> bool {
    !line.is_empty()
        && !["[", "Using host libthread_db", "warning: "].iter().any(|start| line.starts_with(start))
}

/// A line without what differs from build to build, and short enough to be read.
fn as_shown(line: &str) -> String {
    let mut shown = without_generics(line);
    for (start, replacement) in
        [("127.0.0.1:", "127.0.0.1:PORT"), ("Breakpoint 1 at 0x", "Breakpoint 1 at 0x…")]
    {
        if let Some(at) = shown.find(start) {
            let rest =
                shown[at + start.len()..].trim_start_matches(|c: char| c.is_ascii_hexdigit()).to_owned();
            shown.replace_range(at.., &format!("{replacement}{rest}"));
        }
    }
    if let Some((number, rest)) = shown.split_once(" 0x")
        && let Some((_, function)) = rest.split_once(" in ")
        && number.starts_with('#')
    {
        shown = format!("{number} {function}");
    }
    if let Some((frame, file)) = shown.rsplit_once(" at /rustc/") {
        let file = file.split_once("/library/").map_or(file, |(_, file)| file);
        shown = format!("{frame} at std:{file}");
    }
    shown
}

/// `f<A<B>, C>` as `f<…>`; what is no such pair, as `->`, stays.
fn without_generics(line: &str) -> String {
    let mut shown = String::new();
    let mut depth = 0;
    let mut previous = ' ';
    for c in line.chars() {
        match c {
            '<' if depth > 0 || previous.is_alphanumeric() || previous == ':' => {
                depth += 1;
                if depth == 1 {
                    shown.push_str("<…>");
                }
            }
            '>' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => shown.push(c),
            _ => {}
        }
        previous = c;
    }
    shown
}

#[test]
fn lines_are_shown_without_what_differs() {
    let line =
        "#3  0x000055 in coro::f<a::B<fn() -> c>, D<e>> (x=...) at /rustc/12ab/library/core/src/ops.rs:2";
    assert_eq!(as_shown(line), "#3  coro::f<…> (x=...) at std:core/src/ops.rs:2");
    assert_eq!(as_shown("to http://127.0.0.1:34059/"), "to http://127.0.0.1:PORT/");
    assert_eq!(as_shown("#12 <signal handler called>"), "#12 <signal handler called>");
}
