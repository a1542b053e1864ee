//! The run queue: who is ready, first come first served.
//!
//! An entry carries the state word which its coroutine had when it was queued. A coroutine may get its turn
//! otherwise (its child waits, under `Policy::Backtrack`), or end: then its word has changed, and the entry is
//! skipped.
//!
//! A ring of its own and not a `RefCell<VecDeque>`: every switch pushes and pops, and the flag that the cell keeps
//! and the ring's end, which is found by comparing, were a third of a yield.

use std::cell::{Cell, UnsafeCell};

use crate::abi::record::Record;
use crate::abi::state::{State, Word};
use crate::arch;

/// A coroutine that was ready when it was queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) record: &'static Record,
    pub(crate) word: Word,
}

impl Entry {
    #[inline]
    fn is_valid(&self) -> bool {
        debug_assert_eq!(self.word.state(), State::Ready);
        self.record.word() == self.word
    }
}

/// A worker's queue. Only the worker's thread uses it.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The number of entries that were ever taken, and that were ever put in: places are these, modulo the length.
    taken: Cell<usize>,
    put: Cell<usize>,
    /// A power of two long. Between calls of the methods below nobody has a reference to it.
    ring: UnsafeCell<Box<[Option<Entry>]>>,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { taken: Cell::new(0), put: Cell::new(0), ring: UnsafeCell::new(Box::new([None; 64])) }
    }
}

impl Queue {
    #[inline]
    pub(crate) fn push(&self, entry: Entry) {
        let put = self.put.get();
        // SAFETY: the queue isn't Sync, and no reference to the ring outlives a method, none of which calls another
        // while it has one.
        let ring = unsafe { &mut *self.ring.get() };
        if put.wrapping_sub(self.taken.get()) == ring.len() {
            return self.push_grown(entry);
        }
        let mask = ring.len() - 1;
        ring[put & mask] = Some(entry);
        self.put.set(put.wrapping_add(1));
    }

    /// Takes the first that is still ready.
    ///
    /// The top of the stack of whoever is behind it is fetched meanwhile: where many take turns, it has left the cache
    /// since its last one, and its page has left the TLB (a tenth of a yield among 1,000).
    #[inline]
    pub(crate) fn pop(&self) -> Option<&'static Record> {
        loop {
            let taken = self.taken.get();
            if taken == self.put.get() {
                return None;
            }
            // SAFETY: as in `push`.
            let ring = unsafe { &*self.ring.get() };
            let entry = ring[taken & (ring.len() - 1)];
            let behind = taken.wrapping_add(1);
            self.taken.set(behind);
            if behind != self.put.get()
                && let Some(behind) = ring[behind & (ring.len() - 1)]
            {
                arch::prefetch(behind.record.context.sp());
            }
            if let Some(entry) = entry.filter(Entry::is_valid) {
                return Some(entry.record);
            }
        }
    }

    /// Brings the last `count` to the front, where they take turns with those who were there: each of those is put off by
    /// one turn for each of his own at most, and none overtakes another of his own kind. Does nothing where the others are fewer.
    pub(crate) fn weave(&self, count: usize) {
        if count == 0 || self.len() < 2 * count {
            return;
        }
        // SAFETY: as in `push`.
        let ring = unsafe { &mut *self.ring.get() };
        let mask = ring.len() - 1;
        let (first, end) = (self.taken.get(), self.put.get().wrapping_sub(count));
        let last: Vec<_> = (0..count).map(|i| ring[end.wrapping_add(i) & mask]).collect();
        let start = first.wrapping_sub(count);
        for (i, late) in last.into_iter().enumerate() {
            // Where the next one is put nobody is any more: of those before `first + i` all have moved, or are the last ones.
            let to = start.wrapping_add(2 * i);
            let moved = ring[first.wrapping_add(i) & mask];
            ring[to & mask] = late;
            ring[to.wrapping_add(1) & mask] = moved;
        }
        self.taken.set(start);
        self.put.set(end);
    }

    /// Puts the one that stands before the last `count` behind them.
    pub(crate) fn give_way(&self, count: usize) {
        if self.len() <= count {
            return;
        }
        // SAFETY: as in `push`.
        let ring = unsafe { &mut *self.ring.get() };
        let mask = ring.len() - 1;
        let end = self.put.get();
        let first = end.wrapping_sub(count + 1);
        let who = ring[first & mask];
        for i in 0..count {
            ring[first.wrapping_add(i) & mask] = ring[first.wrapping_add(i + 1) & mask];
        }
        ring[end.wrapping_sub(1) & mask] = who;
    }

    /// How many are queued. Stale entries count.
    pub(crate) fn len(&self) -> usize {
        self.put.get().wrapping_sub(self.taken.get())
    }

    /// Whether nobody is queued. A stale entry counts as somebody.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.get() == self.put.get()
    }

    /// The ring is full: a longer one.
    #[cold]
    #[inline(never)]
    fn push_grown(&self, entry: Entry) {
        // SAFETY: as in `push`.
        let ring = unsafe { &mut *self.ring.get() };
        // The oldest comes first in the new one.
        ring.rotate_left(self.taken.get() & (ring.len() - 1));
        let length = ring.len();
        let mut longer = std::mem::take(ring).into_vec();
        longer.push(Some(entry));
        longer.resize(2 * length, None);
        *ring = longer.into_boxed_slice();
        self.taken.set(0);
        self.put.set(length + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// A record nobody else has, which is ready.
    fn ready(id: u64) -> &'static Record {
        // Reachable, so that the leak checker doesn't mind.
        static ALL: Mutex<Vec<&Record>> = Mutex::new(Vec::new());
        // SAFETY: all zero is a valid record: atomics and pointers that may be null.
        let record: Record = unsafe { std::mem::zeroed() };
        let record: &'static Record = Box::leak(Box::new(record));
        record.id.store(id, std::sync::atomic::Ordering::Relaxed);
        set(&record.state, State::Ready);
        ALL.lock().unwrap().push(record);
        record
    }

    fn set(word: &AtomicU64, state: State) {
        word.store(Word(0).with(state, 0).0, std::sync::atomic::Ordering::Relaxed);
    }

    fn push(queue: &Queue, record: &'static Record) {
        queue.push(Entry { record, word: Word(0).with(State::Ready, 0) });
    }

    #[test]
    fn first_come_first_served_however_long_it_gets() {
        let (queue, mut model) = (Queue::default(), VecDeque::new());
        let records: Vec<_> = (0..300).map(ready).collect();
        for round in 0..2000 {
            // Grows and shrinks over the ring's end, and beyond its length.
            for _ in 0..(round * 7) % 13 {
                if model.len() < records.len() {
                    let record = records[(round * 31 + model.len()) % records.len()];
                    push(&queue, record);
                    model.push_back(record.id());
                }
            }
            for _ in 0..(round * 5) % 11 {
                assert_eq!(queue.pop().map(Record::id), model.pop_front());
            }
        }
        while let Some(id) = model.pop_front() {
            assert_eq!(queue.len(), 1 + model.len());
            assert_eq!(queue.pop().map(Record::id), Some(id));
        }
        assert!(queue.is_empty() && queue.pop().is_none());
    }

    #[test]
    fn the_last_ones_take_turns_with_the_first() {
        let records: Vec<_> = (0..150).map(ready).collect();
        // Over the ring's end, in full rings and in others.
        for (passed, count, all) in
            [(0, 3, 10), (60, 3, 10), (63, 32, 64), (5, 60, 128), (100, 1, 2), (7, 5, 9), (9, 0, 4)]
        {
            let queue = Queue::default();
            for _ in 0..passed {
                push(&queue, records[149]);
                queue.pop();
            }
            records[..all].iter().for_each(|record| push(&queue, record));
            queue.weave(count);
            let turns: Vec<_> =
                (0..all).filter_map(|_| queue.pop()).map(|record| record.id() as usize).collect();
            let (first, last) = (0..all - count, all - count..all);
            let expected: Vec<_> = match 2 * count <= all {
                true => last
                    .zip(first.clone())
                    .flat_map(|(last, first)| [last, first])
                    .chain(first.skip(count))
                    .collect(),
                false => first.chain(last).collect(),
            };
            assert_eq!(turns, expected, "{count} of {all}");
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn one_gives_way_to_the_last_ones() {
        let records: Vec<_> = (0..5).map(ready).collect();
        for (count, expected) in
            [(0, [0, 1, 2, 3, 4]), (2, [0, 1, 3, 4, 2]), (4, [1, 2, 3, 4, 0]), (5, [0, 1, 2, 3, 4])]
        {
            let queue = Queue::default();
            // Over the ring's end.
            for _ in 0..62 {
                push(&queue, records[0]);
                queue.pop();
            }
            records.iter().for_each(|record| push(&queue, record));
            queue.give_way(count);
            assert_eq!([(); 5].map(|()| queue.pop().unwrap().id()), expected, "{count}");
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn stale_entries_are_skipped() {
        let queue = Queue::default();
        let [a, b] = [1, 2].map(ready);
        push(&queue, a);
        push(&queue, b);
        set(&a.state, State::Running);
        assert_eq!(queue.pop().map(Record::id), Some(2));
        assert!(queue.pop().is_none());
    }
}
