//! `Range` headers: which part of a file is wanted (RFC 9110, section 14), and what lwan makes of them.

/// What to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: no range, or none that has to be understood.
    Whole,
    /// The bytes from the first to before the second.
    Of(usize, usize),
    Unsatisfiable,
}

/// What a header asks for of `length` bytes.
pub(super) fn find(header: &str, length: usize) -> Part {
    // Several ranges may be answered with the whole (section 14.2).
    let Some((first, last)) = split(header).filter(|(_, last)| !last.contains(',')) else {
        return Part::Whole;
    };
    match (number(first), number(last)) {
        (Some(from), Some(to)) if first.is_empty() || from <= to || last.is_empty() => match (first, last) {
            ("", "") => Part::Whole,
            ("", _) if to == 0 || length == 0 => Part::Unsatisfiable,
            ("", _) => Part::Of(length.saturating_sub(to), length),
            _ if from >= length => Part::Unsatisfiable,
            (_, "") => Part::Of(from, length),
            _ => Part::Of(from, to.saturating_add(1).min(length)),
        },
        _ => Part::Whole,
    }
}

/// What lwan makes of it: the second number is that of the first byte which is not wanted, and what is not there can't be
/// satisfied.
pub(super) fn find_as_lwan(header: &str, length: usize) -> Part {
    let Some((first, last)) = split(header) else { return Part::Whole };
    let (Some(from), Some(to)) = (number(first), number(last)) else { return Part::Whole };
    let to = if last.is_empty() { length } else { to };
    if from >= to || to > length { Part::Unsatisfiable } else { Part::Of(from, to) }
}

fn split(header: &str) -> Option<(&str, &str)> {
    header.strip_prefix("bytes=")?.trim().split_once('-')
}

/// Nothing is zero.
fn number(text: &str) -> Option<usize> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if text.is_empty() { Some(0) } else { Some(text.parse().unwrap_or(usize::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_rfcs() {
        for (header, part) in [
            ("bytes=0-49", Part::Of(0, 50)),
            ("bytes=50-50", Part::Of(50, 51)),
            ("bytes=50-", Part::Of(50, 1000)),
            ("bytes=-100", Part::Of(900, 1000)),
            ("bytes=-5000", Part::Of(0, 1000)),
            ("bytes=900-5000", Part::Of(900, 1000)),
            ("bytes=999-999", Part::Of(999, 1000)),
            ("bytes=1000-", Part::Unsatisfiable),
            ("bytes=1000-2000", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=50-0", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("lines=0-5", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(find(header, 1000), part, "{header}");
        }
        assert_eq!(find("bytes=0-", 0), Part::Unsatisfiable);
    }

    #[test]
    fn ranges_are_lwans() {
        for (header, part) in [
            ("bytes=0-50", Part::Of(0, 50)),
            ("bytes=50-50", Part::Unsatisfiable),
            ("bytes=50-0", Part::Unsatisfiable),
            ("bytes=0-1001", Part::Unsatisfiable),
            ("bytes=5000-6000", Part::Unsatisfiable),
            ("bytes=-100", Part::Of(0, 100)),
            ("bytes=50-", Part::Of(50, 1000)),
            ("bytes=x", Part::Whole),
        ] {
            assert_eq!(find_as_lwan(header, 1000), part, "{header}");
        }
    }
}
