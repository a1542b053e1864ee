//! Tests of the repository itself: the house rules that a program can check.
//!
//! Each module holds the rules of one subject as pure functions from a file's path and text to its
//! [`Problem`]s, and tests that plant a violation and see it caught. The tests in this file apply the rules
//! to the tree as Git sees it: what is tracked, and what is new and not ignored.
//!
//! `cargo test --test tidy` runs them alone, in well under a second.

mod imports;
mod layout;
mod safety;
mod scripts;
mod source;
mod tree;
mod wording;

use std::fmt;
use std::io::Write as _;

use tree::Tree;

/// One breach of a rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Applies a rule to each file for which `applies` holds, and fails with all that it found.
#[track_caller]
fn apply(applies: impl Fn(&str) -> bool, rule: impl Fn(&str, &str) -> Vec<Problem>) {
    let mut read = 0;
    let mut problems = Vec::new();
    for (path, text) in Tree::load().texts(applies) {
        read += 1;
        problems.extend(rule(&path, &text));
    }
    assert!(read > 0, "the rule was applied to no file: its idea of where files are is out of date");
    report(&problems);
}

#[track_caller]
fn report(problems: &[Problem]) {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert!(problems.is_empty(), "{} problem(s):\n\n{}\n", lines.len(), lines.join("\n\n"));
}

/// Rust files that people read as part of the project.
fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
        && ["src/", "tests/", "examples/", "benches/"].iter().any(|top| path.starts_with(top))
}

fn is_python(path: &str) -> bool {
    path.ends_with(".py") && ["gdb/", "lldb/", "tests/"].iter().any(|top| path.starts_with(top))
}

#[test]
fn modules_import_only_what_stands_to_their_left() {
    apply(|path| path.starts_with("src/") && path.ends_with(".rs"), imports::check);
}

#[test]
fn rust_files_say_first_what_they_are_for() {
    apply(is_rust, layout::check_opening);
}

#[test]
fn python_files_open_with_a_docstring() {
    let problems: Vec<_> = Tree::load()
        .texts(is_python)
        .flat_map(|(path, text)| layout::check_docstring(&path, &text))
        .collect();
    report(&problems);
}

#[test]
fn debugger_scripts_share_what_knows_no_debugger() {
    apply(|path| path.starts_with("gdb/coro_debug/") && path.ends_with(".py"), scripts::check_imports);
    let is_debuggers = |path: &str| path.starts_with("lldb/") || path.starts_with("gdb/coro_gdb/");
    apply(|path| is_debuggers(path) && path.ends_with(".py"), scripts::check_one_decoder);
}

#[test]
fn debugger_scripts_run_in_old_debuggers() {
    let is_script = |path: &str| is_python(path) && !path.starts_with("tests/");
    apply(is_script, scripts::check_age);
}

#[test]
fn debugger_commands_explain_themselves() {
    apply(
        |path| path.starts_with("gdb/coro_debug/commands/") && path.ends_with(".py"),
        scripts::check_commands,
    );
}

#[test]
fn files_hold_one_subject() {
    let is_code = |path: &str| is_rust(path) || is_python(path);
    for (path, text) in Tree::load().texts(is_code) {
        if let Some(hint) = layout::hint_of_size(&path, &text) {
            // Not by `eprintln!`, which the test harness swallows when the test passes.
            let _ = writeln!(std::io::stderr(), "hint: {hint}");
        }
    }
    apply(is_code, layout::check_size);
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    apply(is_rust, safety::check);
}

#[test]
fn top_level_holds_the_expected_names() {
    report(&layout::check_top_level(Tree::load().paths()));
}

#[test]
fn main_links_to_the_built_program() {
    let link = std::fs::read_link(Tree::root().join("main")).ok();
    report(&layout::check_main_link(link.as_deref()));
}

#[test]
fn nothing_names_a_machine_or_is_left_open() {
    apply(|_| true, wording::check);
}

#[test]
fn expectations_say_what_was_expected() {
    apply(is_rust, wording::check_expectations);
}
