//! Rust source as the rules read it: comments and literals blanked out, offsets and lines kept.
//!
//! Not a parser. It knows as much of the language as is needed so that `crate::x` in a comment is not taken
//! for an import, nor an `unsafe {` in a string for a block.

/// The source with the contents of comments, strings and characters turned into spaces. As long as the
/// original, with the same line ends; a literal's quotes stay.
pub(crate) fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = end_of_token(bytes, at);
        if let Some((from, to)) = hidden_part(bytes, at, end) {
            for byte in &mut code[from..to] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("whole characters were replaced by ASCII")
}

/// What of the token at `at..end` is not code.
fn hidden_part(bytes: &[u8], at: usize, end: usize) -> Option<(usize, usize)> {
    match bytes[at] {
        b'/' if end > at + 1 => Some((at, end)),
        b'"' | b'\'' if end > at + 1 => Some((at + 1, end - 1)),
        b'r' if end > at + 1 => Some((at + 1, end)),
        _ => None,
    }
}

/// The end of the comment or literal that begins at `at`; for all else, of the one byte.
fn end_of_token(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + end_of_block_comment(rest),
        [b'"', ..] => at + end_of_string(rest),
        [b'r', b'"' | b'#', ..] if !follows_word(bytes, at) => at + end_of_raw_string(rest).unwrap_or(1),
        [b'\'', ..] => at + end_of_character(rest).unwrap_or(1),
        _ => at + 1,
    }
}

/// Block comments nest in Rust.
fn end_of_block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn end_of_string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` for a raw identifier (`r#type`).
fn end_of_raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'#'; hashes + 1];
    closing[0] = b'"';
    let body = 2 + hashes;
    let length = rest[body..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(rest.len(), |length| body + length + closing.len()))
}

/// `None` for a lifetime.
fn end_of_character(rest: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(&rest[1..rest.len().min(16)]).or_else(|error| {
        // The slice may have cut a character in two.
        std::str::from_utf8(&rest[1..1 + error.valid_up_to()])
    });
    let mut characters = text.ok()?.char_indices();
    match characters.next()?.1 {
        // An escape: to the next quote, but `\'` has one of its own.
        '\\' => Some(3 + rest.get(3..)?.iter().position(|&b| b == b'\'')? + 1),
        _ => characters.next().filter(|&(_, quote)| quote == '\'').map(|(at, _)| 1 + at + 1),
    }
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    // `b` and `c` are the prefixes that a raw string may have.
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => at >= 2 && is_word(bytes[at - 2]),
        Some(before) => is_word(before),
        None => false,
    }
}

/// Whether a byte can be part of an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Where `word` stands in `code` as a word of its own.
pub(crate) fn words(code: &str, word: &str) -> impl Iterator<Item = usize> {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|&after| is_word(after));
        !before && !after
    })
}

/// The identifier at the start of `code`, perhaps empty.
pub(crate) fn leading_word(code: &str) -> &str {
    let end = code.bytes().position(|byte| !is_word(byte)).unwrap_or(code.len());
    &code[..end]
}

/// The line, from 1, in which an offset lies.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count()
}

/// The offset behind the bracket that closes the one at `open`; the code's end if none does.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// `code` with the items blanked out that are compiled for tests only (`#[cfg(test)]`, `#[cfg(all(test,
/// …))]`).
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(").map(|at| from + at) {
        let end_of_attribute = closing(code, at + 1);
        let condition = &code[at..end_of_attribute];
        from = end_of_attribute;
        if words(condition, "test").any(|test| !condition[..test].ends_with("not(")) {
            from = end_of_item(code, end_of_attribute);
            kept[at..from].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
    }
    String::from_utf8(kept).expect("whole characters were replaced by ASCII")
}

/// The end of the item at `at`: its first `;`, or the end of its first block.
fn end_of_item(code: &str, mut at: usize) -> usize {
    while at < code.len() {
        match code.as_bytes()[at] {
            b';' => return at + 1,
            b'{' => return closing(code, at),
            b'}' => return at,
            b'(' | b'[' => at = closing(code, at),
            _ => at += 1,
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(code: &str) -> String {
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let cases = [
            ("a // crate::x\nb", "a b"),
            ("a /* x /* y */ z */ b", "a b"),
            (r#"a("crate::x \" y", b'"', '\'', '"', c)"#, r#"a(" ", b' ', ' ', ' ', c)"#),
            (r##"a(r#"x " y"#, br"\", b)"##, "a(r , br , b)"),
            ("fn f<'a>(x: &'a str) -> char { 'é' }", "fn f<'a>(x: &'a str) -> char { ' ' }"),
            (r"'\u{1F600}' 'b: loop {}", "' ' 'b: loop {}"),
            ("r#type for\"x\"", "r#type for\" \""),
        ];
        for (text, expected) in cases {
            let code = code_of(text);
            assert_eq!(code.len(), text.len(), "{text}");
            assert_eq!(squeezed(&code), expected, "{text}");
        }
    }

    #[test]
    fn lines_stay_where_they_were() {
        let code = code_of("/* a\nb */ \"c\nd\" crate");
        assert_eq!(code.lines().count(), 3);
        assert_eq!(line_of(&code, code.find("crate").expect("it is code")), 3);
    }

    #[test]
    fn test_items_are_left_out() {
        let code = "a; #[cfg(test)] mod tests { use b; fn c() {} } #[cfg(not(test))] d; \
                    #[cfg(all(test, loom))] #[allow(x)] fn e(f: [u8; 3]) { g } #[cfg(test)] use h; i";
        assert_eq!(squeezed(&without_tests(code)), "a; #[cfg(not(test))] d; i");
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("test tests _test (test)", "test").count(), 2);
    }
}
