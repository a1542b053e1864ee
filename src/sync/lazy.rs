//! A value that is made when it is first used: a [`OnceLock`] that knows how.

use std::fmt;
use std::ops::Deref;

use super::OnceLock;

/// A value that is made when it is first used; as `std::sync::LazyLock`. The function may wait; others who come meanwhile
/// wait for it.
///
/// Unlike std's it may be called again: after a panic in it, or when its coroutine was cancelled, by the next one who comes.
///
/// ```
/// use coro::sync::LazyLock;
///
/// static CONFIG: LazyLock<String> = LazyLock::new(|| {
///     coro::yield_now();
///     "read".to_owned()
/// });
///
/// coro::run(|| {
///     let readers: Vec<_> = (0..3).map(|_| coro::spawn(|| CONFIG.len())).collect();
///     readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), 4));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    make: F,
}

impl<T, F: Fn() -> T> LazyLock<T, F> {
    /// One whose value `make` makes.
    pub const fn new(make: F) -> LazyLock<T, F> {
        LazyLock { value: OnceLock::new(), make }
    }

    /// The value, made now if it has not been.
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.value.get_or_init(&this.make)
    }
}

impl<T, F: Fn() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}
