//! Models of the state word's protocol: a wake-up beside a park, and a reader beside a slot's next tenant.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sys::model::{self, Shared, Torn, Unfenced, Unordered, Word as _};

/// A coroutine on its worker, and what a waker hands over.
struct Coroutine<A> {
    word: A,
    /// Stored with no order of its own: that of the wake-up must do.
    parcel: Shared,
}

fn running<A: model::Word>() -> Coroutine<A> {
    let word = A::new(0);
    publish(&word, || ());
    ready(&word);
    run(&word);
    Coroutine { word, parcel: Shared::new(0) }
}

/// A coroutine waits while two others wake it: it goes on exactly once, and finds what one of them brought.
fn park_beside_two_wakers<A: model::Word>() {
    let coroutine = Arc::new(running::<A>());
    let key = open_wait(&coroutine.word);
    let wakers: Vec<_> = (0..2)
        .map(|_| {
            let coroutine = coroutine.clone();
            thread::spawn(move || {
                coroutine.parcel.store(1, Relaxed);
                wake(&coroutine.word, key, 0)
            })
        })
        .collect();
    let stays_ready = park(&coroutine.word).is_some();
    let outcomes: Vec<_> = wakers.into_iter().map(model::join).collect();
    let queued = outcomes.iter().filter(|outcome| matches!(outcome, Wake::Queue(_))).count();
    let kept = outcomes.iter().filter(|outcome| **outcome == Wake::Kept).count();
    assert_eq!(queued + usize::from(stays_ready), 1, "it is queued once: {outcomes:?}, {stays_ready}");
    assert_eq!(kept, usize::from(stays_ready), "who came before it parked left it the queueing");
    assert_eq!(Word(coroutine.word.load(Relaxed)).state(), State::Ready);
}

/// A coroutine that was woken before it parked sees what the waker did.
fn look_before_park<A: model::Word>() {
    let coroutine = Arc::new(running::<A>());
    let key = open_wait(&coroutine.word);
    let waker = thread::spawn({
        let coroutine = coroutine.clone();
        move || {
            coroutine.parcel.store(1, Relaxed);
            wake(&coroutine.word, key, flag::TIMED_OUT)
        }
    });
    if is_notified(&coroutine.word) {
        assert_eq!(coroutine.parcel.load(Relaxed), 1, "the wake-up came, and what it is about did not");
    }
    close_wait(&coroutine.word);
    model::join(waker);
    // A late one has set a flag of a wait that is over; the next one is not touched.
    let next = open_wait(&coroutine.word);
    assert_ne!(next, key);
    assert_eq!(wake(&coroutine.word, key, 0), Wake::Stale);
}

#[test]
fn no_wake_up_is_lost_and_none_comes_twice() {
    model::check(park_beside_two_wakers::<Shared>);
    let said = model::fails(park_beside_two_wakers::<Torn>);
    assert!(said.contains("it is queued once") || said.contains("left it the queueing"), "{said}");
}

#[test]
fn what_a_waker_did_is_seen_by_the_woken() {
    model::check(look_before_park::<Shared>);
    let said = model::fails(look_before_park::<Unordered>);
    assert!(said.contains("what it is about did not"), "{said}");
}

/// A slot has a tenant, which ends; the next one is published. A reader of another thread never mixes the two.
fn read_beside_the_next_tenant<A: model::Word>() {
    let word = Arc::new(A::new(0));
    let identity = Arc::new([Shared::new(0), Shared::new(0)]);
    let become_tenant = |word: &A, identity: &[Shared; 2], id: u64| {
        publish(word, || identity.iter().for_each(|part| part.store(id, Relaxed)));
    };
    become_tenant(&word, &identity, 1);
    let worker = thread::spawn({
        let (word, identity) = (word.clone(), identity.clone());
        move || {
            exit(&*word);
            // As `stack::slots` does it.
            word.store(Word(word.load(Relaxed)).next_generation().with(State::Free, 0).0, Release);
            become_tenant(&word, &identity, 2);
        }
    });
    let seen = read(&*word, || [identity[0].load(Relaxed), identity[1].load(Relaxed)]);
    if let Some((word, parts)) = seen {
        let whose = u64::from(word.generation()) + 1;
        assert_eq!(parts, [whose; 2], "parts of two tenants, or none's");
    }
    model::join(worker);
}

#[test]
fn reader_never_mixes_two_tenants() {
    model::check(read_beside_the_next_tenant::<Shared>);
    for said in [
        model::fails(read_beside_the_next_tenant::<Unfenced>),
        model::fails(read_beside_the_next_tenant::<Unordered>),
    ] {
        assert!(said.contains("parts of two tenants"), "{said}");
    }
}
