//! Models of `select!` over channels: one of its arms is done, what another one was told goes on to the next; and of two
//! against each other.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sync::channel::arms::{Receiving, Sending};
use crate::sync::channel::models::Modelled;
use crate::sync::models::{Planted, Sleeper, Wait};
use crate::sys::model::{self, Shared, Torn, Word};

enum End<'a, A: Word> {
    Receive(Receiving<'a, Modelled<A>>),
    Send(Sending<'a, Modelled<A>>),
}

/// A wait, and what is claimed by whoever does one of its arms.
struct Token<A>(Wait, NonNull<A>);

/// What is wrong with an arm.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    Nothing,
    /// It doesn't look whether it was done while it waited.
    LooksAway,
}

struct Arm<'a, A: Word> {
    end: End<'a, A>,
    flaw: Flaw,
}

macro_rules! of_end {
    ($arm:expr, $inner:ident => $what:expr) => {
        match $arm {
            End::Receive($inner) => $what,
            End::Send($inner) => $what,
        }
    };
}

impl<A: Word> Listable for Arm<'_, A> {
    type Who = Token<A>;

    fn enlist(&self, who: &Token<A>) -> bool {
        of_end!(&self.end, end => end.enlist(&who.0, Some(who.1)))
    }
    fn delist(&self, _: &Token<A>) -> bool {
        of_end!(&self.end, end => end.delist())
    }
    fn pass_on(&self) {}
    fn attempt(&mut self) -> bool {
        of_end!(&mut self.end, end => end.attempt())
    }
    fn is_done(&self) -> bool {
        self.flaw != Flaw::LooksAway && of_end!(&self.end, end => end.has_met())
    }
}

/// Two channels, and who waits for them.
struct Pair<A: Word = Shared> {
    channels: [Modelled<A>; 2],
    sleepers: Arc<[Sleeper; 3]>,
    flaw: Flaw,
}

/// What is done of a `select!`, and what came of it: a value that was received, nothing if one was sent.
type Done = (usize, Result<Option<u32>, ()>);

impl<A: Word> Pair<A> {
    fn new(capacity: usize, planted: Planted, flaw: Flaw) -> Arc<Pair<A>> {
        let sleepers = Arc::default();
        let channels = [(); 2].map(|()| Modelled::new(capacity, &sleepers, planted));
        Arc::new(Pair { channels, sleepers, flaw })
    }

    fn receive(&self, channel: usize) -> Arm<'_, A> {
        Arm { end: End::Receive(Receiving::new(&self.channels[channel])), flaw: self.flaw }
    }

    fn send(&self, channel: usize, value: u32) -> Arm<'_, A> {
        Arm { end: End::Send(Sending::new(&self.channels[channel], value)), flaw: self.flaw }
    }

    /// As `select::run`.
    fn select(&self, me: usize, mut arms: [Arm<'_, A>; 2]) -> Done {
        let done = attempt(&mut arms, 0);
        self.wait(me, arms, done)
    }

    /// The same, after nothing could be done at once.
    fn wait(&self, me: usize, mut arms: [Arm<'_, A>; 2], done: Option<usize>) -> Done {
        let mut round = 0;
        let done = done.unwrap_or_else(|| {
            run(&mut arms, 0, |selection| {
                let claim = A::new(0);
                let token = Token((me, round), NonNull::from_ref(&claim));
                self.sleepers[me].open(round);
                if selection.enlist_all(&token) {
                    self.sleepers[me].sleep();
                    selection.delist_all(&token);
                } else {
                    self.sleepers[me].end(round);
                }
                round += 1;
            })
        });
        let arm = arms.into_iter().nth(done).expect("it is one of them");
        let result = match arm.end {
            End::Receive(end) => end.take().map(Some).map_err(drop),
            End::Send(end) => end.take().map(|()| None).map_err(drop),
        };
        (done, result)
    }

    fn nobody_waits(&self) {
        assert!(self.channels.iter().all(|channel| channel.is_empty()), "nobody waits, and nothing is left");
    }
}

fn spawn<R: 'static, A: Word>(
    pair: &Arc<Pair<A>>,
    does: impl FnOnce(&Pair<A>) -> R + 'static,
) -> thread::JoinHandle<R> {
    let pair = pair.clone();
    thread::spawn(move || does(&pair))
}

/// Of one that receives from the second channel, which is closed, or from the first, and one that receives from the first,
/// one gets the value.
fn another_one_gets_what_it_does_not_take<A: Word>(capacity: usize, planted: Planted, flaw: Flaw) {
    let pair = Pair::<A>::new(capacity, planted, flaw);
    let selects = spawn(&pair, |pair| pair.select(0, [pair.receive(1), pair.receive(0)]));
    let receives = spawn(&pair, |pair| pair.channels[0].recv(1).ok());
    pair.channels[0].send(2, 7).expect("it is not closed yet");
    pair.channels[1].close();
    let (done, result) = model::join(selects);
    if done == 1 {
        pair.channels[0].close();
    } else {
        assert_eq!(result, Err(()), "it is closed");
    }
    let both = [result.ok().flatten(), model::join(receives)];
    assert_eq!(both.into_iter().flatten().collect::<Vec<_>>(), [7], "one of them has it");
    pair.nobody_waits();
}

/// Two receive from two channels, into each of which one value goes.
fn two_receive<A: Word>(capacity: usize, planted: Planted, flaw: Flaw) {
    let pair = Pair::<A>::new(capacity, planted, flaw);
    let both = [0, 1].map(|me| spawn(&pair, move |pair| pair.select(me, [pair.receive(0), pair.receive(1)])));
    for channel in [0, 1] {
        pair.channels[channel].send(2, channel as u32).expect("nobody closes it");
    }
    let mut done = both.map(|one| {
        let (done, result) = model::join(one);
        assert_eq!(result, Ok(Some(done as u32)));
        done
    });
    done.sort_unstable();
    assert_eq!(done, [0, 1], "each value goes to one of them");
    pair.nobody_waits();
}

/// One sends to the first channel or receives from the second, the other one sends to the second or receives from the first;
/// without room they meet in one of them. `on_one`: both channels are the same one. Both have looked, and begin to wait.
fn two_meet<A: Word>(on_one: bool, planted: Planted, flaw: Flaw) {
    let pair = Pair::<A>::new(0, planted, flaw);
    let second = usize::from(!on_one);
    let one = spawn(&pair, move |pair| pair.wait(0, [pair.send(0, 1), pair.receive(second)], None));
    let (done, result) = pair.wait(1, [pair.send(second, 2), pair.receive(0)], None);
    let (others, other) = model::join(one);
    assert_ne!(done, others, "they have met in one of them");
    assert_eq!([result, other], if done == 0 { [Ok(None), Ok(Some(2))] } else { [Ok(Some(1)), Ok(None)] });
    pair.nobody_waits();
}

#[test]
fn value_that_select_does_not_take_goes_to_another() {
    for capacity in [0, 1] {
        model::check(move || {
            another_one_gets_what_it_does_not_take::<Shared>(capacity, Planted::Nothing, Flaw::Nothing)
        });
        model::fails(move || {
            another_one_gets_what_it_does_not_take::<Shared>(capacity, Planted::Nothing, Flaw::LooksAway)
        });
    }
}

#[test]
fn two_selects_take_two_values() {
    for capacity in [0, 1] {
        model::check(move || two_receive::<Shared>(capacity, Planted::Nothing, Flaw::Nothing));
        model::fails(move || two_receive::<Shared>(capacity, Planted::WakesNobody, Flaw::Nothing));
        model::fails(move || two_receive::<Shared>(capacity, Planted::Nothing, Flaw::LooksAway));
    }
}

#[test]
fn two_selects_meet_in_one_channel_only() {
    for on_one in [false, true] {
        model::check(move || two_meet::<Shared>(on_one, Planted::Nothing, Flaw::Nothing));
        model::fails(move || two_meet::<Shared>(on_one, Planted::Nothing, Flaw::LooksAway));
        model::fails(move || two_meet::<Shared>(on_one, Planted::WakesNobody, Flaw::Nothing));
    }
}

#[test]
fn select_that_can_be_claimed_twice_is_found() {
    model::fails(|| two_meet::<Torn>(false, Planted::Nothing, Flaw::Nothing));
}
