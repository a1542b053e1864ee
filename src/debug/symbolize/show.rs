//! Names and paths as a person reads them.
//!
//! *No allocation, no locks, bounded loops.*

use std::fmt::{self, Write};

use super::{Name, Place};

/// A longer name is shown without its type arguments: iterators in iterators make some of thousands of bytes, among which
/// nobody finds the function.
const LONG: usize = 160;

/// Bytes that are text for the most part.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("?")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut length = Length(0);
        write!(length, "{}", Whole(self))?;
        if length.0 > LONG { write!(WithoutArguments::new(f), "{}", Whole(self)) } else { Whole(self).fmt(f) }
    }
}

/// A name with all that belongs to it.
struct Whole<'a>(&'a Name<'a>);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whole(Name { bytes, is_mangled }) = *self;
        if bytes.is_empty() {
            return f.write_str("??");
        }
        let symbol = std::str::from_utf8(bytes).ok().filter(|_| *is_mangled);
        match symbol.map(rustc_demangle::try_demangle) {
            // Without the hash, which tells a person nothing.
            Some(Ok(demangled)) => write!(f, "{demangled:#}"),
            _ => Text(bytes).fmt(f),
        }
    }
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Passes on a name but for its type arguments: `fold<Map<Range<u32>, F>>` as `fold<…>`, and
/// `<Vec<T> as Extend<T>>::extend` as `<Vec<…> as Extend<…>>::extend`.
struct WithoutArguments<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    /// Angle brackets that are open; and so many of them enclose the name's first part, and no arguments.
    depth: u32,
    own: Option<u32>,
    last: char,
}

impl<'a, 'b> WithoutArguments<'a, 'b> {
    fn new(to: &'a mut fmt::Formatter<'b>) -> WithoutArguments<'a, 'b> {
        WithoutArguments { to, depth: 0, own: None, last: ' ' }
    }
}

impl Write for WithoutArguments<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let own = *self.own.get_or_insert(u32::from(c == '<'));
            // The one of an arrow closes nothing.
            self.depth -= u32::from(c == '>' && self.last != '-' && self.depth > 0);
            if c == '<' && self.depth == own {
                self.to.write_str("<…")?;
            } else if self.depth <= own {
                self.to.write_char(c)?;
            }
            if c == '>' && self.depth == 0 {
                self.own = Some(0);
            }
            self.depth += u32::from(c == '<');
            self.last = c;
        }
        Ok(())
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            return f.write_str("??");
        }
        let directory = if self.is_absolute() { &[][..] } else { self.shown_directory() };
        let between = if directory.is_empty() { "" } else { "/" };
        // `/rustc/COMMIT/library` is where the standard library was compiled; how the path is divided differs.
        if let Some(file) = [directory, self.file].into_iter().find_map(in_library) {
            let is_whole = in_library(directory).is_none();
            let (between, rest) = if is_whole { ("", &[][..]) } else { ("/", self.file) };
            write!(f, "std:{}{between}{}", Text(file), Text(rest))?;
        } else if self.is_compiled_with_std()
            && let Some(file) = self.file.strip_prefix(b"library/")
        {
            write!(f, "std:{}", Text(file))?;
        } else if self.is_compiled_with_std()
            && let Some(directory) = directory.strip_prefix(b"library/")
        {
            write!(f, "std:{}/{}", Text(directory), Text(self.file))?;
        } else {
            write!(f, "{}{between}{}", Text(directory), Text(self.file))?;
        }
        match self.line.max(self.nearest) {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

impl<'a> Place<'a> {
    fn is_absolute(&self) -> bool {
        self.file.starts_with(b"/")
    }

    /// Whether it is of the standard library's source.
    pub(crate) fn is_of_std(&self) -> bool {
        let directory = if self.is_absolute() { &[][..] } else { self.shown_directory() };
        let is_below = |path: &[u8]| self.is_compiled_with_std() && path.starts_with(b"library/");
        [directory, self.file].into_iter().any(|path| in_library(path).is_some() || is_below(path))
    }

    /// Whether paths start from where the standard library was compiled.
    fn is_compiled_with_std(&self) -> bool {
        [self.folder, self.directory].iter().any(|folder| folder.starts_with(b"/rustc/"))
    }

    /// The directory, without the folder where the compiler ran.
    fn shown_directory(&self) -> &'a [u8] {
        match self.directory.strip_prefix(self.folder) {
            Some(rest) if !self.folder.is_empty() => rest.strip_prefix(b"/").unwrap_or(rest),
            _ => self.directory,
        }
    }
}

/// The rest of a path in the standard library.
fn in_library(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"/rustc/")?;
    split_once(rest, b"/library/").map(|(_, file)| file)
}

/// What is before and behind the first `between`.
fn split_once<'a>(bytes: &'a [u8], between: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(between.len()).position(|window| window == between)?;
    Some((&bytes[..at], &bytes[at + between.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &str, file: &str) -> String {
        let (directory, file) = (directory.as_bytes(), file.as_bytes());
        Place { folder: b"/home/me/project", directory, file, line: 7, nearest: 7 }.to_string()
    }

    #[test]
    fn whose_a_file_is() {
        let is_of_std = |folder: &'static str, directory: &'static str, file: &'static str| {
            let [folder, directory, file] = [folder, directory, file].map(str::as_bytes);
            Place { folder, directory, file, line: 7, nearest: 7 }.is_of_std()
        };
        for (directory, file) in [
            ("/rustc/0123abcd/library/core/src", "hint.rs"),
            ("", "/rustc/0123abcd/library/core/src/hint.rs"),
            ("/rustc/0123abcd", "library/core/src/hint.rs"),
        ] {
            assert!(is_of_std("/home/me/project", directory, file), "{directory} {file}");
        }
        assert!(is_of_std("/rustc/0123abcd", "library/std/src", "rt.rs"));
        assert!(!is_of_std("/home/me/project", "library/src", "rt.rs"));
        assert!(!is_of_std("/home/me/project", "", "src/main.rs"));
    }

    #[test]
    fn paths_are_relative_to_the_project_or_std() {
        assert_eq!(place("", "src/main.rs"), "src/main.rs:7");
        assert_eq!(place("/home/me/project/src", "main.rs"), "src/main.rs:7");
        assert_eq!(place("/home/me/project", "main.rs"), "main.rs:7");
        assert_eq!(place("/home/me/.cargo/x/src", "lib.rs"), "/home/me/.cargo/x/src/lib.rs:7");
        assert_eq!(place("/rustc/0123abcd/library/core/src", "ops.rs"), "std:core/src/ops.rs:7");
        assert_eq!(place("", "/rustc/0123abcd/library/std/src/rt.rs"), "std:std/src/rt.rs:7");
        assert_eq!(place("/rustc/0123abcd", "library/std/src/rt.rs"), "std:std/src/rt.rs:7");
        let std = |directory: &'static str| {
            let directory = directory.as_bytes();
            Place { folder: b"/rustc/0123abcd", directory, file: b"rt.rs", line: 7, nearest: 7 }.to_string()
        };
        assert_eq!(std("library/std/src"), "std:std/src/rt.rs:7");
        assert_eq!(std("/rustc/0123abcd/library/std/src"), "std:std/src/rt.rs:7");
        assert_eq!(place("src", "/usr/include/x.h"), "/usr/include/x.h:7");
        assert_eq!(Place::default().to_string(), "??");
        let lineless = Place { file: b"a.rs", line: 0, nearest: 12, ..Place::default() };
        assert_eq!(lineless.to_string(), "a.rs:12", "the last line before");
    }

    #[test]
    fn names_are_translated_and_others_left() {
        let name = |bytes, is_mangled| Name { bytes, is_mangled }.to_string();
        assert_eq!(name(b"_ZN4main4demo7recurse17hf228a69048e1ceedE", true), "main::demo::recurse");
        assert_eq!(name(b"malloc", true), "malloc");
        assert_eq!(name(b"{closure_env#0}", false), "{closure_env#0}");
        assert_eq!(name(b"", false), "??");
        assert_eq!(name(b"a\xffb", true), "a?b");
    }

    #[test]
    fn long_names_are_shown_without_their_type_arguments() {
        let shown = |name: &str| Name { bytes: name.as_bytes(), is_mangled: false }.to_string();
        let long =
            "core::iter::adapters::map::Map<core::ops::range::Range<usize>, fn(u8) -> std::vec::Vec<u8>>";
        let both = format!("{long}, {long}");
        assert_eq!(shown(&format!("fold<{long}>")), format!("fold<{long}>"), "it is not that long");
        assert_eq!(shown(&format!("fold<{both}>")), "fold<…>");
        assert_eq!(shown(&format!("a::b<{both}>::c<{long}>::{{closure#0}}")), "a::b<…>::c<…>::{closure#0}");
        assert_eq!(
            shown(&format!("<a::B<{both}> as c::D<{long}>>::e<{long}>")),
            "<a::B<…> as c::D<…>>::e<…>"
        );
        let plain = "x".repeat(2 * LONG);
        assert_eq!(shown(&plain), plain);
    }
}
