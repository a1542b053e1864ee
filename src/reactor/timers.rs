//! The timer wheel: the deadlines of one worker, kept so that arming, disarming and firing cost the same
//! however many there are.
//!
//! A hashed hierarchical wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987,
//! scheme 7; the XOR that finds the level, and an occupancy bitmap for each level, as in tokio's wheel). Time
//! is cut into *ticks* of 2^17 ns. A slot of level 0 is one tick wide, a slot of level 1 is 64 ticks wide,
//! and so on; eight levels reach beyond `u64::MAX` ns, so no deadline is too far and nothing wraps:
//!
//! ```text
//! deadline   |  17 bits within the tick  <-- low
//!            |  6 bits: slot on level 0     131 µs each
//!            |  6 bits: slot on level 1     8.4 ms
//!            |  6 bits: slot on level 2     537 ms
//!            |  6 bits: slot on level 3     34 s        … level 7: 18 years
//! ```
//!
//! A timer sits on the level of the highest 6-bit digit in which its tick differs from the wheel's, in the
//! slot that this digit names. Hence all of level *k* is due before all of level *k + 1*, slots of a level
//! are due in the order of their numbers, and the earliest timer is found by two bit scans. When the wheel
//! enters a slot of a higher level, its timers *cascade*: each moves to a lower level, at most seven times in
//! its life.
//!
//! **Why 2^17 ns (131 µs).** The tick is the price of a crowd: timers of one tick are fired by one wake-up,
//! at the tick's end, so with many timers about the mean lateness is half a tick, 66 µs, and an idle worker
//! wakes at most 7,800 times a second however many timers it has. A longer tick is felt (at 1 ms the median
//! lateness is over 0.5 ms), a shorter one buys wake-ups with precision that `epoll_pwait2`'s default slack
//! of 50 µs takes away again. A power of two makes the division a shift. Firing itself is exact: the deadline
//! is kept in ns, and a worker that polls in the middle of a tick gets what is due and no more; a timer that
//! is alone in its slot has no crowd to wait for and is reported with its own deadline.
//!
//! **A crowd waits for four ticks**, from 2,048 timers on: one wake-up of an idle worker costs as much as 20 timers, and a
//! third of the CPU time of 10,000 coroutines that sleep was wake-ups. The mean lateness is a quarter of a millisecond then, and a
//! worker wakes at most 1,900 times a second.
//!
//! **Order.** Timers fire in the order of their deadlines; those with equal deadlines in the order of arming.
//!
//! Timers live in a slab and are linked by index, so once it has grown to the largest number of timers that
//! were armed at one time, nothing here allocates. The memory of that peak is kept.

#[cfg(test)]
mod tests;

/// A tick is 2 to this power ns long; see the module's documentation for why.
const TICK_SHIFT: u32 = 17;
/// One tick less one: the low bits of a deadline, and the way to a tick's last ns.
const TICK_MASK: u64 = (1 << TICK_SHIFT) - 1;
/// Each level's slots take up this many bits of the tick.
const SLOT_BITS: u32 = 6;
/// So many timers are a crowd; and the low bits of the time until which it waits, four ticks' last ns. See the module.
const CROWD: usize = 2048;
const CROWD_MASK: u64 = (4 << TICK_SHIFT) - 1;
/// Slots a level: as many as an occupancy bitmap has bits.
const SLOTS: usize = 1 << SLOT_BITS;
/// Levels enough for the 47 bits that a tick's number has.
const LEVELS: usize = (u64::BITS - TICK_SHIFT).div_ceil(SLOT_BITS) as usize;
/// "No entry", in a link.
const NIL: u32 = u32::MAX;

/// Names one armed timer, for [`Wheel::disarm`]. It outlives the timer without harm: the slab's place may
/// have a new tenant, but the generation tells the two apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

/// One place of the slab: an armed timer, or (without a payload) a link of the free list.
#[derive(Debug)]
struct Entry<T> {
    deadline_ns: u64,
    payload: Option<T>,
    /// Neighbours in the slot's list; in the free list only `next` means something.
    previous: u32,
    next: u32,
    generation: u32,
    /// Which list the timer is in: level × 64 + slot.
    place: u16,
}

/// Both ends of a slot's doubly linked list.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL };
}

/// Timers of one worker, each with a payload that comes back when it fires. Not shared, never locked.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// Which slots of each level have timers. Together in one cache line: every poll asks for the first.
    occupied: [u64; LEVELS],
    lists: Box<[List; LEVELS * SLOTS]>,
    entries: Vec<Entry<T>>,
    /// Head of the list of free entries.
    free: u32,
    armed: usize,
    /// The latest time that the wheel was told.
    now_ns: u64,
    /// The tick that the wheel stands at: all slots before it are empty.
    tick: u64,
    /// Whether the list of `tick`'s own slot is known to be in the order of its deadlines.
    tick_is_sorted: bool,
    /// The earliest deadline that was already over when it was armed, since the last `expire`.
    overdue_ns: Option<u64>,
    /// Room to sort a slot in, kept from one sort to the next: deadline, position in the list, index.
    sorting: Vec<(u64, u32, u32)>,
}

impl<T> Wheel<T> {
    /// A wheel without timers, which stands at `now_ns`.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            occupied: [0; LEVELS],
            lists: Box::new([List::EMPTY; LEVELS * SLOTS]),
            entries: Vec::new(),
            free: NIL,
            armed: 0,
            now_ns,
            tick: now_ns >> TICK_SHIFT,
            tick_is_sorted: true,
            overdue_ns: None,
            sorting: Vec::new(),
        }
    }

    /// How many timers are armed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    /// Arms a timer for `deadline_ns`, absolute, on the clock that [`expire`](Self::expire) is given. A
    /// deadline in the past fires at the next `expire`; `u64::MAX` is as good a deadline as any.
    ///
    /// # Panics
    ///
    /// At 2^32 - 1 timers.
    pub(crate) fn arm(&mut self, deadline_ns: u64, payload: T) -> TimerKey {
        let index = self.take_entry();
        let entry = &mut self.entries[index as usize];
        entry.deadline_ns = deadline_ns;
        entry.payload = Some(payload);
        let key = TimerKey { index, generation: entry.generation };
        self.armed += 1;
        self.link(index);
        if deadline_ns <= self.now_ns {
            self.overdue_ns = Some(self.overdue_ns.map_or(deadline_ns, |earliest| earliest.min(deadline_ns)));
        }
        key
    }

    /// Disarms a timer and gives its payload back; `None` if it has fired or was disarmed before.
    pub(crate) fn disarm(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        self.release(key.index)
    }

    /// When `expire` should be called next; `None` without timers. Never later than the last ns of the tick (in a crowd, of
    /// the four ticks) in which the earliest timer is due. It may be earlier than any timer: a higher level wants to cascade,
    /// or the timer it was meant for is disarmed.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let (place, tick) = self.first_slot()?;
        let list = self.lists[place];
        Some(if let Some(overdue_ns) = self.overdue_ns {
            overdue_ns
        } else if place < SLOTS && self.armed >= CROWD {
            (tick << TICK_SHIFT) | CROWD_MASK
        } else if list.head == list.tail {
            // Alone: no other timer to wait for, and no cascade on the way, which spares an idle worker
            // wake-ups.
            self.entries[list.head as usize].deadline_ns
        } else if place < SLOTS {
            (tick << TICK_SHIFT) | TICK_MASK
        } else {
            tick << TICK_SHIFT
        })
    }

    /// Hands `fired` the payload of every timer whose deadline is not after `now_ns`, in the order of their
    /// deadlines, equal ones in the order of arming. The clock is monotonic: a `now_ns` before one given
    /// earlier counts as that.
    pub(crate) fn expire(&mut self, now_ns: u64, mut fired: impl FnMut(T)) {
        self.now_ns = self.now_ns.max(now_ns);
        let now_tick = self.now_ns >> TICK_SHIFT;
        while let Some((place, tick)) = self.first_slot()
            && tick <= now_tick
        {
            self.enter(tick);
            if place >= SLOTS {
                self.cascade(place);
                continue;
            }
            self.sort(place);
            // One at a time and unlinked first, so that a panic in `fired` finds the wheel in order.
            while let Some(entry) = self.entries.get(self.lists[place].head as usize)
                && entry.deadline_ns <= self.now_ns
            {
                if let Some(payload) = self.release(self.lists[place].head) {
                    fired(payload);
                }
            }
            if self.lists[place].head != NIL {
                // Only the current tick's slot has timers left over: they are due later in this tick.
                break;
            }
        }
        self.enter(now_tick);
        self.overdue_ns = None;
    }

    /// The first slot that has timers, and the first tick of its span.
    fn first_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = SLOT_BITS * level as u32;
        // The digits above the level's are the wheel's own: that is what put the timers on this level.
        let above = self.tick >> shift >> SLOT_BITS << SLOT_BITS << shift;
        Some((level * SLOTS + slot as usize, above | (u64::from(slot) << shift)))
    }

    /// Moves the wheel to `tick`, which no timer that is due earlier may precede.
    fn enter(&mut self, tick: u64) {
        if tick != self.tick {
            debug_assert!(tick > self.tick && self.first_slot().is_none_or(|(_, first)| tick <= first));
            self.tick = tick;
            self.tick_is_sorted = false;
        }
    }

    /// Spreads a slot of a higher level, which the wheel has just entered, over the levels below. From head
    /// to tail, so that timers of equal deadline stay in the order of arming: they are always in one list
    /// together.
    fn cascade(&mut self, place: usize) {
        let mut index = self.lists[place].head;
        self.lists[place] = List::EMPTY;
        self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        while index != NIL {
            let next = self.entries[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    /// Brings the list of the wheel's own tick into the order of its deadlines, keeping the order of equal
    /// ones.
    fn sort(&mut self, place: usize) {
        if self.tick_is_sorted {
            return;
        }
        self.tick_is_sorted = true;
        self.sorting.clear();
        let mut index = self.lists[place].head;
        while index != NIL {
            let entry = &self.entries[index as usize];
            self.sorting.push((entry.deadline_ns, self.sorting.len() as u32, index));
            index = entry.next;
        }
        // Sleeps of one length are armed in the order in which they end.
        if self.sorting.is_sorted() {
            return;
        }
        // The position keeps equal deadlines in order; a stable sort would do so too, but it allocates.
        self.sorting.sort_unstable();
        self.lists[place] = List::EMPTY;
        for at in 0..self.sorting.len() {
            self.push_back(place, self.sorting[at].2);
        }
    }

    /// Puts an entry, whose deadline is set, into the list where it belongs as seen from the wheel's tick.
    fn link(&mut self, index: u32) {
        let deadline_ns = self.entries[index as usize].deadline_ns;
        let tick = (deadline_ns >> TICK_SHIFT).max(self.tick);
        let place = place_of(self.tick, tick);
        if tick == self.tick {
            let tail = self.entries.get(self.lists[place].tail as usize);
            self.tick_is_sorted =
                tail.is_none_or(|last| self.tick_is_sorted && last.deadline_ns <= deadline_ns);
        }
        self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
        self.push_back(place, index);
    }

    /// Appends an entry to a list.
    fn push_back(&mut self, place: usize, index: u32) {
        let tail = std::mem::replace(&mut self.lists[place].tail, index);
        match self.entries.get_mut(tail as usize) {
            Some(last) => last.next = index,
            None => self.lists[place].head = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.previous = tail;
        entry.next = NIL;
        entry.place = place as u16;
    }

    /// Takes an armed timer out of its list and gives its entry back; the payload, or `None` for a free
    /// entry.
    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let payload = entry.payload.take()?;
        let (previous, next, place) = (entry.previous, entry.next, usize::from(entry.place));
        // A generation is never used twice: an entry that has used up its last is not given out again.
        if entry.generation != u32::MAX {
            entry.generation += 1;
            entry.next = self.free;
            self.free = index;
        }
        match self.entries.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.lists[place].head = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => self.lists[place].tail = previous,
        }
        if self.lists[place].head == NIL {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
        self.armed -= 1;
        Some(payload)
    }

    /// A free entry's index; the slab grows when there is none.
    fn take_entry(&mut self) -> u32 {
        if let Some(entry) = self.entries.get(self.free as usize) {
            return std::mem::replace(&mut self.free, entry.next);
        }
        let index = self.entries.len();
        assert!(
            index < NIL as usize,
            "{index} timers are armed on one worker: the wheel has room for no more"
        );
        self.entries.push(Entry {
            deadline_ns: 0,
            payload: None,
            previous: NIL,
            next: NIL,
            generation: 0,
            place: 0,
        });
        index as u32
    }
}

/// Where a timer due at `tick` belongs while the wheel stands at `now`: level × 64 + slot.
fn place_of(now: u64, tick: u64) -> usize {
    // The lowest digit's bits are set so that equal ticks come out on level 0.
    let differing = (now ^ tick) | (SLOTS as u64 - 1);
    let level = (differing.ilog2() / SLOT_BITS) as usize;
    let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
    level * SLOTS + slot
}
