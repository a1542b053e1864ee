//! The wheel against a model that is plainly right (a `BTreeMap` from deadline and arming number to timer),
//! and the cases that a random walk is unlikely to meet.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TICK: u64 = 1 << TICK_SHIFT;
/// Some way into the clock, and not at a tick's start.
const START: u64 = 1_000 * TICK + 77;

impl<T> Wheel<T> {
    /// Panics unless lists, bitmaps, free list and counters agree.
    fn assert_consistent(&self) {
        let mut linked = 0;
        for (place, list) in self.lists.iter().enumerate() {
            let occupied = self.occupied[place / SLOTS] >> (place % SLOTS) & 1 == 1;
            assert_eq!(occupied, list.head != NIL, "bitmap of place {place}");
            let (mut previous, mut index) = (NIL, list.head);
            while index != NIL {
                let entry = &self.entries[index as usize];
                assert!(entry.payload.is_some());
                assert_eq!((entry.previous, usize::from(entry.place)), (previous, place));
                assert_eq!(place_of(self.tick, (entry.deadline_ns >> TICK_SHIFT).max(self.tick)), place);
                linked += 1;
                (previous, index) = (index, entry.next);
            }
            assert_eq!(list.tail, previous, "tail of place {place}");
        }
        assert_eq!(linked, self.armed);
        let (mut free, mut index) = (0, self.free);
        while index != NIL {
            let entry = &self.entries[index as usize];
            assert!(entry.payload.is_none());
            free += 1;
            index = entry.next;
        }
        let retired = self.entries.iter().filter(|e| e.payload.is_none() && e.generation == u32::MAX).count();
        assert_eq!(linked + free + retired, self.entries.len());
    }

    /// What fires at `now_ns`, in order.
    fn expired(&mut self, now_ns: u64) -> Vec<T> {
        let mut fired = Vec::new();
        self.expire(now_ns, |payload| fired.push(payload));
        fired
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Arm so far after now.
    ArmIn(u64),
    /// Arm so long before now.
    ArmAgo(u64),
    /// Arm for the last ns of the clock.
    ArmNever,
    /// Arm as many timers for one deadline, so far after now.
    ArmCrowd(u64, u8),
    /// Disarm one of all the timers that ever were, fired ones too.
    Disarm(prop::sample::Index),
    /// Let so much time pass, then expire.
    Pass(u64),
    /// Do as the reactor does: expire when the wheel asks for it.
    PassToNext,
    /// Expire with a time that has been.
    PassBack(u64),
}

/// Spans of all magnitudes alike: the number of bits is drawn first.
fn span() -> impl Strategy<Value = u64> {
    (0..64_u32, any::<u64>()).prop_map(|(bits, value)| value >> bits)
}

/// Spans of a few ticks, where timers meet in one slot.
fn short() -> impl Strategy<Value = u64> {
    0..8 * TICK
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => span().prop_map(Step::ArmIn),
        6 => short().prop_map(Step::ArmIn),
        2 => (0..100 * TICK).prop_map(Step::ArmIn),
        2 => span().prop_map(Step::ArmAgo),
        1 => Just(Step::ArmNever),
        1 => (short(), 2..40_u8).prop_map(|(after, count)| Step::ArmCrowd(after, count)),
        6 => any::<prop::sample::Index>().prop_map(Step::Disarm),
        3 => short().prop_map(Step::Pass),
        1 => (0..10 * 64 * TICK).prop_map(Step::Pass),
        // Mostly far from the clock's end, or the walk is over at once.
        1 => (20..64_u32, any::<u64>()).prop_map(|(bits, value)| Step::Pass(value >> bits)),
        6 => Just(Step::PassToNext),
        1 => span().prop_map(Step::PassBack),
    ];
    prop::collection::vec(step, 1..200)
}

/// The wheel, the model, and the clock that both see.
struct Pair {
    wheel: Wheel<usize>,
    model: BTreeMap<(u64, usize), ()>,
    /// Key and deadline of each timer that ever was; its number is its place here.
    armed: Vec<(TimerKey, u64)>,
    now: u64,
}

impl Pair {
    fn new(now: u64) -> Self {
        Self { wheel: Wheel::new(now), model: BTreeMap::new(), armed: Vec::new(), now }
    }

    fn arm(&mut self, deadline: u64) {
        let number = self.armed.len();
        self.armed.push((self.wheel.arm(deadline, number), deadline));
        self.model.insert((deadline, number), ());
    }

    fn expire(&mut self, told: u64) {
        self.now = self.now.max(told);
        let later = match self.now.checked_add(1) {
            Some(after) => self.model.split_off(&(after, 0)),
            None => BTreeMap::new(),
        };
        let due: Vec<usize> = std::mem::replace(&mut self.model, later).into_keys().map(|(_, n)| n).collect();
        assert_eq!(self.wheel.expired(told), due, "at {}", self.now);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::ArmIn(after) => self.arm(self.now.saturating_add(after)),
            Step::ArmAgo(before) => self.arm(self.now.saturating_sub(before)),
            Step::ArmNever => self.arm(u64::MAX),
            Step::ArmCrowd(after, count) => (0..count).for_each(|_| self.arm(self.now.saturating_add(after))),
            Step::Disarm(which) => {
                if !self.armed.is_empty() {
                    let number = which.index(self.armed.len());
                    let (key, deadline) = self.armed[number];
                    let expected = self.model.remove(&(deadline, number)).map(|()| number);
                    assert_eq!(self.wheel.disarm(key), expected);
                    assert_eq!(self.wheel.disarm(key), None, "a second time");
                }
            }
            Step::Pass(span) => self.expire(self.now.saturating_add(span)),
            Step::PassToNext => {
                if let Some(next) = self.wheel.next_deadline() {
                    self.expire(next);
                }
            }
            Step::PassBack(span) => self.expire(self.now.saturating_sub(span)),
        }
        self.assert_agreement();
    }

    fn assert_agreement(&self) {
        self.wheel.assert_consistent();
        assert_eq!(self.wheel.len(), self.model.len());
        assert_eq!(self.wheel.len() == 0, self.model.is_empty());
        match (self.wheel.next_deadline(), self.model.keys().next()) {
            (None, None) => {}
            (Some(next), Some(&(earliest, _))) => {
                assert!(next <= earliest | TICK_MASK, "{next} is too late for a timer due at {earliest}");
            }
            (next, earliest) => panic!("the wheel asks for {next:?}, the model's first is {earliest:?}"),
        }
    }

    /// Follows `next_deadline` until all have fired; gives back how many calls that took.
    fn run_dry(&mut self) -> usize {
        let mut calls = 0;
        while let Some(next) = self.wheel.next_deadline() {
            self.expire(next);
            calls += 1;
        }
        assert!(self.model.is_empty());
        calls
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wheel_does_what_the_model_does(start in span(), steps in steps()) {
        let mut pair = Pair::new(start);
        for step in steps {
            pair.take(step);
        }
        // Each timer costs at most its cascades and its own firing; a stale overdue mark one more.
        let bound = pair.model.len() * LEVELS + 1;
        prop_assert!(pair.run_dry() <= bound);
        pair.wheel.assert_consistent();
    }
}

#[test]
fn timer_fires_at_its_deadline_and_not_a_nanosecond_before() {
    for distance in (0..64).map(|bits| 1_u64 << bits).take_while(|d| START.checked_add(*d).is_some()) {
        let mut wheel = Wheel::new(START);
        wheel.arm(START + distance, ());
        assert_eq!(wheel.expired(START + distance - 1).len(), 0, "{distance} ns ahead");
        assert_eq!(wheel.expired(START + distance).len(), 1, "{distance} ns ahead");
    }
}

#[test]
fn lone_timer_asks_for_its_own_deadline_and_nothing_before() {
    for deadline in [START + 1, START + 50 * TICK + 3, START + 1_000_000 * TICK + 5, u64::MAX] {
        let mut wheel = Wheel::new(START);
        wheel.arm(deadline, ());
        assert_eq!(wheel.next_deadline(), Some(deadline));
        assert_eq!(wheel.expired(deadline).len(), 1);
        assert_eq!(wheel.next_deadline(), None);
    }
}

#[test]
fn crowd_of_one_tick_is_fired_by_one_call_at_the_ticks_end() {
    let mut pair = Pair::new(START);
    let tick = (START / TICK + 3) * TICK;
    for n in 0..10_000 {
        pair.arm(tick + (n * 7_919) % TICK);
    }
    assert_eq!(pair.wheel.next_deadline(), Some(tick + TICK - 1));
    assert_eq!(pair.run_dry(), 1);
}

#[test]
fn great_crowd_is_fired_every_four_ticks() {
    let mut wheel = Wheel::new(START);
    let first = START + 2 * TICK;
    let keys: Vec<_> = (0..CROWD as u64).map(|n| wheel.arm(first + n * 3 * TICK, n)).collect();
    let asked = wheel.next_deadline().unwrap();
    assert_eq!(asked, first | (4 * TICK - 1));
    assert!(asked - first < 4 * TICK);
    let fired = wheel.expired(asked);
    assert_eq!(
        fired,
        (0..=(asked - first) / (3 * TICK)).collect::<Vec<_>>(),
        "what is due by then, and no more"
    );
    // One less: no crowd.
    assert!(wheel.disarm(keys[CROWD - 1]).is_some());
    let next = first + fired.len() as u64 * 3 * TICK;
    assert_eq!(wheel.next_deadline().unwrap(), next, "it is alone in its tick");
}

#[test]
fn poll_within_a_tick_fires_what_is_due_and_keeps_the_rest() {
    let mut pair = Pair::new(START);
    let tick = (START / TICK + 3) * TICK;
    for n in 0..1_000 {
        pair.arm(tick + (n * 7_919) % TICK);
    }
    for part in 1..=16 {
        pair.expire(tick + part * TICK / 16);
        // Some more arrive in the tick that is being worked off, out of order and overdue ones too.
        for n in 0..10 {
            pair.arm(tick + ((part * 10 + n) * 104_729) % TICK);
        }
        pair.assert_agreement();
    }
    pair.run_dry();
}

#[test]
fn equal_deadlines_fire_in_the_order_of_arming_though_they_were_armed_on_different_levels() {
    let deadline = START + 5_000 * TICK;
    let mut wheel = Wheel::new(START);
    let mut now = START;
    for number in 0..20 {
        wheel.arm(deadline, number);
        now += (deadline - now) / 2;
        assert_eq!(wheel.expired(now), []);
    }
    assert_eq!(wheel.expired(deadline), (0..20).collect::<Vec<_>>());
}

#[test]
fn empty_wheel_keeps_up_with_the_clock() {
    let mut wheel = Wheel::new(START);
    let now = START + 1_000_000 * TICK;
    assert_eq!(wheel.expired(now), []);
    wheel.arm(now + 2 * TICK, 1);
    wheel.arm(now + 2 * TICK, 2);
    // Seen from where the wheel began, this would be a higher level's slot, which asks for a cascade first.
    assert_eq!(wheel.next_deadline(), Some((now + 2 * TICK) | TICK_MASK));
}

#[test]
fn overdue_timer_asks_for_a_call_at_once() {
    let mut wheel = Wheel::new(START);
    wheel.arm(START + 10 * TICK, "later");
    wheel.arm(START - 10 * TICK, "overdue");
    wheel.arm(START, "just over");
    assert_eq!(wheel.next_deadline(), Some(START - 10 * TICK));
    assert_eq!(wheel.expired(START), ["overdue", "just over"]);
    assert_eq!(wheel.next_deadline(), Some(START + 10 * TICK));
}

#[test]
fn fired_timer_cannot_be_disarmed() {
    let mut wheel = Wheel::new(START);
    let key = wheel.arm(START + 1, 1);
    assert_eq!(wheel.expired(START + 1), [1]);
    assert_eq!(wheel.disarm(key), None);
}

#[test]
fn key_of_a_fired_timer_does_not_disarm_the_next_tenant() {
    let mut wheel = Wheel::new(START);
    let old = wheel.arm(START + 1, 1);
    assert_eq!(wheel.expired(START + 1), [1]);
    let new = wheel.arm(START + 2, 2);
    assert_eq!((new.index, new.generation), (old.index, old.generation + 1));
    assert_eq!(wheel.disarm(old), None);
    assert_eq!(wheel.disarm(new), Some(2));
    assert!(wheel.len() == 0);
}

#[test]
fn entry_with_its_last_generation_is_not_given_out_again() {
    let mut wheel = Wheel::new(START);
    let first = wheel.arm(START, 1);
    wheel.entries[first.index as usize].generation = u32::MAX;
    let last = TimerKey { generation: u32::MAX, ..first };
    assert_eq!(wheel.disarm(last), Some(1));
    assert_eq!(wheel.disarm(last), None);
    assert_ne!(wheel.arm(START, 2).index, last.index);
    wheel.assert_consistent();
}

#[test]
fn u64_max_is_a_deadline_like_any_other() {
    let mut wheel = Wheel::new(0);
    let keys = [wheel.arm(u64::MAX, 1), wheel.arm(u64::MAX, 2), wheel.arm(u64::MAX - 1, 3)];
    assert_eq!(wheel.expired(u64::MAX - 2), []);
    assert_eq!(wheel.next_deadline(), Some(u64::MAX));
    assert_eq!(wheel.disarm(keys[0]), Some(1));
    assert_eq!(wheel.expired(u64::MAX), [3, 2]);
    wheel.arm(5, 4);
    assert_eq!(wheel.expired(u64::MAX), [4]);
}

#[test]
fn warm_wheel_reuses_its_memory() {
    let mut wheel = Wheel::new(START);
    let mut capacity = None;
    for round in 1..4 {
        for n in 0..1_000 {
            wheel.arm(START + round * 100 * TICK + n, ());
        }
        assert_eq!(wheel.expired(START + round * 200 * TICK).len(), 1_000);
        assert_eq!(*capacity.get_or_insert(wheel.entries.capacity()), wheel.entries.capacity());
    }
    assert_eq!(wheel.entries.len(), 1_000);
}

#[test]
fn panic_of_the_callback_loses_only_the_timer_it_was_given() {
    let mut wheel = Wheel::new(START);
    for number in 0..3 {
        wheel.arm(START + 1, number);
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wheel.expire(START + 1, |_| std::panic::resume_unwind(Box::new("planted")));
    }));
    assert!(outcome.is_err());
    wheel.assert_consistent();
    assert_eq!(wheel.expired(START + 1), [1, 2]);
}
