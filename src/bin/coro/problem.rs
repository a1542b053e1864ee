//! Why something could not be done: a sentence for whoever has asked.

use std::fmt;

/// The sentence: what was tried, on what, what the system said, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
