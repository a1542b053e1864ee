//! Where things lie, how files open, and how long they may get.

use std::path::Path;

use crate::Problem;

/// A file beyond this is looked at: has it grown a second subject?
const LONG: usize = 400;
/// A file beyond this fails.
const TOO_LONG: usize = 700;

/// All that may stand at the top level. Not everything must be there.
const TOP_LEVEL: [&str; 23] = [
    ".cargo",
    ".ci",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "build.rs",
    "clippy.toml",
    "debug-docs",
    "examples",
    "gdb",
    "lldb",
    "macros",
    "main",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "src",
    "tests",
];

/// Rust files open with `//!`.
pub(crate) fn check_opening(path: &str, text: &str) -> Vec<Problem> {
    let says_something = text.lines().next().and_then(|line| line.strip_prefix("//!")).is_some_and(has_words);
    if says_something {
        return Vec::new();
    }
    let what = "the first line is not `//!` and a sentence. Say what the file holds, and why it is apart.";
    vec![Problem::new(path, 1, what)]
}

/// Python files open with a docstring; a `#!` line and comments may stand before it.
pub(crate) fn check_docstring(path: &str, text: &str) -> Vec<Problem> {
    let first =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("");
    let opening = first.strip_prefix('r').unwrap_or(first);
    let body = ["\"\"\"", "'''"].iter().find_map(|quotes| opening.strip_prefix(quotes));
    // The sentence may begin on the next line.
    if body.is_some_and(|body| body.is_empty() || has_words(body.trim_matches(['"', '\'']))) {
        return Vec::new();
    }
    vec![Problem::new(
        path,
        1,
        "the file doesn't open with a docstring. Say what it holds, and why it is apart.",
    )]
}

fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Fails a file that is too long.
pub(crate) fn check_size(path: &str, text: &str) -> Vec<Problem> {
    let count = text.lines().count();
    if count <= TOO_LONG {
        return Vec::new();
    }
    let what = format!("{count} lines, of at most {TOO_LONG}. Find the second subject and give it a file.");
    vec![Problem::new(path, 0, what)]
}

/// What to say of a file that is long, but not yet too long.
pub(crate) fn hint_of_size(path: &str, text: &str) -> Option<String> {
    let count = text.lines().count();
    (LONG < count && count <= TOO_LONG)
        .then(|| format!("{path} has {count} lines: does it hold two subjects?"))
}

/// Nothing unexpected at the top level.
pub(crate) fn check_top_level<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Problem> {
    let mut names: Vec<&str> = paths.filter_map(|path| path.split('/').next()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !TOP_LEVEL.contains(name));
    let what = "this name is not expected at the top level. Move it below one of the folders; if it must \
                stay, add it to TOP_LEVEL in tests/tidy/layout.rs; if a program made it, add it to \
                .gitignore.";
    names.into_iter().map(|name| Problem::new(name, 0, what)).collect()
}

/// `main` is a link, so that `./main` works after a build.
pub(crate) fn check_main_link(link: Option<&Path>) -> Vec<Problem> {
    if link == Some(Path::new("target/debug/main")) {
        return Vec::new();
    }
    let what = "this is not a link to target/debug/main. Make it one: ln -sfn target/debug/main main";
    vec![Problem::new("main", 0, what)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_file_without_opening_is_caught() {
        for text in
            ["", "//!\n", "use a;\n//! Late.\n", "// Not for the docs.\n", "\n//! After an empty line.\n"]
        {
            assert_eq!(check_opening("src/a.rs", text).len(), 1, "{text:?}");
        }
        assert_eq!(check_opening("src/a.rs", "//! Slots.\n"), []);
    }

    #[test]
    fn python_file_without_docstring_is_caught() {
        for text in ["", "import gdb\n", "# A comment.\nx = 1\n", "\"\"\"\"\"\"\n", "x = \"\"\"Late.\"\"\"\n"]
        {
            assert_eq!(check_docstring("gdb/a.py", text).len(), 1, "{text:?}");
        }
        for text in
            ["\"\"\"Lists.\"\"\"\n", "#!/usr/bin/env python3\n\nr'''Lists.'''\n", "\"\"\"\nLists.\n\"\"\"\n"]
        {
            assert_eq!(check_docstring("gdb/a.py", text), [], "{text:?}");
        }
    }

    #[test]
    fn long_file_gets_a_hint_and_a_longer_one_fails() {
        let of = |count| "x\n".repeat(count);
        for (count, is_hinted, fails) in [
            (LONG, false, false),
            (LONG + 1, true, false),
            (TOO_LONG, true, false),
            (TOO_LONG + 1, false, true),
        ] {
            assert_eq!(hint_of_size("src/a.rs", &of(count)).is_some(), is_hinted, "{count}");
            assert_eq!(!check_size("src/a.rs", &of(count)).is_empty(), fails, "{count}");
        }
    }

    #[test]
    fn stranger_at_the_top_level_is_caught() {
        let paths = ["Cargo.toml", "src/lib.rs", "notes.txt", "scripts/a.sh", "scripts/b.sh"];
        let problems = check_top_level(paths.into_iter());
        assert_eq!(
            problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(),
            ["notes.txt", "scripts"]
        );
    }

    #[test]
    fn link_that_leads_elsewhere_is_caught() {
        assert_eq!(check_main_link(None).len(), 1);
        assert_eq!(check_main_link(Some(Path::new("target/release/main"))).len(), 1);
        assert_eq!(check_main_link(Some(Path::new("target/debug/main"))), []);
    }
}
