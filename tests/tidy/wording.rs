//! What must not stand in the tree: folders of the machine it was written on, marks of unfinished work, and
//! panics that explain nothing.
//!
//! The patterns are put together from halves, so that this file doesn't contain what it looks for.

use crate::Problem;
use crate::source::{code_of, is_word, line_of, without_tests, words};

/// Folders that exist on one machine only, as the start of an absolute path.
const MACHINE_FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/ro", "ot/")];
/// Whole words that promise work to come.
const PROMISES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
/// Code that isn't there yet, and tests that don't run.
const GAPS: [&str; 3] = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];
/// An expectation that, broken, would print nothing.
const SILENT: [&str; 2] = [concat!(".expect(", "\"\")"), concat!(".expect_err(", "\"\")")];

/// The same without even a place for words.
const UNWRAP: &str = ".unwrap()";

/// The problems of a file's words. For every text file of the tree.
pub(crate) fn check(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let mut report = |what: String| problems.push(Problem::new(path, at + 1, what));
        for folder in MACHINE_FOLDERS {
            if line.match_indices(folder).any(|(at, _)| !continues_a_path(&line[..at])) {
                report(format!(
                    "`{folder}` is a folder of one machine. Use a relative path, or name no place."
                ));
            }
        }
        for word in PROMISES {
            if words(line, word).next().is_some() {
                report(format!("`{word}`: do it now, or take it out of the tree."));
            }
        }
        for gap in GAPS {
            if line.match_indices(gap).any(|(at, _)| !line[..at].bytes().last().is_some_and(is_word)) {
                report(format!("`{gap}`: what is in the tree works, and every test runs."));
            }
        }
    }
    problems
}

/// The problems of a Rust file's expectations. What is only compiled for tests may `unwrap`: there the line
/// says enough.
pub(crate) fn check_expectations(path: &str, text: &str) -> Vec<Problem> {
    let silent =
        text.lines().enumerate().filter(|(_, line)| SILENT.iter().any(|silent| line.contains(silent)));
    let mut lines: Vec<usize> = silent.map(|(at, _)| at + 1).collect();
    if path.starts_with("src/") && !path.ends_with("/tests.rs") {
        let code = without_tests(&code_of(text));
        lines.extend(code.match_indices(UNWRAP).map(|(at, _)| line_of(&code, at)));
    }
    let what =
        "this panics without a reason. Use `expect`, and say what should have held: the user will see it.";
    lines.into_iter().map(|line| Problem::new(path, line, what)).collect()
}

/// Whether what stands before a `/` makes it the middle of a path or an address.
fn continues_a_path(before: &str) -> bool {
    before.chars().last().is_some_and(|last| last.is_alphanumeric() || "_-.~}*".contains(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_machine_is_caught() {
        for folder in MACHINE_FOLDERS {
            for text in [format!("see {folder}x"), format!("\"{folder}\""), format!("file://{folder}x")] {
                assert_eq!(check("README.md", &text).len(), 1, "{text}");
            }
            for text in
                [format!("https://example.org{folder}x"), format!("a{folder}b"), format!("..{folder}b")]
            {
                assert_eq!(check("README.md", &text), [], "{text}");
            }
        }
    }

    #[test]
    fn unfinished_work_is_caught() {
        for word in PROMISES {
            assert_eq!(check("src/a.rs", &format!("fine\n// {word}: later"))[0].line, 2);
            assert_eq!(check("src/a.rs", &format!("mktemp a.{word}X")), []);
        }
        for gap in GAPS {
            assert_eq!(check("src/a.rs", &format!("fine\n    {gap})]"))[0].line, 2);
        }
        assert_eq!(check("src/a.rs", &format!("my_{})", GAPS[0])), []);
    }

    #[test]
    fn silent_expectation_is_caught() {
        for silent in SILENT {
            assert_eq!(check_expectations("src/a.rs", &format!("let a = b{silent};")).len(), 1);
        }
        assert_eq!(check_expectations("src/a.rs", "\nlet a = b.unwrap();")[0].line, 2);
        assert_eq!(check_expectations("src/a.rs", "/// a.unwrap()\n#[cfg(test)]\nfn f() { a.unwrap() }"), []);
        assert_eq!(check_expectations("tests/a.rs", "let a = b.unwrap();"), []);
        assert_eq!(check_expectations("src/a.rs", "let a = b.expect(\"the slot is ours\");"), []);
    }
}
