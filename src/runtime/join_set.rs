//! Coroutines whose results are taken as they end.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::family::Family;
use super::handle::JoinHandle;
use super::spawn::CoroutineBuilder;
use crate::abi::lifetimes::FamilyKind;
use crate::coroutine::current::CoroutineId;
use crate::coroutine::join::JoinError;
use crate::error::Result;
use crate::scheduler::park::Woken;
use crate::sync::select::waitable_by;
use crate::sys::{clock, fork};

/// Coroutines whose results are taken one by one, in the order in which they end; as tokio's `JoinSet`.
///
/// Dropping it [cancels](JoinSet::cancel) those that have not ended, and doesn't wait for them. (Not under `panic = "abort"`,
/// where they go on.) A result stays until it is taken, or the set is dropped: also when another arm of a
/// [`select!`](crate::select) is done, `wait(set) => set.join_next()` finds it the next time.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let mut set = coro::JoinSet::new();
///     for n in [30, 0, 15] {
///         set.spawn(move || {
///             coro::sleep(Duration::from_millis(n));
///             n
///         });
///     }
///     let mut ended = Vec::new();
///     while let Some(result) = set.join_next() {
///         ended.push(result.unwrap());
///     }
///     assert_eq!(ended, [0, 15, 30]);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
pub struct JoinSet<T> {
    family: Arc<Family>,
    /// By the members' places, which nobody else gets before the end was taken.
    handles: Vec<Option<JoinHandle<T>>>,
    /// How many of them there are.
    count: usize,
}

impl<T> JoinSet<T> {
    /// One without coroutines.
    #[track_caller]
    pub fn new() -> JoinSet<T> {
        let family = Family::that_keeps_ends(FamilyKind::Group, Location::caller());
        JoinSet { family, handles: Vec::new(), count: 0 }
    }

    /// Waits until the next one has ended, and takes its result; `None` if there is none whose result was not taken.
    ///
    /// An end of this wait by a cancel or a [`timeout`](crate::timeout) takes nothing.
    ///
    /// # Errors
    /// As [`JoinHandle::join`]; that it had to wait in a destructor during a panic, or in a child by `fork`, is one, too: a coroutine
    /// is let go then, so that a loop over all of them ends. It is cancelled with the others when the set is dropped.
    pub fn join_next(&mut self) -> Option<std::result::Result<T, JoinError>> {
        self.join_next_until(None)
    }

    /// As [`join_next`](JoinSet::join_next), for so long at most: `None` also when none has ended by then.
    ///
    /// # Errors
    /// As [`join_next`](JoinSet::join_next).
    pub fn join_next_timeout(&mut self, timeout: Duration) -> Option<std::result::Result<T, JoinError>> {
        self.join_next_until(Some(clock::after(timeout)))
    }

    fn join_next_until(&mut self, deadline: Option<u64>) -> Option<std::result::Result<T, JoinError>> {
        loop {
            if let Some(handle) = self.take_ended() {
                return Some(handle.join());
            }
            if self.is_empty() {
                return None;
            }
            match self.family.wait_for_end(deadline) {
                Ok(Woken::Event) => {}
                Ok(Woken::Deadline) => return self.try_join_next(),
                Err(error) => {
                    self.let_one_go();
                    return Some(Err(JoinError::not_waited(error)));
                }
            }
        }
    }

    /// Takes the result of the next one that has ended, if one has.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    pub fn try_join_next(&mut self) -> Option<std::result::Result<T, JoinError>> {
        self.take_ended().map(JoinHandle::join)
    }

    /// The next one that has ended, whose `join` doesn't wait: who leaves a family has its result in its place.
    fn take_ended(&mut self) -> Option<JoinHandle<T>> {
        loop {
            let place = self.family.take_end()?;
            // Else it was let go.
            if let Some(handle) = self.handles.get_mut(place).and_then(Option::take) {
                self.count -= 1;
                return Some(handle);
            }
        }
    }

    /// Gives up the result of somebody.
    #[cold]
    fn let_one_go(&mut self) {
        if let Some(handle) = self.handles.iter_mut().find(|handle| handle.is_some()) {
            *handle = None;
            self.count -= 1;
        }
    }

    /// Cancels those that have not ended: see [`JoinHandle::cancel`]. Their results can be taken as any others.
    ///
    /// # Errors
    /// In a program with `panic = "abort"`.
    #[doc(alias = "abort_all")]
    pub fn cancel(&self) -> Result<()> {
        self.family.try_cancel("JoinSet::cancel")
    }

    /// How many there are whose results were not taken.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Starts a coroutine: see [`spawn`](crate::spawn). Its number.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn). [`CoroutineBuilder::spawn_in_set`] gives an error instead, and a name to the coroutine.
    #[track_caller]
    pub fn spawn<F>(&mut self, f: F) -> CoroutineId
    where
        F: FnOnce() -> T + Send + 'static,
    {
        match CoroutineBuilder::new().spawn_in_set(self, f) {
            Ok(id) => id,
            Err(error) => panic!("JoinSet::spawn: {error}"),
        }
    }
}

impl CoroutineBuilder {
    /// Starts the coroutine in a set: see [`JoinSet::spawn`]. Its number.
    ///
    /// # Errors
    /// As [`spawn`](CoroutineBuilder::spawn).
    #[track_caller]
    pub fn spawn_in_set<F, T>(self, set: &mut JoinSet<T>, f: F) -> Result<CoroutineId>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let member = set.family.enter();
        let place = member.number();
        match self.spawn_member(member, f, Location::caller()) {
            Ok(handle) => {
                let id = handle.id();
                if set.handles.len() <= place {
                    set.handles.resize_with(place + 1, || None);
                }
                set.handles[place] = Some(handle);
                set.count += 1;
                Ok(id)
            }
            Err(error) => {
                // Who was never there has no end to be taken.
                set.family.forget_end(place);
                Err(error)
            }
        }
    }
}

waitable_by! {
    /// Ready when `join_next` doesn't wait: one has ended, or there is none.
    impl[T] JoinSet<T>: set => set.family.an_end()
}

impl<T> Default for JoinSet<T> {
    #[track_caller]
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        // In a child by `fork` they are the parent's.
        if !fork::is_child() {
            // The one error there is says that nothing can be unwound in this program.
            let _ = self.cancel();
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}
