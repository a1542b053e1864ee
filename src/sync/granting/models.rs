//! Models of what is granted in turn: one gives up in the moment in which it is granted something, or in which it stands in
//! the way of another one.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::super::rwlock::{Access, Sharing};
use super::super::semaphore::Permits;
use super::Machine;
use crate::sync::models::{Sleeper, Wait};
use crate::sys::model;

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq)]
enum Planted {
    Nothing,
    /// Who gives up keeps what it was granted.
    KeepsIt,
    /// Who gives up is taken off the list, and nobody looks who could go on.
    StandsInTheWay,
    /// Who was granted something and had given up is taken for one that has nothing, and somebody else gets it, too.
    GrantsTwice,
}

struct Modelled<M> {
    machine: Mutex<M>,
    sleepers: [Sleeper; 3],
    planted: Planted,
}

impl<M: Machine<Wait>> Modelled<M> {
    /// Comes for it; says whether it has to wait.
    fn enlist(&self, me: usize, want: M::Want) -> bool {
        self.sleepers[me].open(0);
        self.machine.lock().expect("nobody panics with it").enlist((me, 0), want)
    }

    /// Is cancelled while it waits, or just after it was granted what it wants.
    fn give_up(&self, me: usize, want: M::Want) {
        self.sleepers[me].end(0);
        let mut granted = Vec::new();
        let was_there = self.machine.lock().expect("nobody panics with it").remove(&(me, 0), &mut granted);
        if self.planted != Planted::StandsInTheWay {
            self.wake(granted, want);
        }
        if !was_there && self.planted != Planted::KeepsIt {
            self.release(want);
        }
    }

    fn release(&self, want: M::Want) {
        let mut granted = Vec::new();
        self.machine.lock().expect("nobody panics with it").give_back(want, &mut granted);
        self.wake(granted, want);
    }

    fn wake(&self, granted: Vec<Wait>, want: M::Want) {
        for (who, wait) in granted {
            if !self.sleepers[who].end(wait) && self.planted == Planted::GrantsTwice {
                self.release(want);
            }
        }
    }
}

/// One has it and lets go, one wants it and gives up, a third one wants it. `wants`: of each; at the end all is back.
fn one_gives_up<M>(machine: M, wants: [M::Want; 3], planted: Planted)
where
    M: Machine<Wait> + Send + 'static,
    M::Want: Send + Sync + 'static,
{
    let all = machine.numbers();
    let shared = Arc::new(Modelled { machine: Mutex::new(machine), sleepers: Default::default(), planted });
    assert_eq!([0, 1, 2].map(|me| shared.enlist(me, wants[me])), [false, true, true]);
    let gives_up = thread::spawn({
        let shared = shared.clone();
        move || shared.give_up(1, wants[1])
    });
    let last = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.sleepers[2].sleep();
            shared.release(wants[2]);
        }
    });
    shared.release(wants[0]);
    model::join(gives_up);
    model::join(last);
    assert_eq!(shared.machine.lock().expect("nobody panics with it").numbers(), all, "all is given back");
}

fn permits() -> Permits<Wait> {
    Permits { left: 2, all: 2, waiting: [].into() }
}

fn sharing() -> Sharing<Wait> {
    Sharing { readers: 0, has_writer: false, waiting: [].into() }
}

#[test]
fn who_gives_up_gives_back_its_permits_and_stands_in_nobodys_way() {
    model::check(|| one_gives_up(permits(), [1, 2, 1], Planted::Nothing));
    for planted in [Planted::KeepsIt, Planted::StandsInTheWay, Planted::GrantsTwice] {
        model::fails(move || one_gives_up(permits(), [1, 2, 1], planted));
    }
}

#[test]
fn writer_that_gives_up_lets_readers_in() {
    use Access::{Read, Write};
    model::check(|| one_gives_up(sharing(), [Read, Write, Read], Planted::Nothing));
    model::check(|| one_gives_up(sharing(), [Write, Read, Write], Planted::Nothing));
    for planted in [Planted::KeepsIt, Planted::StandsInTheWay, Planted::GrantsTwice] {
        model::fails(move || one_gives_up(sharing(), [Read, Write, Read], planted));
    }
}
