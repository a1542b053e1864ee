//! `coroutine_local!`: storage per coroutine, as `thread_local!` is per thread.
//!
//! Thread-locals are shared by all coroutines of a thread, which is rarely what code that reads like a thread's
//! means. The name and the interface are std's.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr::NonNull;

use super::current::running;
use super::extra;
use crate::sys::unwind;

/// A static whose value each coroutine has for itself. Made by [`coroutine_local!`](crate::coroutine_local).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

/// The local can't be used: outside a runtime, or while the coroutine's locals are being dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(&'static str);

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for AccessError {}

/// Declares statics of which each coroutine has its own value, made when it first asks for it and dropped at
/// its end (the last made first).
///
/// ```
/// use std::cell::Cell;
///
/// coro::coroutine_local! {
///     static REQUEST: Cell<u32> = Cell::new(0);
/// }
///
/// coro::run(|| {
///     REQUEST.with(|request| request.set(7));
///     let other = coro::spawn(|| REQUEST.with(|request| request.get()));
///     assert_eq!(other.join().unwrap(), 0);
///     assert_eq!(REQUEST.with(|request| request.get()), 7);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[macro_export]
macro_rules! coroutine_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr;)*) => {
        $($(#[$attribute])* $visibility static $name: $crate::LocalKey<$type> = $crate::LocalKey::__new(|| $init);)*
    };
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr);*) => {
        $crate::coroutine_local! { $($(#[$attribute])* $visibility static $name: $type = $init;)* }
    };
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init }
    }

    /// Calls `f` with the running coroutine's value.
    ///
    /// # Panics
    /// Outside a runtime, and in a local's destructor for one that has been dropped: see
    /// [`try_with`](LocalKey::try_with).
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Calls `f` with the running coroutine's value.
    ///
    /// # Errors
    /// Outside a runtime, and in a local's destructor for one that has been dropped.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let record = running().ok_or(AccessError(
            "a coroutine_local! was used outside a runtime, where there is no coroutine to have it; use it within \
             coro::run(|| ...), or a thread_local!",
        ))?;
        let extra = extra::get_or_make(record);
        let key = std::ptr::from_ref(self).addr();
        let find = || extra.locals.borrow().iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
        let value = match find() {
            Some(value) => value,
            None if extra.locals_ended.get() => {
                return Err(AccessError(
                    "a coroutine_local! was used in the destructor of another one after it had been dropped itself",
                ));
            }
            None => {
                // Not while the list is borrowed: the initialiser may use locals, even this one.
                let value: Box<dyn Any> = Box::new((self.init)());
                match find() {
                    Some(first) => first,
                    None => {
                        // SAFETY: a Box's pointer isn't null.
                        let value = unsafe { NonNull::new_unchecked(Box::into_raw(value)) };
                        extra.locals.borrow_mut().push((key, value));
                        value
                    }
                }
            }
        };
        // SAFETY: the value is freed by `drop_all` only, at the coroutine's end: `f` is a call in the coroutine,
        // so it has returned then, or `f` was called by a local's destructor, whose own value is out of the list.
        let value: &dyn Any = unsafe { value.as_ref() };
        Ok(f(value.downcast_ref().expect("a key's address has one type")))
    }
}

/// As std's, of what is in a `Cell`. Each panics as [`with`](LocalKey::with).
///
/// ```
/// use std::cell::Cell;
///
/// coro::coroutine_local! {
///     static DEPTH: Cell<u32> = Cell::new(1);
/// }
///
/// coro::run(|| {
///     DEPTH.set(DEPTH.get() + 1);
///     assert_eq!((DEPTH.replace(7), DEPTH.take(), DEPTH.get()), (2, 7, 0));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// A copy of the value.
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, and leaves the default.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value; gives the old one.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// As std's, of what is in a `RefCell`. Each panics as [`with`](LocalKey::with), and when the value is borrowed.
///
/// ```
/// use std::cell::RefCell;
///
/// coro::coroutine_local! {
///     static WORDS: RefCell<Vec<&'static str>> = RefCell::default();
/// }
///
/// coro::run(|| {
///     WORDS.with_borrow_mut(|words| words.push("one"));
///     assert_eq!(WORDS.with_borrow(Vec::len), 1);
///     assert_eq!((WORDS.replace(vec!["two"]), WORDS.take()), (vec!["one"], vec!["two"]));
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the value.
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the value, to be changed.
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.replace(value);
    }

    /// Takes the value, and leaves the default.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the value; gives the old one.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Drops the running coroutine's locals, the last made first.
pub(super) fn drop_all(extra: &extra::Extra) {
    extra.locals_ended.set(true);
    loop {
        let last = extra.locals.borrow_mut().pop();
        let Some((_, value)) = last else { return };
        // SAFETY: it came from `Box::into_raw`, and is out of the list. No reference is left: see `try_with`;
        // one to this value can't be held by a destructor that runs before this one.
        let value = unsafe { Box::from_raw(value.as_ptr()) };
        unwind::contain(|| drop(value));
    }
}
