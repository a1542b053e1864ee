//! What a debugger is told of locks and channels, read as a debugger does: from the address for which somebody waits.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::{Mutex, Receiver, Sender, channel};
use crate::abi::objects::{ChannelHead, MutexHead, OWNER_IS_THREAD};
use crate::abi::wait::WaitReason;
use crate::registry;
use crate::stack::region;
use crate::sys::process;
use crate::{CoroutineId, spawn, yield_now};

fn own_id() -> u64 {
    crate::current().unwrap().id().as_u64()
}

fn own_thread() -> u64 {
    OWNER_IS_THREAD | u64::from(process::thread_id())
}

/// For what a coroutine waits.
fn wait_of(id: CoroutineId) -> (u32, usize) {
    let record = registry::iterate(region::get().unwrap()).find(|record| record.id() == id.as_u64()).unwrap();
    (record.wait_reason.load(Relaxed), record.wait_object.load(Relaxed) as usize)
}

/// Word, poison and owner.
fn mutex_at(address: usize) -> (u32, u32, u64) {
    // SAFETY: the callers have the mutex, and its head is shared only.
    let head = unsafe { &*ptr::with_exposed_provenance::<MutexHead>(address) };
    (head.word.load(Relaxed), head.poisoned.load(Relaxed), head.owner.load(Relaxed))
}

fn told<T: ?Sized>(mutex: &Mutex<T>) -> (u32, u32, u64) {
    mutex_at(ptr::from_ref(mutex).cast::<()>().expose_provenance())
}

#[test]
fn mutex_tells_its_owner_coroutine_or_thread() {
    static LOCK: Mutex<[u8; 3]> = Mutex::new([0; 3]);
    assert_eq!(told(&LOCK), (0, 0, 0));
    // Also of a type that isn't known.
    let lock: &Mutex<[u8]> = &LOCK;
    let held = lock.lock().unwrap();
    assert_eq!(told(lock), (1, 0, own_thread()));
    drop(held);
    assert_eq!(told(lock), (0, 0, 0));
    thread::spawn(|| {
        let _held = LOCK.lock().unwrap();
        assert_eq!(told(&LOCK), (1, 0, own_thread()));
    })
    .join()
    .unwrap();
    crate::run(|| {
        spawn(|| {
            let _held = LOCK.try_lock().unwrap();
            assert_eq!(told(&LOCK), (1, 0, own_id()));
        })
        .join()
        .unwrap();
        assert_eq!(told(&LOCK), (0, 0, 0));
    })
    .unwrap();
}

#[test]
fn who_waits_for_a_mutex_leads_to_its_owner() {
    crate::run(|| {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let other = lock.clone();
        let waits = spawn(move || {
            let _held = other.lock().unwrap();
            told(&other) == (2, 0, own_id())
        });
        yield_now();
        let (reason, object) = wait_of(waits.id());
        assert_eq!(reason, WaitReason::Mutex as u32);
        assert_eq!(mutex_at(object), (2, 0, own_id()));
        assert_eq!(object, ptr::from_ref(&*lock).addr());
        drop(held);
        assert!(waits.join().unwrap());
    })
    .unwrap();
}

#[test]
fn poison_is_told() {
    let lock = Mutex::new(());
    thread::scope(|scope| {
        let panics = scope.spawn(|| {
            let _held = lock.lock();
            std::panic::resume_unwind(Box::new(()));
        });
        panics.join().unwrap_err();
    });
    assert_eq!(told(&lock), (0, 1, 0));
    lock.clear_poison();
    assert_eq!(told(&lock), (0, 0, 0));
}

/// Capacity, length, senders, receivers, last sender, last receiver.
fn channel_at(address: usize) -> (u64, u64, u32, u32, u64, u64) {
    // SAFETY: the callers have an end of the channel, and its head is shared only.
    let head = unsafe { &*ptr::with_exposed_provenance::<ChannelHead>(address) };
    (
        head.capacity.load(Relaxed),
        head.length.load(Relaxed),
        head.senders.load(Relaxed),
        head.receivers.load(Relaxed),
        head.last_sender.load(Relaxed),
        head.last_receiver.load(Relaxed),
    )
}

/// A channel, and the address for which those wait who use it.
fn channel_with_head() -> (Sender<u8>, Receiver<u8>, usize) {
    let (sender, receiver) = channel(2);
    let waits = spawn(move || {
        receiver.recv().unwrap();
        receiver
    });
    yield_now();
    let (reason, head) = wait_of(waits.id());
    assert_eq!(reason, WaitReason::Receive as u32);
    assert_eq!(channel_at(head), (2, 0, 1, 1, 0, waits.id().as_u64()), "it waits, and nobody has sent");
    sender.send(0).unwrap();
    assert_eq!(channel_at(head), (2, 0, 1, 1, own_id(), waits.id().as_u64()), "it was handed over");
    (sender, waits.join().unwrap(), head)
}

#[test]
fn channel_tells_who_was_last_and_what_is_in_it() {
    crate::run(|| {
        let main = own_id();
        let (sender, receiver, head) = channel_with_head();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        receiver.recv().unwrap();
        assert_eq!(channel_at(head), (2, 1, 1, 1, main, main));
        sender.send(3).unwrap();
        let other = sender.clone();
        assert_eq!(channel_at(head), (2, 2, 2, 1, main, main));
        assert!(other.try_send(9).is_err());
        let waits = spawn(move || other.send(4).unwrap());
        yield_now();
        assert_eq!(wait_of(waits.id()), (WaitReason::Send as u32, head));
        assert_eq!(channel_at(head), (2, 2, 2, 1, waits.id().as_u64(), main), "it waits for room");
        receiver.recv().unwrap();
        let sends = waits.id().as_u64();
        waits.join().unwrap();
        assert_eq!(channel_at(head), (2, 2, 1, 1, sends, main));
        drop(receiver);
        assert_eq!(channel_at(head), (2, 0, 1, 0, sends, main));
        assert!(sender.send(5).is_err());
        assert_eq!(channel_at(head), (2, 0, 1, 0, sends, main));
    })
    .unwrap();
}

#[test]
fn channel_tells_of_plain_threads() {
    crate::run(|| {
        let (sender, receiver, head) = channel_with_head();
        let sends = thread::spawn(move || {
            sender.send(1).unwrap();
            own_thread()
        });
        let thread = sends.join().unwrap();
        assert_eq!(channel_at(head).4, thread);
        let receives = thread::spawn(move || {
            receiver.recv().unwrap();
            (receiver, own_thread())
        });
        let (_receiver, thread) = receives.join().unwrap();
        assert_eq!(channel_at(head), (2, 0, 0, 1, channel_at(head).4, thread));
    })
    .unwrap();
}
