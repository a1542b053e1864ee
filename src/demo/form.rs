//! Names and values as clients send them: query strings, cookies, urlencoded bodies.

use percent_encoding::percent_decode_str;

/// More pairs than this in one request are not looked at.
const MOST: usize = 256;

/// The decoded pairs of a query or an urlencoded body, sorted by name.
pub(super) fn pairs(encoded: &str) -> Vec<(String, String)> {
    split(encoded, '&')
}

/// The decoded pairs of a `Cookie` header, sorted by name.
pub(super) fn cookies(header: &str) -> Vec<(String, String)> {
    split(header, ';')
}

/// The value of `name` in what [`pairs`] or [`cookies`] gave.
pub(super) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// Decodes a path's percent signs; in a path a plus sign is a plus sign.
pub(super) fn path(encoded: &str) -> String {
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}

fn split(encoded: &str, separator: char) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = encoded
        .split(separator)
        .map(str::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .take(MOST)
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        // A NUL cuts text off in much of what handles it afterwards.
        .filter(|(name, value)| !name.contains('\0') && !value.contains('\0'))
        .collect();
    pairs.sort();
    pairs
}

fn decode(piece: &str) -> String {
    path(&piece.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn shown(pairs: &[(String, String)]) -> Vec<String> {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn pairs_are_decoded_and_sorted() {
        assert_eq!(shown(&pairs("b=x+y&a=%41%42&&c&d=e=f&%61=2")), ["a=2", "a=AB", "b=x y", "c=", "d=e=f"]);
        assert_eq!(shown(&cookies("FOO=bar; a=1+2;b = c")), ["FOO=bar", "a=1 2", "b = c"]);
    }

    #[test]
    fn a_pair_with_a_nul_is_dropped() {
        assert_eq!(shown(&pairs("a=x%00y&b=2&c%00=3")), ["b=2"]);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(shown(&pairs("a=%&b=%4&c=%zz")), ["a=%", "b=%4", "c=%zz"]);
    }

    #[test]
    fn a_flood_of_pairs_is_cut_off() {
        assert_eq!(pairs(&"a&".repeat(100_000)).len(), MOST);
    }

    #[test]
    fn a_path_keeps_its_plus_signs() {
        assert_eq!(path("/a%20b+c"), "/a b+c");
    }
}
