//! A model of a runtime's end beside a spawn from outside: main returns while two threads let coroutines in.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::*;
use crate::scheduler::gate::{Gate, Pool};
use crate::sys::model;

/// Stands for the injector, and for a lone worker's inbox: what of it matters is that each item goes to one.
struct Injector(Mutex<Vec<u32>>);

impl Pool for Arc<Injector> {
    type Item = u32;

    fn put(&self, item: u32) {
        self.0.lock().expect("nobody panics with it").push(item);
    }

    fn take(&self) -> Option<u32> {
        self.0.lock().expect("nobody panics with it").pop()
    }
}

impl Room for Arc<Injector> {
    type Item = u32;

    fn put(&self, item: u32) {
        Pool::put(self, item);
    }
}

/// How a door may be wrong.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    Nothing,
    /// The lock is held for the looks at it, and not for what is done by them.
    LooksFirst,
    /// It is shut after the last look behind it.
    ShutLate,
}

/// The door's lock; with a flaw, only as long as its value is looked at.
struct Lock(Mutex<Option<Arc<Injector>>>, Flaw);

impl Latch<Option<Arc<Injector>>> for Lock {
    fn with<R>(&self, look: impl FnOnce(&mut Option<Arc<Injector>>) -> R) -> R {
        let lock = || self.0.lock().expect("nobody panics with it");
        if self.1 != Flaw::LooksFirst {
            return look(&mut lock());
        }
        let mut seen = lock().clone();
        let result = look(&mut seen);
        if seen.is_none() {
            *lock() = None;
        }
        result
    }
}

fn spawn_from_outside_beside_end(flaw: Flaw) {
    let injector = Arc::new(Injector(Mutex::new(Vec::new())));
    let door = Arc::new(Lock(Mutex::new(Some(injector.clone())), flaw));
    let outside = [0, 1].map(|number| {
        let door = door.clone();
        thread::spawn(move || u32::from(enter(&*door, || number)))
    });
    // The first worker, as `Workers` ends it.
    let gate = Gate::new(injector.clone());
    let mut ended = 0;
    if flaw == Flaw::ShutLate {
        gate.shut(|_| ended += 1);
        shut(&*door);
    } else {
        shut(&*door);
        gate.shut(|_| ended += 1);
    }
    let let_in: u32 = outside.into_iter().map(model::join).sum();
    assert_eq!(let_in, ended, "each that was let in is ended");
    assert_eq!(injector.take(), None);
    assert!(!enter(&*door, || 2), "it is shut for good");
}

#[test]
fn who_is_let_in_as_main_returns_is_ended() {
    model::check(|| spawn_from_outside_beside_end(Flaw::Nothing));
    for flaw in [Flaw::LooksFirst, Flaw::ShutLate] {
        let said = model::fails(move || spawn_from_outside_beside_end(flaw));
        assert!(said.contains("each that was let in is ended"), "{said}");
    }
}
