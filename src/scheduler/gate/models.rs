//! A model of a runtime's end beside a spawn: the first worker's main returns while the second one still spawns.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use loom::sync::Mutex;
use loom::thread;

use super::*;
use crate::sys::atomic::Atomic;
use crate::sys::model::{self, Shared, Word};

/// Stands for the injector: what of it matters is that each item goes to one.
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

/// The second worker spawns as long as it doesn't know that main has returned. With `each_ends_its_own`, each then ends
/// what it finds; else it is the first one's task alone.
fn spawn_beside_end(each_ends_its_own: bool) {
    let injector = Arc::new(Injector(Mutex::new(Vec::new())));
    let has_returned = Arc::new(Shared::new(0));
    let second = thread::spawn({
        let (injector, has_returned) = (injector.clone(), has_returned.clone());
        move || {
            let gate = Gate::new(injector);
            let mut spawned = 0;
            while spawned < 2 && has_returned.load(Acquire) == 0 {
                gate.put(spawned);
                spawned += 1;
            }
            let mut ended = 0;
            if each_ends_its_own {
                gate.shut(|_| ended += 1);
            }
            spawned - ended
        }
    });
    let gate = Gate::new(injector.clone());
    has_returned.store(1, Release);
    let mut ended = 0;
    gate.shut(|_| ended += 1);
    assert_eq!(model::join(second), ended, "each that was spawned is ended");
    assert_eq!(injector.take(), None);
}

#[test]
fn who_is_spawned_as_main_returns_is_ended() {
    model::check(|| spawn_beside_end(true));
    let said = model::fails(|| spawn_beside_end(false));
    assert!(said.contains("each that was spawned is ended"), "{said}");
}
