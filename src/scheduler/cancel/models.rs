//! Models of a cancel beside what its target does meanwhile: it parks, goes on to its next wait, shields itself, or ends and
//! leaves its slot to somebody else; and beside another cancel.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use loom::thread;

use super::*;
use crate::abi::record::request;
use crate::abi::state::State;
use crate::coroutine::cancel::{ask, is_due, note};
use crate::registry::transition::{self, Wake};
use crate::sys::model::{self, Sequential, Shared, Torn, Unordered};

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq)]
enum Planted {
    Nothing,
    /// It is looked for a request before the state is stored, and not after it.
    LooksFirst,
    /// Who cancels does not look at the id again behind the key.
    TrustsTheKey,
    /// Who cancels looks at the id again, but before the key.
    LooksAgainTooEarly,
    /// Who cancels asks whoever has the slot.
    AsksAnybody,
    /// The coroutine's own bits are noted by a load and a store.
    TearsItsNotes,
}

/// A record's two words.
struct Coroutine<A> {
    state: A,
    requests: A,
    planted: Planted,
}

impl<A: model::Word> Coroutine<A> {
    /// One that runs, with the id 1.
    fn new(planted: Planted) -> Arc<Coroutine<A>> {
        let coroutine = Coroutine { state: A::new(0), requests: A::new(0), planted };
        coroutine.begin(1);
        Arc::new(coroutine)
    }

    /// As the registry makes a slot somebody's, who runs then.
    fn begin(&self, id: u64) {
        // The registry stores it. loom lets a compare-exchange of another thread succeed on a value which a store has
        // replaced; with one here, too, they are in one order, as the language says they are.
        let replace = || {
            let mut seen = self.requests.load(Relaxed);
            while let Err(now) = self.requests.compare_exchange(seen, request::nothing(id), Relaxed, Relaxed)
            {
                seen = now;
            }
        };
        transition::publish(&self.state, replace);
        transition::ready(&self.state);
        transition::run(&self.state);
    }

    /// As a coroutine looks at the beginning and at the end of its waits.
    fn is_asked(&self) -> bool {
        self.requests.load(Relaxed) & request::CANCEL != 0
    }

    fn note(&self, set: u64, clear: u64) {
        if self.planted == Planted::TearsItsNotes {
            self.requests.store((self.requests.load(Relaxed) | set) & !clear, Relaxed);
        } else {
            note(&self.requests, set, clear);
        }
    }

    /// As `park::Wait` and `switch::finish` have it wait; says how often it was queued by its own worker.
    fn wait(&self) -> usize {
        let was_due = is_due(&self.requests);
        transition::open_wait(&self.state);
        if transition::park(&self.state).is_some() {
            return 1;
        }
        let is_due = if self.planted == Planted::LooksFirst { was_due } else { is_due(&self.requests) };
        let key = Word(self.state.load(SeqCst)).key();
        usize::from(is_due && matches!(transition::wake(&self.state, key, 0), Wake::Queue(_)))
    }

    /// Cancels the one with the id 1; says how often it was queued by that.
    fn cancel(&self) -> usize {
        if self.planted == Planted::AsksAnybody {
            note(&self.requests, request::CANCEL, 0);
        } else if !ask(&self.requests, 1) {
            return 0;
        }
        let key = match self.planted {
            Planted::TrustsTheKey => Some(Word(self.state.load(SeqCst)).key()),
            Planted::LooksAgainTooEarly => {
                is_there(&self.requests, 1).then(|| Word(self.state.load(SeqCst)).key())
            }
            _ => key_of(&self.state, &self.requests, 1),
        };
        let woken = key.map(|key| transition::wake(&self.state, key, 0));
        usize::from(matches!(woken, Some(Wake::Queue(_))))
    }
}

/// It waits as it is cancelled: it goes on, and is queued once.
fn cancel_beside_park<A: model::Word>(planted: Planted) {
    let coroutine = Coroutine::<A>::new(planted);
    let canceller = thread::spawn({
        let coroutine = coroutine.clone();
        move || coroutine.cancel()
    });
    end_by_cancel(&coroutine, canceller);
}

/// It raises a shield and lowers it as it is cancelled; then it waits, goes on, and is queued once.
fn cancel_beside_shield<A: model::Word>(planted: Planted) {
    let coroutine = Coroutine::<A>::new(planted);
    let canceller = thread::spawn({
        let coroutine = coroutine.clone();
        move || coroutine.cancel()
    });
    coroutine.note(request::SHIELD, 0);
    coroutine.note(0, request::SHIELD);
    end_by_cancel(&coroutine, canceller);
}

/// Two cancel it: one of them has to wake it.
fn two_cancel_one<A: model::Word>() {
    let coroutine = Coroutine::<A>::new(Planted::Nothing);
    let other = thread::spawn({
        let coroutine = coroutine.clone();
        move || ask(&coroutine.requests, 1)
    });
    let is_first = ask(&coroutine.requests, 1);
    assert!(is_first ^ model::join(other), "one of them is the first");
}

fn end_by_cancel<A: model::Word>(coroutine: &Coroutine<A>, canceller: thread::JoinHandle<usize>) {
    // One that is asked already doesn't wait.
    let own = if coroutine.is_asked() { None } else { Some(coroutine.wait()) };
    let others = model::join(canceller);
    let Some(own) = own else { return };
    assert_eq!(Word(coroutine.state.load(Relaxed)).state(), State::Ready, "it is parked: the cancel is lost");
    assert_eq!(own + others, 1, "it is queued once");
}

/// It ends as it is cancelled, and the slot's next tenant waits: that one goes on waiting.
fn cancel_beside_the_next_tenant<A: model::Word>(planted: Planted) {
    let coroutine = Coroutine::<A>::new(planted);
    let canceller = thread::spawn({
        let coroutine = coroutine.clone();
        move || coroutine.cancel()
    });
    transition::exit(&coroutine.state);
    // As `stack::slots` does it.
    let free = Word(coroutine.state.load(Relaxed)).next_generation().with(State::Free, 0);
    coroutine.state.store(free.0, Release);
    coroutine.begin(2);
    let own = coroutine.wait();
    let others = model::join(canceller);
    assert_eq!(coroutine.requests.load(Relaxed), request::nothing(2), "the next tenant is asked to end");
    assert_eq!(own + others, 0, "the next tenant is woken, whom nobody has cancelled");
    assert_eq!(Word(coroutine.state.load(Relaxed)).state(), State::Parked);
}

/// It goes from one wait to the next as it is cancelled: in whichever it is woken, it sees that it is by the cancel.
fn cancel_beside_two_waits<A: model::Word>(planted: Planted) {
    let coroutine = Coroutine::<A>::new(planted);
    let canceller = thread::spawn({
        let coroutine = coroutine.clone();
        move || coroutine.cancel()
    });
    for _ in 0..2 {
        transition::open_wait(&coroutine.state);
        if transition::is_notified(&coroutine.state) {
            assert!(coroutine.is_asked(), "it is woken, and nobody has asked anything of it");
        }
        transition::close_wait(&coroutine.state);
    }
    model::join(canceller);
    assert!(coroutine.is_asked());
}

#[test]
fn no_cancel_is_lost_beside_a_park() {
    model::check(|| cancel_beside_park::<Sequential>(Planted::Nothing));
    for said in [
        model::fails(|| cancel_beside_park::<Sequential>(Planted::LooksFirst)),
        // loom's own SeqCst is weaker than it says: see `Sequential`.
        model::fails(|| cancel_beside_park::<Shared>(Planted::Nothing)),
    ] {
        assert!(said.contains("the cancel is lost"), "{said}");
    }
}

#[test]
fn no_cancel_goes_astray_to_the_slots_next_tenant() {
    model::check(|| cancel_beside_the_next_tenant::<Sequential>(Planted::Nothing));
    for said in [
        model::fails(|| cancel_beside_the_next_tenant::<Sequential>(Planted::TrustsTheKey)),
        model::fails(|| cancel_beside_the_next_tenant::<Sequential>(Planted::LooksAgainTooEarly)),
        model::fails(|| cancel_beside_the_next_tenant::<Unordered>(Planted::Nothing)),
    ] {
        assert!(said.contains("whom nobody has cancelled"), "{said}");
    }
    let said = model::fails(|| cancel_beside_the_next_tenant::<Sequential>(Planted::AsksAnybody));
    assert!(said.contains("the next tenant is asked to end"), "{said}");
}

#[test]
fn who_is_woken_by_a_cancel_sees_it_in_whichever_wait() {
    model::check(|| cancel_beside_two_waits::<Sequential>(Planted::Nothing));
    let said = model::fails(|| cancel_beside_two_waits::<Unordered>(Planted::Nothing));
    assert!(said.contains("nobody has asked anything of it"), "{said}");
}

#[test]
fn shield_that_is_lowered_loses_no_cancel() {
    model::check(|| cancel_beside_shield::<Sequential>(Planted::Nothing));
    let said = model::fails(|| cancel_beside_shield::<Sequential>(Planted::TearsItsNotes));
    assert!(said.contains("the cancel is lost"), "{said}");
}

#[test]
fn one_of_two_who_cancel_has_to_wake() {
    model::check(two_cancel_one::<Sequential>);
    let said = model::fails(two_cancel_one::<Torn>);
    assert!(said.contains("one of them is the first"), "{said}");
}
