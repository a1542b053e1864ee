//! Any sequence of operations that don't wait does to a primitive what it does to a simple model of it.

use std::collections::VecDeque;

use coro::sync::{RwLock, Semaphore, TryRecvError, TrySendError, channel};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn channel_is_a_queue_with_a_bound(capacity in 1_usize..5, operations in vec(0_u8..8, 0..200)) {
        let (sender, receiver) = channel(capacity);
        let (mut ends, mut model, mut closed, mut next) = (vec![sender], VecDeque::new(), false, 0_u32);
        for operation in operations {
            match operation {
                0..3 => {
                    let Some(sender) = ends.last() else { continue };
                    let expected = match (closed, model.len() < capacity) {
                        (true, _) => Err(TrySendError::Disconnected(next)),
                        (false, true) => { model.push_back(next); Ok(()) }
                        (false, false) => Err(TrySendError::Full(next)),
                    };
                    prop_assert_eq!(sender.try_send(next), expected);
                    next += 1;
                }
                3..6 => {
                    let is_over = closed || ends.is_empty();
                    let none = if is_over { TryRecvError::Disconnected } else { TryRecvError::Empty };
                    prop_assert_eq!(receiver.try_recv(), model.pop_front().ok_or(none));
                }
                6 => ends.extend(ends.last().cloned()),
                _ => match next % 5 {
                    0 => { receiver.close(); closed = true; }
                    _ => drop(ends.pop()),
                },
            }
        }
        drop(ends);
        prop_assert_eq!(receiver.into_iter().collect::<Vec<_>>(), Vec::from(model));
    }

    #[test]
    fn semaphore_is_a_number(start in 0_usize..5, operations in vec((0_u8..4, 0_usize..4), 0..200)) {
        let semaphore = Semaphore::new(start);
        let (mut left, mut held) = (start, Vec::new());
        for (operation, count) in operations {
            match operation {
                0 | 1 => {
                    let permit = semaphore.try_acquire_many(count);
                    prop_assert_eq!(permit.is_some(), count <= left);
                    if let Some(permit) = permit {
                        left -= count;
                        held.push((permit, count));
                    }
                }
                2 => {
                    let Some((permit, count)) = held.pop() else { continue };
                    drop(permit);
                    left += count;
                }
                _ => {
                    semaphore.release(count);
                    left += count;
                }
            }
            prop_assert_eq!(semaphore.available_permits(), left);
        }
    }

    #[test]
    fn rwlock_has_readers_or_a_writer(operations in vec(0_u8..4, 0..200)) {
        let lock = RwLock::new(());
        let (mut readers, mut writer) = (Vec::new(), None);
        for operation in operations {
            match operation {
                0 => {
                    let guard = lock.try_read().ok();
                    prop_assert_eq!(guard.is_some(), writer.is_none());
                    readers.extend(guard);
                }
                1 => {
                    let guard = lock.try_write().ok();
                    prop_assert_eq!(guard.is_some(), writer.is_none() && readers.is_empty());
                    writer = guard.or(writer);
                }
                2 => drop(readers.pop()),
                _ => drop(writer.take()),
            }
        }
    }
}
