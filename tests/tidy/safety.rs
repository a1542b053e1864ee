//! Unsafe code is a contract with two signatures: `# Safety` in the documentation says what the caller owes,
//! a `// SAFETY:` comment says who paid.
//!
//! Clippy checks much of this as well, but not inside macros, and not that the comment says something.

use crate::Problem;
use crate::source::{code_of, line_of, words};

/// A comment of fewer words has no reason in it. (Two are enough for "as above".)
const FEWEST_WORDS: usize = 2;

/// The problems of the unsafe blocks, impls and public functions of one file.
pub(crate) fn check(path: &str, text: &str) -> Vec<Problem> {
    let code = code_of(text);
    let lines = Lines { text: text.lines().collect(), code: code.lines().collect() };
    let mut problems = Vec::new();
    for at in words(&code, "unsafe") {
        let line = line_of(&code, at);
        let rest = code[at + "unsafe".len()..].trim_start();
        if rest.starts_with('{') || rest.starts_with("impl") {
            if !lines.comment_above_statement(line).iter().any(|comment| comment.contains("// SAFETY:")) {
                let what = "unsafe code without a `// SAFETY:` comment directly above. Say why what the \
                            operation demands holds here.";
                problems.push(Problem::new(path, line, what));
            }
        } else if is_public_function(&code[..at], rest) {
            let documentation = lines.above(line);
            if !documentation.iter().any(|comment| comment.trim() == "/// # Safety") {
                let what =
                    "`pub unsafe fn` without a `# Safety` section. Say what the caller must guarantee.";
                problems.push(Problem::new(path, line, what));
            }
        }
    }
    problems.extend(empty_reasons(path, &lines));
    problems.sort_by_key(|problem| problem.line);
    problems
}

/// Whether a head with `pub` or `pub(crate)` leads up to the word `unsafe`, and `fn` or `extern "…" fn`
/// follows it. What is seen by one module only may state its contract more freely.
fn is_public_function(before: &str, rest: &str) -> bool {
    let is_function = rest.starts_with("fn ")
        || rest
            .strip_prefix("extern")
            .is_some_and(|rest| rest.trim_start_matches([' ', '"']).starts_with("fn "));
    let head = before.rsplit([';', '{', '}', '\n']).next().unwrap_or("").trim_start();
    is_function && (head.starts_with("pub ") || head.starts_with("pub(crate) "))
}

/// `// SAFETY` comments that give no reason.
fn empty_reasons(path: &str, lines: &Lines<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in lines.text.iter().enumerate() {
        // In a string it would still stand in the code's line, as a quote with nothing behind.
        let Some(reason) = line.trim_start().strip_prefix("// SAFETY") else { continue };
        let more = lines.text[at + 1..].iter().map_while(|next| next.trim_start().strip_prefix("//"));
        let count = std::iter::once(reason.trim_start_matches(':'))
            .chain(more)
            .flat_map(str::split_whitespace)
            .count();
        if count < FEWEST_WORDS || !reason.starts_with(':') {
            let what =
                "this `// SAFETY:` comment gives no reason. Say why what the operation demands holds here.";
            problems.push(Problem::new(path, at + 1, what));
        }
    }
    problems
}

/// A file's lines, as they are and without comments and literals. Line numbers are from 1.
struct Lines<'a> {
    text: Vec<&'a str>,
    code: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    /// The comment and attribute lines directly above a line.
    fn above(&self, line: usize) -> Vec<&'a str> {
        let upwards = self.text[..line - 1].iter().rev();
        let part_of_head = |text: &&&str| text.trim().starts_with("//") || text.trim().starts_with("#[");
        upwards.take_while(part_of_head).copied().collect()
    }

    /// The comment above the statement that a line belongs to, which may have begun some lines earlier.
    fn comment_above_statement(&self, mut line: usize) -> Vec<&'a str> {
        loop {
            let above = self.above(line);
            let before = self.code[..line - 1].last().map_or("", |code| code.trim());
            let goes_on = !before.is_empty() && !before.ends_with([';', '{', '}']) && !before.contains("=>");
            if !above.is_empty() || !goes_on {
                return above;
            }
            line -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check("src/x.rs", text).iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn block_without_a_reason_is_caught() {
        assert_eq!(lines("fn f() {\n    unsafe { g() }\n}"), [2]);
        assert_eq!(lines("fn f() {\n    let a =\n        unsafe { g() };\n}"), [3]);
        assert_eq!(lines("// SAFETY: g is fine here.\n\nlet a = unsafe { g() };"), [3]);
        assert_eq!(
            lines("// SAFETY: g is fine here.\nlet a = unsafe { g() };\nlet b = unsafe { g() };"),
            [3]
        );
        assert_eq!(lines("// Some other comment.\nunsafe impl Send for A {}"), [2]);
        assert_eq!(
            lines(
                "match a {\n    // SAFETY: g is fine.\n    1 => unsafe { g() },\n    _ => unsafe { g() },\n}"
            ),
            [4]
        );
    }

    #[test]
    fn block_with_a_reason_is_fine() {
        let fine = [
            "// SAFETY: g is fine here.\nlet a = unsafe { g() };",
            "// SAFETY: g is fine here,\n// and there.\n#[allow(x)]\nunsafe impl Send for A {}",
            "// SAFETY: g is fine here.\nlet a =\n    unsafe { g() };",
            "// SAFETY: g is fine here.\nlet a = h(\n    1,\n    unsafe { g() },\n);",
            "f(\"unsafe { g() }\"); // unsafe { g() }",
            "unsafe extern \"C\" {}\nunsafe fn f() {}\n#[unsafe(naked)]\nfn g() {}",
        ];
        for text in fine {
            assert_eq!(lines(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn empty_reason_is_caught() {
        assert_eq!(lines("// SAFETY:\nlet a = unsafe { g() };"), [1]);
        assert_eq!(lines("// SAFETY: fine.\nlet a = unsafe { g() };"), [1]);
        assert_eq!(lines("// SAFETY:\n// g is fine here.\nlet a = unsafe { g() };"), [0; 0]);
    }

    #[test]
    fn public_function_without_its_section_is_caught() {
        assert_eq!(lines("/// Does it.\npub unsafe fn f() {}"), [2]);
        assert_eq!(lines("/// Does it.\npub(crate) const unsafe fn f() {}"), [2]);
        assert_eq!(lines("/// Does it.\npub unsafe extern \"C\" fn f() {}"), [2]);
        assert_eq!(
            lines("/// Does it.\n///\n/// # Safety\n///\n/// Once only.\n#[inline]\npub unsafe fn f() {}"),
            [0; 0]
        );
        assert_eq!(lines("pub(super) unsafe fn f() {}"), [0; 0]);
        assert_eq!(lines("impl A for B {\n    unsafe fn f() {}\n}"), [0; 0]);
    }
}
