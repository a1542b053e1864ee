//! Models of channels, with room and without: a close beside senders and receivers, one that gives up as it is given something,
//! and one that comes later than another.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use loom::sync::{Mutex, MutexGuard};
use loom::thread;

use super::line::Party;
use super::protocol::{self, Core, PartyOf, Side, State, StateOf};
use super::{RecvTimeoutError, SendTimeoutError, waiting};
use crate::scheduler::park::Woken;
use crate::sync::models::{Planted, Sleeper, Wait};
use crate::sys::model::{self, Shared, Word};

/// A channel of a model. `A`: what the arms of a `select!` claim.
pub(in crate::sync) struct Modelled<A: Word = Shared> {
    state: Mutex<StateOf<Modelled<A>>>,
    /// Who has the lock. Not loom's: it is none of the steps whose order matters.
    holder: Holder,
    capacity: usize,
    sleepers: Arc<[Sleeper; 3]>,
    planted: Planted,
}

impl<A: Word> Core for Modelled<A> {
    type Value = u32;
    type List = VecDeque<Wait>;
    type Word = A;

    type Guard<'a> = Held<'a, A>;

    fn lock(&self) -> Held<'_, A> {
        let guard = self.state.lock().expect("nobody panics with it");
        *self.holder.lock().expect("nobody panics with it") = Some(thread::current().id());
        Held { guard, holder: &self.holder }
    }
    fn wake(&self, who: &Wait) {
        let holder = *self.holder.lock().expect("nobody panics with it");
        assert_ne!(holder, Some(thread::current().id()), "who has the lock wakes nobody");
        self.planted.wake(&self.sleepers, who);
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn seems_empty(&self) -> bool {
        true
    }
    fn note(&self, _: Side) {}
    fn tell(&self, _: &StateOf<Modelled<A>>) {}
    fn tell_ends(&self, _: &StateOf<Modelled<A>>) {}
}

type Holder = std::sync::Mutex<Option<thread::ThreadId>>;

/// The lock, had.
pub(in crate::sync) struct Held<'a, A: Word> {
    guard: MutexGuard<'a, StateOf<Modelled<A>>>,
    holder: &'a Holder,
}

impl<A: Word> Deref for Held<'_, A> {
    type Target = StateOf<Modelled<A>>;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl<A: Word> DerefMut for Held<'_, A> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}

impl<A: Word> Drop for Held<'_, A> {
    fn drop(&mut self) {
        *self.holder.lock().expect("nobody panics with it") = None;
    }
}

impl<A: Word> Modelled<A> {
    pub(in crate::sync) fn new(
        capacity: usize,
        sleepers: &Arc<[Sleeper; 3]>,
        planted: Planted,
    ) -> Modelled<A> {
        let state = Mutex::new(State::new());
        Modelled { state, holder: Holder::default(), capacity, sleepers: sleepers.clone(), planted }
    }

    pub(in crate::sync) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(in crate::sync) fn close(&self) {
        protocol::close(self);
    }

    /// Waits once, as `park::block` does.
    fn wait(&self, who: Wait, side: Side, party: &PartyOf<Modelled<A>>) -> Woken {
        self.sleepers[who.0].open(who.1);
        if waiting::enlist(self, side, party, who, None) {
            self.sleepers[who.0].sleep();
        } else {
            self.sleepers[who.0].end(who.1);
        }
        Woken::Event
    }

    pub(in crate::sync) fn send(&self, me: usize, value: u32) -> Result<(), SendTimeoutError<u32>> {
        let mut waits = 0..;
        protocol::send(self, value, |party| {
            self.wait((me, waits.next().expect("it has no end")), Side::Sender, party)
        })
    }

    pub(in crate::sync) fn recv(&self, me: usize) -> Result<u32, RecvTimeoutError> {
        let mut waits = 0..;
        protocol::recv(self, |party| {
            self.wait((me, waits.next().expect("it has no end")), Side::Receiver, party)
        })
    }
}

fn channel(capacity: usize, planted: Planted) -> Arc<Modelled> {
    Arc::new(Modelled::new(capacity, &Arc::default(), planted))
}

fn spawn<R: 'static>(
    channel: &Arc<Modelled>,
    does: impl FnOnce(&Modelled) -> R + 'static,
) -> thread::JoinHandle<R> {
    let channel = channel.clone();
    thread::spawn(move || does(&channel))
}

/// One sends two values, one receives until the end, and the channel is closed beside them, or its last sender goes.
fn closed_beside(capacity: usize, by_last_sender: bool, planted: Planted) {
    let channel = channel(capacity, planted);
    let sends = spawn(&channel, move |channel| {
        let sent: Vec<u32> = [1, 2].into_iter().filter(|value| channel.send(0, *value).is_ok()).collect();
        if by_last_sender {
            protocol::detach(channel, Side::Sender);
        }
        sent
    });
    let receives = spawn(&channel, |channel| {
        let mut received = Vec::new();
        while let Ok(value) = channel.recv(1) {
            received.push(value);
        }
        received
    });
    if !by_last_sender {
        protocol::close(&*channel);
    }
    let (sent, received) = (model::join(sends), model::join(receives));
    assert_eq!(sent, received, "what send says was taken is received");
    assert!(!by_last_sender || sent == [1, 2], "nobody but the last sender ends it");
    assert!(channel.is_empty(), "nobody waits");
}

/// The last receiver goes, and leaves a sender that waits.
fn receiver_goes_beside(capacity: usize, planted: Planted) {
    let channel = channel(capacity, planted);
    let sends = spawn(&channel, |channel| [1, 2].map(|value| channel.send(0, value).is_ok()));
    let mut seen = Vec::from_iter(protocol::try_recv(&*channel));
    seen.extend(protocol::detach(&*channel, Side::Receiver));
    let sent = model::join(sends).into_iter().filter(|sent| *sent).count();
    assert_eq!(sent, seen.len(), "what was sent is received, or dropped with the last receiver");
    assert!(channel.is_empty(), "nobody waits");
}

/// One whose wait is ended, by a cancel or its deadline.
#[derive(Clone, Copy, PartialEq)]
enum GivesUp {
    /// What it was granted it has, and unwinds at its next wait.
    Granted,
    /// A planted bug: it unwinds, and what it was given is gone.
    Drops,
    /// A planted bug, and what channels without room once did: it unwinds, and what it was given goes to the next one who comes.
    PassesOn,
    /// A planted bug: it stays on the line.
    Stays,
}

/// Ends its wait, and leaves.
fn give_up(channel: &Modelled, side: Side, party: &PartyOf<Modelled>, how: GivesUp) -> Option<u32> {
    channel.sleepers[0].end(0);
    let mut was_there = false;
    if how == GivesUp::Stays {
        drop(channel.lock());
    } else {
        was_there = waiting::delist(channel, side, party);
    }
    let value = party.take();
    match how {
        GivesUp::Drops => None,
        GivesUp::PassesOn => {
            channel.lock().values.extend(value);
            None
        }
        _ => {
            assert_eq!(was_there && side == Side::Receiver, was_there && value.is_none());
            value
        }
    }
}

/// One receives and gives up as a value is sent; then others look.
fn receiver_gives_up(capacity: usize, how: GivesUp) {
    let channel = channel(capacity, Planted::Nothing);
    let party = Box::new(Party::new(None));
    channel.sleepers[0].open(0);
    assert!(waiting::enlist(&*channel, Side::Receiver, &party, (0, 0), None));
    let gives_up = spawn(&channel, move |channel| {
        let value = give_up(channel, Side::Receiver, &party, how);
        // Its memory is used for something else.
        party.put(0);
        (value, party)
    });
    let sent = protocol::try_send(&*channel, 7);
    let first = model::join(gives_up).0;
    let second = protocol::try_recv(&*channel).ok();
    let was_sent = sent.is_ok();
    assert_eq!(first.or(second), was_sent.then_some(7), "what was sent is received");
    assert!(capacity > 0 || second.is_none(), "`send` had returned, and nobody had received it");
    assert!(channel.is_empty(), "nobody waits");
}

/// One waits to send, and gives up as somebody receives.
fn sender_gives_up(capacity: usize, how: GivesUp) {
    let channel = channel(capacity, Planted::Nothing);
    (0..capacity).for_each(|_| protocol::try_send(&*channel, 5).expect("there is room"));
    let party = Box::new(Party::new(Some(7)));
    channel.sleepers[0].open(0);
    assert!(waiting::enlist(&*channel, Side::Sender, &party, (0, 0), None));
    let gives_up = spawn(&channel, move |channel| (give_up(channel, Side::Sender, &party, how), party));
    let mut received = Vec::from_iter(protocol::try_recv(&*channel));
    let back = model::join(gives_up).0;
    received.extend(std::iter::from_fn(|| protocol::try_recv(&*channel).ok()));
    assert_eq!(received.contains(&7), back.is_none(), "it is received, or the sender has it back");
    assert_eq!(received.len(), capacity + usize::from(back.is_none()));
    assert!(channel.is_empty(), "nobody waits");
}

/// One waits to send on a full channel. Another one receives and at once sends, in its place: it can't be first. `planted`: it
/// makes room, as when a wake-up was a hint.
fn one_overtakes(planted: bool) {
    let channel = channel(1, Planted::Nothing);
    protocol::try_send(&*channel, 1).expect("there is room");
    let waits = spawn(&channel, |channel| channel.send(0, 2).is_ok());
    let overtakes = spawn(&channel, move |channel| {
        let nobody_waits = !channel.lock().is_waited_for(Side::Sender);
        let first =
            if planted { channel.lock().values.pop_front() } else { protocol::try_recv(channel).ok() };
        (nobody_waits, first, protocol::try_send(channel, 3).is_ok())
    });
    let (nobody_waited, first, overtook) = model::join(overtakes);
    assert_eq!(first, Some(1));
    assert!(nobody_waited || !overtook, "who waits has the place");
    while protocol::try_recv(&*channel).is_ok() {}
    assert!(model::join(waits));
}

#[test]
fn what_is_sent_as_the_channel_closes_is_received_and_nobody_is_left_asleep() {
    for capacity in [0, 1] {
        for by_last_sender in [false, true] {
            model::check(move || closed_beside(capacity, by_last_sender, Planted::Nothing));
            model::fails(move || closed_beside(capacity, by_last_sender, Planted::WakesNobody));
        }
        model::check(move || receiver_goes_beside(capacity, Planted::Nothing));
        model::fails(move || receiver_goes_beside(capacity, Planted::WakesNobody));
    }
}

#[test]
fn value_that_was_granted_is_received_by_a_receiver_that_gives_up() {
    for capacity in [0, 1] {
        model::check(move || receiver_gives_up(capacity, GivesUp::Granted));
        model::fails(move || receiver_gives_up(capacity, GivesUp::Drops));
        model::fails(move || receiver_gives_up(capacity, GivesUp::Stays));
    }
    let said = model::fails(|| receiver_gives_up(0, GivesUp::PassesOn));
    assert!(said.contains("nobody had received it"), "{said}");
}

#[test]
fn value_of_a_sender_that_gives_up_is_received_or_its_own() {
    for capacity in [0, 1] {
        model::check(move || sender_gives_up(capacity, GivesUp::Granted));
        model::fails(move || sender_gives_up(capacity, GivesUp::Drops));
        model::fails(move || sender_gives_up(capacity, GivesUp::Stays));
    }
}

#[test]
fn nobody_overtakes_a_sender_that_waits() {
    model::check(|| one_overtakes(false));
    let said = model::fails(|| one_overtakes(true));
    assert!(said.contains("has the place"), "{said}");
}

/// A wake-up may be a system call, for which nobody else is to wait: all of the models above see to it.
#[test]
fn who_wakes_with_the_lock_is_found() {
    let said = model::fails(|| {
        let channel = channel(1, Planted::Nothing);
        let _held = channel.lock();
        channel.wake(&(0, 0));
    });
    assert!(said.contains("who has the lock wakes nobody"), "{said}");
}
