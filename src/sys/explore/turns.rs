//! See the module above.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::Location;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread, ThreadId};

use fastrand::Rng;

/// What a point, a look at the clock and a turn given away take (in nanoseconds of the scenario's time).
const STEP: u64 = 50;
/// If all threads sleep, and the next timer is so far (in nanoseconds), then it is not one of the scenario's.
const LOST: u64 = 100_000_000;
/// No scenario lasts for so long, or takes so many steps.
const LONGEST: u64 = 500_000_000;
const MOST_POINTS: u64 = 3_000_000;
/// When a scenario begins; any time would do.
const START: u64 = 1_000_000_000_000;
/// Steps that are told when one fails.
const TOLD: usize = 60;

thread_local! {
    /// This thread's number in the scenario, plus 1; 0: it takes no part.
    static SEAT: Cell<usize> = const { Cell::new(0) };
}

/// Whose turn it is, as [`SEAT`].
static TURN: AtomicUsize = AtomicUsize::new(0);
static STAGE: Mutex<Stage> = Mutex::new(Stage::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ready,
    Asleep { until: Option<u64> },
    Left,
}

struct Participant {
    status: Status,
    /// `None`: it has not begun.
    thread: Option<Thread>,
}

struct Stage {
    threads: Vec<Participant>,
    random: Rng,
    /// One point in so many gives the turn away.
    odds: u64,
    time: u64,
    points: u64,
    turns: u64,
    /// All sleep, and have been asked to look again: a descriptor may be ready, and says so to nobody.
    has_looked_again: bool,
    bug: Option<String>,
    recent: VecDeque<(usize, &'static Location<'static>)>,
    label: String,
}

/// What a scenario took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) points: u64,
    /// How often another thread went on.
    pub(crate) turns: u64,
}

/// Runs a scenario on this thread, in the order that `seed` decides. If it fails, the process ends, and says why.
pub(crate) fn play(label: String, seed: u64, bug: Option<&str>, scenario: impl FnOnce()) -> Outcome {
    {
        let mut stage = stage();
        *stage = Stage::new();
        stage.random = Rng::with_seed(seed);
        // Some bugs need many changes, most few in the right places.
        stage.odds = [2, 5, 20, 100][stage.random.usize(..4)];
        stage.bug = bug.map(str::to_owned);
        stage.label = label;
        stage.threads.push(Participant { status: Status::Ready, thread: Some(thread::current()) });
        TURN.store(1, SeqCst);
    }
    SEAT.set(1);
    scenario();
    SEAT.set(0);
    let stage = stage();
    let left = stage.threads.iter().skip(1).filter(|one| one.status != Status::Left).count();
    if left > 0 {
        stage.fail(&format!("{left} threads have not ended"));
    }
    Outcome { points: stage.points, turns: stage.turns }
}

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Here another thread may go on.
#[track_caller]
pub(crate) fn point() {
    let me = SEAT.get();
    if me != 0 {
        let mut stage = stage();
        stage.note(me, Location::caller());
        stage.has_looked_again = false;
        let odds = stage.odds;
        if stage.random.u64(..odds) == 0 {
            hand_over(stage, me);
        }
    }
}

/// Here another thread has to go on, because this one waits for its step; says whether that was done.
#[track_caller]
pub(crate) fn give_way() -> bool {
    let me = SEAT.get();
    if me != 0 {
        let mut stage = stage();
        stage.note(me, Location::caller());
        // So that somebody who waits for something that comes with time gets there.
        stage.time += 20 * STEP;
        hand_over(stage, me);
    }
    me != 0
}

/// Lets others go on until that is over, where a thread would else block on a lock that another one has, who hasn't got the
/// turn.
#[track_caller]
pub(crate) fn give_way_while(is_locked: impl Fn() -> bool) {
    if SEAT.get() != 0 {
        point();
        while is_locked() {
            give_way();
        }
    }
}

/// Blocks until `is_over`, or for `timeout` nanoseconds; returns for how long the caller has to block by itself.
#[track_caller]
pub(crate) fn sleep(timeout: Option<u64>, is_over: impl Fn() -> bool) -> Option<u64> {
    let me = SEAT.get();
    if me == 0 {
        return timeout;
    }
    point();
    let until = timeout.map(|timeout| stage().time.saturating_add(timeout));
    // Nobody else takes a step between the look and the sleep.
    while !is_over() {
        let mut stage = stage();
        if until.is_some_and(|until| until <= stage.time) {
            break;
        }
        stage.note(me, Location::caller());
        stage.threads[me - 1].status = Status::Asleep { until };
        hand_over(stage, me);
    }
    Some(0)
}

/// Whoever sleeps has to look again whether it is over.
pub(crate) fn something_happened() {
    if SEAT.get() != 0 {
        stage().wake_all();
    }
}

/// The time, if it isn't the system's.
pub(crate) fn time() -> Option<u64> {
    (SEAT.get() != 0).then(|| {
        let mut stage = stage();
        stage.time += STEP;
        stage.time
    })
}

/// Whether the code is to have the bug of this name, which a test has to find.
pub(crate) fn is_planted(bug: &str) -> bool {
    SEAT.get() != 0 && stage().bug.as_deref() == Some(bug)
}

/// Starts a thread that takes part if its creator does.
pub(crate) fn spawn<T: Send + 'static>(
    builder: thread::Builder,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    if SEAT.get() == 0 {
        return builder.spawn(run);
    }
    let number = {
        let mut stage = stage();
        stage.threads.push(Participant { status: Status::Ready, thread: None });
        stage.threads.len()
    };
    builder.spawn(move || {
        let _place = Place::take(number);
        run()
    })
}

/// `JoinHandle::join`.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> thread::Result<T> {
    let id = thread.thread().id();
    sleep(None, || has_left(id));
    thread.join()
}

fn has_left(id: ThreadId) -> bool {
    let stage = stage();
    let is_it = |one: &&Participant| one.thread.as_ref().is_some_and(|thread| thread.id() == id);
    stage.threads.iter().find(is_it).is_some_and(|one| one.status == Status::Left)
}

/// `Receiver::recv`; `None`: nobody is left who could send.
pub(crate) fn receive<T>(receiver: &Receiver<T>) -> Option<T> {
    if SEAT.get() == 0 {
        return receiver.recv().ok();
    }
    loop {
        match receiver.try_recv() {
            Ok(value) => return Some(value),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => _ = give_way(),
        }
    }
}

/// A thread's part in the scenario, until this is dropped.
struct Place(usize);

impl Place {
    /// Waits for the first turn.
    fn take(number: usize) -> Place {
        SEAT.set(number);
        stage().threads[number - 1].thread = Some(thread::current());
        wait_for_turn(number);
        Place(number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Its end is something that others wait for.
        something_happened();
        SEAT.set(0);
        let mut stage = stage();
        stage.threads[self.0 - 1].status = Status::Left;
        stage.choose(self.0);
    }
}

/// Gives the turn to a thread that can go on, and waits for the next one.
fn hand_over(mut stage: MutexGuard<'_, Stage>, me: usize) {
    if stage.choose(me) != me {
        drop(stage);
        wait_for_turn(me);
    }
}

fn wait_for_turn(me: usize) {
    while TURN.load(SeqCst) != me {
        thread::park();
    }
}

impl Stage {
    const fn new() -> Stage {
        Stage {
            threads: Vec::new(),
            random: Rng::with_seed(0),
            odds: 1,
            time: START,
            points: 0,
            turns: 0,
            has_looked_again: false,
            bug: None,
            recent: VecDeque::new(),
            label: String::new(),
        }
    }

    fn note(&mut self, me: usize, place: &'static Location<'static>) {
        self.points += 1;
        self.time += STEP;
        if self.recent.len() == TOLD {
            self.recent.pop_front();
        }
        self.recent.push_back((me, place));
        if self.points > MOST_POINTS {
            self.fail("it takes steps without end");
        }
        if self.time > START + LONGEST {
            self.fail("it goes on, but what it waits for doesn't come");
        }
    }

    fn wake_all(&mut self) {
        for one in &mut self.threads {
            if let Status::Asleep { .. } = one.status {
                one.status = Status::Ready;
            }
        }
    }

    /// Gives the turn to another one if one can go on, else to the caller if it can.
    fn choose(&mut self, me: usize) -> usize {
        loop {
            let time = self.time;
            for one in &mut self.threads {
                if matches!(one.status, Status::Asleep { until: Some(until) } if until <= time) {
                    one.status = Status::Ready;
                }
            }
            let ready = |number: &usize| self.threads[number - 1].status == Status::Ready;
            let others: Vec<usize> =
                (1..=self.threads.len()).filter(|one| *one != me).filter(ready).collect();
            let next = match others.len() {
                0 if ready(&me) => me,
                0 if !self.has_looked_again => {
                    self.has_looked_again = true;
                    self.wake_all();
                    continue;
                }
                0 => {
                    self.wait_for_timer();
                    continue;
                }
                count => others[self.random.usize(..count)],
            };
            self.turns += u64::from(next != me);
            TURN.store(next, SeqCst);
            if next != me
                && let Some(thread) = &self.threads[next - 1].thread
            {
                thread.unpark();
            }
            return next;
        }
    }

    /// All sleep: it is the time of the next timer.
    fn wait_for_timer(&mut self) {
        let timers = self.threads.iter().filter_map(|one| match one.status {
            Status::Asleep { until } => until,
            _ => None,
        });
        match timers.min() {
            Some(next) if next <= self.time + LOST => self.time = next,
            Some(_) => self.fail("all threads sleep, and what they wait for has happened or can't happen"),
            None => self.fail("all threads sleep for ever"),
        }
    }

    /// Ends the process.
    fn fail(&self, why: &str) -> ! {
        let mut text =
            format!("{}: {why}, after {} steps and {} turns\n", self.label, self.points, self.turns);
        for (number, one) in self.threads.iter().enumerate() {
            let name = one.thread.as_ref().and_then(Thread::name).unwrap_or("?");
            let _ = writeln!(text, "  thread {} ({name}): {:?}", number + 1, one.status);
        }
        for (number, place) in &self.recent {
            let _ = writeln!(text, "  {number}  {place}");
        }
        let _ = io::stderr().write_all(text.as_bytes());
        // SAFETY: it only ends the process. No destructor is to run: other threads are in the middle of something.
        unsafe { libc::_exit(101) }
    }
}
