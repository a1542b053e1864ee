//! The loop: an instruction, then a look at everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;
use std::{fmt, mem};

use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::continuity::{self, Move};
use crate::invariants::{self, has_context, show};
use crate::memory::Memory;
use crate::process::{Process, Stepped};
use crate::registers::Registers;
use crate::transitions::{self, Edges};
use crate::view::{View, Watch, end_pc};
use crate::walk::{Chain, End, Frame, Walker};

/// Behind it there is none to go to.
const LAST_SCENE: &str = "end";

/// After so many breaks there is no use in going on.
const ENOUGH: usize = 5;

/// What a run has seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Instructions stepped, in the order of the scenes.
    pub(crate) scenes: Vec<(String, u64)>,
    pub(crate) swaps: u64,
    /// How often the registry has changed, and how many backtraces were walked: at each instruction, and of coroutines
    /// that stood still.
    pub(crate) changes: u64,
    pub(crate) walks: u64,
    pub(crate) walks_of_others: u64,
    /// Where the compiler's CFI is wrong: see `Walker::mend`.
    pub(crate) mended: BTreeSet<String>,
    /// Panics that landed, and instructions by which they did: see `Walker::land`.
    pub(crate) landings: u64,
    pub(crate) landing: u64,
    /// Instructions at which there was no backtrace: see `Modules::is_gap`.
    pub(crate) gaps: u64,
    /// The edges that records went along.
    pub(crate) edges: BTreeMap<(String, String), u64>,
    /// The addresses in `switch` that were stepped, from its start.
    pub(crate) stepped_in_switch: BTreeSet<u64>,
    /// The code of `switch`.
    pub(crate) switch: Vec<u8>,
    /// What was wrong.
    pub(crate) breaks: Vec<String>,
}

/// Everything of one run.
struct Stepper {
    process: Process,
    watch: Watch,
    walker: Walker,
    memory: Memory,
    edges: Edges,
    report: Report,
    /// The last backtrace of each thread.
    chains: HashMap<Pid, Chain>,
    /// By slot: the backtrace, as far as it is its own, of who stands still there.
    parked: BTreeMap<u32, Vec<Frame>>,
    /// What was seen last was not one instruction ago.
    is_fresh: bool,
    /// There is a debug header, and what it says of the code is known.
    has_learnt: bool,
}

/// Runs the debuggee and steps it through those of its scenes that are wanted.
pub(crate) fn step_through(
    program: &Path,
    arguments: &[&str],
    seed: u64,
    is_wanted: impl Fn(&str) -> bool,
) -> Report {
    let mut stepper = Stepper::at_first_scene(program, arguments, seed);
    let modules = &stepper.walker.modules;
    let (scene, end) = (modules.symbol("stepping_scene"), modules.symbol("stepping_ends"));
    let mut stepped = stepper.process.threads().next();
    while let Some(now) = stepped {
        if now.registers.pc == scene {
            let name = stepper.begin_scene(&now);
            if !is_wanted(&name) {
                if name == LAST_SCENE {
                    break;
                }
                stepped = Some(stepper.process.run_to(scene));
                stepper.forget();
                continue;
            }
        }
        if now.registers.pc == end {
            break;
        }
        stepper.look(&now);
        if stepper.report.breaks.len() >= ENOUGH {
            return stepper.report;
        }
        stepped = stepper.process.step();
    }
    let Stepper { process, mut report, .. } = stepper;
    if stepped.is_some() && !report.breaks.is_empty() {
        // Who knows whether it would come to an end.
        return report;
    }
    let ended = if stepped.is_some() { Some(process.finish()) } else { process.end() };
    if !matches!(ended, Some(WaitStatus::Exited(_, 0))) {
        report.breaks.push(format!("the debuggee has ended by {ended:?}"));
    }
    report
}

/// Lets the debuggee run, and looks at everything at so many random instants.
pub(crate) fn stop_at_random(program: &Path, arguments: &[&str], seed: u64, stops: u64) -> Report {
    let mut stepper = Stepper::at_first_scene(program, arguments, seed);
    stepper.report.scenes.push(("endless".to_owned(), 0));
    let mut random = seed | 1;
    for stop in 1..=stops {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // From within one operation to all of them.
        let moment = Duration::from_micros(1 << ((random >> 33) % 13));
        if !stepper.process.run_for(moment) {
            stepper.report.breaks.push(format!("the debuggee has ended by {:?}", stepper.process.end()));
            break;
        }
        stepper.report.scenes[0].1 = stop;
        stepper.look_afresh();
        if stepper.report.breaks.len() >= ENOUGH {
            break;
        }
    }
    stepper.report
}

impl Stepper {
    /// A debuggee that has come to its first scene.
    fn at_first_scene(program: &Path, arguments: &[&str], seed: u64) -> Stepper {
        let mut process = Process::start(program, arguments, seed);
        // What the loader has mapped is there only when the program's own code begins.
        let start = Walker::new(&process).modules.symbol("main");
        process.run_to(start);
        let walker = Walker::new(&process);
        process.run_to(walker.modules.symbol("stepping_scene"));
        let watch = Watch::new(&process).unwrap_or_else(|problem| panic!("{}: {problem}", program.display()));
        Stepper {
            process,
            watch,
            walker,
            memory: Memory::default(),
            edges: Edges::of_the_table(),
            report: Report::default(),
            chains: HashMap::new(),
            parked: BTreeMap::new(),
            is_fresh: true,
            has_learnt: false,
        }
    }

    /// Looks at everything, of which it is not known what came before.
    fn look_afresh(&mut self) {
        self.forget();
        let threads: Vec<Stepped> = self.process.threads().collect();
        let first = threads[0];
        if let Err(problem) = self.watch.look(&self.process, &mut self.memory) {
            return self.found(&first, [problem]);
        }
        self.learn();
        threads.iter().for_each(|thread| self.backtrace(thread));
        self.registry(&first, None);
    }

    /// Returns its name.
    fn begin_scene(&mut self, now: &Stepped) -> String {
        let [address, length] = now.registers.arguments();
        let mut name = vec![0; length as usize];
        self.process.read(&mut [(address, &mut name)]).expect("the debuggee says where the scene's name is");
        let name = String::from_utf8_lossy(&name).into_owned();
        self.report.scenes.push((name.clone(), 0));
        name
    }

    /// Instructions were executed unseen.
    fn forget(&mut self) {
        self.chains.clear();
        self.parked.clear();
        self.is_fresh = true;
    }

    fn found(&mut self, now: &Stepped, problems: impl IntoIterator<Item = String>) {
        for problem in problems {
            let (scene, count) = self.report.scenes.last().cloned().unwrap_or_default();
            let place = self.walker.modules.describe(now.registers.pc);
            let thread = now.thread;
            self.report.breaks.push(format!(
                "scene `{scene}`, instruction {count}, thread {thread}, before {place}: {problem}"
            ));
        }
    }

    /// Looks at everything between two instructions.
    fn look(&mut self, now: &Stepped) {
        // An instruction that repeats itself (`rep movs`) counts once.
        let before = self.chains.get(&now.thread).map(|chain| chain.frames[0].registers);
        if before.is_none_or(|before| before.pc != now.registers.pc)
            && let Some((_, count)) = self.report.scenes.last_mut()
        {
            *count += 1;
        }
        let is_fresh = mem::take(&mut self.is_fresh);
        let changed = match self.watch.look(&self.process, &mut self.memory) {
            Ok(changed) => changed.filter(|_| !is_fresh),
            Err(problem) => return self.found(now, [problem]),
        };
        self.learn();
        self.backtrace(now);
        // A stack pointer in another stack means another runner, though no record changes.
        let Some(view) = self.watch.view() else { return };
        let goes_over =
            before.is_some_and(|before| view.place(before.sp()) != view.place(now.registers.sp()));
        if changed.is_some() || goes_over || is_fresh {
            self.registry(now, changed.as_ref());
        }
    }

    /// Once there is a registry: what it says of the code.
    fn learn(&mut self) {
        let Some(view) = self.watch.view().filter(|_| !self.has_learnt) else { return };
        if let Ok(end) = end_pc(&self.process, view) {
            self.walker.learn(view.resume_pc, end);
            let switch = self.walker.modules.function(view.resume_pc).expect("`switch` has CFI");
            self.report.switch = vec![0; (switch.end - switch.start) as usize];
            self.process.read(&mut [(switch.start, &mut self.report.switch)]).expect("code can be read");
            self.has_learnt = true;
        }
    }

    /// The backtrace of the thread that was stepped, and whether it follows from the one before.
    fn backtrace(&mut self, now: &Stepped) {
        if self.walker.modules.is_gap(now.registers.pc) {
            self.report.gaps += 1;
            return;
        }
        self.report.walks += 1;
        let before = self.chains.remove(&now.thread);
        let walked = self.walker.walk(&self.process, &mut self.memory, now.registers, before.as_ref());
        let problem = match (&walked, &before) {
            (Err(problem), _) => Some(problem.clone()),
            (Ok(_), None) => None,
            (Ok(after), Some(before)) => self.discontinuity(before, after, now),
        };
        if let (Some(_), Some(before)) = (&problem, &before) {
            if let Some(mended) = self.walker.mend(before, now.registers) {
                self.report.mended.insert(self.walker.modules.describe(now.registers.pc));
                self.chains.insert(now.thread, mended);
                return;
            }
            if let Some(landing) = self.walker.land(before, now.registers) {
                self.report.landing += 1;
                self.chains.insert(now.thread, landing);
                return;
            }
        }
        self.found(now, problem);
        if let Ok(chain) = walked {
            let is_first = now.thread.as_raw().cast_unsigned() == self.process.pid();
            let own_end = if is_first { End::Program } else { End::Thread };
            if chain.end != Some(own_end) {
                self.found(now, [format!("a thread's own backtrace ends in {:?}", chain.end)]);
            }
            self.chains.insert(now.thread, chain);
        }
    }

    /// What is wrong with two successive backtraces of one thread.
    fn discontinuity(&mut self, before: &Chain, after: &Chain, now: &Stepped) -> Option<String> {
        let pc = before.frames[0].registers.pc;
        if self.walker.is_in_switch(pc) {
            self.report.stepped_in_switch.extend(self.walker.switch_start().map(|start| pc - start));
            if self.is_swap(before, after) {
                self.report.swaps += 1;
                return self.swap_problem(before, after, now);
            }
        }
        match continuity::between(before, after) {
            // Only the unwinder leaves several frames at once.
            Ok(Move::Unwound) if !before.is_landing && !self.walker.modules.is_unwinder(pc) => {
                Some("several frames were left at once".into())
            }
            Ok(Move::Unwound) => {
                self.report.landings += 1;
                None
            }
            Ok(_) => None,
            Err(problem) => Some(problem),
        }
    }

    /// Whether the stack pointer was exchanged.
    fn is_swap(&self, before: &Chain, after: &Chain) -> bool {
        self.watch.view().is_some_and(|view| {
            let [before, after] = [before, after].map(|chain| chain.frames[0].registers);
            view.resume_pc == after.pc && view.place(before.sp()) != view.place(after.sp())
        })
    }

    /// At the swap: who was left can be unwound as he could when he ran, and who was entered goes on as he was left.
    fn swap_problem(&mut self, before: &Chain, after: &Chain, now: &Stepped) -> Option<String> {
        let view = self.watch.view()?;
        let worker = view.workers.iter().find(|worker| worker.thread == now.thread.as_raw() as u64)?;
        let left = view.runner(worker, before.frames[0].registers.sp())?;
        let entered = view.runner(worker, now.registers.sp())?;
        let (left_name, entered_name) = (show(&view.records[&left]), show(&view.records[&entered]));
        let saved = suspended(view, left);
        let Some(known) = self.parked.remove(&entered) else {
            return Some(format!("{entered_name} was entered, and had not been left"));
        };
        // The innermost frame has registers of the moment.
        if let Some(what) = continuity::difference(&known[1..], &after.own()[1..], 0) {
            return Some(format!("{entered_name} was entered elsewhere than it was left: {what}"));
        }
        match self.walker.walk_to_entry(&self.process, &mut self.memory, saved) {
            Ok(chain) => continuity::difference(&before.own()[1..], &chain.own()[1..], 0)
                .map(|what| format!("{left_name} was left elsewhere than it ran: {what}")),
            Err(problem) => Some(format!("{left_name} can't be unwound from where it was left: {problem}")),
        }
    }

    /// The registry, of which something has changed, or on which another runner was found.
    fn registry(&mut self, now: &Stepped, before: Option<&View>) {
        self.report.changes += 1;
        let Some(view) = self.watch.view().cloned() else { return };
        let threads: Vec<Stepped> = self.process.threads().collect();
        self.found(now, invariants::problems(&view, &threads));
        if let Some(before) = before {
            self.found(now, transitions::problems(&self.edges, before, &view));
            self.note_edges(before, &view);
        }
        let runners: Vec<Option<u32>> = view
            .workers
            .iter()
            .map(|worker| {
                let thread = threads.iter().find(|thread| thread.thread.as_raw() as u64 == worker.thread)?;
                view.runner(worker, thread.registers.sp())
            })
            .collect();
        for (slot, coroutine) in &view.records {
            let stands_still = has_context(coroutine) && !runners.contains(&Some(*slot));
            if !stands_still {
                self.parked.remove(slot);
                continue;
            }
            let is_known = self.parked.contains_key(slot);
            let is_same = before.is_none_or(|before| before.records.get(slot) == Some(coroutine));
            if !(is_known && is_same) {
                let problem = self.backtrace_of(&view, *slot);
                self.found(now, problem);
            }
        }
    }

    fn note_edges(&mut self, before: &View, after: &View) {
        for (slot, new) in &after.records {
            if let Some(old) = before.records.get(slot).filter(|old| old.state != new.state) {
                *self.report.edges.entry((old.state.clone(), new.state.clone())).or_default() += 1;
            }
        }
    }

    /// The backtrace of one who stands still: up to his entry, and if nobody resumed him, to `outermost` behind it. A link
    /// that is not cut yet, or set already, is for the thread's own backtrace: there the resumer stands still.
    fn backtrace_of(&mut self, view: &View, slot: u32) -> Option<String> {
        self.report.walks_of_others += 1;
        let coroutine = &view.records[&slot];
        let name = show(coroutine);
        let from = suspended(view, slot);
        let is_linked = coroutine.link != view.end;
        let chain = match is_linked {
            true => self.walker.walk_to_entry(&self.process, &mut self.memory, from),
            false => self.walker.walk(&self.process, &mut self.memory, from, None),
        };
        let chain = match chain {
            Ok(chain) => chain,
            Err(problem) => return Some(format!("{name} can't be unwound: {problem}")),
        };
        let is_main = coroutine.kind == "main";
        let stays =
            chain.own().iter().all(|frame| (from.sp()..=coroutine.stack.end).contains(&frame.registers.sp()));
        let is_right = match chain.entry {
            None => is_main && chain.end != Some(End::Outermost),
            Some(_) if is_linked => !is_main,
            // entry, and behind it outermost.
            Some(entry) => !is_main && chain.end == Some(End::Outermost) && chain.frames.len() == entry + 2,
        };
        self.parked.insert(slot, chain.own().to_vec());
        (!is_right || !stays).then(|| format!("{name}'s backtrace ends in {:?}", chain.end))
    }
}

/// The registers of one who stands still: they say no more than where to look.
fn suspended(view: &View, slot: u32) -> Registers {
    let (sp, pc) = view.records[&slot].context;
    let mut registers = Registers::at(pc);
    registers.set(crate::registers::SP, sp);
    registers
}

impl Report {
    /// All instructions.
    pub(crate) fn instructions(&self) -> u64 {
        self.scenes.iter().map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} instructions, {} walks ({} of others), {} changes of the registry, {} swaps; ",
            self.instructions(),
            self.walks + self.walks_of_others,
            self.walks_of_others,
            self.changes,
            self.swaps
        )?;
        let scenes = self.scenes.iter().filter(|(_, count)| *count > 0);
        let scenes: Vec<String> = scenes.map(|(name, count)| format!("{name} {count}")).collect();
        f.write_str(&scenes.join(", "))
    }
}
