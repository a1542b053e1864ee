//! Models of channels: a close beside senders and receivers, a receiver that gives up, and a channel without room.

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::{Mutex, MutexGuard};
use loom::thread;

use super::meeting::{Met, Part};
use super::protocol::{self, Core, Side, State, Taken};
use super::{RecvTimeoutError, SendTimeoutError, TryRecvError};
use crate::scheduler::park::Woken;
use crate::sync::models::{Planted, Sleeper, Wait};
use crate::sys::model;

/// A channel of a model.
pub(in crate::sync) struct Modelled {
    state: Mutex<State<u32, VecDeque<Wait>>>,
    capacity: usize,
    sleepers: Arc<[Sleeper; 3]>,
    planted: Planted,
}

impl Core for Modelled {
    type Value = u32;
    type List = VecDeque<Wait>;

    type Guard<'a> = MutexGuard<'a, State<u32, VecDeque<Wait>>>;

    fn lock(&self) -> MutexGuard<'_, State<u32, VecDeque<Wait>>> {
        self.state.lock().expect("nobody panics with it")
    }
    fn wake(&self, who: &Wait) -> bool {
        self.planted.wake(&self.sleepers, who)
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn seems_empty(&self) -> bool {
        true
    }
    fn note(&self, _: Side) {}
    fn tell(&self, _: &State<u32, VecDeque<Wait>>) {}
    fn tell_ends(&self, _: &State<u32, VecDeque<Wait>>) {}
}

impl Modelled {
    pub(in crate::sync) fn new(capacity: usize, sleepers: &Arc<[Sleeper; 3]>, planted: Planted) -> Modelled {
        Modelled { state: Mutex::new(State::new()), capacity, sleepers: sleepers.clone(), planted }
    }

    pub(in crate::sync) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.values.is_empty()
            && state.waiting.iter().all(VecDeque::is_empty)
            && state.parties.iter().all(VecDeque::is_empty)
    }

    pub(in crate::sync) fn close(&self) {
        protocol::close(self);
    }

    /// Waits once, as `park::block` does.
    fn wait(&self, me: usize, waits: &mut u32, side: Side, part: Option<&Part<u32>>) -> Woken {
        let wait = *waits;
        *waits += 1;
        self.sleepers[me].open(wait);
        let waits = match part {
            Some(part) => part.enlist(self, (me, wait)),
            None => protocol::enlist(self, side, (me, wait)),
        };
        if waits {
            self.sleepers[me].sleep();
            if let Some(part) = part {
                part.delist(self, &(me, wait));
            }
        } else {
            self.sleepers[me].end(wait);
        }
        Woken::Event
    }

    /// The same, of a receiver who takes what is there.
    fn take(&self, me: usize, waits: &mut u32, taken: &Taken<Modelled>) -> Woken {
        let wait = *waits;
        *waits += 1;
        self.sleepers[me].open(wait);
        if protocol::take_or_enlist(self, (me, wait), taken) {
            self.sleepers[me].sleep();
        } else {
            self.sleepers[me].end(wait);
        }
        Woken::Event
    }

    pub(in crate::sync) fn send(&self, me: usize, value: u32) -> Result<(), SendTimeoutError<u32>> {
        let mut waits = 0;
        if self.capacity > 0 {
            return protocol::send(self, value, || self.wait(me, &mut waits, Side::Sender, None));
        }
        let part = Part::sender(value);
        let met = part.meet(self, || self.wait(me, &mut waits, Side::Sender, Some(&part)));
        match met {
            Met::Partner => Ok(()),
            _ => Err(SendTimeoutError::Disconnected(part.take().expect("nobody took it"))),
        }
    }

    pub(in crate::sync) fn recv(&self, me: usize) -> Result<u32, RecvTimeoutError> {
        let mut waits = 0;
        if self.capacity > 0 {
            return protocol::recv(self, |taken| self.take(me, &mut waits, taken));
        }
        let part = Part::receiver();
        let met = part.meet(self, || self.wait(me, &mut waits, Side::Receiver, Some(&part)));
        match met {
            Met::Partner => Ok(part.take().expect("it was given")),
            _ => Err(RecvTimeoutError::Disconnected),
        }
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

#[derive(Clone, Copy, PartialEq)]
enum GivesUp {
    /// It unwinds, and passes on what it was told or given.
    Cancelled,
    /// Its time has come: then it has nothing.
    Late,
    /// A planted bug: it is cancelled, and passes nothing on.
    Silently,
}

/// Two wait to receive, of whom the first gives up; one value is sent.
fn one_gives_up(capacity: usize, how: GivesUp, planted: Planted) {
    let channel = channel(capacity, planted);
    let part = Part::receiver();
    channel.sleepers[0].open(0);
    assert!(match capacity {
        0 => part.enlist(&*channel, (0, 0)),
        _ => protocol::enlist(&*channel, Side::Receiver, (0, 0)),
    });
    let gives_up = spawn(&channel, move |channel| {
        let was_first = channel.sleepers[0].end(0);
        let was_there = match channel.capacity {
            0 => part.delist(channel, &(0, 0)),
            _ => protocol::delist(channel, Side::Receiver, &(0, 0)),
        };
        match how {
            // As `recv_timeout`: who was told in time looks again.
            GivesUp::Late if was_first => assert!(channel.capacity > 0 || was_there, "it has nothing"),
            GivesUp::Late if channel.capacity == 0 => return part.take(),
            GivesUp::Late => return protocol::try_recv(channel).ok(),
            GivesUp::Cancelled if !was_there => match channel.capacity {
                0 => part.pass_on(channel),
                _ => protocol::wake_one(channel, Side::Receiver),
            },
            GivesUp::Cancelled | GivesUp::Silently => {}
        }
        None
    });
    let stays = spawn(&channel, |channel| {
        let value = channel.recv(1).ok();
        protocol::close(channel);
        value
    });
    channel.send(2, 7).expect("it is not closed yet");
    let first = model::join(gives_up);
    // It was received by the one, and the other one still waits.
    if first.is_some() {
        protocol::close(&*channel);
    }
    assert_eq!(first.or(model::join(stays)), Some(7));
    assert_eq!(protocol::try_recv(&*channel), Err(TryRecvError::Disconnected));
    assert!(channel.is_empty(), "nobody waits");
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
fn value_of_a_receiver_that_gives_up_goes_to_the_next() {
    for capacity in [0, 1] {
        model::check(move || one_gives_up(capacity, GivesUp::Cancelled, Planted::Nothing));
        model::check(move || one_gives_up(capacity, GivesUp::Late, Planted::Nothing));
        model::fails(move || one_gives_up(capacity, GivesUp::Silently, Planted::Nothing));
        model::fails(move || one_gives_up(capacity, GivesUp::Late, Planted::WakesTheDead));
    }
}
