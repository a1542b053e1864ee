//! Channels without room, as std's `sync_channel(0)`: its tests (library/std/tests/sync/mpsc_sync.rs) carried over, mostly
//! under their names.

use std::time::Duration;

use coro::sync::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, channel,
    unbounded,
};
use pretty_assertions::assert_eq;

use crate::LONG;
use crate::places::{Begin, begin, everywhere};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn smoke_threads() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let sends = begin!(begin, move || sender.send(1).unwrap());
        assert_eq!(receiver.recv(), Ok(1));
        sends();
    });
}

#[test]
fn smoke_port_gone() {
    let (sender, receiver) = channel(0);
    let other = sender.clone();
    drop(receiver);
    assert_eq!([sender.send(1), other.send(2)], [Err(SendError(1)), Err(SendError(2))]);
    assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    assert_eq!(sender.send_timeout(4, LONG), Err(SendTimeoutError::Disconnected(4)));
}

#[test]
fn smoke_chan_gone() {
    let (sender, receiver) = channel::<()>(0);
    let other = sender.clone();
    drop((sender, other));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    assert_eq!([receiver.try_recv(), receiver.try_recv()], [Err(TryRecvError::Disconnected); 2]);
}

#[test]
fn port_gone_concurrent() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let receives = begin!(begin, move || assert_eq!(receiver.recv(), Ok(1)));
        let other = sender.clone();
        while sender.send(1).is_ok() && other.send(1).is_ok() {}
        receives();
    });
}

#[test]
fn chan_gone_concurrent() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let sends = begin!(begin, move || {
            sender.send(1).unwrap();
            sender.send(1).unwrap();
        });
        while receiver.recv().is_ok() {}
        sends();
    });
}

#[test]
fn stress() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let sends = begin!(begin, move || (0..2000).for_each(|n| sender.send(n).unwrap()));
        for n in 0..2000 {
            assert_eq!(receiver.recv(), Ok(n));
        }
        sends();
        assert_eq!(receiver.recv(), Err(RecvError));
    });
}

#[test]
fn stress_recv_timeout_two_threads() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let (to_sender, was_late) = unbounded();
        let sends = begin!(begin, move || {
            for n in 0..50 {
                if n % 5 == 0 {
                    was_late.recv().unwrap();
                }
                sender.send(n).unwrap();
            }
        });
        let (mut got, mut late) = (0, 0);
        loop {
            match receiver.recv_timeout(SHORT) {
                Ok(n) => {
                    assert_eq!(n, got);
                    got += 1;
                }
                Err(RecvTimeoutError::Timeout) => {
                    late += 1;
                    to_sender.send(()).unwrap_or(());
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        sends();
        assert_eq!(got, 50);
        assert!(late >= 10, "it was made to wait for longer");
    });
}

#[test]
fn stress_shared() {
    const SENDERS: usize = 8;
    const EACH: usize = 200;
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let takes = begin!(begin, move || {
            assert_eq!(receiver.iter().take(SENDERS * EACH).sum::<usize>(), SENDERS * EACH);
            assert_eq!(receiver.recv(), Err(RecvError));
        });
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let sender = sender.clone();
                begin!(begin, move || (0..EACH).for_each(|_| sender.send(1).unwrap()))
            })
            .collect();
        drop(sender);
        senders.into_iter().for_each(|end| end());
        takes();
    });
}

#[test]
fn oneshot_single_thread_try_send_and_peek() {
    let (sender, receiver) = channel(0);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(sender);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn oneshot_multi_task_recv_then_close() {
    everywhere(|begin| {
        let (sender, receiver) = channel::<u8>(0);
        let drops = begin!(begin, move || drop(sender));
        assert_eq!(receiver.recv(), Err(RecvError));
        drops();
    });
}

#[test]
fn oneshot_multi_thread_close_and_send_stress() {
    everywhere(|begin| {
        for _ in 0..8 {
            let (sender, receiver) = channel::<u8>(0);
            let drops = begin!(begin, move || drop(receiver));
            drop(sender);
            drops();

            let (sender, receiver) = channel(0);
            let drops = begin!(begin, move || drop(receiver));
            assert_eq!(sender.send(1), Err(SendError(1)));
            drops();

            let (sender, receiver) = channel(0);
            let sends = begin!(begin, move || sender.send(10).unwrap());
            assert_eq!(receiver.recv(), Ok(10));
            sends();
        }
    });
}

/// Each value is received by a task of its own, which has the receiver from the one before.
#[test]
fn stream_send_recv_stress() {
    fn receive(begin: Begin, receiver: Receiver<Box<u32>>, n: u32) -> Box<dyn FnOnce()> {
        begin!(begin, move || {
            if n < 10 {
                assert_eq!(*receiver.recv().unwrap(), n);
                receive(begin, receiver, n + 1)();
            }
        })
    }
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let sends = begin!(begin, move || (0..10).for_each(|n| sender.send(Box::new(n)).unwrap()));
        receive(begin, receiver, 0)();
        sends();
    });
}

#[test]
fn test_nested_recv_iter_and_break() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let (to_us, total) = channel(0);
        let adds = begin!(begin, move || to_us.send(receiver.iter().sum::<i32>()).unwrap());
        [3, 1, 2].into_iter().for_each(|n| sender.send(n).unwrap());
        drop(sender);
        assert_eq!(total.recv(), Ok(6));
        adds();

        let (sender, receiver) = channel(0);
        let (to_us, count) = channel(0);
        let counts =
            begin!(begin, move || to_us.send(receiver.iter().take_while(|n| *n != 9).count()).unwrap());
        [2, 2, 2, 9].into_iter().for_each(|n| sender.send(n).unwrap());
        assert!(sender.try_send(2).is_err(), "nobody waits for it any more");
        assert_eq!(count.recv(), Ok(3));
        counts();
    });
}

#[test]
fn send_waits_until_the_receiver_is_gone() {
    everywhere(|begin| {
        let (sender, receiver) = channel(0);
        let second = sender.clone();
        let (done, both) = channel(2);
        let other = done.clone();
        let tasks = [
            begin!(begin, move || done.send(sender.send(1)).unwrap()),
            begin!(begin, move || other.send(second.send(2)).unwrap()),
        ];
        drop(receiver);
        assert_eq!(both.iter().filter(Result::is_err).count(), 2);
        tasks.into_iter().for_each(|end| end());
    });
}

/// std's issue 15761.
#[test]
fn two_channels_against_each_other() {
    everywhere(|begin| {
        for _ in 0..100 {
            let (to_other, ours) = channel::<()>(0);
            let (to_us, others) = channel::<()>(0);
            let answers = begin!(begin, move || {
                ours.recv().unwrap();
                to_us.try_send(()).unwrap_or(());
            });
            to_other.try_send(()).or_else(|_| to_other.send(())).unwrap();
            let _ = others.recv();
            answers();
        }
    });
}
