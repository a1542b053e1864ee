//! A page of the documentation whose debugging sessions are what the debugger says.
//!
//! A session is a fenced block. Its lines that start with `$ ` are how the debugger was started; those that start with the
//! debugger's prompt are commands; all others are what it said, and are held against what it says now. With
//! `CORO_REGENERATE=1` they are written anew instead.
//!
//! Numbers that differ from run to run (addresses, ports, times, processes) are compared as such, whatever they are; and
//! so is the width of columns.

use std::path::{Path, PathBuf};
use std::{env, fs};

use pretty_assertions::assert_eq;

use super::Transcript;

/// A debugger, by the name of its fence and its prompt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Language {
    pub(crate) fence: &'static str,
    pub(crate) prompt: &'static str,
}

pub(crate) const GDB: Language = Language { fence: "```gdb\n", prompt: "(gdb) " };
pub(crate) const LLDB: Language = Language { fence: "```lldb\n", prompt: "(lldb) " };
/// The program `coro`, in a shell.
pub(crate) const SHELL: Language = Language { fence: "```console\n", prompt: "$ coro " };

/// Compares each session of a page with what `run` says to its start lines (without `$ `) and its commands, or writes
/// it anew.
#[track_caller]
pub(crate) fn check(page: &str, language: Language, mut run: impl FnMut(&[&str], &[&str]) -> Transcript) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut parts = text.split(language.fence);
    let mut now = parts.next().expect("what is split has a first part").to_owned();
    let mut sessions = 0;
    let is_regenerated = env::var_os("CORO_REGENERATE").is_some();
    for part in parts {
        let (session, after) = part.split_once("```\n").expect("a session has an end");
        let new = replay(session, language, &mut run);
        if !is_regenerated {
            let hint = format!("{page}: CORO_REGENERATE=1 writes it anew");
            assert_eq!(masked(session), masked(&new), "{hint}");
        }
        now.push_str(&format!("{}{new}```\n{after}", language.fence));
        sessions += 1;
    }
    assert!(sessions > 0, "{page} has no session");
    if is_regenerated {
        fs::write(&path, now).unwrap_or_else(|error| panic!("{page}: {error}"));
    }
}

/// A session with what the debugger says now.
fn replay(session: &str, language: Language, run: &mut impl FnMut(&[&str], &[&str]) -> Transcript) -> String {
    let is_start = |line: &&str| !line.starts_with(language.prompt);
    let starts: Vec<&str> =
        session.lines().filter(is_start).filter_map(|line| line.strip_prefix("$ ")).collect();
    let commands: Vec<&str> = session.lines().filter_map(|line| line.strip_prefix(language.prompt)).collect();
    let said = run(&starts, &commands);
    let mut now: String = starts.iter().map(|start| format!("$ {start}\n")).collect();
    for (number, command) in commands.iter().enumerate() {
        now.push_str(&format!("{}{command}\n", language.prompt));
        // LLDB repeats each command; so does its prompt, which isn't there in GDB's batch mode.
        let echo = format!("{}{command}", language.prompt);
        for line in said.nth_block(number).lines().filter(|line| is_content(line) && *line != echo) {
            now.push_str(shown(line).trim_end());
            now.push('\n');
        }
    }
    now
}

/// Not what differs from machine to machine and says nothing of the program.
fn is_content(line: &str) -> bool {
    !line.is_empty()
        && ![
            "[Thread debugging",
            "[Inferior",
            "[New",
            "Using host libthread_db",
            "warning: ",
            "(lldb) script ",
            // Where programs lie, and what LLDB has found of them.
            "Process ",
            "Executable module",
            "Architecture set",
        ]
        .iter()
        .any(|start| line.starts_with(start))
}

/// A line without what is long and says little: generic arguments, the standard library's path.
pub(crate) fn shown(line: &str) -> String {
    let mut shown = without_generics(&without_hashes(line));
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

/// `a::f::h0123456789abcdef`, as LLDB shows functions, without the hash.
fn without_hashes(line: &str) -> String {
    let mut parts = line.split("::h");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_hash = part.len() >= 16 && part.bytes().take(16).all(|byte| byte.is_ascii_hexdigit());
        shown.push_str(if is_hash { "" } else { "::h" });
        shown.push_str(if is_hash { &part[16..] } else { part });
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

/// A session as it is compared: each number that may differ, and each run of spaces, as one and the same.
fn masked(session: &str) -> String {
    session.lines().map(|line| masked_line(line) + "\n").collect()
}

fn masked_line(line: &str) -> String {
    if line.starts_with("$ ") {
        return line.to_owned();
    }
    let words: Vec<String> = line.split_whitespace().map(masked_word).collect();
    let mut words = words.join(" ");
    // `2 h 5 min` and `3.1 s` are times alike.
    while words.contains("TIME TIME") {
        words = words.replace("TIME TIME", "TIME");
    }
    for unit in ["us", "ms", "s", "min", "h", "d"] {
        for end in ["", ",", ":", ")", ";"] {
            let (from, to) = (format!("NUMBER {unit}{end} "), format!("TIME{end} "));
            words = format!("{words} ").replace(&from, &to).trim_end().to_owned();
        }
    }
    while words.contains("TIME TIME") {
        words = words.replace("TIME TIME", "TIME");
    }
    words
}

/// A word with its numbers masked: hexadecimal ones of five digits and more, addresses, ports, processes and threads, times.
fn masked_word(word: &str) -> String {
    let mut masked = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("0x") {
        let digits = rest[at + 2..].chars().take_while(char::is_ascii_hexdigit).count();
        masked.push_str(&rest[..at]);
        masked.push_str(if digits >= 5 { "ADDRESS" } else { &rest[at..at + 2 + digits] });
        rest = &rest[at + 2 + digits..];
    }
    masked.push_str(rest);
    // Behind the hexadecimal ones: those may begin with ten decimal digits.
    let mut masked = without_long_numbers(&masked);
    for start in ["127.0.0.1:", "socket:["] {
        if let Some((before, after)) = masked.split_once(start) {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            masked = format!("{before}{start}NUMBER{after}");
        }
    }
    // How much of a stack is in use differs with the compiler, main's with what the kernel has put above it.
    if let Some((used, size)) = masked.split_once('/')
        && is_size(size)
        && (is_size(used) || used.parse::<u64>().is_ok())
    {
        return format!("SIZE/{size}");
    }
    let bare = masked.trim_matches(|c: char| "(){}[],;:>".contains(c));
    let is_number = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit() || c == '.');
    // Small whole numbers are ids, lines and counts, which have to be right.
    if is_number && (bare.contains('.') || bare.len() >= 3) {
        masked = masked.replace(bare, "NUMBER");
        masked = masked.trim_start_matches('>').to_owned();
    }
    masked
}

/// Decimal numbers of ten digits and more, which are addresses and moments of the monotonic clock, as one and the same.
fn without_long_numbers(word: &str) -> String {
    let mut shown = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[at..].chars().take_while(char::is_ascii_digit).count();
        shown.push_str(&rest[..at]);
        shown.push_str(if digits >= 10 { "NUMBER" } else { &rest[at..at + digits] });
        rest = &rest[at + digits..];
    }
    shown + rest
}

/// `192K`, `3.8K`, `8M`.
fn is_size(word: &str) -> bool {
    let number = word.trim_end_matches(['K', 'M', 'G']);
    number.len() < word.len() && number.parse::<f64>().is_ok()
}

#[test]
fn lines_are_shown_without_what_is_long() {
    let line =
        "#3  0x000055 in coro::f<a::B<fn() -> c>, D<e>> (x=...) at /rustc/12ab/library/core/src/ops.rs:2";
    assert_eq!(shown(line), "#3  coro::f<…> (x=...) at std:core/src/ops.rs:2");
    assert_eq!(shown("main`a::hold::h0123456789abcdef(b=1) at c.rs:2"), "main`a::hold(b=1) at c.rs:2");
    assert_eq!(shown("#12 <signal handler called>"), "#12 <signal handler called>");
}

#[test]
fn what_differs_from_run_to_run_is_compared_as_such() {
    let same = |a: &str, b: &str| assert_eq!(masked(a), masked(b));
    same(
        "  4 read  parked  fd 7 -> 127.0.0.1:8080  2.3 s",
        "4 read parked fd 7 -> 127.0.0.1:41234   131.2 ms",
    );
    same("mutex 0x55b94c2c5770 held by", "mutex 0x5555deadbeef held by");
    same("sleep, 23 h 59 min left", "sleep, 23 h 59 min left");
    same("(thread 4711)", "(thread 399)");
    same("0 4.7K/8M", "0 8K/8M");
    same("is socket:[6701857]", "is socket:[67]");
    same("496/192K", "14K/192K");
    assert_ne!(masked("4.7K/192K"), masked("4.7K/256K"));
    same("for 3.1 s: x", "for >12.0 ms: x");
    same("f (object=94486490671176, n=1)", "f (object=945593418199976, n=1)");
    same("frame #0: 0x000055555561dc87 f", "frame #0: 0x000055555561dbb7 f");
    assert_ne!(masked("f (object=94486490671176, n=1)"), masked("f (object=94486490671176, n=2)"));
    same("(deadline=Some(40476525937430)) at a.rs:1", "(deadline=Some(940948027611)) at a.rs:1");
    same("(object=94486490671176, list=0x10084fa490", "(object=9387458442656, list=0x10084fa490");
    assert_ne!(masked("deadline=Some(4047)"), masked("deadline=Some(9409)"));
    assert_ne!(masked("#12 'a'"), masked("#13 'a'"));
    assert_ne!(masked("fd 7"), masked("fd 8"));
    assert_ne!(masked("src/a.rs:120"), masked("src/a.rs:121"));
}
