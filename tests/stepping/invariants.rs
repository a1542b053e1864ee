//! What holds of the registry at every instruction.
//!
//! The counterpart from within is src/debug/invariants.rs, which looks between a test's steps; here it may be in the
//! middle of a spawn, a switch or an end, so what is allowed in between is said as well.

use std::collections::HashSet;

use crate::process::Stepped;
use crate::support::registry_reader::Coroutine;
use crate::view::{Place, View, Worker};

/// How many free slots a worker gives to its class, or takes from it, at a time: none of them in a queue meanwhile.
const BATCH: u32 = 32;

/// What is wrong, a sentence each.
pub(crate) fn problems(view: &View, threads: &[Stepped]) -> Vec<String> {
    let mut problems = Problems(Vec::new());
    problems.records(view);
    for (index, worker) in (0..).zip(&view.workers) {
        problems.worker(view, index, worker, threads);
    }
    for thread in threads {
        problems.thread(view, thread);
    }
    problems.descriptors(view);
    problems.free_queues(view, threads.len() as u32);
    problems.0
}

/// How a coroutine is named in messages.
pub(crate) fn show(coroutine: &Coroutine) -> String {
    let Coroutine { id, kind, name, state, flags, .. } = coroutine;
    format!(
        "#{id} {kind} '{name}' ({state}{})",
        flags.iter().map(|flag| format!(", {flag}")).collect::<String>()
    )
}

/// Whether its stack and its context are in use: not before main runs for the first time, nor after an end (in a debug
/// build the stack may be closed already).
pub(crate) fn has_context(coroutine: &Coroutine) -> bool {
    match coroutine.state.as_str() {
        "free" | "exited" => false,
        "new" => coroutine.kind != "main",
        _ => true,
    }
}

struct Problems(Vec<String>);

impl Problems {
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.0.push(otherwise());
        }
    }

    fn records(&mut self, view: &View) {
        let mut ids = HashSet::new();
        for (index, coroutine) in view.records.iter().filter(|(_, coroutine)| coroutine.state != "free") {
            self.expect(ids.insert(coroutine.id), || format!("{} has another one's id", show(coroutine)));
            self.identity(view, *index, coroutine);
            let Coroutine { state, flags, kind, wait_reason, .. } = coroutine;
            let is = |flag: &str| flags.iter().any(|name| name == flag);
            self.expect(!is("lent") || state == "ready", || {
                format!("{} has lent what it has", show(coroutine))
            });
            self.expect(!is("waiting") || state == "running", || {
                format!("{} opens a wait while it does not run", show(coroutine))
            });
            let has_thread =
                view.workers.get(coroutine.worker as usize).is_some_and(|worker| worker.thread != 0);
            self.expect(state != "running" || has_thread, || {
                format!("{} is of worker {}, which has no thread", show(coroutine), coroutine.worker)
            });
            let waits = state == "parked" && matches!(kind.as_str(), "user" | "main");
            self.expect(!waits || wait_reason != "none", || format!("{} waits for nothing", show(coroutine)));
        }
    }

    /// Of each descriptor that has a role the address is there, since the debuggee's all have one. Who waits for one finds
    /// it.
    fn descriptors(&mut self, view: &View) {
        for (number, row) in view.descriptors.iter().enumerate().filter(|(_, row)| row.role != "none") {
            let is_told =
                row.address.is_some_and(|address| address.ip().is_loopback() && address.port() != 0);
            self.expect(is_told, || format!("descriptor {number} is a {} at {:?}", row.role, row.address));
        }
        let waits = view.records.values().filter(|c| c.state == "parked");
        for coroutine in waits.filter(|c| c.wait_object.0 == "file descriptor") {
            let number = coroutine.wait_object.1;
            let expected = if coroutine.wait_reason == "accept" { "listener" } else { "stream" };
            let row = view.descriptors.get(number as usize);
            self.expect(row.is_some_and(|row| row.role == expected), || {
                format!("{} waits for descriptor {number}: {row:?}", show(coroutine))
            });
        }
    }

    /// Who it is. That it stays so is transitions.rs's to see.
    fn identity(&mut self, view: &View, index: u32, coroutine: &Coroutine) {
        let Coroutine { id, kind, name, parent, spawn_file, spawn_line, stack, .. } = coroutine;
        self.expect(*id > 0 && parent < id, || format!("{} is a child of #{parent}", show(coroutine)));
        self.expect(!name.contains(char::REPLACEMENT_CHARACTER), || {
            format!("{} has no name", show(coroutine))
        });
        let has_site = spawn_file.as_ref().is_some_and(|file| file.ends_with(".rs")) && *spawn_line > 0;
        self.expect(has_site, || {
            format!("{} was spawned at {spawn_file:?}:{spawn_line}, which is no place", show(coroutine))
        });
        let Some(class) = view.class_of(index) else {
            self.0.push(format!("{} is in slot {index}, which no class has", show(coroutine)));
            return;
        };
        let classes: &[&str] = match kind.as_str() {
            "main" => &["native"],
            "switch" | "io" => &["service"],
            _ => &["default", "large"],
        };
        self.expect(classes.contains(&class.name.as_str()), || {
            format!("{} has a slot of the class {}", show(coroutine), class.name)
        });
        let top = class.base + u64::from(index - class.first + 1) * class.stride;
        let bounds = top.saturating_sub(class.stride - class.redzone.min(class.stride))..top;
        let is_right = if class.stride == 0 { stack.start < stack.end } else { *stack == bounds };
        self.expect(is_right, || format!("{} says that its stack is {stack:x?}", show(coroutine)));
    }

    /// A worker whose thread is known.
    fn worker(&mut self, view: &View, index: u64, worker: &Worker, threads: &[Stepped]) {
        if worker.thread == 0 {
            return;
        }
        for (slot, kind) in [(worker.main, "main"), (worker.switch, "switch"), (worker.io, "io")] {
            let is_right = view.records.get(&slot).is_some_and(|service| service.kind == kind);
            self.expect(is_right, || format!("worker {index}'s {kind} is in slot {slot}, where it is not"));
        }
        let thread = threads.iter().find(|stepped| stepped.thread.as_raw() as u64 == worker.thread);
        let Some(thread) = thread else {
            self.0.push(format!("worker {index} is of the thread {}, which does not exist", worker.thread));
            return;
        };
        let sp = thread.registers.sp();
        let runner = view.runner(worker, sp);
        self.runner(view, index, worker, runner, sp);
        let mine = view.records.iter().filter(|(_, c)| c.worker == index && c.state != "free");
        let (mut switching, mut linked, mut alive) = (Vec::new(), Vec::new(), 0_u64);
        for (slot, coroutine) in mine {
            alive += u64::from(coroutine.kind == "user" && coroutine.state != "exited");
            if Some(*slot) == runner {
                continue;
            }
            if coroutine.state == "running" {
                switching.push(show(coroutine));
            } else if coroutine.link != view.end && !matches!(coroutine.kind.as_str(), "switch") {
                let is_lent = coroutine.flags.iter().any(|flag| flag == "lent");
                linked.extend((!is_lent).then(|| show(coroutine)));
            }
            self.suspended(view, coroutine);
            self.link(view, worker, coroutine);
        }
        self.expect(switching.len() <= 1, || {
            format!("worker {index}: {} are `running`, besides the one that runs", switching.join(", "))
        });
        // The one that is about to be entered.
        self.expect(linked.len() <= 1, || {
            format!("worker {index}: {} don't run, but are linked to a resumer", linked.join(", "))
        });
        // A spawn and an end count in one step, and change the state in another one.
        self.expect(alive.abs_diff(worker.alive) <= 1, || {
            format!("worker {index} has {alive} coroutines, but counts {}", worker.alive)
        });
    }

    /// Who runs on a worker's thread.
    fn runner(&mut self, view: &View, index: u64, worker: &Worker, runner: Option<u32>, sp: u64) {
        let Some(coroutine) = runner.and_then(|slot| view.records.get(&slot)) else {
            self.0.push(format!("worker {index}'s thread has its sp at {sp:#x}, where no stack is"));
            return;
        };
        // main runs before its first switch, and after its last.
        let is_running =
            coroutine.state == "running" || !has_context(coroutine) && runner == Some(worker.main);
        self.expect(is_running, || {
            format!("worker {index} runs on the stack of {}, which is not `running`", show(coroutine))
        });
        self.expect(coroutine.worker == index, || {
            format!("worker {index} runs {}, which is of worker {}", show(coroutine), coroutine.worker)
        });
        self.expect(!has_context(coroutine) || coroutine.stack.contains(&sp), || {
            format!("{} runs at sp {sp:#x}, not in its stack {:x?}", show(coroutine), coroutine.stack)
        });
    }

    /// One that doesn't run, or is `switching`: it can be unwound from where it was left.
    fn suspended(&mut self, view: &View, coroutine: &Coroutine) {
        if has_context(coroutine) {
            let (sp, pc) = coroutine.context;
            self.expect(coroutine.stack.contains(&sp), || {
                format!("{}'s saved sp {sp:#x} is not in its stack {:x?}", show(coroutine), coroutine.stack)
            });
            self.expect(pc == view.resume_pc, || {
                format!("{} goes on at {pc:#x}, not in `switch`", show(coroutine))
            });
        }
    }

    /// Where its backtrace goes on: nowhere, or in one of the same worker.
    fn link(&mut self, view: &View, worker: &Worker, coroutine: &Coroutine) {
        let link = coroutine.link;
        let is_right = link == view.end
            || match coroutine.kind.as_str() {
                "main" => false,
                "switch" => link == view.context(worker.main),
                _ => view
                    .records
                    .iter()
                    .any(|(slot, other)| view.context(*slot) == link && other.worker == coroutine.worker),
            };
        self.expect(is_right, || format!("{} is linked to {link:#x}, which is no resumer", show(coroutine)));
    }

    /// A thread on one of the region's stacks is a worker's.
    fn thread(&mut self, view: &View, thread: &Stepped) {
        let (tid, sp) = (thread.thread.as_raw(), thread.registers.sp());
        let is_worker = view.workers.iter().any(|worker| worker.thread == tid as u64);
        self.expect(is_worker || view.place(sp) == Place::Outside, || {
            format!("thread {tid}, which is no worker, has its sp at {sp:#x}, in the region")
        });
    }

    /// The queues of free slots: they end, hold free slots only, and with what the workers keep for themselves all but
    /// those that are on their way in or out.
    fn free_queues(&mut self, view: &View, threads: u32) {
        for class in &view.classes {
            let used = class.first..class.first + class.used;
            let is_default = class.name == "default";
            // A worker gives to the class, and takes from it, half of what it keeps at a time. A runtime's start takes
            // two service slots before it publishes them.
            let on_their_way = threads * if is_default { 1 + BATCH } else { 2 };
            let mut queued = HashSet::new();
            for queue in &class.queues {
                let before = queued.len();
                let mut next = queue.first.wrapping_sub(1);
                while next != u32::MAX {
                    let is_right = used.contains(&next) && queued.insert(next);
                    let free = view.records.get(&next).filter(|slot| is_right && slot.state == "free");
                    let Some(free) = free else {
                        self.0.push(format!(
                            "the queue `{}` of class {} leads to slot {next} after {} steps",
                            queue.name,
                            class.name,
                            queued.len() - before
                        ));
                        break;
                    };
                    next = free.next_free;
                }
                let length = (queued.len() - before) as u32;
                self.expect(length.abs_diff(queue.count) <= on_their_way, || {
                    format!(
                        "{length} slots of class {} are in the queue `{}`, but it counts {}",
                        class.name, queue.name, queue.count
                    )
                });
            }
            let kept: u32 =
                if is_default { view.workers.iter().map(|worker| worker.free_slots).sum() } else { 0 };
            let found = queued.len() as u32 + kept;
            let is_free = |slot: &u32| view.records.get(slot).is_some_and(|record| record.state == "free");
            let free = used.clone().filter(is_free).count() as u32;
            self.expect(free.abs_diff(found) <= on_their_way, || {
                format!(
                    "{free} slots of class {} are free, but {} in the queues and {kept} with workers",
                    class.name,
                    queued.len()
                )
            });
        }
    }
}
