//! Panics that are to end nothing but what panicked.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// So many payloads are dropped, each of which the destructor of the one before has thrown.
const MOST_PAYLOADS: usize = 10;

/// Runs code of the user's in whose panic nobody is interested: the hook has told of it. What it gives, if it doesn't panic.
///
/// A panic's payload is a value of the user's, too, whose destructor may panic; and so may that panic's payload's. When there
/// seems to be no end of it, the last one is leaked.
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(mut payload) => {
            for _ in 0..MOST_PAYLOADS {
                match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                    Ok(()) => return None,
                    Err(next) => payload = next,
                }
            }
            mem::forget(payload);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// Panics when it is dropped, with another one of its kind.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }

    #[test]
    fn payload_whose_destructor_panics_ends_nothing_either() {
        assert_eq!(contain(|| 7), Some(7));
        assert_eq!(contain(|| panic!("as it should")), None::<()>);
        assert_eq!(contain(|| panic_any(Bomb)), None::<()>);
    }
}
