//! Debugging sessions in a page of debug-docs, which a test holds against what the debugger says.
//!
//! A session is a fenced block: lines `$ PROGRAM &` and `$ DEBUGGER …`, then the commands behind a prompt, each with its
//! output. Numbers differ from run to run, so what is compared are the words; with `CORO_REGENERATE=1` in the environment the
//! page gets what is said now.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;

/// A session as it stands in the page.
#[derive(Debug)]
pub(crate) struct Session {
    /// The lines behind `$ `.
    pub(crate) start: Vec<String>,
    pub(crate) commands: Vec<String>,
}

/// How long a line may get.
const WIDTH: usize = 150;
/// As often a session is run again on a program which has not yet come to where it is to be looked at.
const TRIES: usize = 20;

/// Checks each session of a page, or writes it anew. `run` starts what a session begins with, and gives a function which
/// runs the commands on it and gives their outputs; it is called until they are those of the page.
#[track_caller]
pub(crate) fn check<R: FnMut(&[String]) -> Vec<String>>(
    page: &str,
    fence: &str,
    prompt: &str,
    start: impl Fn(&Session) -> R,
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let fence = format!("```{fence}\n");
    let regenerates = std::env::var_os("CORO_REGENERATE").is_some();
    let mut written = String::new();
    let mut rest = text.as_str();
    let mut count = 0;
    while let Some((before, from)) = rest.split_once(&fence) {
        let (block, after) = from.split_once("```\n").expect("a session has an end");
        let session = parse(block, prompt);
        let mut run = start(&session);
        let mut now = shown(&session, &run(&session.commands), prompt);
        for _ in 1..TRIES {
            // Written anew is what the debugger says twice.
            let previous = if regenerates { now.clone() } else { block.to_owned() };
            if !regenerates && masked(&now) == masked(&previous) {
                break;
            }
            now = shown(&session, &run(&session.commands), prompt);
            if masked(&now) == masked(&previous) {
                break;
            }
        }
        if !regenerates {
            assert_eq!(masked(block), masked(&now), "{page}: CORO_REGENERATE=1 and this test write it anew");
        }
        written += &format!("{before}{fence}{now}```\n");
        rest = after;
        count += 1;
    }
    assert!(count > 0, "{page} has no session");
    if regenerates {
        fs::write(&path, written + rest).unwrap_or_else(|error| panic!("{page}: {error}"));
    }
}

fn parse(block: &str, prompt: &str) -> Session {
    let behind = |start: &str| -> Vec<String> {
        block.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_owned).collect()
    };
    Session { start: behind("$ "), commands: behind(prompt) }
}

/// The block as it would stand in the page.
fn shown(session: &Session, outputs: &[String], prompt: &str) -> String {
    let mut text: String = session.start.iter().map(|line| format!("$ {line}\n")).collect();
    for (command, output) in session.commands.iter().zip(outputs) {
        text += &format!("{prompt}{command}\n");
        for line in output.lines().filter(|line| !line.trim().is_empty()) {
            text += &as_shown(line);
            text.push('\n');
        }
    }
    text
}

/// A line without the hashes of names, and cut where it is long.
fn as_shown(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("::h") {
        let (before, hash) = rest.split_at(at);
        let is_hash = hash.len() >= 19 && hash[3..19].bytes().all(|byte| byte.is_ascii_hexdigit());
        shown += before;
        shown += if is_hash { "" } else { "::h" };
        rest = if is_hash { &hash[19..] } else { &hash[3..] };
    }
    shown += rest;
    if shown.chars().count() > WIDTH {
        shown = shown.chars().take(WIDTH - 1).chain(['…']).collect();
    }
    shown.trim_end().to_owned()
}

/// A text's words, without numbers, units of time, and how far columns are apart. The end of a line that was cut is left out.
fn masked(text: &str) -> String {
    text.lines().map(masked_line).collect::<Vec<_>>().join("\n")
}

fn masked_line(line: &str) -> String {
    let words: Vec<String> = line.split_whitespace().map(masked_word).collect();
    let is_unit = |word: &str| {
        let word = word.trim_end_matches([':', ',', ';', ')']);
        ["ns", "us", "ms", "s", "min", "h", "d"].contains(&word)
    };
    let mut kept: Vec<String> = Vec::new();
    for word in words {
        let follows_number = kept.last().is_some_and(|last: &String| last.ends_with('N'));
        match kept.last_mut() {
            // `1 min 5 s` is as good as `800 ms`.
            Some(last) if follows_number && is_unit(&word) => {
                last.push_str(&word.replace(char::is_alphabetic, ""))
            }
            Some(last) if follows_number && word.starts_with('N') => last.push_str(&word[1..]),
            _ => kept.push(word),
        }
    }
    let whole = kept.join(" ");
    if line.ends_with('…') { whole.chars().take(60).collect() } else { whole }
}

/// `0x7f…` and `1,234.5K` as `N`.
fn masked_word(word: &str) -> String {
    let mut masked = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        masked += rest[..at].trim_end_matches('>');
        masked.push('N');
        rest = match rest[at..].strip_prefix("0x") {
            Some(hex) => hex.trim_start_matches(|c: char| c.is_ascii_hexdigit()),
            None => {
                let after =
                    rest[at..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
                after.trim_start_matches(['K', 'M'])
            }
        };
    }
    masked + rest
}
