//! How debuggers show what tests/programs/primitives.rs holds.

/// A place, as GDB writes it; what stands there; and what is inside it, of what guards something.
pub(crate) type Shown = (&'static str, &'static str, Option<u32>);

/// `*`: an age.
pub(crate) const SHOWN: [Shown; 40] = [
    ("locks.free", "Mutex (free)", Some(1)),
    ("locks.held", "Mutex (locked by #4 'owner', contended)", Some(2)),
    ("locks.mine", "Mutex (locked by #1 'main')", Some(3)),
    ("locks.poisoned", "Mutex (free, poisoned)", Some(4)),
    ("locks.open", "RwLock (1 read, last #1 'main')", Some(5)),
    ("locks.read", "RwLock (1 read, last #4 'owner')", Some(6)),
    ("locks.written", "RwLock (one writes, last #1 'main')", Some(7)),
    ("own.guard", "MutexGuard (locked by #1 'main')", Some(3)),
    ("own.read", "RwLockReadGuard (1 read, last #1 'main')", Some(5)),
    ("own.written", "RwLockWriteGuard (one writes, last #1 'main')", Some(7)),
    ("own.permit", "SemaphorePermit of 2 (1 of 3 permits left, last #1 'main')", None),
    ("own.waits", "JoinHandle of coroutine #4 'owner', parked *: sleep, for ever", None),
    ("own.waits_id", "coroutine #4 'owner', parked *: sleep, for ever", None),
    ("own.ended", "JoinHandle of coroutine #5, ended", None),
    ("own.ended_id", "coroutine #5, ended", None),
    ("signals.changed", "Condvar (last #1 'main')", None),
    ("signals.permits", "Semaphore (1 of 3 permits left, last #1 'main')", None),
    ("signals.used_up", "Semaphore (0 of 1 permits left, last #11 'user')", None),
    ("signals.meeting", "Barrier (1 of 3 have come, last #13 'comer')", None),
    ("signals.to_do", "Once (to be done)", None),
    ("signals.being_done", "Once (being done, last #14 'maker')", None),
    ("signals.done", "Once (done)", None),
    ("signals.failed", "Once (poisoned)", None),
    ("signals.pending", "Event (not set)", None),
    ("signals.happened", "Event (set, last #1 'main')", None),
    ("signals.members", "WaitGroup (1 member not done)", None),
    (
        "ends.empty.0",
        "Sender (empty, room for 4, 1 sender, 1 receiver, last received by #22 'chooser')",
        None,
    ),
    (
        "ends.empty.1",
        "Receiver (empty, room for 4, 1 sender, 1 receiver, last received by #22 'chooser')",
        None,
    ),
    ("ends.half.0", "Sender (1 of 4, 1 sender, 1 receiver, last sent by #1 'main')", None),
    ("ends.half.1", "Receiver (1 of 4, 1 sender, 1 receiver, last sent by #1 'main')", None),
    ("ends.full.0", "Sender (2 of 2, 1 sender, 1 receiver, last sent by #20 'sender')", None),
    ("ends.full.1", "Receiver (2 of 2, 1 sender, 1 receiver, last sent by #20 'sender')", None),
    ("ends.no_bound.0", "Sender (1 in it, no bound, 1 sender, 1 receiver, last sent by #1 'main')", None),
    ("ends.no_bound.1", "Receiver (1 in it, no bound, 1 sender, 1 receiver, last sent by #1 'main')", None),
    ("ends.no_room.0", "Sender (no room, 1 sender, 1 receiver, last sent by #22 'chooser')", None),
    ("ends.no_room.1", "Receiver (no room, 1 sender, 1 receiver, last sent by #22 'chooser')", None),
    ("ends.once.0", "OneshotSender (empty, room for 1, 1 sender, 1 receiver)", None),
    ("ends.once.1", "OneshotReceiver (empty, room for 1, 1 sender, 1 receiver)", None),
    ("signals.unmade", "OnceLock (to be done)", None),
    ("signals.made", "OnceLock (done)", Some(8)),
];

/// What each coroutine waits for, by name; `@`: an address.
pub(crate) const WAITS: [(&str, &str); 14] = [
    ("locker", "mutex @ held by #4 'owner'"),
    ("reader", "read lock @ held by #1 'main' (one writes)"),
    ("writer", "write lock @ held by #4 'owner' (1 read)"),
    ("buyer", "semaphore @ (0 of 1 permits left, last #11 'user')"),
    ("comer", "barrier @ (1 of 3 have come, last #13 'comer')"),
    ("taker", "once @ held by #14 'maker' (being done)"),
    ("listener", "event @ (not set)"),
    ("watcher", "condvar @ (last #1 'main')"),
    ("counter", "wait group @ (1 member not done)"),
    ("receiver", "receive on channel @ (empty, 1 sender)"),
    ("sender", "send on channel @ (2 of 2 full)"),
    ("bringer", "send on channel @ (no room)"),
    ("chooser", "select on 2 things (receive on channel @ (empty, 1 sender); send on channel @ (no room))"),
    ("owner", "sleep, for ever"),
];

/// Whether a text is as it should be, but for the ages in it.
pub(crate) fn is_as(text: &str, expected: &str) -> bool {
    match expected.split_once('*') {
        None => text == expected,
        Some((before, behind)) => {
            text.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind)).is_some_and(|age| {
                age.len() <= 9 && [" s", " ms", " µs", " us", " ns"].iter().any(|unit| age.ends_with(unit))
            })
        }
    }
}

/// A text whose addresses are `@`.
pub(crate) fn without_addresses(text: &str) -> String {
    let mut pieces = text.split("0x");
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        clean.push('@');
        clean.push_str(piece.trim_start_matches(|digit: char| digit.is_ascii_hexdigit()));
    }
    clean
}
