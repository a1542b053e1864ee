//! Channels: many receivers, unbounded ones, closing, iterators.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use coro::sync::{RecvError, SendError, TryRecvError, TrySendError, channel, unbounded};
use coro::{Builder, spawn, yield_now};
use pretty_assertions::assert_eq;

use crate::{Counted, join_all, under_both};

#[test]
fn each_value_goes_to_one_of_many_receivers() {
    Builder::new()
        .workers(2)
        .run(|| {
            let (sender, receiver) = channel(4);
            let takers: Vec<_> = (0..10)
                .map(|_| {
                    let receiver = receiver.clone();
                    spawn(move || receiver.into_iter().collect::<Vec<u32>>())
                })
                .collect();
            drop(receiver);
            join_all((0..5_u32).map(|who| {
                let sender = sender.clone();
                spawn(move || (0..200).for_each(|n| sender.send(who * 200 + n).unwrap()))
            }));
            drop(sender);
            let mut all: Vec<u32> = join_all(takers).into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..1000).collect::<Vec<_>>());
        })
        .unwrap();
}

#[test]
fn channel_lasts_as_long_as_one_receiver() {
    let (sender, receiver) = channel(2);
    let other = receiver.clone();
    drop(receiver);
    sender.send(1).unwrap();
    assert_eq!(other.recv(), Ok(1));
    drop(other);
    assert_eq!(sender.send(2), Err(SendError(2)));
}

#[test]
fn unbounded_channel_is_never_full_and_drops_what_is_left() {
    under_both(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = unbounded();
        (0..1000).for_each(|_| sender.try_send(Counted(dropped.clone())).map_err(drop).unwrap());
        drop(receiver.recv().map_err(drop));
        drop(receiver);
        assert_eq!(dropped.load(Relaxed), 1000);
    });
}

#[test]
fn closed_channel_takes_nothing_more_and_gives_what_it_has() {
    under_both(|| {
        let (sender, receiver) = channel(1);
        sender.send(1).unwrap();
        let full = {
            let sender = sender.clone();
            spawn(move || sender.send(2))
        };
        yield_now();
        receiver.close();
        assert_eq!(full.join().unwrap(), Err(SendError(2)), "it waited for room");
        assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError)));

        let (sender, receiver) = channel::<u8>(1);
        let waits = {
            let receiver = receiver.clone();
            spawn(move || receiver.recv())
        };
        yield_now();
        sender.close();
        assert_eq!(waits.join().unwrap(), Err(RecvError));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn iterators_go_to_the_end_or_to_what_is_there() {
    let (sender, receiver) = channel(8);
    (0..3).for_each(|n| sender.send(n).unwrap());
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    (3..5).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    assert_eq!((&receiver).into_iter().take(1).collect::<Vec<_>>(), [3]);
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [4]);
}
