//! A child process that doesn't outlive its test: left behind by one that fails, it would keep open what it inherited, and
//! who reads the tests' output would wait for its end.

use std::ops::{Deref, DerefMut};
use std::process::Child;

/// Killed in the end.
pub(crate) struct Killed(pub(crate) Child);

impl Deref for Killed {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // Whether it works or not, the test has its result.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
