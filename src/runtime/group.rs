//! Coroutines that are waited for, or cancelled, together; and of which only so many run at a time.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::family::{Family, Member, Run};
use super::handle::JoinHandle;
use super::scope::scope;
use super::spawn::CoroutineBuilder;
use crate::abi::lifetimes::FamilyKind;
use crate::coroutine::join::JoinError;
use crate::error::{Error, Result};
use crate::sync::select::waitable_by;
use crate::time::sleep;

/// Spawns a coroutine that begins with waiting for so long; as gevent's `spawn_later`. To cancel it before that is to not
/// run it.
///
/// # Panics
/// As [`spawn`](crate::spawn).
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let soon = coro::spawn_after(Duration::from_millis(1), || "now");
///     assert_eq!(soon.join().unwrap(), "now");
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[track_caller]
pub fn spawn_after<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let late = move || {
        sleep(delay);
        f()
    };
    match CoroutineBuilder::new().spawn_at(late, Location::caller()) {
        Ok(handle) => handle,
        Err(error) => panic!("coro::spawn_after: {error}"),
    }
}

/// Coroutines that are waited for, or cancelled, together. A value of it is a handle: clones are the same group. Dropping
/// it ends nobody.
///
/// ```
/// use std::time::Duration;
///
/// coro::run(|| {
///     let group = coro::Group::new();
///     for n in 0..10 {
///         group.spawn(move || coro::sleep(Duration::from_millis(n)));
///     }
///     group.wait()?;
///     assert!(group.is_empty());
///     group.spawn(|| coro::sleep(Duration::from_secs(1000)));
///     group.cancel()?;
///     group.wait()
/// })??;
/// # Ok::<(), coro::Error>(())
/// ```
///
/// In [`select!`](crate::select), `wait(group)` is done when there are no members. Who wants their results as they end has a
/// [`JoinSet`](crate::JoinSet).
#[derive(Clone)]
pub struct Group {
    family: Arc<Family>,
}

impl Group {
    /// One without members.
    #[track_caller]
    pub fn new() -> Group {
        Group { family: Family::new(FamilyKind::Group, 0, Location::caller()) }
    }

    /// Spawns a member: see [`spawn`](crate::spawn). Its handle may be dropped.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn). [`CoroutineBuilder::spawn_in_group`] gives an error instead, and a name to the member.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match CoroutineBuilder::new().spawn_in_group(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("Group::spawn: {error}"),
        }
    }

    /// Waits until there are no members: also those that come meanwhile have ended then, with all that they have deferred.
    ///
    /// # Errors
    /// In a destructor during a panic, when it would have to wait.
    pub fn wait(&self) -> Result<()> {
        self.family.wait()
    }

    /// Cancels those who are members now: see [`JoinHandle::cancel`].
    ///
    /// # Errors
    /// In a program with `panic = "abort"`.
    pub fn cancel(&self) -> Result<()> {
        self.family.try_cancel("Group::cancel")
    }

    /// How many members have not ended.
    pub fn len(&self) -> usize {
        self.family.len()
    }

    /// Whether all have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

waitable_by! {
    /// Ready when there are no members.
    impl[] Group: group => group.family.emptiness()
}

impl Default for Group {
    #[track_caller]
    fn default() -> Group {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish()
    }
}

/// A group which has room for so many; who spawns one more waits for a place. A value of it is a handle: clones are the
/// same pool.
///
/// ```
/// coro::run(|| {
///     let pool = coro::Pool::new(4);
///     let lengths = pool.map(["a", "bc", "def"], |word| word.len());
///     let lengths: Vec<_> = lengths.into_iter().map(Result::unwrap).collect();
///     assert_eq!(lengths, [1, 2, 3]);
/// })?;
/// # Ok::<(), coro::Error>(())
/// ```
#[derive(Clone)]
pub struct Pool {
    family: Arc<Family>,
    capacity: usize,
}

impl Pool {
    /// One with room for `capacity` coroutines.
    ///
    /// # Panics
    /// If `capacity` is zero: nobody could ever be spawned.
    #[track_caller]
    pub fn new(capacity: usize) -> Pool {
        assert!(capacity > 0, "coro::Pool::new: a pool for 0 coroutines could never run one");
        Pool { family: Family::new(FamilyKind::Pool, capacity, Location::caller()), capacity }
    }

    /// Waits for a place, and spawns a member.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn); and in a destructor during a panic, when it would have to wait.
    /// [`CoroutineBuilder::spawn_in_pool`] gives an error instead, and a name to the member.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match CoroutineBuilder::new().spawn_in_pool(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("Pool::spawn: {error}"),
        }
    }

    /// Calls `f` for each item, each in a coroutine of the pool; gives the results in the items' order. Items are asked for
    /// as there is room. `f` may borrow.
    ///
    /// A member of the pool that calls this takes part in filling it: if all did, all would wait for ever.
    ///
    /// # Panics
    /// As [`spawn`](Pool::spawn), and when the iterator does; those that run already end first.
    #[track_caller]
    pub fn map<I, T, R, F>(&self, items: I, f: F) -> Vec<std::result::Result<R, JoinError>>
    where
        I: IntoIterator<Item = T>,
        F: Fn(T) -> R + Sync,
        T: Send,
        R: Send,
    {
        let (f, caller) = (&f, Location::caller());
        let results = scope(|scope| {
            let spawn = |item| {
                let member = self.place()?;
                let place = member.place();
                let run = Run::new(move || f(item), member);
                CoroutineBuilder::new().spawn_scoped_at(
                    scope,
                    || run.run(),
                    caller,
                    |target| place.introduce(target),
                )
            };
            let handles = items.into_iter().map(spawn).collect::<Result<Vec<_>>>()?;
            Ok(handles.into_iter().map(super::scope::ScopedJoinHandle::join).collect())
        });
        match results {
            Ok(results) => results,
            Err::<_, Error>(error) => panic!("Pool::map: {error}"),
        }
    }

    fn place(&self) -> Result<Member> {
        loop {
            if let Some(place) = self.family.enter_if_below(self.capacity) {
                return Ok(place);
            }
            self.family.wait_for_place(self.capacity)?;
        }
    }

    /// Waits until there are no members, as [`Group::wait`].
    ///
    /// # Errors
    /// In a destructor during a panic, when it would have to wait.
    pub fn wait(&self) -> Result<()> {
        self.family.wait()
    }

    /// Cancels those who are members now: see [`JoinHandle::cancel`].
    ///
    /// # Errors
    /// In a program with `panic = "abort"`.
    pub fn cancel(&self) -> Result<()> {
        self.family.try_cancel("Pool::cancel")
    }

    /// How many members have not ended.
    pub fn len(&self) -> usize {
        self.family.len()
    }

    /// Whether all have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many there is room.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

waitable_by! {
    /// Ready when there are no members.
    impl[] Pool: pool => pool.family.emptiness()
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("len", &self.len()).field("capacity", &self.capacity).finish()
    }
}

impl CoroutineBuilder {
    /// Starts the coroutine as a group's member: see [`Group::spawn`].
    ///
    /// ```
    /// coro::run(|| {
    ///     let group = coro::Group::new();
    ///     for n in 0..3 {
    ///         let named = coro::CoroutineBuilder::new().name(format!("worker-{n}"));
    ///         named.spawn_in_group(&group, || assert!(coro::current().unwrap().name().is_some()))?;
    ///     }
    ///     group.wait()
    /// })??;
    /// # Ok::<(), coro::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](CoroutineBuilder::spawn).
    #[track_caller]
    pub fn spawn_in_group<F, T>(self, group: &Group, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_member(group.family.enter(), f, Location::caller())
    }

    /// Waits for a place in a pool, and starts the coroutine there: see [`Pool::spawn`].
    ///
    /// # Errors
    /// As [`spawn`](CoroutineBuilder::spawn); and in a destructor during a panic, when it would have to wait.
    #[track_caller]
    pub fn spawn_in_pool<F, T>(self, pool: &Pool, f: F) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let caller = Location::caller();
        self.spawn_member(pool.place()?, f, caller)
    }

    pub(super) fn spawn_member<F, T>(
        self,
        member: Member,
        f: F,
        caller: &'static Location<'static>,
    ) -> Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let place = member.place();
        let run = Run::new(f, member);
        self.spawn_introduced(|| run.run(), caller, |target| place.introduce(target))
    }
}
